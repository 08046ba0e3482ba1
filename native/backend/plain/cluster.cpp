// Groups of tokens, in the order in which the formulas are written.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/plain/operations.h"
#include "backend/shapes.h"

namespace engine::plain {

namespace {

const float* row(const ConstTensorView& all, int64_t batch_row, int64_t index) {
  return all.f32() + (batch_row * all.dim(1) + index) * all.dim(2);
}

double distance(const ClusterTokensArgs& args, int64_t group, int64_t token, int64_t cluster) {
  double sum = 0;
  for (int64_t b = group; b < args.input.dim(0); b += args.groups) {
    const float* const a = row(args.input, b, token);
    const float* const c = row(args.centroids, b, cluster);
    for (int64_t i = 0; i < args.input.dim(2); ++i) {
      sum += std::abs(static_cast<double>(a[i]) - static_cast<double>(c[i]));
    }
  }
  return sum;
}

void assign(const ClusterTokensArgs& args, int64_t group, int64_t token) {
  int32_t nearest = 0;
  double least = distance(args, group, token, 0);
  for (int32_t cluster = 1; cluster < args.centroids.dim(1); ++cluster) {
    const double now = distance(args, group, token, cluster);
    if (now < least) {
      least = now;
      nearest = cluster;
    }
  }
  for (int64_t b = group; b < args.input.dim(0); b += args.groups) {
    args.clusters.i32()[b * args.input.dim(1) + token] = nearest;
  }
}

void centre(const ClusterTokensArgs& args, int64_t b, int64_t cluster) {
  const int64_t tokens = args.input.dim(1), channels = args.input.dim(2);
  std::vector<double> sums(static_cast<size_t>(channels), 0.0);
  int64_t members = 0;
  for (int64_t n = 0; n < tokens; ++n) {
    if (args.clusters.i32()[b * tokens + n] != cluster) continue;
    ++members;
    for (int64_t i = 0; i < channels; ++i) {
      sums[static_cast<size_t>(i)] += static_cast<double>(row(args.input, b, n)[i]);
    }
  }
  if (members == 0) return;
  float* const centroid = args.centroids.f32() + (b * args.centroids.dim(1) + cluster) * channels;
  for (int64_t i = 0; i < channels; ++i) {
    centroid[i] = static_cast<float>(sums[static_cast<size_t>(i)] / static_cast<double>(members));
  }
}

}  // namespace

void cluster_tokens(const ClusterTokensArgs& args) {
  check_args(args);
  for (int iteration = 0; iteration < args.iterations; ++iteration) {
    for (int64_t group = 0; group < args.groups; ++group) {
      for (int64_t n = 0; n < args.input.dim(1); ++n) assign(args, group, n);
    }
    for (int64_t b = 0; b < args.input.dim(0); ++b) {
      for (int64_t cluster = 0; cluster < args.centroids.dim(1); ++cluster) {
        centre(args, b, cluster);
      }
    }
  }
}

void raise_representatives(const RaiseRepresentativesArgs& args) {
  check_args(args);
  const int64_t tokens = args.scores.dim(1);
  for (int64_t b = 0; b < args.scores.dim(0); ++b) {
    float* const scores = args.scores.f32() + b * tokens;
    for (int64_t cluster = 0; cluster < args.count; ++cluster) {
      float* highest = nullptr;
      for (int64_t n = 0; n < tokens; ++n) {
        if (args.clusters.i32()[b * tokens + n] != cluster) continue;
        if (highest == nullptr || scores[n] > *highest) highest = scores + n;
      }
      if (highest != nullptr) *highest += 1.0f;
    }
  }
}

void blend_clusters(const BlendClustersArgs& args) {
  check_args(args);
  const int64_t tokens = args.output.dim(1), channels = args.output.dim(2);
  const int64_t count = args.computed.dim(1);
  for (int64_t b = 0; b < args.output.dim(0); ++b) {
    const int32_t* const clusters = args.clusters.i32() + b * tokens;
    const int32_t* const indices = args.indices.i32() + b * count;
    for (int64_t n = 0; n < tokens; ++n) {
      const int32_t* const first = std::find_if(
          indices, indices + count, [&](int32_t each) { return clusters[each] == clusters[n]; });
      if (first == indices + count) continue;
      const float* const value = row(args.computed, b, first - indices);
      float* const output = args.output.f32() + (b * tokens + n) * channels;
      for (int64_t i = 0; i < channels; ++i) {
        output[i] = args.weight * value[i] + (1.0f - args.weight) * output[i];
      }
    }
  }
}

}  // namespace engine::plain
