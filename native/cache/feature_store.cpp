#include "cache/feature_store.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace engine {

namespace {

int64_t modules_of(const FeatureStoreShape& shape) {
  return shape.cross_attention ? 3 : 2;
}

// Self-attention is never partial.
int64_t ranked_modules_of(const FeatureStoreShape& shape) {
  return modules_of(shape) - 1;
}

int blocks_of(const FeatureStoreShape& shape) {
  return shape.depth * (shape.temporal_blocks ? 2 : 1);
}

Shape features_shape(const FeatureStoreShape& s) {
  return {blocks_of(s) * modules_of(s), s.needs.orders + 1, s.rows, s.tokens, s.channels};
}

Shape scales_shape(const FeatureStoreShape& s) {
  return {blocks_of(s) * modules_of(s), s.needs.orders + 1, s.rows, s.tokens};
}

Shape counters_shape(const FeatureStoreShape& s) {
  return {blocks_of(s) * ranked_modules_of(s), s.rows, s.tokens};
}

Shape statistics_shape(const FeatureStoreShape& s) {
  return {int64_t{blocks_of(s)}, s.rows, s.tokens};
}

bool keeps_statistics(const FeatureStoreShape& s) {
  return s.needs.scores && (s.score == TokenScore::kEntropy || s.score == TokenScore::kAttention ||
                            s.score == TokenScore::kValueNorm);
}

DriftShape drift_shape(const FeatureStoreShape& s) {
  return {
      .modules = blocks_of(s) * modules_of(s), .rows = s.rows * s.tokens, .channels = s.channels};
}

// Entry `index` of axis 0, without that axis.
TensorView entry(const Tensor& all, int64_t index, Shape shape) {
  return all.view().rows(index, 1).reshaped(shape);
}

}  // namespace

FeatureStore::FeatureStore(Backend& backend, const FeatureStoreShape& shape)
    : backend_(backend), shape_(shape) {
  if (shape.needs.features) {
    features_ = backend.allocate(features_shape(shape), shape.needs.dtype);
    if (shape.needs.dtype == DType::kF8) {
      scales_ = backend.allocate(scales_shape(shape), DType::kF32);
    }
    drift_.emplace(backend, drift_shape(shape));
    histories_.resize(static_cast<size_t>(features_.dim(0)));
  }
  if (!shape.needs.scores) return;
  counters_ = backend.allocate(counters_shape(shape), DType::kI32);
  zeros_ = Tensor({shape.rows, shape.tokens}, DType::kI32);
  std::memset(zeros_.view().data(), 0, zeros_.bytes());
  if (keeps_statistics(shape)) statistics_ = backend.allocate(statistics_shape(shape), DType::kF32);
}

uint64_t FeatureStore::bytes_of(const FeatureStoreShape& shape) {
  uint64_t total = 0;
  if (shape.needs.features) {
    total += tensor_bytes(features_shape(shape), shape.needs.dtype);
    total += DriftMeter::bytes_of(drift_shape(shape));
    if (shape.needs.dtype == DType::kF8) total += tensor_bytes(scales_shape(shape), DType::kF32);
  }
  if (shape.needs.scores) total += tensor_bytes(counters_shape(shape), DType::kI32);
  if (keeps_statistics(shape)) total += tensor_bytes(statistics_shape(shape), DType::kF32);
  return total;
}

int64_t FeatureStore::block_index(int layer, BlockKind block) const {
  check(layer >= 0 && layer < shape_.depth, "layer outside of the feature store");
  if (!shape_.temporal_blocks) return layer;
  return 2 * int64_t{layer} + (block == BlockKind::kTemporal ? 1 : 0);
}

int64_t FeatureStore::module_index(Module module) const {
  check(shape_.cross_attention || module != Module::kCrossAttention,
        "the blocks have no cross-attention");
  return module == Module::kMlp ? modules_of(shape_) - 1 : static_cast<int64_t>(module);
}

int64_t FeatureStore::feature_index(int layer, BlockKind block, Module module) const {
  return block_index(layer, block) * modules_of(shape_) + module_index(module);
}

TensorView FeatureStore::feature(int layer, BlockKind block, Module module) const {
  if (features_.empty()) return {};
  const TensorView all = differences({.layer = layer, .block = block, .module = module});
  return all.rows(0, 1).reshaped({shape_.rows, shape_.tokens, shape_.channels});
}

TensorView FeatureStore::differences(const ModuleSite& site) const {
  check(!features_.empty(), "this policy keeps no module outputs");
  const TensorView all(features_.view().data(), features_.dtype(), features_.shape(),
                       scales_.empty() ? nullptr : scales_.f32());
  return all.rows(feature_index(site.layer, site.block, site.module), 1)
      .reshaped({shape_.needs.orders + 1, shape_.rows, shape_.tokens, shape_.channels});
}

DifferenceHistory& FeatureStore::history(const ModuleSite& site) {
  const int64_t index = feature_index(site.layer, site.block, site.module);
  return histories_.at(static_cast<size_t>(index));
}

void FeatureStore::begin_clip() {
  std::fill(histories_.begin(), histories_.end(), DifferenceHistory{});
}

void FeatureStore::refresh(const ModuleSite& site, ConstTensorView fresh) {
  update_differences(backend_, fresh, differences(site), history(site), site.step);
}

void FeatureStore::forecast(const ModuleSite& site, TensorView output) {
  engine::forecast(backend_, differences(site), history(site), site.step, {}, output);
}

TensorView FeatureStore::counters(int layer, BlockKind block, Module module) const {
  check(!counters_.empty(), "this policy keeps no counters");
  check(module != Module::kSelfAttention, "self-attention has no counters");
  const int64_t index =
      block_index(layer, block) * ranked_modules_of(shape_) + module_index(module) - 1;
  return entry(counters_, index, {shape_.rows, shape_.tokens});
}

TensorView FeatureStore::half_entropy(int layer, BlockKind block) const {
  return statistic(layer, block, TokenScore::kEntropy);
}

TensorView FeatureStore::statistic(int layer, BlockKind block, TokenScore score) const {
  if (statistics_.empty() || shape_.score != score) return {};
  return entry(statistics_, block_index(layer, block), {shape_.rows, shape_.tokens});
}

void FeatureStore::reset_counters(int layer, BlockKind block, Module module) {
  if (counters_.empty() || module == Module::kSelfAttention) return;
  backend_.upload(zeros_, counters(layer, block, module));
}

void FeatureStore::begin_module(const ModuleSite& site, Decision decision) {
  if (!drift_) return;
  drift_->before(feature_index(site.layer, site.block, site.module), site.step, decision,
                 feature(site.layer, site.block, site.module));
}

std::optional<double> FeatureStore::end_module(ConstTensorView fresh) {
  if (!drift_) return std::nullopt;
  return drift_->after(fresh);
}

}  // namespace engine
