// Denoising taken up again, on the tiny random model: for every policy, from every one of its
// refresh points, the latent has the bits of a render that was never interrupted. The second half
// runs on another number of threads, in memory that another clip has used.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/philox.h"
#include "pipeline/device.h"
#include "pipeline/families.h"
#include "pipeline/plan.h"
#include "pipeline/stdit3_clip.h"
#include "samplers/noise.h"

namespace engine {
namespace {

constexpr uint64_t kSeed = 5;
constexpr int64_t kPromptTokens = 3;

RenderRequest tiny_request(const PolicySpec& policy) {
  RenderRequest request;
  request.frames = 17;
  request.height = 32;
  request.width = 40;
  request.steps = 14;
  request.seed = kSeed;
  request.policy = policy;
  return request;
}

struct Machine {
  explicit Machine(int threads)
      : backend(open_device("cpu", threads)),
        weights(load_stdit3(std::string(TOCAFARM_TEST_DATA) + "/models/stdit3-tiny", *backend,
                            DType::kF32)) {}

  Tensor caption_mask() const {
    Tensor mask({1, weights.config.model_max_length}, DType::kI32);
    for (int64_t i = 0; i < mask.elements(); ++i) mask.view().i32()[i] = i < kPromptTokens;
    return mask;
  }

  Caption caption(uint64_t seed) const {
    const STDiT3Config& config = weights.config;
    Caption caption{
        .embedding = Tensor({1, config.model_max_length, config.caption_channels}, DType::kF32),
        .mask = caption_mask()};
    const auto values = static_cast<size_t>(caption.embedding.elements());
    fill_normal({caption.embedding.f32(), values}, seed, 0);
    return caption;
  }

  Tensor noise(const RenderRequest& request) const {
    const LatentSize size = latent_size(request);
    Tensor latent({1, weights.config.in_channels, size.frames, size.height, size.width},
                  DType::kF32);
    fill_initial_latent(latent, request.seed);
    return latent;
  }

  using BetweenSteps = std::function<void(int, const LatentState&)>;
  Tensor run(const RenderRequest& request, int first_step, ConstTensorView from,
             const BetweenSteps& between_steps = {}) const {
    const Conditions conditioned{.caption = caption(request.seed), .unconditional = {}};
    const Tensor latent = denoise(*backend, weights,
                                  {.request = &request,
                                   .conditions = &conditioned,
                                   .first_step = first_step,
                                   .initial_latent = from,
                                   .initial_history = {},
                                   .cancelled = {},
                                   .on_step = {},
                                   .between_steps = between_steps});
    return host_copy(latent);
  }

  Tensor host_copy(ConstTensorView latent) const {
    Tensor host(latent.shape(), DType::kF32);
    backend->download(latent, host);
    return host;
  }

  std::unique_ptr<Backend> backend;
  STDiT3Weights weights;
};

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.bytes() == b.bytes() && std::memcmp(a.f32(), b.f32(), a.bytes()) == 0;
}

class LatentResumeTest : public testing::Test {
 protected:
  // Renders the request, then the rest of it from every step that turned out to be a refresh point;
  // returns these.
  std::vector<int> resume_everywhere(const RenderRequest& request) {
    std::vector<Tensor> latents;
    std::vector<int> points;
    const auto keep = [&](int step, const LatentState& at) {
      ASSERT_EQ(step, static_cast<int>(latents.size()));
      latents.push_back(one_.host_copy(at.latent));
      if (at.refresh_point) points.push_back(step);
    };
    const Tensor whole = one_.run(request, 0, one_.noise(request), keep);
    EXPECT_TRUE(same_bits(whole, latents.back()));
    EXPECT_EQ(points.back(), static_cast<int>(latents.size()) - 1);  // the end
    points.pop_back();
    RenderRequest other = tiny_request({"toca", {{"fresh_ratio", "0.4"}}});
    other.seed = kSeed + 1;
    for (const int step : points) {
      two_.run(other, 12, two_.noise(other));
      const Tensor resumed = two_.run(request, step, latents.at(static_cast<size_t>(step)));
      EXPECT_TRUE(same_bits(resumed, whole)) << "from step " << step;
    }
    return points;
  }

  Machine one_{1}, two_{2};
};

class LatentResumeOfPolicyTest : public LatentResumeTest,
                                 public testing::WithParamInterface<PolicySpec> {};

TEST_P(LatentResumeOfPolicyTest, EveryRefreshPointGivesTheBitsOfAnUninterruptedRender) {
  const RenderRequest request = tiny_request(GetParam());
  const Plan plan = make_plan(*make_stdit3_family(one_.weights.config), request, DType::kF32, {});
  const std::vector<int> planned = refresh_points(plan), found = resume_everywhere(request);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0], 0);
  if (!plan.dynamic || planned.size() == 1) {
    EXPECT_EQ(found, planned);
    return;
  }
  // Some steps of each kind, or nothing was tried.
  EXPECT_GT(found.size(), 1u);
  EXPECT_LT(found.size(), plan.steps.size());
  EXPECT_TRUE(std::includes(planned.begin(), planned.end(), found.begin(), found.end()));
}

