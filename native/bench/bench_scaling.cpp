// How the cost of a step grows with tokens, frames, depth and clips in a batch, for a STDiT3 of any
// width: one axis at a time from a base point, a step in full and a partial one of ToCa.
//
//   bench_scaling TRANSFORMER [--dtype fp32|bf16] [--threads 0]
//
// TRANSFORMER: a folder of at least 8 layers; fewer are taken of it where a point asks for fewer.
// Prints JSON: for each axis its points with seconds and GFLOP of both kinds of step.
#include <algorithm>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "bench/best_of.h"
#include "cache/cache_policy.h"
#include "core/json.h"
#include "core/philox.h"
#include "engine/error.h"
#include "models/stdit3/model.h"
#include "pipeline/device.h"

namespace engine {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kPromptTokens = 30;
constexpr int64_t kPixelsPerLatent = 8;
// Of a render of 30 steps under toca with its published periods: 0, 1 and 2 are full, 3 computes
// all but cross-attention, 4 and 5 are partial.
constexpr int kSteps = 30;
constexpr int kStepsRun = 6;
constexpr int kFirstWarm = 1;
constexpr int kFirstPartial = 4;

struct Options {
  std::string transformer;
  DType dtype = DType::kF32;
  int threads = 0;
};

struct Point {
  int64_t height = 144, width = 256;
  int64_t latent_frames = 5;  // 17 frames
  int depth = 2;
  int64_t clips = 1;
};

struct Cost {
  double seconds = 0, gflop = 0;
};

// The first `depth` layers of a model.
class Shallow {
 public:
  Shallow(STDiT3Weights& weights, int depth)
      : weights_(weights), depth_(weights.config.depth), tables_(std::move(weights.block_tables)) {
    weights.config.depth = depth;
    const ConstTensorView kept = tables_.view().rows(0, weights.config.blocks());
    weights.block_tables = Tensor(kept.shape(), kept.dtype());
    std::copy_n(kept.f32(), kept.shape().elements(), weights.block_tables.f32());
  }
  ~Shallow() {
    weights_.config.depth = depth_;
    weights_.block_tables = std::move(tables_);
  }
  Shallow(const Shallow&) = delete;
  Shallow& operator=(const Shallow&) = delete;

