// Scoring, choosing and moving tokens on the CPU.
#pragma once

#include "backend/cpu/context.h"
#include "backend/select.h"

namespace engine::cpu {

void token_scores(const CpuContext& context, const TokenScoresArgs& args);
void value_scores(const CpuContext& context, const ValueScoresArgs& args);
void spread_scores(const CpuContext& context, const SpreadScoresArgs& args);
void select_tokens(const CpuContext& context, const SelectTokensArgs& args);
void gather_rows(const CpuContext& context, const GatherRowsArgs& args);
void scatter_rows(const CpuContext& context, const ScatterRowsArgs& args);

}  // namespace engine::cpu
