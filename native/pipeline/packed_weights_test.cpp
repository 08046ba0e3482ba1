// Packed weights on disk: the same bits from the file as from memory, one copy however many load
// it, no file that is taken for whole when it is not, and never a render that fails for its sake.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "models/transformer/weights.h"
#include "pipeline/image_test_support.h"
#include "pipeline/model_parts.h"
#include "pipeline/test_support.h"

namespace engine {
namespace {

constexpr uint64_t kBytesMax = uint64_t{1} << 30;

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder,
                                            const char* ending) {
  std::vector<std::filesystem::path> files;
  if (!std::filesystem::exists(folder)) return files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ending) files.push_back(entry.path());
  }
  return files;
}

// An engine on a cache folder, and what a small clip of it is.
class CachedEngine {
 public:
  CachedEngine(const std::filesystem::path& model, const std::filesystem::path& cache,
               DType dtype = DType::kF32)
      : engine_(Engine::load({.model = model,
                              .dtype = dtype,
                              .threads = 1,
                              .cache_folder = cache,
                              .cache_bytes_max = kBytesMax})) {}

  const EngineInfo& info() const { return engine_->info(); }
  std::string clip(const RenderRequest& request) const {
    Recorder recorder;
    engine_->render({.request = request, .initial_latent = {}, .save_latent = {}}, recorder,
                    recorder.signals);
    return recorder.digest();
  }

 private:
  std::unique_ptr<Engine> engine_;
};

struct Kind {
  std::string family;
  DType dtype;
};

class PackedWeights : public testing::TestWithParam<Kind> {};

TEST_P(PackedWeights, GiveTheBitsOfWeightsInMemory) {
  const TemporaryFolder cache;
  const auto& [family, dtype] = GetParam();
  std::optional<ImageModelFolder> images;
  std::filesystem::path model = TOCAFARM_DEMO_MODEL;
  RenderRequest request = small_request();
  if (family != "stdit3") {
    images.emplace(family);
    model = images->path();
    request.frames = 1;
    request.height = request.width = 128;
    if (family == "dit") request.prompt = "7";
  }
  const std::string expected = CachedEngine(model, "", dtype).clip(request);
  const CachedEngine first(model, cache.path(), dtype);
  EXPECT_EQ(first.info().mapped_bytes, 0u);
  EXPECT_EQ(first.info().notes, CachedEngine(model, "", dtype).info().notes);
  const CachedEngine second(model, cache.path(), dtype);
  EXPECT_GT(second.info().mapped_bytes, 0u);
  EXPECT_EQ(second.info().weights_digest, first.info().weights_digest);
  // Both hold what they need of files that are gone.
  std::filesystem::remove_all(cache.path() / "weights");
  EXPECT_EQ(first.clip(request), expected);
  EXPECT_EQ(second.clip(request), expected);
}

INSTANTIATE_TEST_SUITE_P(Models, PackedWeights,
                         testing::Values(Kind{"stdit3", DType::kF32}, Kind{"stdit3", DType::kBF16},
                                         Kind{"pixart", DType::kF32}, Kind{"dit", DType::kF32}),
                         [](const auto& info) {
                           return info.param.family + "_" + dtype_name(info.param.dtype);
                         });

class PackedFiles : public testing::Test {
 protected:
  CachedEngine load() const { return {TOCAFARM_DEMO_MODEL, cache_.path()}; }
  std::vector<std::filesystem::path> files() const {
    return files_in(cache_.path() / "weights", ".weights");
  }
  std::filesystem::path largest() const {
    std::filesystem::path found;
    for (const auto& file : files()) {
      if (found.empty() || std::filesystem::file_size(file) > std::filesystem::file_size(found)) {
        found = file;
      }
    }
    return found;
  }

  TemporaryFolder cache_;
};

