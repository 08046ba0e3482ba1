// Self-attention, cross-attention and biased attention.
#include <cmath>

#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

struct SelfSizes {
  int64_t batch, frames, tokens, heads, width;
};

float scale_of(int64_t width) {
  return 1.0f / std::sqrt(static_cast<float>(width));
}

OperationCase self_case(AttentionAxis axis, SelfSizes sizes, bool norm, bool rope, DType dtype) {
  const bool temporal = axis == AttentionAxis::kTemporal;
  std::string name =
      case_name(temporal ? "self_attention_temporal" : "self_attention_spatial",
                {sizes.batch, sizes.frames, sizes.tokens, sizes.heads, sizes.width}, dtype);
  name += norm ? "_norm" : "";
  name += rope ? "_rope" : "";
  return {
      name, sizes.batch, tolerance_of(dtype), [=] {
        const Source qkv = normal(
            {sizes.batch, sizes.frames, sizes.tokens, 3, sizes.heads, sizes.width}, 1, dtype);
        const Source q_norm = normal({sizes.width}, 2), k_norm = normal({sizes.width}, 3);
        const int64_t positions = temporal ? sizes.frames : sizes.tokens;
        const Source cosines = normal({positions, sizes.width / 2}, 4);
        const Source sines = normal({positions, sizes.width / 2}, 5);
        return [=](Workbench& bench, Rows rows) {
          const auto given = [&](bool wanted, const Source& source) {
            return wanted ? bench.in(source) : ConstTensorView();
          };
          bench.backend().self_attention(
              {.qkv = bench.in(qkv, rows),
               .axis = axis,
               .q_norm = given(norm, q_norm),
               .k_norm = given(norm, k_norm),
               .rope_cos = given(rope, cosines),
               .rope_sin = given(rope, sines),
               .scale = scale_of(sizes.width),
               .output = bench.out(
                   {rows.count, sizes.frames, sizes.tokens, sizes.heads * sizes.width}, dtype)});
        };
      }};
}

// Self-attention that also sums the columns of its maps.
OperationCase column_case(SelfSizes sizes, bool norm, DType dtype,
                          AttentionAxis axis = AttentionAxis::kSpatial) {
  std::string name =
      case_name("self_attention_columns",
                {sizes.batch, sizes.frames, sizes.tokens, sizes.heads, sizes.width}, dtype);
  name += norm ? "_norm" : "";
  name += axis == AttentionAxis::kTemporal ? "_temporal" : "";
  return {name, sizes.batch, tolerance_of(dtype), [=] {
            const Source qkv = normal(
                {sizes.batch, sizes.frames, sizes.tokens, 3, sizes.heads, sizes.width}, 1, dtype);
            const Source q_norm = normal({sizes.width}, 2), k_norm = normal({sizes.width}, 3);
            return [=](Workbench& bench, Rows rows) {
              SelfAttentionArgs args;
              args.qkv = bench.in(qkv, rows);
              args.axis = axis;
              if (norm) {
                args.q_norm = bench.in(q_norm);
                args.k_norm = bench.in(k_norm);
              }
              args.scale = scale_of(sizes.width);
              args.output = bench.out(
                  {rows.count, sizes.frames, sizes.tokens, sizes.heads * sizes.width}, dtype);
              args.column_sums = bench.out({rows.count, sizes.frames, sizes.tokens}, DType::kF32);
              bench.backend().self_attention(args);
            };
          }};
}

struct CrossSizes {
  int64_t tokens, computed, heads, width;
  std::vector<int32_t> text_lengths;  // one a batch row
};

// Batch rows are the independent rows; with computed < tokens they are chosen by indices.
OperationCase cross_case(CrossSizes sizes, DType dtype) {
  const auto batch = static_cast<int64_t>(sizes.text_lengths.size());
  const std::string name = case_name(
      "cross_attention", {batch, sizes.tokens, sizes.computed, sizes.heads, sizes.width}, dtype);
  return {
      name, batch, tolerance_of(dtype), [=] {
        std::vector<int32_t> offsets{0};
        for (const int32_t length : sizes.text_lengths) {
          offsets.push_back(offsets.back() + length);
        }
        const Source query = normal({batch, sizes.computed, sizes.heads, sizes.width}, 1, dtype);
        const Source text = normal({offsets.back(), 2, sizes.heads, sizes.width}, 2, dtype);
        const Source entropy = normal({batch, sizes.tokens}, 3);
        const Source indices = distinct(batch, sizes.computed, sizes.tokens, 4);
        return [=](Workbench& bench, Rows rows) {
          const auto first = static_cast<size_t>(rows.first);
          std::vector<int32_t> own(
              offsets.begin() + static_cast<ptrdiff_t>(rows.first),
              offsets.begin() + static_cast<ptrdiff_t>(rows.first + rows.count + 1));
          for (int32_t& offset : own) offset -= offsets[first];
          const bool all = sizes.computed == sizes.tokens;
          bench.backend().cross_attention(
              {.query = bench.in(query, rows),
               .key_value = bench.in(text, {offsets[first], own.back()}),
               .text_offsets = own,
               .scale = scale_of(sizes.width),
               .output = bench.out({rows.count, sizes.computed, sizes.heads * sizes.width}, dtype),
               .half_entropy = bench.inout(entropy, rows),
               .indices = all ? ConstTensorView() : bench.in(indices, rows)});
          bench.backend().synchronize();
        };
      }};
}

