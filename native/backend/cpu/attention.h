// Attention on the CPU (contracts in backend/attention.h).
#pragma once

#include "backend/attention.h"
#include "backend/cpu/context.h"

namespace engine::cpu {

void self_attention(const CpuContext& context, const SelfAttentionArgs& args);
void cross_attention(const CpuContext& context, const CrossAttentionArgs& args);
void biased_attention(const CpuContext& context, const BiasedAttentionArgs& args);

}  // namespace engine::cpu
