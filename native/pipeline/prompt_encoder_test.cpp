// Prompts that are kept encoded: the same bits, no text encoder in memory, and nothing that is
// taken for an encoding when it is not.
#include "pipeline/prompt_encoder.h"

#include <gtest/gtest.h>

#include <fstream>

#include "backend/cpu/cpu_backend.h"
#include "pipeline/image_test_support.h"
#include "pipeline/model_plan.h"
#include "pipeline/test_support.h"

namespace engine {
namespace {

const std::filesystem::path kModel = TOCAFARM_DEMO_MODEL;
constexpr int64_t kLength = 24;
constexpr uint64_t kBytesMax = uint64_t{1} << 30;

class PromptEncoderTest : public testing::Test {
 protected:
  // As a new engine process would encode it; tells whether it was kept, and the encoder loaded.
  struct Encoded {
    Caption caption;
    bool loaded;
  };
  Encoded encode(const std::string& prompt, int64_t length = kLength, DType compute = DType::kF32) {
    ModelParts parts(backend_, model_.path(), &cache_);
    PromptEncoder encoder(parts, length, compute);
    EXPECT_FALSE(encoder.loaded());
    Caption caption = encoder.encode(prompt, {});
    EXPECT_EQ(caption.kept, !encoder.loaded());
    return {std::move(caption), encoder.loaded()};
  }
  std::vector<std::filesystem::path> texts() const {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path() / "texts")) {
      files.push_back(entry.path());
    }
    return files;
  }

  PromptEncoderTest() {
    for (const char* part : {"text_encoder", "tokenizer"}) {
      std::filesystem::copy(kModel / part, model_.path() / part);
    }
  }

  TemporaryFolder model_, folder_;
  EngineCache cache_{folder_.path(), kBytesMax};
  cpu::CpuBackend backend_{{.threads = 1, .isa = ""}};
};

TEST_F(PromptEncoderTest, GivesTheRowsThatTheMaskKeepsWithTheirBits) {
  const Encoded first = encode("a red circle"), second = encode("a red circle");
  EXPECT_TRUE(first.loaded);
  EXPECT_FALSE(second.loaded);
  const Caption &a = first.caption, &b = second.caption;
  EXPECT_EQ(a.embedding.shape(), b.embedding.shape());
  EXPECT_EQ(elements_of<int32_t>(a.mask), elements_of<int32_t>(b.mask));
  int64_t kept = 0;
  for (int64_t i = 0; i < kLength; ++i) {
    const auto row = [&](const Caption& of) {
      return elements_of<float>(
          of.embedding.view().reshaped({kLength, a.embedding.dim(2)}).rows(i, 1));
    };
    if (a.mask.view().i32()[i] == 0) continue;
    EXPECT_EQ(row(a), row(b)) << i;
    ++kept;
  }
  EXPECT_GT(kept, 2);
  EXPECT_LT(kept, kLength);
  // The rows that are left out are not kept.
  EXPECT_LT(
      std::filesystem::file_size(texts()[0]),
      static_cast<uint64_t>(kept + 1) * static_cast<uint64_t>(a.embedding.dim(2)) * sizeof(float) +
          1024);
}

TEST_F(PromptEncoderTest, EncodesAnewWhateverIsAnother) {
  encode("a red circle");
  EXPECT_TRUE(encode("a blue circle").loaded);
  EXPECT_TRUE(encode("a red circle", kLength + 1).loaded);
  EXPECT_TRUE(encode("a red circle", kLength, DType::kBF16).loaded);
  EXPECT_FALSE(encode("a red circle", kLength, DType::kBF16).loaded);
  EXPECT_TRUE(encode("").loaded);
  EXPECT_FALSE(encode("").loaded);
  std::ofstream(model_.path() / "tokenizer" / "tokenizer_config.json", std::ios::app) << "\n";
  EXPECT_TRUE(encode("a red circle").loaded);
  std::ofstream(model_.path() / "text_encoder" / "config.json", std::ios::app) << "\n";
  EXPECT_TRUE(encode("a red circle").loaded);
  EXPECT_FALSE(encode("a red circle").loaded);
}

TEST_F(PromptEncoderTest, EncodesAnewWhatIsTorn) {
  encode("a red circle");
  const std::filesystem::path file = texts()[0];
  const std::string whole = read_text(file);
  std::filesystem::remove(file);
  std::ofstream(file, std::ios::binary) << whole.substr(0, whole.size() - 1);
  EXPECT_TRUE(encode("a red circle").loaded);
  EXPECT_EQ(read_text(file), whole);
  EXPECT_FALSE(encode("a red circle").loaded);
}

TEST_F(PromptEncoderTest, EncodesWhereNothingCanBeKept) {
  const std::filesystem::path file = folder_.write("file", "x");
  const EngineCache nowhere(file, kBytesMax);
  ModelParts parts(backend_, kModel, &nowhere);
  PromptEncoder encoder(parts, kLength, DType::kF32);
  EXPECT_GT(encoder.encode("a red circle", {}).mask.elements(), 0);
  EXPECT_FALSE(encoder.kept({"a red circle"}));
}

