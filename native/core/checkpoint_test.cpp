// Folders, shards, errors and digests: the parts of Checkpoint that no single container has.
#include "core/checkpoint.h"

#include "core/test_support.h"

namespace engine {
namespace {

constexpr auto kBad = ErrorCode::kInvalidCheckpoint;

class CheckpointTest : public testing::Test {
 protected:
  // A file with one float tensor.
  void write(const std::string& file, const std::string& name, float value) {
    write_safetensors(folder_.path() / file, {{name, {&value, DType::kF32, {1}}}});
  }
  void copy(const std::string& fixture, const std::string& file) {
    std::filesystem::copy(std::filesystem::path(TOCAFARM_CORE_TEST_DATA) / fixture,
                          folder_.path() / file);
  }
  Checkpoint open() { return Checkpoint::open(folder_.path()); }
  std::string opened() { return open().location().filename().string(); }
  TemporaryFolder folder_;
};

TEST_F(CheckpointTest, PrefersTheFilesOfAFolderInTheDeclaredOrder) {
  copy("plain_zip.pt", "only.pt");
  EXPECT_EQ(opened(), "only.pt");
  copy("plain_legacy.bin", "pytorch_model.bin");
  EXPECT_EQ(opened(), "pytorch_model.bin");
  write("odd.safetensors", "a", 1);
  EXPECT_EQ(opened(), "odd.safetensors");
  folder_.write("odd.safetensors.index.json", R"({"weight_map": {"a": "odd.safetensors"}})");
  EXPECT_EQ(opened(), "odd.safetensors.index.json");
  write("diffusion_pytorch_model.safetensors", "a", 1);
  EXPECT_EQ(opened(), "diffusion_pytorch_model.safetensors");
  write("model.safetensors", "a", 1);
  EXPECT_EQ(opened(), "model.safetensors");
}

TEST_F(CheckpointTest, DoesNotGuessBetweenSeveralFiles) {
  write("a.safetensors", "a", 1);
  write("b.safetensors", "a", 1);
  EXPECT_TRUE(fails([&] { open(); }, kBad, "a.safetensors and b.safetensors"));
}

TEST_F(CheckpointTest, TheUsualIndexWinsOverOthers) {
  write("a.safetensors", "a", 1);
  write("b.safetensors", "a", 2);
  folder_.write("model.safetensors.index.json", R"({"weight_map": {"a": "a.safetensors"}})");
  folder_.write("model.fp16.safetensors.index.json", R"({"weight_map": {"a": "b.safetensors"}})");
  EXPECT_EQ(open().get("a").f32()[0], 1);
}

TEST_F(CheckpointTest, SaysWhatIsMissing) {
  EXPECT_TRUE(fails([&] { open(); }, ErrorCode::kNotFound, "holds no weights"));
  EXPECT_TRUE(
      fails([&] { Checkpoint::open(folder_.path() / "none"); }, ErrorCode::kNotFound, "none"));
  const auto text = folder_.write("notes.txt", "");
  EXPECT_TRUE(fails([&] { Checkpoint::open(text); }, ErrorCode::kInvalidArgument, "notes.txt"));
}

TEST_F(CheckpointTest, GetNamesTensorFileAndShapes) {
  write("model.safetensors", "x.weight", 1);
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.get("x.weight", {1}).f32()[0], 1);
  EXPECT_TRUE(checkpoint.find("y").empty());
  EXPECT_TRUE(fails([&] { checkpoint.get("y"); }, kBad, "model.safetensors holds no tensor \"y\""));
  EXPECT_TRUE(fails(
      [&] {
        checkpoint.get("x.weight", {2, 3});
      },
      kBad, "tensor \"x.weight\" has shape [1], expected [2, 3]"));
}

TEST_F(CheckpointTest, RefusesIntegersWhereWeightsAreWanted) {
  const int32_t one = 1;
  write_safetensors(folder_.path() / "model.safetensors", {{"x.weight", {&one, DType::kI32, {1}}}});
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.get("x.weight", {1}).i32()[0], 1);
  EXPECT_TRUE(fails([&] { checkpoint.get_float("x.weight", {1}); }, kBad,
                    "tensor \"x.weight\" holds int32; a float type is needed"));
}