 private:
  STDiT3Weights& weights_;
  int depth_;
  Tensor tables_;
};

Tensor normal(Backend& backend, Shape shape) {
  Tensor host(shape, DType::kF32);
  fill_normal({host.f32(), static_cast<size_t>(host.elements())}, kSeed, 0);
  Tensor device = backend.allocate(shape, DType::kF32);
  backend.upload(host, device);
  return device;
}

STDiT3Text text_of(Backend& backend, const STDiT3Weights& weights, int64_t clips) {
  Tensor caption({clips, kPromptTokens, weights.config.caption_channels}, DType::kF32);
  fill_normal({caption.f32(), static_cast<size_t>(caption.elements())}, kSeed, 1);
  Tensor mask({clips, kPromptTokens}, DType::kI32);
  std::fill_n(mask.view().i32(), mask.elements(), 1);
  return encode_captions(backend, weights, caption, mask, /*guided=*/true);
}

Json to_json(const Cost& cost) {
  return {{"seconds", cost.seconds}, {"gflop", cost.gflop}};
}

// The quicker of the steps of either kind.
Json measure(Backend& backend, STDiT3Weights& weights, const Point& point) {
  const Shallow shallow(weights, point.depth);
  const STDiT3Shape shape{.clips = point.clips,
                          .latent_frames = point.latent_frames,
                          .latent_height = point.height / kPixelsPerLatent,
                          .latent_width = point.width / kPixelsPerLatent,
                          .pixel_height = static_cast<double>(point.height),
                          .pixel_width = static_cast<double>(point.width),
                          .text_tokens_nominal = kPromptTokens};
  const TokenGrid grid =
      token_grid(weights.config, shape.latent_frames, shape.latent_height, shape.latent_width);
  const auto policy = make_policy(
      {"toca", {}}, {.steps = kSteps, .depth = weights.config.depth, .tokens = grid.tokens()});
  const STDiT3Text text = text_of(backend, weights, point.clips);
  STDiT3 model(backend, weights, shape, *policy);
  const std::vector<float> fps(static_cast<size_t>(point.clips), 24.0f);
  model.condition(text, fps);
  const Tensor latent =
      normal(backend, {point.clips, weights.config.in_channels, shape.latent_frames,
                       shape.latent_height, shape.latent_width});
  const std::vector<float> times(static_cast<size_t>(point.clips), 900.0f);

  Cost full, partial;
  for (int step = 0; step < kStepsRun; ++step) {
    double flops = 0;
    StepHooks hooks;
    hooks.on_module = [&](const ModuleReport& module) { flops += module.flops; };
    const double seconds = bench::seconds_of([&] {
      model.step({.step = step, .latent = latent, .timesteps = times, .x_mask = {}}, hooks);
      backend.synchronize();
    });
    if (step < kFirstWarm || policy->is_refresh_point(step) != (step < kFirstPartial)) continue;
    Cost& kept = step < kFirstPartial ? full : partial;
    if (kept.gflop == 0 || seconds < kept.seconds) kept = {seconds, flops * 1e-9};
  }
  return {{"tokens", grid.tokens()}, {"latent_frames", point.latent_frames},
          {"height", point.height},  {"width", point.width},
          {"depth", point.depth},    {"clips", point.clips},
          {"full", to_json(full)},   {"partial", to_json(partial)}};
}

// Points of an axis, each the base point with one thing changed.
struct Axis {
  const char* name;
  std::vector<Point> points;
};

std::vector<Axis> axes() {
  return {
      {"tokens",
       {{.height = 144, .width = 256},
        {.height = 240, .width = 426},
        {.height = 360, .width = 640},
        {.height = 480, .width = 854}}},
      {"frames",
       {{.latent_frames = 5}, {.latent_frames = 10}, {.latent_frames = 15}, {.latent_frames = 30}}},
      {"depth", {{.depth = 1}, {.depth = 2}, {.depth = 4}, {.depth = 8}}},
      {"clips", {{.clips = 1}, {.clips = 2}, {.clips = 4}, {.clips = 8}}}};
}

Options parse(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments.size() % 2 == 0)
    throw Error(ErrorCode::kInvalidArgument, "give TRANSFORMER [--dtype D] [--threads N]");
  Options options{.transformer = arguments[0]};
  for (size_t i = 1; i < arguments.size(); i += 2) {
    const std::string& flag = arguments[i];
    const std::string& value = arguments[i + 1];
    if (flag == "--dtype" && (value == "fp32" || value == "bf16"))
      options.dtype = value == "bf16" ? DType::kBF16 : DType::kF32;
    else if (flag == "--threads")
      options.threads = std::stoi(value);
    else
      throw Error(ErrorCode::kInvalidArgument, "flag " + flag + " " + value + " is unknown");
  }
  return options;
}

int run(const Options& options) {
  const auto backend = open_device("cpu", options.threads);
  STDiT3Weights weights = load_stdit3(options.transformer, *backend, options.dtype);
  Json result{{"device", device_kind(backend->info(), options.dtype)},
              {"device_name", backend->info().device_name},
              {"hidden", weights.config.hidden}};
  for (const Axis& axis : axes()) {
    Json points = Json::array();
    for (const Point& point : axis.points) {
      if (point.depth > weights.config.depth)
        throw Error(ErrorCode::kInvalidArgument,
                    "the model has " + std::to_string(weights.config.depth) + " layers, a point " +
                        std::to_string(point.depth) + ": give a deeper one");
      points.push_back(measure(*backend, weights, point));
    }
    result["axes"][axis.name] = std::move(points);
  }
  std::cout << result.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) {
  try {
    return engine::run(engine::parse({argv + 1, argv + argc}));
  } catch (const std::exception& error) {
    std::cerr << "bench_scaling: " << error.what() << "\n";
    return 2;
  }
}
