// Norms, the residual stream, ways in and out of it, pointwise operations and the sampler.
#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

struct TokenSizes {
  int64_t batch, frames, tokens_per_frame, channels;
  int64_t tokens() const { return frames * tokens_per_frame; }
};

// The residual terms of a case: features of both dtypes, gates as rows of one table.
struct TermSources {
  TermSources(TokenSizes sizes, bool mask)
      : noisy(integers({sizes.batch, sizes.frames}, 9, 2, DType::kU8)),
        gates(normal({sizes.batch, 6, sizes.channels}, 8)),
        masked(mask),
        channels(sizes.channels),
        tokens_per_frame(sizes.tokens_per_frame) {
    for (uint64_t i = 0; i < kMaxResidualTerms; ++i) {
      const DType dtype = i == 1 ? DType::kBF16 : DType::kF32;
      features.push_back(normal({sizes.batch, sizes.tokens(), sizes.channels}, 10 + i, dtype));
    }
  }

  // Term 1 has no gate, term 2 something else for clean frames.
  std::array<ResidualTerm, kMaxResidualTerms> terms(Workbench& bench, Rows rows, int count) const {
    std::array<ResidualTerm, kMaxResidualTerms> terms;
    const float* gate = bench.in(gates, rows).f32();
    for (int i = 0; i < count; ++i) {
      ResidualTerm& term = terms[static_cast<size_t>(i)];
      term.feature = bench.in(features[static_cast<size_t>(i)], rows);
      if (i == 1) continue;
      term.gate = {gate + i * channels, 6 * channels};
      term.gate_clean = {gate + (i + 3) * channels, 6 * channels};
      if (i == 2 && masked) term.clean_feature = bench.in(features[0], rows);
    }
    return terms;
  }

  FrameMask frames(Workbench& bench, Rows rows) const {
    if (!masked) return {};
    return {.noisy = bench.in(noisy, rows), .tokens_per_frame = tokens_per_frame};
  }

  Source noisy, gates;
  std::vector<Source> features;
  bool masked;
  int64_t channels, tokens_per_frame;
};

// computed < tokens: that many by indices.
OperationCase residual_case(TokenSizes sizes, int64_t computed, int count, bool mask) {
  std::string name = case_name("residual_add", {sizes.batch, sizes.frames, sizes.tokens_per_frame,
                                                sizes.channels, computed, count});
  name += mask ? "_mask" : "";
  return {name, sizes.batch, 0.0, [=] {
            const TermSources sources(sizes, mask);
            const Source residual = normal({sizes.batch, sizes.tokens(), sizes.channels}, 1);
            const Source indices = distinct(sizes.batch, computed, sizes.tokens(), 3);
            const bool all = computed == sizes.tokens();
            return [=](Workbench& bench, Rows rows) {
              bench.backend().residual_add(
                  {.residual = bench.inout(residual, rows),
                   .indices = all ? ConstTensorView() : bench.in(indices, rows),
                   .terms = sources.terms(bench, rows, count),
                   .count = count,
                   .frames = sources.frames(bench, rows)});
            };
          }};
}

OperationCase linear_residual_case(TokenSizes sizes, int64_t in, DType compute, bool mask,
                                   bool keep) {
  std::string name =
      case_name("linear_residual",
                {sizes.batch, sizes.frames, sizes.tokens_per_frame, sizes.channels, in}, compute);
  name += mask ? "_mask" : "";
  name += keep ? "_keep" : "";
  return {
      name, sizes.batch, tolerance_of(DType::kF32), [=] {
        const TermSources sources(sizes, mask);
        const Shape stream{sizes.batch, sizes.tokens(), sizes.channels};
        const Source residual = normal(stream, 1), before = normal(stream, 2);
        const Source weight = normal({sizes.channels, in}, 3), bias = normal({sizes.channels}, 4);
        const Source input = normal({sizes.batch, sizes.tokens(), in}, 5, compute);
        return [=](Workbench& bench, Rows rows) {
          const auto weights = bench.backend().pack_linear(*weight, *bias, compute);
          const ResidualTerm term = sources.terms(bench, rows, 1)[0];
          const Shape made{rows.count, sizes.tokens(), sizes.channels};
          Tensor scratch = bench.backend().allocate(made, DType::kF32);
          bench.backend().linear_residual(
              {.weights = weights.get(),
               .input = bench.in(input, rows).reshaped({rows.count * sizes.tokens(), in}),
               .output = keep ? bench.inout(before, rows) : scratch.view(),
               .keep_output = keep,
               .residual = bench.inout(residual, rows),
               .gate = term.gate,
               .gate_clean = term.gate_clean,
               .frames = sources.frames(bench, rows)});
          bench.backend().synchronize();
        };
      }};
}

