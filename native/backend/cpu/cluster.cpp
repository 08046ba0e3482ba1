// Groups of tokens: every token finds its nearest centroid by itself, and every centroid adds up
// its own tokens in their order, so that no bit depends on the number of threads.
#include "backend/cpu/cluster.h"

#include <algorithm>
#include <array>

#include "backend/cpu/parallel.h"
#include "backend/cpu/row_kernels.h"
#include "backend/cpu/scratch.h"
#include "backend/shapes.h"

namespace engine::cpu {

namespace {

int32_t nearest_centroid(const CpuContext& context, const ClusterTokensArgs& args, int64_t group,
                         int64_t token) {
  const ReductionKernels& kernels = reduction_kernels(context.isa);
  const int64_t tokens = args.input.dim(1), channels = args.input.dim(2);
  const int64_t count = args.centroids.dim(1);
  int32_t nearest = 0;
  double least = 0;
  for (int32_t cluster = 0; cluster < count; ++cluster) {
    double distance = 0;
    for (int64_t b = group; b < args.input.dim(0); b += args.groups) {
      distance +=
          kernels.distance(args.input.f32() + (b * tokens + token) * channels,
                           args.centroids.f32() + (b * count + cluster) * channels, channels);
    }
    if (cluster > 0 && !(distance < least)) continue;
    least = distance;
    nearest = cluster;
  }
  return nearest;
}

void assign_tokens(const CpuContext& context, const ClusterTokensArgs& args) {
  const int64_t tokens = args.input.dim(1);
  const int64_t work = args.centroids.elements() / args.groups;
  parallel_ranges(context, args.groups * tokens, 4 * work, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t group = at / tokens, token = at % tokens;
      const int32_t nearest = nearest_centroid(context, args, group, token);
      for (int64_t b = group; b < args.input.dim(0); b += args.groups) {
        args.clusters.i32()[b * tokens + token] = nearest;
      }
    }
  });
}

// The mean of the tokens of one cluster in one batch row.
void move_centroid(const CpuContext& context, const ClusterTokensArgs& args, int64_t b,
                   int32_t cluster) {
  const PointwiseKernels& kernels = pointwise_kernels(context.isa);
  const int64_t tokens = args.input.dim(1), channels = args.input.dim(2);
  const int32_t* const clusters = args.clusters.i32() + b * tokens;
  const auto members = std::count(clusters, clusters + tokens, cluster);
  if (members == 0) return;
  float* const centroid = args.centroids.f32() + (b * args.centroids.dim(1) + cluster) * channels;
  std::fill_n(centroid, channels, 0.0f);
  for (int64_t n = 0; n < tokens; ++n) {
    if (clusters[n] != cluster) continue;
    kernels.add(centroid, args.input.f32() + (b * tokens + n) * channels, centroid, channels);
  }
  const float share = 1.0f / static_cast<float>(members);
  const float* const sum = centroid;
  kernels.weighted_sum(&share, &sum, 1, centroid, channels);
}

}  // namespace

void cluster_tokens(const CpuContext& context, const ClusterTokensArgs& args) {
  check_args(args);
  const int64_t count = args.centroids.dim(1), centroids = args.input.dim(0) * count;
  const int64_t bytes_each = 4 * (args.input.elements() / centroids + args.input.dim(1));
  for (int iteration = 0; iteration < args.iterations; ++iteration) {
    assign_tokens(context, args);
    parallel_ranges(context, centroids, bytes_each, [&](int64_t begin, int64_t end) {
      for (int64_t at = begin; at < end; ++at) {
        move_centroid(context, args, at / count, static_cast<int32_t>(at % count));
      }
    });
  }
}

void raise_representatives(const CpuContext& context, const RaiseRepresentativesArgs& args) {
  check_args(args);
  const int64_t rows = args.scores.dim(0), tokens = args.scores.dim(1);
  const Scratch scratch(static_cast<size_t>(rows * args.count) * sizeof(int64_t), 0, 0);
  auto* const all_highest = reinterpret_cast<int64_t*>(scratch.shared());
  parallel_ranges(context, rows, tokens * 8, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      float* const scores = args.scores.f32() + b * tokens;
      int64_t* const highest = all_highest + b * args.count;
      std::fill_n(highest, args.count, int64_t{-1});
      for (int64_t n = 0; n < tokens; ++n) {
        int64_t& best = highest[args.clusters.i32()[b * tokens + n]];
        if (best < 0 || scores[n] > scores[best]) best = n;
      }
      for (int64_t cluster = 0; cluster < args.count; ++cluster) {
        if (highest[cluster] >= 0) scores[highest[cluster]] += 1.0f;
      }
    }
  });
}

void blend_clusters(const CpuContext& context, const BlendClustersArgs& args) {
  check_args(args);
  const int64_t rows = args.output.dim(0), tokens = args.output.dim(1);
  const int64_t channels = args.output.dim(2), count = args.computed.dim(1);
  const Scratch scratch(static_cast<size_t>(rows * count) * sizeof(int64_t), 0, 0);
  auto* const representatives = reinterpret_cast<int64_t*>(scratch.shared());
  std::fill_n(representatives, rows * count, int64_t{-1});
  for (int64_t at = rows * count - 1; at >= 0; --at) {  // the first one stays
    const int64_t b = at / count;
    const int32_t cluster = args.clusters.i32()[b * tokens + args.indices.i32()[at]];
    representatives[b * count + cluster] = at;
  }
  const PointwiseKernels& kernels = pointwise_kernels(context.isa);
  const std::array<float, 2> weights{args.weight, 1.0f - args.weight};
  parallel_ranges(context, rows * tokens, channels * 12, [&](int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; ++at) {
      const int64_t from = representatives[at / tokens * count + args.clusters.i32()[at]];
      if (from < 0) continue;
      float* const output = args.output.f32() + at * channels;
      const std::array<const float*, 2> terms{args.computed.f32() + from * channels, output};
      kernels.weighted_sum(weights.data(), terms.data(), 2, output, channels);
    }
  });
}

}  // namespace engine::cpu
