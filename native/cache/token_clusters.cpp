#include "cache/token_clusters.h"

#include "core/check.h"

namespace engine {

namespace {

int64_t blocks_of(const FeatureStoreShape& shape) {
  return shape.depth * (shape.temporal_blocks ? 2 : 1);
}

Shape centroids_shape(const FeatureStoreShape& s) {
  return {blocks_of(s), s.rows, s.needs.clusters.count, s.channels};
}

Shape clusters_shape(const FeatureStoreShape& s) {
  return {blocks_of(s), s.rows, s.tokens};
}

Shape first_shape(const FeatureStoreShape& s) {
  return {s.rows, s.needs.clusters.count};
}

// Tokens at even distances, [rows, K], i32, host.
Tensor even_tokens(const FeatureStoreShape& s) {
  const int64_t count = s.needs.clusters.count;
  Tensor tokens(first_shape(s), DType::kI32);
  for (int64_t i = 0; i < tokens.elements(); ++i) {
    tokens.view().i32()[i] = static_cast<int32_t>(i % count * s.tokens / count);
  }
  return tokens;
}

}  // namespace

TokenClusters::TokenClusters(Backend& backend, const FeatureStoreShape& shape, int64_t clips)
    : backend_(backend),
      shape_(shape),
      clips_(clips),
      centroids_(backend.allocate(centroids_shape(shape), DType::kF32)),
      clusters_(backend.allocate(clusters_shape(shape), DType::kI32)),
      first_(backend.allocate(first_shape(shape), DType::kI32)),
      known_(static_cast<size_t>(blocks_of(shape)), false) {
  check(shape.needs.clusters.count <= shape.tokens, "more groups than tokens");
  backend.upload(even_tokens(shape), first_);
}

uint64_t TokenClusters::bytes_of(const FeatureStoreShape& shape) {
  if (shape.needs.clusters.count == 0) return 0;
  const int64_t elements = centroids_shape(shape).elements() + clusters_shape(shape).elements() +
                           first_shape(shape).elements();
  return static_cast<uint64_t>(elements) * sizeof(float);
}

void TokenClusters::begin_clip() {
  known_.assign(known_.size(), false);
}

void TokenClusters::refresh(const ModuleSite& site, ConstTensorView output) {
  const int64_t index = block_index(site);
  const TensorView centroids = centroids_.view().rows(index, 1).reshaped(
      {shape_.rows, shape_.needs.clusters.count, shape_.channels});
  auto known = known_.begin() + index;
  if (!*known) backend_.gather_rows({.input = output, .indices = first_, .output = centroids});
  *known = true;
  backend_.cluster_tokens(
      {.input = output,
       .centroids = centroids,
       .clusters = clusters_.view().rows(index, 1).reshaped({shape_.rows, shape_.tokens}),
       .groups = clips_,
       .iterations = shape_.needs.clusters.iterations});
}

ConstTensorView TokenClusters::of(const ModuleSite& site) const {
  return clusters_.view().rows(block_index(site), 1).reshaped({shape_.rows, shape_.tokens});
}

void TokenClusters::blend(const ModuleSite& site, ConstTensorView chosen, ConstTensorView computed,
                          TensorView output) {
  backend_.blend_clusters({.computed = computed,
                           .indices = chosen,
                           .clusters = of(site),
                           .weight = shape_.needs.clusters.weight,
                           .output = output});
  backend_.scatter_rows({.input = computed, .indices = chosen, .output = output});
}

int64_t TokenClusters::block_index(const ModuleSite& site) const {
  if (!shape_.temporal_blocks) return site.layer;
  return 2 * int64_t{site.layer} + (site.block == BlockKind::kTemporal ? 1 : 0);
}

}  // namespace engine
