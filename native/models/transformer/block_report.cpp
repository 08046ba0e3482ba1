// What a block tells of itself: to whoever counts its work, and to whoever taps its tensors.
#include "models/transformer/block.h"
#include "models/transformer/flops.h"

namespace engine {

void BlockRunner::report_skipped(const BlockInput& block, Decision decision) {
  chosen_ = {};
  for (const Module module : {Module::kSelfAttention, Module::kCrossAttention, Module::kMlp}) {
    if (module == Module::kCrossAttention && block.key_value.empty()) continue;
    report(block, module, {decision, 0}, 0);
  }
}

void BlockRunner::tap_module(const BlockInput& block, Module module, Decision decision) {
  static constexpr std::array kNames{"attn", "cross-attn", "mlp"};
  hooks_->tap("module." + std::to_string(block.layer) + "." + block_kind_name(block.kind) + "." +
                  kNames[static_cast<size_t>(module)],
              output_of(block, module, decision));
}

void BlockRunner::record(const BlockInput& block, Module module) {
  const RowVectors gate = module == Module::kSelfAttention ? block.noisy.attn.gate
                          : module == Module::kMlp         ? block.noisy.mlp.gate
                                                           : RowVectors{};
  // All rows are of one clip and so of one time: they share the gate.
  ConstTensorView factors;
  if (gate.data != nullptr) factors = {gate.data, DType::kF32, {settings_.sizes.hidden}};
  hooks_->recorder->ran(site(block, module), feature_of(block, module), factors);
}

void BlockRunner::report(const BlockInput& block, Module module, const ModuleDecision& decision,
                         double seconds) {
  if (!hooks_->on_module) return;
  const int64_t tokens = settings_.grid.tokens();
  ModuleReport report;
  report.step = step_.step;
  report.layer = block.layer;
  report.block = block.kind;
  report.module = module;
  report.decision = rows_ == settings_.rows ? decision.decision : Decision::kConditional;
  report.tokens_computed = rows_ * decision.tokens;
  report.tokens_reused = settings_.rows * tokens - report.tokens_computed;
  report.seconds = seconds;
  report.flops = nominal_flops(settings_.sizes, settings_.grid,
                               {.block = block.kind,
                                .module = module,
                                .tokens = decision.tokens,
                                .rows = rows_,
                                .text_tokens = settings_.text_tokens_nominal});
  report.drift = store_.end_module(fresh_of(block, module));
  Tensor indices;
  if (hooks_->want_indices && !chosen_.empty()) {
    indices = Tensor(chosen_.shape(), DType::kI32);
    backend_.download(chosen_, indices);
    report.indices = indices;
  }
  hooks_->on_module(report);
}

}  // namespace engine
