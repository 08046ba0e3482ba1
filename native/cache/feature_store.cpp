#include "cache/feature_store.h"

#include <cstring>

#include "core/check.h"

namespace engine {

namespace {

constexpr int kModules = 3;
constexpr int kRankedModules = 2;  // cross-attention and MLP; self-attention is never partial

int blocks_of(const FeatureStoreShape& shape) {
  return shape.depth * (shape.temporal_blocks ? 2 : 1);
}

Shape features_shape(const FeatureStoreShape& s) {
  return {int64_t{blocks_of(s)} * kModules, s.rows, s.tokens, s.channels};
}

Shape counters_shape(const FeatureStoreShape& s) {
  return {int64_t{blocks_of(s)} * kRankedModules, s.rows, s.tokens};
}

Shape entropy_shape(const FeatureStoreShape& s) {
  return {int64_t{blocks_of(s)}, s.rows, s.tokens};
}

bool keeps_entropy(const FeatureStoreShape& s) {
  return s.needs.scores && s.score == TokenScore::kEntropy;
}

// Entry `index` of axis 0, without that axis.
TensorView entry(const Tensor& all, int64_t index, Shape shape) {
  return all.view().rows(index, 1).reshaped(shape);
}

uint64_t bytes(const Shape& shape, DType dtype) {
  return static_cast<uint64_t>(shape.elements()) * dtype_bytes(dtype);
}

}  // namespace

FeatureStore::FeatureStore(Backend& backend, const FeatureStoreShape& shape)
    : backend_(backend), shape_(shape) {
  if (shape.needs.features) features_ = backend.allocate(features_shape(shape), DType::kF32);
  if (!shape.needs.scores) return;
  counters_ = backend.allocate(counters_shape(shape), DType::kI32);
  zeros_ = Tensor({shape.rows, shape.tokens}, DType::kI32);
  std::memset(zeros_.view().data(), 0, zeros_.bytes());
  if (keeps_entropy(shape)) half_entropy_ = backend.allocate(entropy_shape(shape), DType::kF32);
}

uint64_t FeatureStore::bytes_of(const FeatureStoreShape& shape) {
  uint64_t total = 0;
  if (shape.needs.features) total += bytes(features_shape(shape), DType::kF32);
  if (shape.needs.scores) total += bytes(counters_shape(shape), DType::kI32);
  if (keeps_entropy(shape)) total += bytes(entropy_shape(shape), DType::kF32);
  return total;
}

int64_t FeatureStore::block_index(int layer, BlockKind block) const {
  check(layer >= 0 && layer < shape_.depth, "layer outside of the feature store");
  if (!shape_.temporal_blocks) return layer;
  return 2 * int64_t{layer} + (block == BlockKind::kTemporal ? 1 : 0);
}

TensorView FeatureStore::feature(int layer, BlockKind block, Module module) const {
  if (features_.empty()) return {};
  const int64_t index = block_index(layer, block) * kModules + static_cast<int64_t>(module);
  return entry(features_, index, {shape_.rows, shape_.tokens, shape_.channels});
}

TensorView FeatureStore::counters(int layer, BlockKind block, Module module) const {
  check(!counters_.empty(), "this policy keeps no counters");
  check(module != Module::kSelfAttention, "self-attention has no counters");
  const int64_t index =
      block_index(layer, block) * kRankedModules + (module == Module::kMlp ? 1 : 0);
  return entry(counters_, index, {shape_.rows, shape_.tokens});
}

TensorView FeatureStore::half_entropy(int layer, BlockKind block) const {
  if (half_entropy_.empty()) return {};
  return entry(half_entropy_, block_index(layer, block), {shape_.rows, shape_.tokens});
}

void FeatureStore::reset_counters(int layer, BlockKind block, Module module) {
  if (counters_.empty() || module == Module::kSelfAttention) return;
  backend_.upload(zeros_, counters(layer, block, module));
}

}  // namespace engine
