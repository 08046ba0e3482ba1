// Checks of the operations on groups of tokens.
#include "backend/shape_rules.h"
#include "backend/shapes.h"

namespace engine {

void check_args(const ClusterTokensArgs& args) {
  const ShapeRules rules("cluster_tokens");
  rules.rank("input", args.input, 3);
  rules.rank("centroids", args.centroids, 3);
  const int64_t rows = args.input.dim(0), tokens = args.input.dim(1), count = args.centroids.dim(1);
  rules.require(count >= 1 && count <= tokens, "one cluster to as many as there are tokens");
  rules.require(args.iterations >= 1, "one iteration or more");
  rules.require(args.groups >= 1 && rows % args.groups == 0, "every group has as many rows");
  rules.tensor("input", args.input, args.input.shape(), Types::kF32);
  rules.tensor("centroids", args.centroids, {rows, count, args.input.dim(2)}, Types::kF32);
  rules.tensor("clusters", args.clusters, {rows, tokens}, Types::kI32);
}

void check_args(const RaiseRepresentativesArgs& args) {
  const ShapeRules rules("raise_representatives");
  rules.rank("scores", args.scores, 2);
  rules.require(args.count >= 1, "one cluster or more");
  rules.tensor("scores", args.scores, args.scores.shape(), Types::kF32);
  rules.tensor("clusters", args.clusters, args.scores.shape(), Types::kI32);
}

void check_args(const BlendClustersArgs& args) {
  const ShapeRules rules("blend_clusters");
  rules.rank("output", args.output, 3);
  rules.rank("computed", args.computed, 3);
  const int64_t rows = args.output.dim(0), count = args.computed.dim(1);
  rules.require(count >= 1, "one token computed or more");
  rules.tensor("output", args.output, args.output.shape(), Types::kF32);
  rules.tensor("computed", args.computed, {rows, count, args.output.dim(2)}, Types::kF32);
  rules.tensor("indices", args.indices, {rows, count}, Types::kI32);
  rules.tensor("clusters", args.clusters, {rows, args.output.dim(1)}, Types::kI32);
}

}  // namespace engine
