// Updates of a latent: what samplers are made of.
#include "tests/operation_table/workbench.h"

namespace engine::operation_table {

namespace {

OperationCase euler_case(bool mask) {
  return {std::string("guided_euler_2x4x3x9x11") + (mask ? "_mask" : ""), 1, 0.0, [=] {
            const Source latent = normal({2, 4, 3, 9, 11}, 1);
            const Source model_out = normal({4, 8, 3, 9, 11}, 2);
            const Source frames = integers({2, 3}, 3, 2, DType::kU8);
            return [=](Workbench& bench, Rows) {
              bench.backend().guided_euler(
                  {.latent = bench.inout(latent),
                   .model_out = bench.in(model_out),
                   .guidance = 7.0f,
                   .delta = 0.033f,
                   .update_frame = mask ? bench.in(frames) : ConstTensorView()});
            };
          }};
}

OperationCase renoise_case() {
  return {"renoise_frames_2x4x3x9x11", 2, 0.0, [] {
            const Source latent = normal({2, 4, 3, 9, 11}, 1), noise = normal({2, 4, 3, 9, 11}, 2);
            const Source frames = integers({2, 3}, 3, 2, DType::kU8);
            return [=](Workbench& bench, Rows rows) {
              bench.backend().renoise_frames({.latent = bench.inout(latent, rows),
                                              .noise = bench.in(noise, rows),
                                              .frame = bench.in(frames, rows),
                                              .t = 0.37f});
            };
          }};
}

OperationCase guided_noise_case(int64_t guided_channels) {
  return {"guided_noise_2x4x1x9x11_" + std::to_string(guided_channels) + "_channels", 1, 0.0, [=] {
            const Source model_out = normal({4, 8, 1, 9, 11}, 1);
            return [=](Workbench& bench, Rows) {
              bench.backend().guided_noise({.model_out = bench.in(model_out),
                                            .guidance = 4.5f,
                                            .guided_channels = guided_channels,
                                            .noise = bench.out({2, 4, 1, 9, 11}, DType::kF32)});
            };
          }};
}

// The last term is also the output.
OperationCase weighted_sum_case(int count, int64_t rows) {
  return {case_name("weighted_sum", {count, rows, 1000}), rows, 0.0, [=] {
            std::vector<Source> sources;
            for (int i = 0; i < count; ++i) {
              sources.push_back(normal({rows, 1000}, static_cast<uint64_t>(i + 1)));
            }
            return [=](Workbench& bench, Rows part) {
              WeightedSumArgs args;
              args.count = count;
              args.output = bench.inout(sources.back(), part);
              for (size_t i = 0; i < sources.size(); ++i) {
                const bool last = i + 1 == sources.size();
                args.terms[i].weight = 0.7f - 0.9f * static_cast<float>(i);
                args.terms[i].tensor =
                    last ? ConstTensorView(args.output) : bench.in(sources[i], part);
              }
              bench.backend().weighted_sum(args);
            };
          }};
}

OperationCase variance_noise_case() {
  return {"learned_variance_noise_2x4x1x9x11", 1, tolerance_of(DType::kF32), [] {
            const Source latent = normal({2, 4, 1, 9, 11}, 1), noise = normal({2, 4, 1, 9, 11}, 2);
            const Source model_out = normal({4, 8, 1, 9, 11}, 3);
            return [=](Workbench& bench, Rows) {
              bench.backend().learned_variance_noise({.latent = bench.inout(latent),
                                                      .model_out = bench.in(model_out),
                                                      .noise = bench.in(noise),
                                                      .log_variance_min = -9.2f,
                                                      .log_variance_max = -3.9f});
            };
          }};
}

OperationCase low_pass_case(int64_t planes, int64_t height, int64_t width, int64_t radius) {
  const std::string name = case_name("low_pass", {planes, height, width, radius});
  return {
      name, planes, tolerance_of(DType::kF32), [=] {
        const Source input = normal({planes, height, width}, 1);
        return [=](Workbench& bench, Rows part) {
          bench.backend().low_pass({.input = bench.in(input, part),
                                    .radius = radius,
                                    .output = bench.out({part.count, height, width}, DType::kF32)});
        };
      }};
}

}  // namespace

std::vector<OperationCase> sampler_cases() {
  std::vector<OperationCase> cases;
  cases.push_back(euler_case(false));
  cases.push_back(euler_case(true));
  cases.push_back(renoise_case());
  for (const int64_t channels : {0, 3, 4}) cases.push_back(guided_noise_case(channels));
  for (const int count : {1, 2, 3, 4, 5, 6}) cases.push_back(weighted_sum_case(count, 70));
  cases.push_back(variance_noise_case());
  cases.push_back(low_pass_case(2, 1, 1, 0));
  cases.push_back(low_pass_case(1, 1, 7, 0));
  cases.push_back(low_pass_case(3, 5, 4, 1));
  cases.push_back(low_pass_case(2, 9, 11, 4));
  cases.push_back(low_pass_case(5, 30, 53, 6));
  return cases;
}

}  // namespace engine::operation_table