OperationCase linear_scatter_case(TokenSizes sizes, int64_t in, DType compute, DType kept) {
  const int64_t count = (sizes.tokens() + 3) / 4;
  const std::string name =
      case_name("linear_scatter", {sizes.batch, sizes.tokens(), sizes.channels, in}, compute);
  return {name + "_to_" + dtype_name(kept), sizes.batch, tolerance_of(kept), [=] {
            const Source before = normal({sizes.batch, sizes.tokens(), sizes.channels}, 1, kept);
            const Source weight = normal({sizes.channels, in}, 2);
            const Source bias = normal({sizes.channels}, 3);
            const Source input = normal({sizes.batch, count, in}, 4, compute);
            const Source indices = distinct(sizes.batch, count, sizes.tokens(), 5);
            return [=](Workbench& bench, Rows rows) {
              const auto weights = bench.backend().pack_linear(*weight, *bias, compute);
              const Shape chosen{rows.count, count, sizes.channels};
              Tensor scratch = bench.backend().allocate(chosen, DType::kF32);
              bench.backend().linear_scatter(
                  {.weights = weights.get(),
                   .input = bench.in(input, rows).reshaped({rows.count * count, in}),
                   .indices = bench.in(indices, rows),
                   .rows = scratch,
                   .output = bench.inout(before, rows)});
              bench.backend().synchronize();
            };
          }};
}

// computed < tokens: that many by indices.
OperationCase layer_norm_case(TokenSizes sizes, int64_t computed, int pending, bool mask,
                              DType dtype) {
  std::string name = case_name(
      "layer_norm_modulate",
      {sizes.batch, sizes.frames, sizes.tokens_per_frame, sizes.channels, computed, pending},
      dtype);
  name += mask ? "_mask" : "";
  return {
      name, sizes.batch, tolerance_of(dtype), [=] {
        const TermSources sources(sizes, mask);
        const Source input = normal({sizes.batch, sizes.tokens(), sizes.channels}, 1);
        const Source modulation = normal({sizes.batch, 4, sizes.channels}, 2);
        const Source indices = distinct(sizes.batch, computed, sizes.tokens(), 3);
        return [=](Workbench& bench, Rows rows) {
          const float* vectors = bench.in(modulation, rows).f32();
          const auto vector = [&](int64_t i) {
            return RowVectors{vectors + i * sizes.channels, 4 * sizes.channels};
          };
          const bool all = computed == sizes.tokens();
          bench.backend().layer_norm_modulate(
              {.input = bench.in(input, rows),
               .pending = sources.terms(bench, rows, pending),
               .pending_count = pending,
               .indices = all ? ConstTensorView() : bench.in(indices, rows),
               .settled = all ? bench.out({rows.count, sizes.tokens(), sizes.channels}, DType::kF32)
                              : TensorView(),
               .shift = vector(0),
               .scale = vector(1),
               .shift_clean = vector(2),
               .scale_clean = vector(3),
               .frames = sources.frames(bench, rows),
               .output = bench.out({rows.count, computed, sizes.channels}, dtype)});
        };
      }};
}

// One batch row; its chosen tokens are the independent rows.
OperationCase layer_norm_tokens_case(int64_t tokens, int64_t computed, int64_t channels) {
  return {case_name("layer_norm_modulate_tokens", {tokens, computed, channels}), computed,
          tolerance_of(DType::kF32), [=] {
            const Source input = normal({1, tokens, channels}, 1);
            const Source shift = normal({channels}, 2), scale = normal({channels}, 3);
            const Source indices = distinct(computed, 1, tokens, 4);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().layer_norm_modulate(
                  {.input = bench.in(input),
                   .pending = {},
                   .indices = bench.in(indices, rows).reshaped({1, rows.count}),
                   .settled = {},
                   .shift = {bench.in(shift).f32(), 0},
                   .scale = {bench.in(scale).f32(), 0},
                   .shift_clean = {},
                   .scale_clean = {},
                   .frames = {},
                   .output = bench.out({1, rows.count, channels}, DType::kF32)});
            };
          }};
}