// One batch row; its queries are the independent rows.
OperationCase query_case(int64_t queries, int64_t heads, int64_t width, int32_t text_length,
                         DType dtype) {
  const std::string name =
      case_name("cross_attention_queries", {queries, heads, width, text_length}, dtype);
  return {name, queries, tolerance_of(dtype), [=] {
            const Source query = normal({queries, heads, width}, 1, dtype);
            const Source text = normal({text_length, 2, heads, width}, 2, dtype);
            return [=](Workbench& bench, Rows rows) {
              const std::array<int32_t, 2> offsets{0, text_length};
              bench.backend().cross_attention(
                  {.query = bench.in(query, rows).reshaped({1, rows.count, heads, width}),
                   .key_value = bench.in(text),
                   .text_offsets = offsets,
                   .scale = scale_of(width),
                   .output = bench.out({1, rows.count, heads * width}, dtype),
                   .half_entropy = bench.out({1, rows.count}, DType::kF32),
                   .indices = {}});
              bench.backend().synchronize();
            };
          }};
}

struct BiasedSizes {
  int64_t batch, length, heads, width;
};

OperationCase biased_case(BiasedSizes sizes, bool bias, bool mask, DType dtype = DType::kF32) {
  std::string name =
      case_name("biased_attention", {sizes.batch, sizes.length, sizes.heads, sizes.width}, dtype);
  name += bias ? "_bias" : "";
  name += mask ? "_mask" : "";
  return {
      name, sizes.batch, tolerance_of(dtype), [=] {
        const Shape shape{sizes.batch, sizes.length, sizes.heads, sizes.width};
        const Source query = normal(shape, 1, dtype), key = normal(shape, 2, dtype);
        const Source value = normal(shape, 3, dtype);
        const Source biases = normal({sizes.heads, sizes.length, sizes.length}, 4);
        const Source masks = integers({sizes.batch, sizes.length}, 5, 2, DType::kU8);
        return [=](Workbench& bench, Rows rows) {
          bench.backend().biased_attention(
              {.query = bench.in(query, rows),
               .key = bench.in(key, rows),
               .value = bench.in(value, rows),
               .bias = bias ? bench.in(biases) : ConstTensorView(),
               .key_mask = mask ? bench.in(masks, rows) : ConstTensorView(),
               .scale = scale_of(sizes.width),
               .output = bench.out({rows.count, sizes.length, sizes.heads * sizes.width}, dtype)});
        };
      }};
}

}  // namespace

std::vector<OperationCase> attention_cases() {
  constexpr auto kSpatial = AttentionAxis::kSpatial, kTemporal = AttentionAxis::kTemporal;
  std::vector<OperationCase> cases;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    cases.push_back(self_case(kSpatial, {1, 1, 1, 1, 1}, false, false, dtype));
    cases.push_back(self_case(kSpatial, {2, 3, 21, 3, 6}, true, false, dtype));
    cases.push_back(self_case(kSpatial, {2, 1, 405, 2, 72}, true, false, dtype));
    cases.push_back(self_case(kSpatial, {2, 2, 30, 4, 36}, false, true, dtype));
    cases.push_back(self_case(kTemporal, {2, 5, 7, 3, 6}, true, true, dtype));
    cases.push_back(self_case(kTemporal, {1, 5, 405, 16, 72}, true, true, dtype));
    cases.push_back(self_case(kTemporal, {2, 1, 9, 2, 8}, true, true, dtype));
    cases.push_back(column_case({1, 1, 1, 1, 1}, false, dtype));
    cases.push_back(column_case({2, 3, 21, 3, 6}, true, dtype));
    cases.push_back(column_case({2, 1, 64, 2, 72}, false, dtype));
    cases.push_back(column_case({2, 1, 405, 2, 72}, true, dtype));
    cases.push_back(column_case({2, 15, 37, 3, 72}, true, dtype, AttentionAxis::kTemporal));
    cases.push_back(cross_case({11, 11, 3, 6, {5, 1, 8}}, dtype));
    cases.push_back(cross_case({64, 13, 4, 36, {77, 20}}, dtype));
    cases.push_back(cross_case({300, 60, 16, 72, {40, 40}}, dtype));
    cases.push_back(query_case(37, 16, 72, 50, dtype));
  }
  cases.push_back(biased_case({1, 1, 1, 1}, true, false));
  cases.push_back(biased_case({2, 17, 3, 8}, true, true));
  cases.push_back(biased_case({1, 120, 4, 64}, true, true));
  cases.push_back(biased_case({2, 60, 1, 128}, false, false));
  cases.push_back(biased_case({2, 60, 1, 128}, false, false, DType::kBF16));
  return cases;
}

}  // namespace engine::operation_table
