// Kind stdit3-forward: one call of the model without guidance and cache; every intermediate tensor
// that the case holds is compared.
#include <cstring>

#include "cache/cache_policy.h"
#include "golden/part_checks.h"
#include "golden/tensor_checks.h"
#include "models/stdit3/model.h"

namespace engine {

namespace {

// README: absolute 2e-4 on tensors of order 1 is generous.
constexpr double kForwardFloor = 2e-4;
// bf16 keeps 8 bits of every product's input: about 48 dB for one, less after some layers.
constexpr double kBf16ForwardDb = 32;

struct ForwardCase {
  ConstTensorView latent, captions, mask, timestep, fps;
  ConstTensorView x_mask;  // empty when all frames are noisy
  STDiT3Shape shape;
};

ForwardCase read_case(const GoldenCase& golden, const STDiT3Config& config) {
  ForwardCase input;
  input.latent = golden_latent(golden, "x", config.in_channels);
  const Shape x = input.latent.shape();
  input.mask = golden.tensor("mask");
  golden_tensor(golden, "mask", DType::kI32, {x[0], input.mask.elements() / x[0]});
  input.captions =
      golden_tensor(golden, "y", DType::kF32, {x[0], input.mask.dim(1), config.caption_channels});
  input.timestep = golden_tensor(golden, "timestep", DType::kF32, {x[0]});
  input.fps = golden_tensor(golden, "fps", DType::kF32, {x[0]});
  if (!golden.find("x_mask").empty()) {
    input.x_mask = golden_tensor(golden, "x_mask", DType::kU8, {x[0], x[2]});
  }
  // Positions follow the size in pixels of row 0 for all rows.
  input.shape = {.clips = x[0],
                 .guided = false,
                 .latent_frames = x[2],
                 .latent_height = x[3],
                 .latent_width = x[4],
                 .pixel_height = golden_first(golden, "height", x[0], kMaxPixelsPerSide),
                 .pixel_width = golden_first(golden, "width", x[0], kMaxPixelsPerSide)};
  return input;
}

// The reference projects every row of a caption, the engine only those that the mask keeps.
Tensor kept_rows(ConstTensorView all, ConstTensorView mask) {
  const int64_t width = all.dim(all.shape().rank() - 1);
  int64_t count = 0;
  for (int64_t i = 0; i < mask.elements(); ++i) count += mask.i32()[i] != 0;
  Tensor kept({count, width}, DType::kF32);
  float* out = kept.f32();
  for (int64_t i = 0; i < mask.elements(); ++i) {
    if (mask.i32()[i] == 0) continue;
    std::memcpy(out, all.f32() + i * width, static_cast<size_t>(width) * sizeof(float));
    out += width;
  }
  return kept;
}

// Which line of the table a tensor belongs to.
class TensorGroups {
 public:
  TensorGroups(const GoldenCase& golden, Backend& backend, ConstTensorView mask, DType dtype)
      : golden_(golden), backend_(backend), mask_(mask) {
    TensorBound bound{.floor = kForwardFloor};
    if (dtype == DType::kBF16) bound.signal_to_noise_db = kBf16ForwardDb;
    for (const char* const what : {"embeddings", "modules", "blocks", "final_tokens", "out"}) {
      groups_.emplace_back(what, bound);
    }
  }

  void compare(const std::string& name, ConstTensorView device) {
    const ConstTensorView expected = golden_.find("ref." + name);
    if (expected.empty()) return;
    const Tensor found = golden_download(backend_, device);
    if (name == "y_emb") {
      group(name).compare(name, found, kept_rows(expected, mask_));
      return;
    }
    if (found.elements() != expected.elements()) {
      throw Error(ErrorCode::kInvalidCheckpoint,
                  golden_.folder().string() + ": tensor ref." + name + " has shape " +
                      expected.shape().to_string() + ", the engine's has " +
                      found.shape().to_string());
    }
    group(name).compare(name, found, expected);
  }

  GoldenChecks checks() const {
    GoldenChecks result;
    for (const WorstTensor& group : groups_) {
      if (group.compared_any()) result.push_back(group.check());
    }
    return result;
  }

 private:
  WorstTensor& group(const std::string& name) {
    if (name.starts_with("module.")) return groups_[1];
    if (name.starts_with("block.")) return groups_[2];
    if (name == "final_tokens") return groups_[3];
    return name == "out" ? groups_[4] : groups_[0];
  }

  const GoldenCase& golden_;
  Backend& backend_;
  ConstTensorView mask_;
  std::vector<WorstTensor> groups_;
};

std::span<const float> values(ConstTensorView tensor) {
  return {tensor.f32(), static_cast<size_t>(tensor.elements())};
}

}  // namespace

GoldenChecks run_stdit3_forward(const GoldenCase& golden, Backend& backend,
                                const GoldenOptions& options) {
  const STDiT3Weights weights =
      load_stdit3(golden_transformer(golden, options), backend, options.dtype);
  const ForwardCase input = read_case(golden, weights.config);
  golden.tensor("ref.out");
  const TokenGrid grid = token_grid(weights.config, input.shape.latent_frames,
                                    input.shape.latent_height, input.shape.latent_width);
  const auto policy =
      make_policy({}, {.steps = 1, .depth = weights.config.depth, .tokens = grid.tokens()});
  TensorGroups groups(golden, backend, input.mask, options.dtype);
  const TensorTap tap = [&groups](const std::string& name, ConstTensorView tensor) {
    groups.compare(name, tensor);
  };

  STDiT3 model(backend, weights, input.shape, *policy);
  const STDiT3Text text = encode_captions(backend, weights, input.captions, input.mask, false, tap);
  model.condition(text, values(input.fps), tap);
  const Tensor latent = backend.allocate(input.latent.shape(), DType::kF32);
  backend.upload(input.latent, latent);
  StepHooks hooks;
  hooks.tap = tap;
  tap("out", model.step({.step = 0,
                         .latent = latent,
                         .timesteps = values(input.timestep),
                         .x_mask = input.x_mask},
                        hooks));
  return groups.checks();
}

}  // namespace engine
