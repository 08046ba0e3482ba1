// How much time caching policies save, against how many FLOPs they save: the same clip denoised
// under policy none and under each of them, in turn, in one process. Of each the quickest run
// counts.
//
//   bench_denoise TRANSFORMER [--policies toca,fora] [--height 240] [--width 426] [--frames 17]
//   [--steps 30] [--threads 0]
//                 [--dtype fp32] [--runs 3] [--vae FOLDER] [--json]
//
// `efficiency` is (seconds none / seconds policy) / (FLOPs none / FLOPs policy): 1 = every FLOP
// saved is time saved. With a video VAE the clip of policy none is decoded too: `decode_seconds`,
// of the second time. `peak_bytes` is the process's largest resident size, loading included.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "bench/best_of.h"
#include "core/philox.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "models/video_vae/model.h"
#include "pipeline/device.h"
#include "pipeline/model_family.h"
#include "pipeline/plan.h"
#include "pipeline/stdit3_clip.h"
#include "samplers/noise.h"

namespace engine {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kPromptTokens = 30;  // what the nominal FLOP count assumes

struct Options {
  std::string transformer;
  std::vector<std::string> policies{"toca"};
  std::string vae;
  DType dtype = DType::kF32;
  int threads = 0;
  int runs = 3;
  bool json = false;
  RenderRequest request;
};

// Steps of one kind: all modules computed in full, all of them reused or partial, or something
// between.
struct StepSums {
  int count = 0;
  double seconds = 0, flops = 0;
};

struct Measured {
  double seconds = 0, flops = 0;
  std::map<std::string, StepSums> kinds;
  Tensor latent;  // [1, C, T, h, w]
};

std::string kind_of(const StepReport& report) {
  size_t full = 0;
  for (const ModuleReport& module : report.modules)
    full += module.decision == Decision::kRefresh ? 1 : 0;
  if (full == report.modules.size()) return "full";
  return full == 0 ? "partial" : "mixed";
}

Caption random_caption(const STDiT3Config& config) {
  const int64_t length = config.model_max_length;
  Caption caption{.embedding = Tensor({1, length, config.caption_channels}, DType::kF32),
                  .mask = Tensor({1, length}, DType::kI32)};
  fill_normal({caption.embedding.f32(), static_cast<size_t>(caption.embedding.elements())}, kSeed,
              0);
  int32_t* mask = caption.mask.view().i32();
  for (int64_t i = 0; i < length; ++i) mask[i] = i < std::min(kPromptTokens, length) ? 1 : 0;
  return caption;
}

Measured measure(Backend& backend, const STDiT3Weights& weights, const RenderRequest& request,
                 const Conditions& conditions) {
  const LatentSize size = latent_size(request);
  Tensor noise({1, weights.config.in_channels, size.frames, size.height, size.width}, DType::kF32);
  fill_initial_latent(noise, kSeed);
  Measured measured;
  const auto add = [&](const StepReport& report) {
    measured.seconds += report.seconds;
    measured.flops += report.flops;
    StepSums& kind = measured.kinds[kind_of(report)];
    ++kind.count;
    kind.seconds += report.seconds;
    kind.flops += report.flops;
  };
  measured.latent = denoise(backend, weights,
                            {.request = &request,
                             .conditions = &conditions,
                             .initial_latent = noise,
                             .initial_history = {},
                             .cancelled = {},
                             .on_step = add});
  return measured;
}

double decode_seconds(Backend& backend, const Options& options, ConstTensorView latent) {
  VideoVae vae = VideoVae::load(backend, options.vae, options.dtype);
  const Shape& shape = latent.shape();
  const ConstTensorView clip = latent.reshaped({shape[1], shape[2], shape[3], shape[4]});
  double seconds = 0;
  for (int round = 0; round < 2; ++round) {
    seconds = bench::seconds_of(
        [&] { vae.decode(clip, options.request.frames, [](int64_t, ConstTensorView) {}); });
  }
  return seconds;
}

Json to_json(const Measured& measured) {
  Json json{{"seconds", measured.seconds},
            {"tflop", measured.flops / 1e12},
            {"gflop_per_second", measured.flops / measured.seconds / 1e9}};
  for (const auto& [name, kind] : measured.kinds) {
    json["steps"][name] = {{"count", kind.count},
                           {"seconds_per_step", kind.seconds / kind.count},
                           {"gflop_per_step", kind.flops / kind.count / 1e9},
                           {"gflop_per_second", kind.flops / kind.seconds / 1e9}};
  }
  return json;
}

uint64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

void print(const char* name, const Measured& measured) {
  std::printf("%-8s %8.3f s  %8.3f TFLOP  %7.1f GFLOP/s\n", name, measured.seconds,
              measured.flops / 1e12, measured.flops / measured.seconds / 1e9);
  for (const auto& [kind, sums] : measured.kinds) {
    std::printf("  %-7s x%-3d %8.4f s  %8.3f GFLOP  %7.1f GFLOP/s\n", kind.c_str(), sums.count,
                sums.seconds / sums.count, sums.flops / sums.count / 1e9,
                sums.flops / sums.seconds / 1e9);
  }
}

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words;
  std::istringstream in(list);
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  return words;
}