TEST_F(PromptEncoderTest, ReadsAKeptPromptOnceForTheQuestionAndForTheCaption) {
  const Caption written = encode("a red circle").caption;
  encode("");
  ModelParts parts(backend_, model_.path(), &cache_);
  PromptEncoder encoder(parts, kLength, DType::kF32);
  EXPECT_FALSE(encoder.kept({"a red circle", "another"}));
  EXPECT_TRUE(encoder.kept({"a red circle", ""}));
  EXPECT_TRUE(encoder.kept({"a red circle"}));  // the empty one is forgotten
  std::filesystem::remove_all(folder_.path() / "texts");
  const Caption caption = encoder.encode("a red circle", {});
  EXPECT_TRUE(caption.kept);
  EXPECT_EQ(elements_of<int32_t>(caption.mask), elements_of<int32_t>(written.mask));
  EXPECT_FALSE(encoder.loaded());
  EXPECT_FALSE(encoder.encode("", {}).kept);
  // Given out, so nothing more is held: it is encoded again, and kept again.
  EXPECT_FALSE(encoder.encode("a red circle", {}).kept);
  EXPECT_TRUE(encoder.kept({"a red circle"}));
}

TEST_F(PromptEncoderTest, RefusesADamagedEncoderBeforeItIsNeeded) {
  ModelParts parts(backend_, model_.path(), &cache_);
  const Checkpoint source = Checkpoint::open(kModel / "text_encoder");
  const std::string left_out = "encoder.block.0.layer.1.DenseReluDense.wo.weight";
  std::vector<NamedTensor> tensors;
  for (const std::string& name : source.names()) {
    if (name != left_out) tensors.push_back({name, source.get(name)});
  }
  write_safetensors(model_.path() / "text_encoder" / "model.safetensors", tensors);
  EXPECT_TRUE(fails([&] { PromptEncoder(parts, kLength, DType::kF32); },
                    ErrorCode::kInvalidCheckpoint, "holds no tensor \"" + left_out));
}

struct Rendered {
  std::string digest;
  bool prompt_kept;
};

Rendered render(const std::filesystem::path& model, const std::filesystem::path& cache,
                RenderRequest request) {
  const auto engine = Engine::load({.model = model, .threads = 1, .cache_folder = cache});
  Recorder recorder;
  const RenderResult result = engine->render(
      {.request = request, .initial_latent = {}, .save_latent = {}}, recorder, recorder.signals);
  return {recorder.digest(), result.prompt_kept};
}

TEST(KeptPrompts, GiveTheSameClip) {
  const TemporaryFolder cache;
  const Rendered without = render(kModel, "", small_request());
  const Rendered first = render(kModel, cache.path(), small_request());
  const Rendered second = render(kModel, cache.path(), small_request());
  EXPECT_FALSE(without.prompt_kept);
  EXPECT_FALSE(first.prompt_kept);
  EXPECT_TRUE(second.prompt_kept);
  EXPECT_EQ(first.digest, without.digest);
  EXPECT_EQ(second.digest, without.digest);
}

TEST(KeptPrompts, GiveTheSamePictureWhereTheEmptyPromptIsEncodedToo) {
  const TemporaryFolder cache;
  ImageModelFolder model("pixart");
  model.make_diffusers();
  RenderRequest request = small_request();
  request.frames = 1;
  request.height = request.width = 128;
  const Rendered without = render(model.path(), "", request);
  const Rendered first = render(model.path(), cache.path(), request);
  const Rendered second = render(model.path(), cache.path(), request);
  EXPECT_TRUE(second.prompt_kept);
  EXPECT_EQ(first.digest, without.digest);
  EXPECT_EQ(second.digest, without.digest);
}

TEST(KeptPrompts, NeedNoTextEncoderInMemory) {
  const ModelConfigs configs = read_model_configs(kModel);
  const Plan plan = make_plan(configs, small_request(), DType::kF32);
  const PlannedWeights weights = planned_weights_bytes(configs, DType::kF32);
  EXPECT_EQ(plan.peak_bytes - plan.peak_bytes_prompt_kept, weights.text_encoder);
  EXPECT_GT(weights.text_encoder, 0u);
}

TEST(TheTextEncoder, TakesHalfTheMemoryInBf16AsThePlanSays) {
  // Layers as small as the demo model's are padded to whole panels, and the file names each.
  constexpr double kPaddedMax = 1.25;
  const ModelConfigs configs = read_model_configs(kModel);
  const TemporaryFolder cache;
  std::vector<double> bytes;
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    cpu::CpuBackend backend({.threads = 1, .isa = ""});
    EngineCache kept(cache.path(), kBytesMax);
    for (const bool first : {true, false}) {
      ModelParts parts(backend, kModel, &kept);
      const TextStage stage(parts, T5Tokenizer::load(kModel / "tokenizer"), kLength, compute);
      if (!first) bytes.push_back(static_cast<double>(parts.bytes_mapped()));
    }
    const auto planned = static_cast<double>(planned_weights_bytes(configs, compute).text_encoder);
    // The model's embedding is fp16, which is kept so in fp32: that is less than planned.
    EXPECT_GE(bytes.back(), compute == DType::kF32 ? planned / 2 : planned);
    EXPECT_LT(bytes.back(), planned * kPaddedMax) << dtype_name(compute);
  }
  EXPECT_LT(bytes[1], bytes[0] * 0.6);
}

}  // namespace
}  // namespace engine
