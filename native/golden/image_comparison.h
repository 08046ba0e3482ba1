// What is compared while a sampler of an image model runs: latents, predictions, block outputs and
// the decisions of the policy. The cases of PixArt-alpha and DiT differ in what they record where.
#pragma once

#include "engine/report.h"
#include "golden/selection_reference.h"
#include "golden/tensor_checks.h"
#include "models/transformer/joint_buffers.h"

namespace engine {

struct ImageCaseShape {
  std::string context;  // case.json
  int steps = 0;
  int depth = 0;
  int64_t tokens = 0;    // N per batch row
  JointShape shape;      // guided
  int64_t channels = 0;  // of the latent
  // The reference has its unconditional rows first.
  bool unconditional_first = false;
};

// The case's latent `name` [n, C, H, W] as [n, C, 1, H, W]; throws Error(kInvalidCheckpoint).
ConstTensorView golden_image_latent(const GoldenCase& golden, const std::string& name,
                                    int64_t channels);

// `field` of case.json as an object; throws Error(kInvalidCheckpoint).
const Json& golden_object(const GoldenCase& golden, const char* field);

class ImageComparison {
 public:
  // What the reference did in one module of one layer at one step.
  struct Expected {
    Decision decision = Decision::kRefresh;
    int64_t tokens = 0;  // computed per batch row
  };
  using ExpectedModule = std::function<Expected(const ModuleReport&)>;

  ImageComparison(const GoldenCase& golden, Backend& backend, const ImageCaseShape& input,
                  DType dtype, ExpectedModule expected);

  // Compares what the hooks are told of every module and, under a policy that ranks tokens, of
  // every selection. The object must outlive them.
  void listen(StepHooks& hooks, const CachePolicy& policy);
  // Before a step. In bf16 the reference's latent, where it is recorded, then takes the place of
  // ours: small models multiply the rounding of one step over the next ones.
  void latent(int step, TensorView latent);
  // What the model said, on the host, in the reference's form.
  void model_out(int step, ConstTensorView found);
  void tap(int step, const std::string& name, ConstTensorView tensor);
  void result(ConstTensorView latent);

  GoldenChecks checks() const;

 private:
  void module(const ModuleReport& report);
  // Entry `step` of a recorded tensor, whose steps the case lists in `steps_field` unless it holds
  // all of them; empty when it does not hold this one.
  ConstTensorView recorded(const char* name, const char* steps_field, int step) const;
  void compare_latent(int step, ConstTensorView latent, ConstTensorView expected);
  // [rows, ...] with the halves changed where the reference has them the other way round.
  Tensor in_reference_order(ConstTensorView rows) const;

  const GoldenCase& golden_;
  Backend& backend_;
  ImageCaseShape input_;
  bool coarse_;  // bf16
  ExpectedModule expected_;
  WorstTensor latents_, model_out_, blocks_, final_;
  std::unique_ptr<SelectionReference> selections_;
  int64_t decisions_differ_ = 0, counts_differ_ = 0;
};

}  // namespace engine
