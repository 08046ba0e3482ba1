// Checks of the token stream's operations; products, attention, the VAE's and the samplers' are in
// shapes_products.cpp, shapes_frames.cpp and shapes_sampler.cpp.
#include "backend/shapes.h"

#include "backend/shape_rules.h"

namespace engine {

namespace {

int64_t padded_patches(int64_t size, int64_t patch) {
  return (size + patch - 1) / patch;
}

void check_frames(const ShapeRules& rules, const FrameMask& frames, int64_t batch, int64_t tokens) {
  if (frames.noisy.empty()) return;
  rules.require(frames.tokens_per_frame > 0 && tokens % frames.tokens_per_frame == 0,
                "tokens_per_frame does not divide the number of tokens");
  rules.tensor("frames.noisy", frames.noisy, {batch, tokens / frames.tokens_per_frame}, Types::kU8);
}

void check_terms(const ShapeRules& rules, const std::array<ResidualTerm, kMaxResidualTerms>& terms,
                 int count, const Shape& shape) {
  rules.require(count >= 0 && count <= kMaxResidualTerms, "too many residual terms");
  for (int i = 0; i < count; ++i) {
    const ResidualTerm& term = terms[static_cast<size_t>(i)];
    rules.tensor("feature", term.feature, shape, Types::kKept);
    rules.optional("clean_feature", term.clean_feature, shape, Types::kF32OrBF16);
  }
}

void check_patches(const ShapeRules& rules, const std::array<int64_t, 3>& patch,
                   const ConstTensorView& latent, const ConstTensorView& tokens, Types types) {
  rules.rank("latent", latent, 5);
  rules.require(patch[0] > 0 && patch[1] > 0 && patch[2] > 0, "patch sizes must be positive");
  const int64_t count = padded_patches(latent.dim(2), patch[0]) *
                        padded_patches(latent.dim(3), patch[1]) *
                        padded_patches(latent.dim(4), patch[2]);
  rules.tensor("latent", latent, latent.shape(), Types::kF32);
  rules.tensor("tokens", tokens,
               {latent.dim(0), count, latent.dim(1) * patch[0] * patch[1] * patch[2]}, types);
}

}  // namespace

void check_args(const LayerNormModulateArgs& args) {
  const ShapeRules rules("layer_norm_modulate");
  rules.rank("input", args.input, 3);
  rules.rank("output", args.output, 3);
  const int64_t batch = args.input.dim(0), tokens = args.input.dim(1), channels = args.input.dim(2);
  const int64_t rows = args.output.dim(1);
  rules.tensor("input", args.input, args.input.shape(), Types::kF32);
  rules.tensor("output", args.output, {batch, rows, channels}, Types::kF32OrBF16);
  if (args.indices.empty()) {
    rules.require(rows == tokens || rows == 0, "without indices the output needs every token");
  } else {
    rules.tensor("indices", args.indices, {batch, rows}, Types::kI32);
  }
  rules.optional("settled", args.settled, args.input.shape(), Types::kF32);
  rules.require(args.settled.empty() || args.indices.empty(), "x is settled for all tokens only");
  check_terms(rules, args.pending, args.pending_count, args.input.shape());
  check_frames(rules, args.frames, batch, tokens);
  rules.require(args.shift.data != nullptr && args.scale.data != nullptr,
                "shift or scale is missing");
  rules.require(args.frames.noisy.empty() ||
                    (args.shift_clean.data != nullptr && args.scale_clean.data != nullptr),
                "shift or scale of clean frames is missing");
}

void check_args(const RmsNormArgs& args) {
  const ShapeRules rules("rms_norm");
  rules.rank("input", args.input, 2);
  rules.tensor("input", args.input, args.input.shape(), Types::kF32);
  rules.tensor("weight", args.weight, {args.input.dim(1)}, Types::kF32);
  rules.tensor("output", args.output, args.input.shape(), Types::kF32OrBF16);
}

void check_args(const ResidualAddArgs& args) {
  const ShapeRules rules("residual_add");
  rules.rank("residual", args.residual, 3);
  rules.tensor("residual", args.residual, args.residual.shape(), Types::kF32);
  if (!args.indices.empty()) {
    rules.rank("indices", args.indices, 2);
    const int64_t count = args.indices.dim(1);
    rules.require(count <= args.residual.dim(1), "more tokens asked for than there are");
    rules.tensor("indices", args.indices, {args.residual.dim(0), count}, Types::kI32);
  }
  check_terms(rules, args.terms, args.count, args.residual.shape());
  check_frames(rules, args.frames, args.residual.dim(0), args.residual.dim(1));
}

void check_args(const LinearResidualArgs& args) {
  const ShapeRules rules("linear_residual");
  rules.require(args.weights != nullptr, "weights are missing");
  rules.rank("residual", args.residual, 3);
  const int64_t batch = args.residual.dim(0), tokens = args.residual.dim(1);
  const Types compute = args.weights->compute() == DType::kBF16 ? Types::kBF16 : Types::kF32;
  rules.tensor("input", args.input, {batch * tokens, args.weights->in()}, compute);
  rules.tensor("residual", args.residual, {batch, tokens, args.weights->out()}, Types::kF32);
  rules.tensor("output", args.output, args.residual.shape(), Types::kF32);
  check_frames(rules, args.frames, batch, tokens);
}

void check_args(const LinearScatterArgs& args) {
  const ShapeRules rules("linear_scatter");
  rules.require(args.weights != nullptr, "weights are missing");
  rules.rank("output", args.output, 3);
  rules.rank("indices", args.indices, 2);
  const int64_t batch = args.output.dim(0), count = args.indices.dim(1), out = args.weights->out();
  const Types compute = args.weights->compute() == DType::kBF16 ? Types::kBF16 : Types::kF32;
  rules.tensor("input", args.input, {batch * count, args.weights->in()}, compute);
  rules.tensor("indices", args.indices, {batch, count}, Types::kI32);
  rules.tensor("rows", args.rows, {batch, count, out}, Types::kF32);
  rules.tensor("output", args.output, {batch, args.output.dim(1), out}, Types::kKept);
}

void check_args(const TokenScoresArgs& args) {
  const ShapeRules rules("token_scores");
  rules.rank("scores", args.scores, 2);
  const Shape shape = args.scores.shape();
  rules.tensor("scores", args.scores, shape, Types::kF32);
  rules.tensor("counters", args.counters, shape, Types::kI32);
  if (args.score == TokenScore::kEntropy) {
    rules.require(shape[0] % 2 == 0, "entropy scores need guidance pairs: an even batch");
    rules.tensor("half_entropy", args.half_entropy, shape, Types::kF32);
    return;
  }
  if (is_statistic(args.score)) {
    rules.tensor("statistic", args.statistic, shape, Types::kF32);
    return;
  }
  rules.rank("input", args.input, 3);
  const Shape tokens{shape[0], shape[1], args.input.dim(2)};
  rules.tensor("input", args.input, tokens, Types::kF32OrBF16);
  if (args.score == TokenScore::kSimilarity) {
    rules.tensor("cached", args.cached, tokens, Types::kKept);
  }
}

void check_args(const ValueScoresArgs& args) {
  const ShapeRules rules("value_scores");
  rules.rank("qkv", args.qkv, 6);
  const Shape shape = args.qkv.shape();
  rules.tensor("qkv", args.qkv, {shape[0], shape[1], shape[2], 3, shape[4], shape[5]},
               Types::kF32OrBF16);
  rules.tensor("scores", args.scores, {shape[0], shape[1], shape[2]}, Types::kF32);
}

void check_args(const SpreadScoresArgs& args) {
  const ShapeRules rules("spread_scores");
  rules.rank("scores", args.scores, 2);
  rules.require(args.height >= 0 && args.width >= 0 && args.cell > 0,
                "the grid must not be negative, and a cell has at least one token");
  rules.tensor("scores", args.scores, {args.scores.dim(0), args.height * args.width}, Types::kF32);
}

void check_args(const SelectTokensArgs& args) {
  const ShapeRules rules("select_tokens");
  rules.rank("scores", args.scores, 2);
  const Shape shape = args.scores.shape();
  rules.tensor("scores", args.scores, shape, Types::kF32);
  rules.tensor("counters", args.counters, shape, Types::kI32);
  if (args.indices.empty()) return;
  rules.rank("indices", args.indices, 2);
  rules.require(args.indices.dim(1) <= shape[1], "more tokens asked for than there are");
  rules.tensor("indices", args.indices, {shape[0], args.indices.dim(1)}, Types::kI32);
}

void check_args(const GatherRowsArgs& args) {
  const ShapeRules rules("gather_rows");
  rules.rank("input", args.input, 3);
  rules.rank("indices", args.indices, 2);
  const int64_t batch = args.input.dim(0), count = args.indices.dim(1);
  rules.tensor("input", args.input, args.input.shape(), Types::kKept);
  rules.tensor("indices", args.indices, {batch, count}, Types::kI32);
  rules.tensor("output", args.output, {batch, count, args.input.dim(2)}, Types::kF32OrBF16);
}

void check_args(const ScatterRowsArgs& args) {
  const ShapeRules rules("scatter_rows");
  rules.rank("output", args.output, 3);
  rules.rank("indices", args.indices, 2);
  const int64_t batch = args.output.dim(0), count = args.indices.dim(1);
  rules.tensor("output", args.output, args.output.shape(), Types::kKept);
  rules.tensor("indices", args.indices, {batch, count}, Types::kI32);
  rules.tensor("input", args.input, {batch, count, args.output.dim(2)}, Types::kF32OrBF16);
}

void check_args(const PatchifyArgs& args) {
  check_patches(ShapeRules("patchify"), args.patch, args.latent, args.output, Types::kF32OrBF16);
}

void check_args(const UnpatchifyArgs& args) {
  check_patches(ShapeRules("unpatchify"), args.patch, args.output, args.tokens, Types::kF32);
}

void check_args(const TimestepEmbeddingArgs& args) {
  const ShapeRules rules("timestep_embedding");
  rules.rank("values", args.values, 1);
  rules.rank("output", args.output, 2);
  rules.require(args.output.dim(1) % 2 == 0, "the width must be even");
  rules.tensor("values", args.values, args.values.shape(), Types::kF32);
  rules.tensor("output", args.output, {args.values.dim(0), args.output.dim(1)}, Types::kF32);
}

void check_args(const TokenEmbeddingArgs& args) {
  const ShapeRules rules("token_embedding");
  rules.rank("ids", args.ids, 1);
  rules.rank("table", args.table, 2);
  rules.tensor("ids", args.ids, args.ids.shape(), Types::kI32);
  rules.tensor("table", args.table, args.table.shape(), Types::kAnyFloat);
  rules.tensor("output", args.output, {args.ids.dim(0), args.table.dim(1)}, Types::kF32);
}

void check_args(const AddRowsArgs& args) {
  const ShapeRules rules("add_rows");
  rules.rank("output", args.output, 3);
  rules.tensor("output", args.output, args.output.shape(), Types::kF32);
  rules.tensor("table", args.table, {args.output.dim(1), args.output.dim(2)}, Types::kF32);
}

void check_args(const ActivateArgs& args) {
  const ShapeRules rules("activate");
  rules.tensor("input", args.input, args.input.shape(), Types::kF32);
  rules.tensor("output", args.output, args.input.shape(), Types::kF32OrBF16);
}

void check_args(const GatedGeluArgs& args) {
  const ShapeRules rules("gated_gelu");
  rules.rank("gate", args.gate, 2);
  rules.tensor("gate", args.gate, args.gate.shape(), Types::kF32);
  rules.tensor("value", args.value, args.gate.shape(), Types::kF32);
  rules.tensor("output", args.output, args.gate.shape(), Types::kF32OrBF16);
}

void check_args(const AddArgs& args) {
  const ShapeRules rules("add");
  rules.tensor("a", args.a, args.a.shape(), Types::kF32);
  rules.tensor("b", args.b, args.a.shape(), Types::kF32);
  rules.tensor("output", args.output, args.a.shape(), Types::kF32);
}

void check_args(const ConvertArgs& args) {
  const ShapeRules rules("convert");
  rules.tensor("input", args.input, args.input.shape(), Types::kKept);
  rules.tensor("output", args.output, args.input.shape(), Types::kKept);
}

void check_copy(ConstTensorView source, TensorView destination) {
  const ShapeRules rules("copy");
  rules.require(source.dtype() == destination.dtype(), "the dtypes differ");
  rules.require(source.elements() == destination.elements(), "the numbers of elements differ");
}

}  // namespace engine
