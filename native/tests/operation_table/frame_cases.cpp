// Group norm and the layouts of the VAE's frames.
#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

struct FrameSizes {
  int64_t frames, height, width, channels;
  Shape shape(int64_t count) const { return {count, height, width, channels}; }
};

// `offset` moves the mean away from zero, in units of the deviation.
OperationCase group_norm_case(FrameSizes sizes, int64_t groups, int64_t together, bool silu,
                              float offset, DType dtype = DType::kF32) {
  std::string name =
      case_name("group_norm",
                {sizes.frames, sizes.height, sizes.width, sizes.channels, groups, together}, dtype);
  name += silu ? "_silu" : "";
  name += offset > 0.0f ? "_far_mean" : "";
  const double tolerance = offset > 0.0f ? 1e-3 : tolerance_of(dtype);
  return {name, sizes.frames / together, tolerance, [=] {
            Tensor values(sizes.shape(sizes.frames), dtype);
            const Source draws = normal(values.shape(), 1);
            for (int64_t i = 0; i < values.elements(); ++i) {
              const float value = draws->f32()[i] + offset;
              if (dtype == DType::kBF16) {
                values.view().bf16()[i] = bf16_from_float(value);
              } else {
                values.f32()[i] = value;
              }
            }
            const auto input = std::make_shared<const Tensor>(std::move(values));
            const Source weight = normal({sizes.channels}, 2), bias = normal({sizes.channels}, 3);
            return [=](Workbench& bench, Rows rows) {
              const Rows frames{rows.first * together, rows.count * together};
              bench.backend().group_norm({.input = bench.in(input, frames),
                                          .weight = bench.in(weight),
                                          .bias = bench.in(bias),
                                          .groups = groups,
                                          .frames_per_norm = together,
                                          .silu = silu,
                                          .output = bench.out(sizes.shape(frames.count), dtype)});
            };
          }};
}

OperationCase to_time_case(FrameSizes sizes, DType dtype) {
  return {case_name("channels_to_time", {sizes.frames, sizes.height, sizes.width, sizes.channels},
                    dtype),
          sizes.frames, 0.0, [=] {
            const Source input = normal(sizes.shape(sizes.frames), 1, dtype);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().channels_to_time(
                  {.input = bench.in(input, rows),
                   .output = bench.out(
                       {2 * rows.count, sizes.height, sizes.width, sizes.channels / 2}, dtype)});
            };
          }};
}

OperationCase last_case(FrameSizes sizes, bool scaled) {
  std::string name =
      case_name("channels_last", {sizes.frames, sizes.height, sizes.width, sizes.channels});
  name += scaled ? "_scaled" : "";
  return {
      name, 1, 0.0, [=] {
        const Source input = normal({sizes.channels, sizes.frames, sizes.height, sizes.width}, 1);
        const Source scale = normal({sizes.channels}, 2), shift = normal({sizes.channels}, 3);
        return [=](Workbench& bench, Rows) {
          bench.backend().channels_last(
              {.input = bench.in(input),
               .scale = scaled ? bench.in(scale).f32() : nullptr,
               .shift = scaled ? bench.in(shift).f32() : nullptr,
               .output = bench.out(sizes.shape(sizes.frames), DType::kF32)});
        };
      }};
}

OperationCase first_case(FrameSizes sizes) {
  return {case_name("channels_first", {sizes.frames, sizes.height, sizes.width, sizes.channels}), 1,
          0.0, [=] {
            const Source input = normal(sizes.shape(sizes.frames), 1);
            return [=](Workbench& bench, Rows) {
              bench.backend().channels_first(
                  {.input = bench.in(input),
                   .output = bench.out({sizes.channels, sizes.frames, sizes.height, sizes.width},
                                       DType::kF32)});
            };
          }};
}

OperationCase rgb_case(FrameSizes sizes) {
  return {case_name("frames_to_rgb8", {sizes.frames, sizes.height, sizes.width}), sizes.frames, 0.0,
          [=] {
            const Source input = normal(sizes.shape(sizes.frames), 1);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().frames_to_rgb8(
                  {.input = bench.in(input, rows),
                   .output = bench.out(sizes.shape(rows.count), DType::kU8)});
            };
          }};
}

}  // namespace

std::vector<OperationCase> frame_cases() {
  std::vector<OperationCase> cases;
  cases.push_back(group_norm_case({1, 1, 1, 4}, 2, 1, false, 0.0f));
  cases.push_back(group_norm_case({4, 7, 9, 12}, 4, 2, true, 0.0f));
  cases.push_back(group_norm_case({2, 15, 27, 128}, 32, 1, true, 0.0f));
  cases.push_back(group_norm_case({2, 15, 27, 128}, 32, 1, true, 0.0f, DType::kBF16));
  cases.push_back(group_norm_case({4, 7, 9, 12}, 4, 2, false, 0.0f, DType::kBF16));
  cases.push_back(group_norm_case({2, 40, 53, 96}, 32, 2, false, 0.0f));
  cases.push_back(group_norm_case({2, 40, 53, 24}, 8, 1, false, 1000.0f));
  for (const FrameSizes sizes : {FrameSizes{1, 1, 1, 2}, {3, 5, 7, 10}, {2, 15, 27, 128}}) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      cases.push_back(to_time_case(sizes, dtype));
    }
    cases.push_back(last_case(sizes, false));
    cases.push_back(last_case(sizes, true));
    cases.push_back(first_case(sizes));
  }
  cases.push_back(rgb_case({2, 5, 7, 3}));
  cases.push_back(rgb_case({3, 120, 212, 3}));
  return cases;
}

}  // namespace engine::operation_table
