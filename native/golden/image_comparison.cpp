#include "golden/image_comparison.h"

#include <cstring>

#include "golden/part_checks.h"

namespace engine {

namespace {

// README: absolute 2e-4 on tensors of order 1 is generous.
constexpr double kBlockFloor = 2e-4;
// bf16 rounds every product's input to 8 bits: about 48 dB for one, less after some layers and
// after guidance, which multiplies what comes of it.
constexpr double kBf16LatentDb = 30;
constexpr double kBf16OutputDb = 34;

// Largest difference over largest value, as the case states it for latents, made absolute again.
double relative_error(const GoldenCase& golden, const ImageCaseShape& input, double relative) {
  return relative * largest_magnitude(golden_image_latent(golden, "ref.final", input.channels));
}

TensorBound bound(double reference_error, double floor, double bf16_db, DType dtype) {
  return {.reference_error = reference_error,
          .floor = floor,
          .signal_to_noise_db = dtype == DType::kBF16 ? bf16_db : 0};
}

double case_error(const GoldenCase& golden, const ImageCaseShape& input, const char* field) {
  const auto found = golden.json().find("fp32_vs_fp64");
  if (found == golden.json().end() || !found->is_object()) return 0;
  return json_number_or(*found, field, 0.0, input.context);
}

}  // namespace

ConstTensorView golden_image_latent(const GoldenCase& golden, const std::string& name,
                                    int64_t channels) {
  const ConstTensorView latent = golden.tensor(name);
  const Shape shape = latent.shape();
  const bool valid = latent.dtype() == DType::kF32 && shape.rank() == 4 && shape.elements() > 0 &&
                     shape[1] == channels;
  if (valid) return latent.reshaped({shape[0], shape[1], 1, shape[2], shape[3]});
  throw Error(ErrorCode::kInvalidCheckpoint, golden.folder().string() + ": tensor " + name +
                                                 " is " + dtype_name(latent.dtype()) + " " +
                                                 shape.to_string() + ", expected fp32 [n, " +
                                                 std::to_string(channels) + ", H, W]");
}

const Json& golden_object(const GoldenCase& golden, const char* field) {
  const auto found = golden.json().find(field);
  if (found != golden.json().end() && found->is_object()) return *found;
  throw Error(ErrorCode::kInvalidCheckpoint,
              golden.folder().string() + "/case.json: \"" + field + "\" must be an object");
}

ImageComparison::ImageComparison(const GoldenCase& golden, Backend& backend,
                                 const ImageCaseShape& input, DType dtype, ExpectedModule expected)
    : golden_(golden),
      backend_(backend),
      input_(input),
      coarse_(dtype == DType::kBF16),
      expected_(std::move(expected)),
      latents_("latents", bound(relative_error(golden, input,
                                               case_error(golden, input, "max_rel_latent_diff")),
                                kGoldenFloor, kBf16LatentDb, dtype)),
      model_out_("model_out", bound(case_error(golden, input, "max_abs_model_out_diff"),
                                    kGoldenFloor, kBf16OutputDb, dtype)),
      blocks_("blocks", bound(0, kBlockFloor, kBf16OutputDb, dtype)),
      final_("final",
             bound(relative_error(golden, input, case_error(golden, input, "max_rel_latent_diff")),
                   kGoldenFloor, kBf16LatentDb, dtype)) {}

void ImageComparison::listen(StepHooks& hooks, const CachePolicy& policy) {
  hooks.on_module = [this](const ModuleReport& report) { module(report); };
  if (!policy.needs().scores || golden_.find("ref.calls").empty()) return;
  selections_ = std::make_unique<SelectionReference>(
      golden_, input_.shape.rows(), input_.tokens,
      case_error(golden_, input_, "max_abs_score_diff"), coarse_);
  hooks.selection = selections_.get();
}

void ImageComparison::module(const ModuleReport& report) {
  const Expected expected = expected_(report);
  // The reference also ranks where it then computes nothing (FORA): that is a reuse.
  const bool idle = expected.decision == Decision::kPartial && expected.tokens == 0 &&
                    report.decision == Decision::kReuse;
  decisions_differ_ += expected.decision != report.decision && !idle;
  counts_differ_ += expected.tokens * input_.shape.rows() != report.tokens_computed;
}

ConstTensorView ImageComparison::recorded(const char* name, const char* steps_field,
                                          int step) const {
  const ConstTensorView all = golden_.tensor(name);
  int64_t index = step;
  const auto listed = golden_.json().find(steps_field);
  if (listed != golden_.json().end()) {
    index = -1;
    for (size_t i = 0; i < listed->size(); ++i) {
      if ((*listed)[i] == step) index = static_cast<int64_t>(i);
    }
  }
  if (index < 0) return {};
  if (index < all.dim(0)) return all.rows(index, 1);
  throw Error(ErrorCode::kInvalidCheckpoint, input_.context + ": " + name + " has no entry " +
                                                 std::to_string(index) + " for step " +
                                                 std::to_string(step));
}

Tensor ImageComparison::in_reference_order(ConstTensorView rows) const {
  Tensor ordered(rows.shape(), DType::kF32);
  const int64_t half = rows.elements() / 2;
  const auto bytes = static_cast<size_t>(half) * sizeof(float);
  const int64_t first = input_.unconditional_first ? half : 0;
  std::memcpy(ordered.f32(), rows.f32() + first, bytes);
  std::memcpy(ordered.f32() + half, rows.f32() + (half - first), bytes);
  return ordered;
}

void ImageComparison::compare_latent(int step, ConstTensorView latent, ConstTensorView expected) {
  latents_.compare("step " + std::to_string(step), golden_download(backend_, latent), expected);
}

void ImageComparison::latent(int step, TensorView latent) {
  const ConstTensorView expected = recorded("ref.latents", "latent_steps", step);
  if (expected.empty()) return;
  compare_latent(step, latent, expected);
  if (coarse_) backend_.upload(expected.reshaped(latent.shape()), latent);
}

void ImageComparison::model_out(int step, ConstTensorView found) {
  const ConstTensorView expected = recorded("ref.model_out", "model_out_steps", step);
  if (expected.empty()) return;
  model_out_.compare("step " + std::to_string(step), in_reference_order(found), expected);
}

// "block.2.joint" of ours is "ref.step.4.block.2" of the case.
void ImageComparison::tap(int step, const std::string& name, ConstTensorView tensor) {
  constexpr std::string_view kEnd = ".joint";
  if (!name.starts_with("block.") || !name.ends_with(kEnd)) return;
  const std::string reference =
      "ref.step." + std::to_string(step) + "." + name.substr(0, name.size() - kEnd.size());
  const ConstTensorView expected = golden_.find(reference);
  if (expected.empty()) return;
  const Tensor found = golden_download(backend_, tensor);
  blocks_.compare("step " + std::to_string(step) + " " + name, in_reference_order(found), expected);
}

void ImageComparison::result(ConstTensorView latent) {
  const ConstTensorView expected = recorded("ref.latents", "latent_steps", input_.steps);
  if (!expected.empty()) compare_latent(input_.steps, latent, expected);
  final_.compare("result", golden_download(backend_, latent), golden_.tensor("ref.final"));
}

GoldenChecks ImageComparison::checks() const {
  GoldenChecks result{golden_count("decisions", decisions_differ_),
                      golden_count("fresh tokens", counts_differ_)};
  for (const WorstTensor* const each : {&latents_, &model_out_, &blocks_, &final_}) {
    if (each->compared_any()) result.push_back(each->check());
  }
  if (selections_ == nullptr) return result;
  for (GoldenCheck& check : selections_->checks()) result.push_back(std::move(check));
  return result;
}

}  // namespace engine