Options parse(const std::vector<std::string>& arguments) {
  if (arguments.empty()) throw Error(ErrorCode::kInvalidArgument, "name the transformer folder");
  Options options;
  options.transformer = arguments[0];
  options.request.frames = 17;
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string& flag = arguments[i];
    if (flag == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 == arguments.size())
      throw Error(ErrorCode::kInvalidArgument, flag + " needs a value");
    const std::string& value = arguments[++i];
    if (flag == "--policies")
      options.policies = words_of(value);
    else if (flag == "--height")
      options.request.height = std::stoi(value);
    else if (flag == "--width")
      options.request.width = std::stoi(value);
    else if (flag == "--frames")
      options.request.frames = std::stoi(value);
    else if (flag == "--steps")
      options.request.steps = std::stoi(value);
    else if (flag == "--vae")
      options.vae = value;
    else if (flag == "--threads")
      options.threads = std::stoi(value);
    else if (flag == "--runs")
      options.runs = std::max(1, std::stoi(value));
    else if (flag == "--dtype")
      options.dtype = value == "bf16" ? DType::kBF16 : DType::kF32;
    else
      throw Error(ErrorCode::kInvalidArgument, "flag " + flag + " is unknown");
  }
  return options;
}

void keep_quicker(Measured& kept, Measured measured) {
  if (kept.seconds == 0 || measured.seconds < kept.seconds) kept = std::move(measured);
}

struct Saving {
  std::string policy;
  Measured measured;
};

struct Found {
  Measured none;
  std::vector<Saving> savings;
  std::optional<double> decode_seconds;
  uint64_t weights_bytes = 0;
};

struct Ratios {
  double flops = 0, time = 0;

  double efficiency() const { return time / flops; }
};

Ratios ratios(const Measured& none, const Measured& cached) {
  return {.flops = none.flops / cached.flops, .time = none.seconds / cached.seconds};
}

Found measure_all(Backend& backend, const Options& options) {
  const STDiT3Weights weights = load_stdit3(options.transformer, backend, options.dtype);
  const Conditions conditions{.caption = random_caption(weights.config), .unconditional = {}};
  Found found{.none = {},
              .savings = {},
              .decode_seconds = {},
              .weights_bytes = stdit3_weights_bytes(weights.config, options.dtype)};
  for (const std::string& policy : options.policies)
    found.savings.push_back({.policy = policy, .measured = {}});

  RenderRequest warm_up = options.request;
  warm_up.steps = 2;
  measure(backend, weights, warm_up, conditions);
  for (int i = 0; i < options.runs; ++i) {
    keep_quicker(found.none, measure(backend, weights, options.request, conditions));
    for (Saving& saving : found.savings) {
      RenderRequest cached = options.request;
      cached.policy.name = saving.policy;
      keep_quicker(saving.measured, measure(backend, weights, cached, conditions));
    }
  }
  if (!options.vae.empty())
    found.decode_seconds = decode_seconds(backend, options, found.none.latent);
  return found;
}

Json to_json(const Found& found, const Options& options, const BackendInfo& info) {
  Json json{{"device", device_kind(info, options.dtype)},
            {"device_name", info.device_name},
            {"dtype", dtype_name(options.dtype)},
            {"height", options.request.height},
            {"width", options.request.width},
            {"frames", options.request.frames},
            {"sampler_steps", options.request.steps},
            {"runs", options.runs},
            {"none", to_json(found.none)},
            {"policies", Json::array()},
            {"weights_bytes", found.weights_bytes},
            {"peak_bytes", peak_resident_bytes()}};
  for (const Saving& saving : found.savings) {
    const Ratios saved = ratios(found.none, saving.measured);
    json["policies"].push_back({{"policy", saving.policy},
                                {"cached", to_json(saving.measured)},
                                {"flop_ratio", saved.flops},
                                {"time_ratio", saved.time},
                                {"efficiency", saved.efficiency()}});
  }
  if (found.decode_seconds) json["decode_seconds"] = *found.decode_seconds;
  return json;
}

void print(const Found& found, const Options& options, const BackendInfo& info) {
  std::printf("%s, quickest of %d runs\n", info.device_name.c_str(), options.runs);
  print("none", found.none);
  for (const Saving& saving : found.savings) {
    print(saving.policy.c_str(), saving.measured);
    const Ratios saved = ratios(found.none, saving.measured);
    std::printf("FLOPs %.3fx  time %.3fx  efficiency %.1f %%\n", saved.flops, saved.time,
                100 * saved.efficiency());
  }
  if (found.decode_seconds) std::printf("decode %.3f s\n", *found.decode_seconds);
  std::printf("peak %llu MiB\n", static_cast<unsigned long long>(peak_resident_bytes() >> 20));
}

int run(const Options& options) {
  const auto backend = open_device("cpu", options.threads);
  const Found found = measure_all(*backend, options);
  if (options.json)
    std::cout << to_json(found, options, backend->info()).dump(2) << "\n";
  else
    print(found, options, backend->info());
  return 0;
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) {
  try {
    return engine::run(engine::parse({argv + 1, argv + argc}));
  } catch (const std::exception& error) {
    std::cerr << "bench_denoise: " << error.what() << "\n";
    return 2;
  }
}