TEST_P(LatentResumeOfPolicyTest, OneBitOfTheLatentIsNotForgotten) {
  const RenderRequest request = tiny_request(GetParam());
  const Tensor noise = one_.noise(request);
  const Tensor whole = one_.run(request, 0, noise);
  uint32_t bits = 0;
  std::memcpy(&bits, noise.f32(), sizeof(bits));
  bits ^= 1;
  std::memcpy(noise.f32(), &bits, sizeof(bits));
  EXPECT_FALSE(same_bits(one_.run(request, 0, noise), whole));
}

std::vector<PolicySpec> all_policies() {
  return {{"none", {}},
          {"steps", {}},
          {"steps", {{"ratio", "0.37"}}},
          {"fora", {}},
          {"fora", {{"interval", "5"}, {"warm", "0"}}},
          {"fora", {{"cross_attention", "false"}}},
          {"toca", {}},
          {"toca", {{"interval", "4"}, {"cross_interval", "8"}, {"warm", "0"}}},
          {"toca", {{"schedule", "constant"}, {"fresh_ratio", "0.3"}}},
          {"toca", {{"schedule", "linear"}, {"score", "norm"}}},
          {"toca", {{"schedule", "exp"}, {"score", "similarity"}}},
          {"toca", {{"schedule", "layerwise"}, {"fidelity", "upstream"}}},
          {"toca", {{"spatial_interval", "2"}, {"mlp_interval", "5"}, {"cross_interval", "1"}}},
          {"toca-shared", {}},
          {"toca-shared", {{"fold", "trunk"}, {"interval", "2"}, {"cross_interval", "4"}}},
          {"pab", {}},
          {"duca", {}},
          {"taylorseer", {}},
          {"taylorseer", {{"order", "0"}}},
          {"taylorseer_lite", {{"order", "2"}}},
          {"taylorseer_lite", {{"order", "0"}}},
          {"speca", {}},
          {"clusca", {}},
          {"magcache+clusca", {{"delta", "0.5"}}},
          {"mask", {{"compute", "0,1,5-7,11"}}},
          {"module_mask", {{"refresh", "all=0,1,5-7,11;temporal.mlp@1=0,5-13"}}},
          {"mask+module_mask", {{"compute", "0,1,5-7,11"}, {"refresh", "mlp=0,4,8"}}},
          {"magcache", {{"delta", "0.5"}}},
          {"magcache+toca", {{"delta", "0.5"}}},
          {"taylorseer_lite+fora", {{"order", "0"}, {"fora.interval", "5"}}},
          {"teacache", {{"delta", "0.4"}, {"polynomial", "1,0"}}},
          {"teacache+toca", {{"delta", "0.4"}, {"polynomial", "1,0"}}},
          {"adacache", {}},
          {"easycache", {}},
          {"fbcache", {{"threshold", "0.2"}}},
          {"fbcache+toca", {{"threshold", "0.2"}}},
          {"dbcache", {{"max_skips", "2"}, {"warm", "2"}, {"threshold", "10"}}},
          {"delta_dit", {}},
          {"delta_dit+fora", {{"delta_dit.interval", "3"}, {"layers", "1"}}},
          {"tgate", {}},
          {"tgate", {{"gate", "7"}, {"self_interval", "3"}}},
          {"fastercache", {}},
          {"fastercache", {{"from", "2"}, {"interval", "3"}}},
          {"toca", {{"cache_dtype", "bf16"}}},
          {"fora", {{"cache_dtype", "fp8"}}},
          {"duca", {{"cache_dtype", "fp8"}, {"score", "similarity"}}},
          {"taylorseer", {{"cache_dtype", "fp8"}}}};
}

INSTANTIATE_TEST_SUITE_P(Policies, LatentResumeOfPolicyTest, testing::ValuesIn(all_policies()),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char each) { return each == '+' || each == '-'; }, '_');
                           return name + std::to_string(info.index);
                         });

TEST(LatentResume, TheListHoldsEveryPolicy) {
  for (const std::string& name : policy_names()) {
    const auto policies = all_policies();
    EXPECT_TRUE(std::any_of(policies.begin(), policies.end(), [&](const PolicySpec& spec) {
      return spec.name == name;
    })) << name;
  }
}

TEST_F(LatentResumeTest, TocaAtOfficialPeriodsIsResumedFromSevenSteps) {
  RenderRequest request = tiny_request({"toca", {}});
  request.steps = 30;
  const Plan plan = make_plan(*make_stdit3_family(one_.weights.config), request, DType::kF32, {});
  const std::vector<int> points{0, 1, 2, 6, 12, 18, 24};
  EXPECT_EQ(refresh_points(plan), points);
  EXPECT_EQ(resume_everywhere(request), points);
}

}  // namespace
}  // namespace engine