TEST_F(CheckpointTest, JoinsShardsOfBothKinds) {
  write("model-1.safetensors", "a", 1);
  copy("wrapped.pth", "model-2.pth");
  folder_.write("model.safetensors.index.json",
                R"({"metadata": {"total_size": 16}, "weight_map": {"a": "model-1.safetensors",)"
                R"("weight": "model-2.pth", "bias": "model-2.pth"}})");
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.names(), (std::vector<std::string>{"a", "bias", "weight"}));
  EXPECT_EQ(checkpoint.get("bias").f32()[0], 3);
  EXPECT_EQ(checkpoint.total_bytes(), 16u);
}

TEST_F(CheckpointTest, ShowsOnlyTheTensorsOfTheIndex) {
  write_safetensors(folder_.path() / "s.safetensors",
                    {{"a", Tensor({0}, DType::kF32)}, {"b", Tensor({0}, DType::kF32)}});
  folder_.write("model.safetensors.index.json", R"({"weight_map": {"b": "s.safetensors"}})");
  EXPECT_EQ(open().names(), std::vector<std::string>{"b"});
}

TEST_F(CheckpointTest, RefusesADamagedIndex) {
  write("s.safetensors", "a", 1);
  const auto refuses = [&](const std::string& index, ErrorCode code, const std::string& text) {
    folder_.write("model.safetensors.index.json", index);
    return fails([&] { open(); }, code, text);
  };
  EXPECT_TRUE(refuses("{}", kBad, "weight_map"));
  EXPECT_TRUE(refuses(R"({"weight_map": []})", kBad, "weight_map"));
  EXPECT_TRUE(refuses(R"({"weight_map": {"a": 1}})", kBad, "no string"));
  EXPECT_TRUE(refuses(R"({"weight_map": {"b": "s.safetensors"}})", kBad,
                      "s.safetensors does not hold tensor \"b\""));
  EXPECT_TRUE(refuses(R"({"weight_map": {"a": "t.safetensors"}})", ErrorCode::kNotFound,
                      "t.safetensors, named by model.safetensors.index.json, is missing"));
}

TEST_F(CheckpointTest, RefusesShardsOutsideOfTheFolder) {
  for (const char* name :
       {"../s.safetensors", "/etc/passwd", "x/s.safetensors", "..", ".", "",
        "model.safetensors.index.json", "a\\\\b.safetensors", "s.safetensors\\u0000"}) {
    folder_.write("model.safetensors.index.json",
                  std::string(R"({"weight_map": {"a": ")") + name + "\"}}");
    EXPECT_TRUE(fails([&] { open(); }, kBad, "not the name of a weight file")) << name;
  }
}

TEST_F(CheckpointTest, TheDigestIsThatOfTheWeightsNotOfTheFile) {
  const std::filesystem::path data(TOCAFARM_CORE_TEST_DATA);
  const std::string digest = Checkpoint::open(data / "plain_zip.pt").digest();
  EXPECT_EQ(digest.size(), 64u);
  EXPECT_EQ(Checkpoint::open(data / "plain_legacy.bin").digest(), digest);

  const Checkpoint plain = Checkpoint::open(data / "plain_zip.pt");
  std::vector<NamedTensor> tensors;
  for (const std::string& name : plain.names()) tensors.push_back({name, plain.get(name)});
  write_safetensors(folder_.path() / "copy.safetensors", tensors);
  EXPECT_EQ(open().digest(), digest);
}

TEST_F(CheckpointTest, TheDigestSeesNamesTypesShapesAndBytes) {
  const float values[] = {1, 2};
  const auto digest = [&](const std::string& name, const ConstTensorView& view) {
    write_safetensors(folder_.path() / "model.safetensors", {{name, view}});
    return open().digest();
  };
  const std::string reference = digest("a", {values, DType::kF32, {2}});
  EXPECT_EQ(digest("a", {values, DType::kF32, {2}}), reference);
  EXPECT_NE(digest("b", {values, DType::kF32, {2}}), reference);
  EXPECT_NE(digest("a", {values, DType::kI32, {2}}), reference);
  EXPECT_NE(digest("a", {values, DType::kF32, {1, 2}}), reference);
  EXPECT_NE(digest("a", {values + 1, DType::kF32, {1}}), reference);
}

TEST_F(CheckpointTest, ACopyOutlivesTheFirst) {
  write("model.safetensors", "a", 5);
  Checkpoint copy;
  {
    const Checkpoint first = open();
    copy = first;
  }
  EXPECT_EQ(copy.get("a").f32()[0], 5);
}

}  // namespace
}  // namespace engine
