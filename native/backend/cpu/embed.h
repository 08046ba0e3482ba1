// Ways into and out of the token stream on the CPU.
#pragma once

#include "backend/cpu/context.h"
#include "backend/embed.h"

namespace engine::cpu {

void patchify(const CpuContext& context, const PatchifyArgs& args);
void unpatchify(const CpuContext& context, const UnpatchifyArgs& args);
void timestep_embedding(const CpuContext& context, const TimestepEmbeddingArgs& args);
void token_embedding(const CpuContext& context, const TokenEmbeddingArgs& args);
void add_rows(const CpuContext& context, const AddRowsArgs& args);

}  // namespace engine::cpu
