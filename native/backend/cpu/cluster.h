// Groups of tokens on the CPU.
#pragma once

#include "backend/cluster.h"
#include "backend/cpu/context.h"

namespace engine::cpu {

void cluster_tokens(const CpuContext& context, const ClusterTokensArgs& args);
void raise_representatives(const CpuContext& context, const RaiseRepresentativesArgs& args);
void blend_clusters(const CpuContext& context, const BlendClustersArgs& args);

}  // namespace engine::cpu