OperationCase rms_norm_case(int64_t count, int64_t channels, DType dtype) {
  return {case_name("rms_norm", {count, channels}, dtype), count, tolerance_of(dtype), [=] {
            const Source input = normal({count, channels}, 1), weight = normal({channels}, 2);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().rms_norm({.input = bench.in(input, rows),
                                        .weight = bench.in(weight),
                                        .output = bench.out({rows.count, channels}, dtype)});
            };
          }};
}

struct PatchSizes {
  int64_t batch, channels, frames, height, width;
  std::array<int64_t, 3> patch;
  int64_t tokens() const {
    return (frames + patch[0] - 1) / patch[0] * ((height + patch[1] - 1) / patch[1]) *
           ((width + patch[2] - 1) / patch[2]);
  }
  int64_t values() const { return channels * patch[0] * patch[1] * patch[2]; }
  Shape latent(int64_t count) const { return {count, channels, frames, height, width}; }
};

OperationCase patchify_case(PatchSizes sizes, DType dtype) {
  return {case_name("patchify",
                    {sizes.batch, sizes.channels, sizes.frames, sizes.height, sizes.width}, dtype),
          sizes.batch, 0.0, [=] {
            const Source latent = normal(sizes.latent(sizes.batch), 1);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().patchify(
                  {.latent = bench.in(latent, rows),
                   .patch = sizes.patch,
                   .output = bench.out({rows.count, sizes.tokens(), sizes.values()}, dtype)});
            };
          }};
}

OperationCase unpatchify_case(PatchSizes sizes) {
  return {
      case_name("unpatchify",
                {sizes.batch, sizes.channels, sizes.frames, sizes.height, sizes.width}),
      sizes.batch, 0.0, [=] {
        const Source tokens = normal({sizes.batch, sizes.tokens(), sizes.values()}, 1);
        return [=](Workbench& bench, Rows rows) {
          bench.backend().unpatchify({.tokens = bench.in(tokens, rows),
                                      .patch = sizes.patch,
                                      .output = bench.out(sizes.latent(rows.count), DType::kF32)});
        };
      }};
}

OperationCase timestep_case() {
  return {
      "timestep_embedding_4x256", 4, tolerance_of(DType::kF32), [] {
        const Source values = floats({4}, {0.0f, 1.0f, 479.25f, 1000.0f});
        return [=](Workbench& bench, Rows rows) {
          bench.backend().timestep_embedding({.values = bench.in(values, rows),
                                              .output = bench.out({rows.count, 256}, DType::kF32)});
        };
      }};
}

OperationCase token_embedding_case(DType table_dtype) {
  return {case_name("token_embedding", {9, 50, 33}, table_dtype), 9, 0.0, [=] {
            const Source ids = integers({9}, 1, 50), table = normal({50, 33}, 2, table_dtype);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().token_embedding({.ids = bench.in(ids, rows),
                                               .table = bench.in(table),
                                               .output = bench.out({rows.count, 33}, DType::kF32)});
            };
          }};
}

OperationCase add_rows_case(int64_t outer, int64_t inner, int64_t channels) {
  return {
      case_name("add_rows", {outer, inner, channels}), outer, 0.0, [=] {
        const Source tokens = normal({outer, inner, channels}, 1);
        const Source table = normal({inner, channels}, 2);
        return [=](Workbench& bench, Rows rows) {
          bench.backend().add_rows({.output = bench.inout(tokens, rows), .table = bench.in(table)});
        };
      }};
}

OperationCase activate_case(const std::string& what, Activation activation, int64_t count,
                            DType dtype) {
  return {case_name("activate_" + what, {count, 37}, dtype), count, tolerance_of(dtype), [=] {
            // Three times the usual spread, and values beyond any exponential.
            Tensor values({count, 37}, DType::kF32);
            const Source draws = normal({count, 37}, 1);
            for (int64_t i = 0; i < values.elements(); ++i) {
              values.f32()[i] = 3.0f * draws->f32()[i];
            }
            values.f32()[0] = 40.0f;
            values.f32()[1] = -40.0f;
            values.f32()[2] = -400.0f;
            const auto input = std::make_shared<const Tensor>(std::move(values));
            return [=](Workbench& bench, Rows rows) {
              bench.backend().activate({.input = bench.in(input, rows),
                                        .activation = activation,
                                        .output = bench.out({rows.count, 37}, dtype)});
            };
          }};
}