TEST_F(PackedFiles, AreWrittenOnceForAllThatLoadAtATime) {
  std::vector<uint64_t> mapped(4);
  std::vector<std::thread> threads;
  for (uint64_t& bytes : mapped) {
    threads.emplace_back([&bytes, this] { bytes = load().info().mapped_bytes; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(files().size(), 2u);  // of transformer and VAE
  EXPECT_TRUE(files_in(cache_.path() / "weights", ".part").empty());
  uint64_t all = 0, written = 0;
  for (const auto& file : files()) written += std::filesystem::file_size(file);
  for (const uint64_t bytes : mapped) all += bytes;
  EXPECT_EQ(all, 3 * written);
}

TEST_F(PackedFiles, ThatAreDamagedAreMadeAnew) {
  load();
  const std::filesystem::path file = largest();
  const std::string whole = read_text(file);
  const uint64_t bytes_of_all = load().info().mapped_bytes;
  const auto put = [&](const std::string& bytes) {
    std::filesystem::remove(file);
    std::ofstream(file, std::ios::binary) << bytes;
    ::chmod(file.c_str(), 0600);
  };
  for (const size_t place : {whole.size() / 2, whole.size() - 1}) {
    std::string damaged = whole;
    damaged[place] ^= 1;
    for (const std::string& bytes : {damaged, whole.substr(0, place)}) {
      put(bytes);
      EXPECT_EQ(load().info().mapped_bytes, bytes_of_all - whole.size()) << place;
      EXPECT_EQ(read_text(file), whole);
    }
  }
  put(whole);  // another file, but whole
  EXPECT_EQ(load().info().mapped_bytes, bytes_of_all);
}

TEST_F(PackedFiles, OfAnotherUserAreNotTrusted) {
  load();
  const uint64_t bytes = std::filesystem::file_size(largest());
  const uint64_t all = load().info().mapped_bytes;
  ::chmod(largest().c_str(), 0666);
  EXPECT_EQ(load().info().mapped_bytes, all - bytes);
  EXPECT_EQ(load().info().mapped_bytes, all);
}

TEST_F(PackedFiles, ThatCannotBeWrittenAreDoneWithout) {
  const RenderRequest request = small_request();
  const std::string expected = CachedEngine(TOCAFARM_DEMO_MODEL, "").clip(request);
  {
    const FileSizeLimit full(100 * 1024);  // some blobs go in
    const CachedEngine engine = load();
    EXPECT_TRUE(files().empty());
    EXPECT_TRUE(files_in(cache_.path() / "weights", ".part").empty());
    ASSERT_FALSE(engine.info().notes.empty());
    EXPECT_NE(
        engine.info().notes[0].find("packed weights of transformer are not kept: cannot write"),
        std::string::npos)
        << engine.info().notes[0];
    EXPECT_EQ(engine.clip(request), expected);
  }
  const std::filesystem::path no_folder = cache_.write("file", "x");
  const CachedEngine engine(TOCAFARM_DEMO_MODEL, no_folder);
  ASSERT_FALSE(engine.info().notes.empty());
  EXPECT_NE(engine.info().notes[0].find("cannot make the folder"), std::string::npos);
  EXPECT_EQ(engine.clip(request), expected);
}

TEST_F(PackedFiles, ThatAreLargerThanTheBoundAreNotWritten) {
  const auto engine = Engine::load({.model = TOCAFARM_DEMO_MODEL,
                                    .threads = 1,
                                    .cache_folder = cache_.path(),
                                    .cache_bytes_max = 4 * 1024 * 1024});
  EXPECT_TRUE(files().empty());
  ASSERT_EQ(engine->info().notes.size(), 2u);
  EXPECT_NE(engine->info().notes[0].find("more than the cache's bound of 4 MiB"),
            std::string::npos);
}

TEST_F(PackedFiles, OfOtherConfigsAreOthers) {
  const TemporaryFolder model;
  std::filesystem::copy(TOCAFARM_DEMO_MODEL, model.path(),
                        std::filesystem::copy_options::recursive);
  const uint64_t all = CachedEngine(model.path(), cache_.path()).info().mapped_bytes;
  EXPECT_EQ(all, 0u);
  EXPECT_GT(CachedEngine(model.path(), cache_.path()).info().mapped_bytes, 0u);
  std::ofstream(model.path() / "vae" / "config.json", std::ios::app) << "\n";
  CachedEngine(model.path(), cache_.path());
  EXPECT_EQ(files().size(), 3u);  // the VAE's a second time
}

TEST(WeightFile, HoldsBlobsInTheirOrderAndNoOther) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "a.weights";
  const auto fill = [](float value) {
    return [value](TensorView packed) { std::fill_n(packed.f32(), packed.elements(), value); };
  };
  const auto never = [](TensorView) { FAIL() << "packed again"; };
  {
    WeightFileWriter writer(file, "key");
    EXPECT_FALSE(writer.holds_all());
    const Tensor small = writer.keep("x", {3}, DType::kF32, fill(1));
    const Tensor large = writer.keep("y", {300, 100}, DType::kF32, fill(2));
    EXPECT_FALSE(std::filesystem::exists(file));
    EXPECT_TRUE(writer.commit());
    EXPECT_EQ(small.f32()[2], 1);
    EXPECT_EQ(large.f32()[29999], 2);
  }
  EXPECT_TRUE(fails([&] { WeightFileReader(file, "other"); }, ErrorCode::kInvalidCheckpoint,
                    "of other weights"));
  Tensor large;
  {
    WeightFileReader reader(file, "key");
    reader.check_content();
    EXPECT_TRUE(reader.holds_all());
    EXPECT_EQ(reader.keep("x", {3}, DType::kF32, never).f32()[0], 1);
    EXPECT_THROW(reader.check_finished(), OtherLayout);
    large = reader.keep("y", {300, 100}, DType::kF32, never);
    EXPECT_NO_THROW(reader.check_finished());
    EXPECT_THROW(reader.keep("z", {1}, DType::kF32, never), OtherLayout);
  }
  EXPECT_EQ(large.f32()[29999], 2);  // as long as the tensor lives
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large.f32()) % kBufferAlignment, 0u);
  WeightFileReader reader(file, "key");
  EXPECT_THROW(reader.keep("x", {4}, DType::kF32, never), OtherLayout);
  WeightFileReader another(file, "key");
  EXPECT_THROW(another.keep("w", {3}, DType::kF32, never), OtherLayout);
}

