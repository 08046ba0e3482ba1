// How much time a caching policy saves, against how many FLOPs it saves: the same clip denoised
// under policy none and under another one, in turn, in one process.
//
//   bench_denoise TRANSFORMER [--policy toca] [--height 240] [--width 426] [--frames 17] [--steps
//   30] [--threads 0]
//                 [--dtype fp32] [--runs 3] [--json]
//
// `efficiency` is (seconds none / seconds policy) / (FLOPs none / FLOPs policy): 1 = every FLOP
// saved is time saved.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "core/philox.h"
#include "engine/engine.h"
#include "engine/error.h"
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
  std::string policy = "toca";
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
  denoise(backend, weights,
          {.request = &request,
           .conditions = &conditions,
           .initial_latent = noise,
           .initial_history = {},
           .cancelled = {},
           .on_step = add});
  return measured;
}

Measured median(std::vector<Measured> runs) {
  std::sort(runs.begin(), runs.end(),
            [](const Measured& a, const Measured& b) { return a.seconds < b.seconds; });
  return runs[runs.size() / 2];
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

void print(const char* name, const Measured& measured) {
  std::printf("%-8s %8.3f s  %8.3f TFLOP  %7.1f GFLOP/s\n", name, measured.seconds,
              measured.flops / 1e12, measured.flops / measured.seconds / 1e9);
  for (const auto& [kind, sums] : measured.kinds) {
    std::printf("  %-7s x%-3d %8.4f s  %8.3f GFLOP  %7.1f GFLOP/s\n", kind.c_str(), sums.count,
                sums.seconds / sums.count, sums.flops / sums.count / 1e9,
                sums.flops / sums.seconds / 1e9);
  }
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
    if (flag == "--policy")
      options.policy = value;
    else if (flag == "--height")
      options.request.height = std::stoi(value);
    else if (flag == "--width")
      options.request.width = std::stoi(value);
    else if (flag == "--frames")
      options.request.frames = std::stoi(value);
    else if (flag == "--steps")
      options.request.steps = std::stoi(value);
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

int run(const Options& options) {
  const auto backend = open_device("cpu", options.threads);
  const STDiT3Weights weights = load_stdit3(options.transformer, *backend, options.dtype);
  const Conditions conditions{.caption = random_caption(weights.config), .unconditional = {}};
  RenderRequest none = options.request, cached = options.request;
  cached.policy.name = options.policy;

  RenderRequest warm_up = none;
  warm_up.steps = 2;
  measure(*backend, weights, warm_up, conditions);
  std::vector<Measured> without, with;
  for (int i = 0; i < options.runs; ++i) {
    without.push_back(measure(*backend, weights, none, conditions));
    with.push_back(measure(*backend, weights, cached, conditions));
  }
  const Measured a = median(without), b = median(with);
  const double time_ratio = a.seconds / b.seconds, flop_ratio = a.flops / b.flops;
  if (options.json) {
    std::cout << Json{{"device", device_kind(backend->info(), options.dtype)},
                      {"device_name", backend->info().device_name},
                      {"runs", options.runs},
                      {"policy", options.policy},
                      {"none", to_json(a)},
                      {"cached", to_json(b)},
                      {"flop_ratio", flop_ratio},
                      {"time_ratio", time_ratio},
                      {"efficiency", time_ratio / flop_ratio}}
                     .dump(2)
              << "\n";
    return 0;
  }
  std::printf("%s, median of %d runs\n", backend->info().device_name.c_str(), options.runs);
  print("none", a);
  print(options.policy.c_str(), b);
  std::printf("FLOPs %.3fx  time %.3fx  efficiency %.1f %%\n", flop_ratio, time_ratio,
              100 * time_ratio / flop_ratio);
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
