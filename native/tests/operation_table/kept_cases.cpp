// What caches hold in fewer bits: every operation that reads or writes it, in bf16 and fp8, with
// rows that hold infinities, NaN, denormals, zeros and what rounds to the largest.
#include <array>
#include <limits>

#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

// Floats as a cache keeps them; of fp8 with a scale for each row of the last axis.
struct KeptSource {
  Source values, scales;
  int64_t channels = 0;
};

KeptSource kept(const Source& floats, DType dtype) {
  const Shape& shape = floats->shape();
  const int64_t channels = shape[shape.rank() - 1], rows = floats->elements() / channels;
  KeptSource source{.values = {}, .scales = {}, .channels = channels};
  Tensor values(shape, dtype), scales({shape[0], rows / shape[0]}, DType::kF32);
  make_plain_backend()->convert({.input = *floats,
                                 .output = {values.view().data(), dtype, shape,
                                            dtype == DType::kF8 ? scales.f32() : nullptr}});
  source.values = std::make_shared<const Tensor>(std::move(values));
  if (dtype == DType::kF8) source.scales = std::make_shared<const Tensor>(std::move(scales));
  return source;
}

ConstTensorView in(Workbench& bench, const KeptSource& source, Rows rows) {
  const ConstTensorView values = bench.in(source.values, rows);
  const float* const scales = source.scales ? bench.in(source.scales, rows).f32() : nullptr;
  return {values.data(), values.dtype(), values.shape(), scales};
}

TensorView inout(Workbench& bench, const KeptSource& source, Rows rows) {
  const TensorView values = bench.inout(source.values, rows);
  float* const scales = source.scales ? bench.inout(source.scales, rows).f32() : nullptr;
  return {values.data(), values.dtype(), values.shape(), scales};
}

// Normal floats whose first rows hold what is hard to keep, as far as there are rows.
Source hard(Shape shape, uint64_t seed) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kDenormal = std::numeric_limits<float>::denorm_min();
  constexpr float kLargest = std::numeric_limits<float>::max();
  const std::array<std::array<float, 4>, 6> rows{{{0.0f, -0.0f, 0.0f, 0.0f},
                                                  {kNan, 3.0f, -448.0f, 0.0f},
                                                  {-kInfinity, 1.0f, kLargest, 0.0f},
                                                  {kDenormal, -3 * kDenormal, 0.0f, 0.0f},
                                                  {448.0f, 464.0f, -1.0f / 512, 1.0f / 1024},
                                                  {1e-38f, -3e-39f, 1e-41f, kNan}}};
  const Source draws = normal(shape, seed);
  Tensor values(shape, DType::kF32);
  const int64_t channels = shape[shape.rank() - 1];
  for (int64_t i = 0; i < values.elements(); ++i) {
    const int64_t row = i / channels, channel = i % channels;
    const bool is_hard = row % 2 == 1 && row / 2 < static_cast<int64_t>(rows.size());
    const auto& special = rows[is_hard ? static_cast<size_t>(row / 2) : 0];
    values.f32()[i] = is_hard ? special[static_cast<size_t>(channel % 4)] : draws->f32()[i];
  }
  return std::make_shared<const Tensor>(std::move(values));
}

OperationCase convert_case(Shape shape, DType from, DType to) {
  std::string name = case_name("convert_kept", {shape[0], shape[1], shape[2]}, from);
  return {name + "_to_" + dtype_name(to), shape[0], 0.0, [=] {
            const KeptSource input = kept(hard(shape, 1), from);
            const KeptSource output = kept(normal(shape, 2), to);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().convert(
                  {.input = in(bench, input, rows), .output = inout(bench, output, rows)});
            };
          }};
}

OperationCase residual_case(Shape shape, DType dtype) {
  return {case_name("residual_add_kept", {shape[0], shape[1], shape[2]}, dtype), shape[0], 0.0,
          [=] {
            const Source residual = normal(shape, 1), gate = normal({shape[0], shape[2]}, 2);
            const KeptSource first = kept(hard(shape, 3), dtype),
                             second = kept(normal(shape, 4), dtype);
            return [=](Workbench& bench, Rows rows) {
              ResidualAddArgs args;
              args.residual = bench.inout(residual, rows);
              args.terms[0].feature = in(bench, first, rows);
              args.terms[0].gate = {bench.in(gate, rows).f32(), shape[2]};
              args.terms[1].feature = in(bench, second, rows);
              args.count = 2;
              bench.backend().residual_add(args);
            };
          }};
}

OperationCase layer_norm_case(Shape shape, DType dtype) {
  return {case_name("layer_norm_modulate_kept", {shape[0], shape[1], shape[2]}, dtype), shape[0],
          tolerance_of(DType::kF32), [=] {
            const Source input = normal(shape, 1), vectors = normal({2, shape[2]}, 2);
            const KeptSource feature = kept(normal(shape, 3), dtype);
            return [=](Workbench& bench, Rows rows) {
              const float* const modulation = bench.in(vectors).f32();
              LayerNormModulateArgs args;
              args.input = bench.in(input, rows);
              args.pending[0].feature = in(bench, feature, rows);
              args.pending_count = 1;
              args.shift = {modulation, 0};
              args.scale = {modulation + shape[2], 0};
              args.output = bench.out({rows.count, shape[1], shape[2]}, DType::kF32);
              bench.backend().layer_norm_modulate(args);
            };
          }};
}

