// Groups of tokens that stand for each other (ClusCa, arXiv 2509.10312): found by k-means, one
// token of each computed, its value blended into the others.
#pragma once

#include "core/tensor_view.h"

namespace engine {

// K-means over the tokens of each group of batch rows: rows g, g + groups, g + 2 groups, ... (the
// guidance halves of clip g) are clustered as one, and a token's distance is the sum over them.
//
// Each iteration assigns every token to the centroid of least L1 distance, ties to the lower
// cluster, and sets every centroid to the mean of its tokens; one without tokens stays where it is.
// Sums run over channels, rows and tokens in order. Reads the tokens 2 · iterations times; bound by
// N · K · C subtractions.
struct ClusterTokensArgs {
  ConstTensorView input;  // [B, N, C], fp32
  TensorView centroids;   // [B, K, C], fp32: where the first iteration starts, K <= N
  TensorView clusters;  // [B, N], i32: of each token as the last iteration assigned it, 0 .. K - 1
  int64_t groups = 1;   // divides B
  int iterations = 1;   // at least one
};

// In every cluster the highest score gains 1, ties to the lower token. Of scores in [0, 1) those
// are then the highest ones.
struct RaiseRepresentativesArgs {
  TensorView scores;         // [B, N], fp32
  ConstTensorView clusters;  // [B, N], i32, below `count`
  int64_t count = 1;         // clusters
};

// output = weight · computed value of the cluster's representative + (1 - weight) · output, for
// every token. Representative is the first token of `indices` in the cluster; where there is none
// the output stays.
struct BlendClustersArgs {
  ConstTensorView computed;  // [B, K, C], fp32
  ConstTensorView indices;   // [B, K], i32: the tokens that were computed
  ConstTensorView clusters;  // [B, N], i32, below K
  float weight = 0.0f;
  TensorView output;  // [B, N, C], fp32
};

}  // namespace engine