OperationCase gated_gelu_case(int64_t count, int64_t channels, DType dtype) {
  return {case_name("gated_gelu", {count, channels}, dtype), count, tolerance_of(dtype), [=] {
            const Source gate = normal({count, channels}, 1), value = normal({count, channels}, 2);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().gated_gelu({.gate = bench.in(gate, rows),
                                          .value = bench.in(value, rows),
                                          .output = bench.out({rows.count, channels}, dtype)});
            };
          }};
}

OperationCase add_case(int64_t count, int64_t channels) {
  return {case_name("add", {count, channels}), count, 0.0, [=] {
            const Source a = normal({count, channels}, 1), b = normal({count, channels}, 2);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().add({.a = bench.in(a, rows),
                                   .b = bench.in(b, rows),
                                   .output = bench.out({rows.count, channels}, DType::kF32)});
            };
          }};
}

OperationCase convert_case(int64_t count, int64_t channels, DType from, DType to) {
  return {case_name("convert", {count, channels}, from) + "_to_" + dtype_name(to), count, 0.0, [=] {
            const Source input = normal({count, channels}, 1, from);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().convert({.input = bench.in(input, rows),
                                       .output = bench.out({rows.count, channels}, to)});
            };
          }};
}

}  // namespace

std::vector<OperationCase> token_cases() {
  constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16;
  std::vector<OperationCase> cases;
  for (const TokenSizes sizes : {TokenSizes{1, 1, 1, 1}, {2, 3, 5, 37}, {2, 5, 81, 1152}}) {
    for (int count = 1; count <= kMaxResidualTerms; ++count) {
      cases.push_back(residual_case(sizes, sizes.tokens(), count, count == 3));
      cases.push_back(residual_case(sizes, (sizes.tokens() + 3) / 7, count, count == 3));
    }
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      cases.push_back(linear_residual_case(sizes, 33, compute, false, false));
      cases.push_back(linear_residual_case(sizes, 1160, compute, true, true));
      cases.push_back(linear_scatter_case(sizes, 33, compute, kF32));
      cases.push_back(linear_scatter_case(sizes, 96, compute, kBF16));
    }
    for (const DType dtype : {kF32, kBF16}) {
      cases.push_back(layer_norm_case(sizes, sizes.tokens(), 0, false, dtype));
      cases.push_back(layer_norm_case(sizes, sizes.tokens(), 3, true, dtype));
      cases.push_back(layer_norm_case(sizes, (sizes.tokens() + 3) / 7, 2, true, dtype));
    }
  }
  cases.push_back(layer_norm_tokens_case(200, 40, 1152));
  for (const DType dtype : {kF32, kBF16}) {
    cases.push_back(rms_norm_case(1, 1, dtype));
    cases.push_back(rms_norm_case(5, 67, dtype));
    cases.push_back(rms_norm_case(120, 1024, dtype));
    cases.push_back(patchify_case({2, 4, 3, 5, 7, {1, 2, 2}}, dtype));
    cases.push_back(patchify_case({2, 4, 5, 30, 53, {2, 2, 2}}, dtype));
    cases.push_back(activate_case("silu", Activation::kSilu, 3, dtype));
    cases.push_back(activate_case("gelu", Activation::kGeluTanh, 3, dtype));
    cases.push_back(activate_case("silu", Activation::kSilu, 2000, dtype));
    cases.push_back(activate_case("none", Activation::kNone, 3, dtype));
    cases.push_back(gated_gelu_case(7, 33, dtype));
    cases.push_back(gated_gelu_case(120, 512, dtype));
    for (const DType other : {kF32, kBF16}) cases.push_back(convert_case(9, 5001, dtype, other));
  }
  cases.push_back(unpatchify_case({2, 8, 3, 5, 7, {1, 2, 2}}));
  cases.push_back(unpatchify_case({2, 4, 5, 30, 53, {2, 2, 2}}));
  cases.push_back(timestep_case());
  for (const DType dtype : {kF32, kBF16, DType::kF16}) cases.push_back(token_embedding_case(dtype));
  cases.push_back(add_rows_case(1, 1, 1));
  cases.push_back(add_rows_case(5, 81, 1152));
  cases.push_back(add_case(3, 5));
  cases.push_back(add_case(9, 20001));
  return cases;
}

}  // namespace engine::operation_table