// Beside what is packed, memory holds one tensor: its source, its copy in fp32, its packed form.
class LoadingMemory : public testing::Test {
 protected:
  static constexpr int64_t kSide = 1024, kLayers = 12;
  static constexpr uint64_t kTensorBytes = kSide * kSide * sizeof(float);
  static constexpr uint64_t kAllBytes = kLayers * kTensorBytes;
  static constexpr uint64_t kConstantBytes = 6 * 1024 * 1024;

  LoadingMemory() {
    const Tensor weight({kSide, kSide}, DType::kF32), bias({kSide}, DType::kF32);
    std::fill_n(weight.f32(), weight.elements(), 0.5f);
    std::fill_n(bias.f32(), bias.elements(), 0.5f);
    std::vector<NamedTensor> tensors;
    for (int64_t i = 0; i < kLayers; ++i) {
      tensors.push_back({std::to_string(i) + ".weight", weight});
      tensors.push_back({std::to_string(i) + ".bias", bias});
    }
    std::filesystem::create_directory(folder_.path() / "part");
    write_safetensors(folder_.path() / "part" / "model.safetensors", tensors);
    folder_.write("part/config.json", "{}");
  }

  std::vector<std::unique_ptr<LinearWeights>> load(const std::filesystem::path& folder) {
    const Checkpoint checkpoint = Checkpoint::open(folder);
    const WeightLoader loader(checkpoint, backend_);
    std::vector<std::unique_ptr<LinearWeights>> layers;
    for (int64_t i = 0; i < kLayers; ++i) {
      layers.push_back(loader.linear(std::to_string(i), kSide, kSide, DType::kF32));
    }
    return layers;
  }

  // By how much memory grew at most while the part was loaded.
  uint64_t growth(const EngineCache* cache) {
    ModelParts parts(backend_, folder_.path(), cache);
    std::ofstream("/proc/self/clear_refs") << "5";  // begins the peak anew
    const uint64_t before = status("VmRSS:");
    const auto layers = parts.load("part", DType::kF32,
                                   [&](const std::filesystem::path& part) { return load(part); });
    EXPECT_TRUE(parts.problems().empty());
    return status("VmHWM:") - before;
  }

  static uint64_t status(const std::string& field) {
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;) {
      uint64_t kilobytes = 0;
      if (word == field && file >> kilobytes) return kilobytes * 1024;
    }
    ADD_FAILURE() << "no " << field;
    return 0;
  }

  TemporaryFolder folder_;
  cpu::CpuBackend backend_{{.threads = 1, .isa = ""}};
};

TEST_F(LoadingMemory, HoldsOneTensorBesideWhatIsPacked) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer keeps what is freed";
#endif
  {  // what libraries take when they are first used
    const EngineCache first(folder_.path() / "first", kBytesMax);
    growth(&first);
  }
  EXPECT_LT(growth(nullptr), kAllBytes + 2 * kTensorBytes + kConstantBytes);
  const EngineCache cache(folder_.path() / "cache", kBytesMax);
  EXPECT_LT(growth(&cache), 3 * kTensorBytes + kConstantBytes);  // packed, and mapped
  EXPECT_LT(growth(&cache), kConstantBytes);                     // mapped, and no byte read
}

}  // namespace
}  // namespace engine