OperationCase gather_case(Shape shape, int64_t count, DType dtype) {
  return {case_name("gather_rows_kept", {shape[0], shape[1], shape[2], count}, dtype), shape[0],
          0.0, [=] {
            const KeptSource input = kept(hard(shape, 1), dtype);
            const Source indices = distinct(shape[0], count, shape[1], 2);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().gather_rows(
                  {.input = in(bench, input, rows),
                   .indices = bench.in(indices, rows),
                   .output = bench.out({rows.count, count, shape[2]}, DType::kF32)});
            };
          }};
}

OperationCase scatter_case(Shape shape, int64_t count, DType dtype) {
  return {case_name("scatter_rows_kept", {shape[0], shape[1], shape[2], count}, dtype), shape[0],
          0.0, [=] {
            const Source input = hard({shape[0], count, shape[2]}, 1);
            const Source indices = distinct(shape[0], count, shape[1], 2);
            const KeptSource output = kept(normal(shape, 3), dtype);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().scatter_rows({.input = bench.in(input, rows),
                                            .indices = bench.in(indices, rows),
                                            .output = inout(bench, output, rows)});
            };
          }};
}

OperationCase similarity_case(Shape shape, DType dtype) {
  return {case_name("token_scores_kept", {shape[0], shape[1], shape[2]}, dtype), shape[0], 1e-5,
          [=] {
            const Source input = normal(shape, 1);
            const KeptSource cached = kept(normal(shape, 2), dtype);
            const Source counters = integers({shape[0], shape[1]}, 3, 5);
            return [=](Workbench& bench, Rows rows) {
              TokenScoresArgs args;
              args.score = TokenScore::kSimilarity;
              args.input = bench.in(input, rows);
              args.cached = in(bench, cached, rows);
              args.counters = bench.in(counters, rows);
              args.staleness_weight = 0.25f;
              args.scores = bench.out({rows.count, shape[1]}, DType::kF32);
              bench.backend().token_scores(args);
            };
          }};
}

// The output is one of the terms, which lie in turns in fp32 and in fewer bits.
OperationCase weighted_sum_case(int count, Shape shape, DType dtype) {
  return {case_name("weighted_sum_kept", {count, shape[0], shape[1], shape[2]}, dtype), shape[0],
          0.0, [=] {
            std::vector<KeptSource> terms;
            for (int i = 0; i < count; ++i) {
              const Source values =
                  i == 0 ? hard(shape, 1) : normal(shape, static_cast<uint64_t>(i + 1));
              terms.push_back(kept(values, i % 2 == 0 ? dtype : DType::kF32));
            }
            return [=](Workbench& bench, Rows rows) {
              WeightedSumArgs args;
              args.count = count;
              for (size_t i = 0; i < terms.size(); ++i) {
                args.terms[i].weight = 1.0f / static_cast<float>(i + 2);
                if (i == 1) args.output = inout(bench, terms[i], rows);
                args.terms[i].tensor = i == 1 ? args.output : in(bench, terms[i], rows);
              }
              if (count == 1)
                args.output = bench.out({rows.count, shape[1], shape[2]}, DType::kF32);
              bench.backend().weighted_sum(args);
            };
          }};
}

OperationCase update_differences_case(int count, Shape shape, DType dtype) {
  return {case_name("update_differences_kept", {count, shape[0], shape[1], shape[2]}, dtype),
          shape[0], 0.0, [=] {
            const Source fresh = hard(shape, 1);
            std::vector<KeptSource> differences;
            for (int i = 0; i < count; ++i) {
              differences.push_back(kept(normal(shape, static_cast<uint64_t>(i + 2)), dtype));
            }
            return [=](Workbench& bench, Rows rows) {
              UpdateDifferencesArgs args;
              args.fresh = bench.in(fresh, rows);
              args.count = count;
              args.inverse_distance = 1.0f / 3.0f;
              for (size_t i = 0; i < differences.size(); ++i) {
                args.differences[i] = inout(bench, differences[i], rows);
              }
              bench.backend().update_differences(args);
            };
          }};
}

}  // namespace

std::vector<OperationCase> kept_cases() {
  std::vector<OperationCase> cases;
  for (const DType dtype : {DType::kBF16, DType::kF8}) {
    for (const Shape shape : {Shape{1, 1, 1}, {2, 13, 37}, {2, 40, 1152}}) {
      cases.push_back(convert_case(shape, DType::kF32, dtype));
      cases.push_back(convert_case(shape, dtype, DType::kF32));
      cases.push_back(residual_case(shape, dtype));
      cases.push_back(layer_norm_case(shape, dtype));
      cases.push_back(gather_case(shape, (shape[1] + 2) / 3, dtype));
      cases.push_back(scatter_case(shape, (shape[1] + 2) / 3, dtype));
      cases.push_back(similarity_case(shape, dtype));
      for (const int count : {1, 2, kMaxDifferenceOrders + 1}) {
        cases.push_back(weighted_sum_case(count, shape, dtype));
        cases.push_back(update_differences_case(count, shape, dtype));
      }
    }
  }
  cases.push_back(convert_case({2, 13, 37}, DType::kBF16, DType::kF8));
  cases.push_back(convert_case({2, 13, 37}, DType::kF8, DType::kBF16));
  return cases;
}

}  // namespace engine::operation_table
