// Checks of the operations that change a latent.
#include <algorithm>

#include "backend/shape_rules.h"
#include "backend/shapes.h"

namespace engine {

void check_args(const GuidedEulerArgs& args) {
  const ShapeRules rules("guided_euler");
  rules.rank("latent", args.latent, 5);
  rules.rank("model_out", args.model_out, 5);
  const Shape latent = args.latent.shape();
  rules.require(args.model_out.dim(1) >= latent[1], "the model has too few output channels");
  rules.tensor("latent", args.latent, latent, Types::kF32);
  rules.tensor("model_out", args.model_out,
               {2 * latent[0], args.model_out.dim(1), latent[2], latent[3], latent[4]},
               Types::kF32);
  rules.optional("update_frame", args.update_frame, {latent[0], latent[2]}, Types::kU8);
}

void check_args(const RenoiseFramesArgs& args) {
  const ShapeRules rules("renoise_frames");
  rules.rank("latent", args.latent, 5);
  rules.tensor("latent", args.latent, args.latent.shape(), Types::kF32);
  rules.tensor("noise", args.noise, args.latent.shape(), Types::kF32);
  rules.tensor("frame", args.frame, {args.latent.dim(0), args.latent.dim(2)}, Types::kU8);
}

void check_args(const GuidedNoiseArgs& args) {
  const ShapeRules rules("guided_noise");
  rules.rank("noise", args.noise, 5);
  rules.rank("model_out", args.model_out, 5);
  const Shape noise = args.noise.shape();
  rules.require(args.model_out.dim(1) >= noise[1], "the model has too few output channels");
  rules.require(args.guided_channels >= 0 && args.guided_channels <= noise[1],
                "guided_channels must be from 0 to the latent's channels");
  rules.tensor("noise", args.noise, noise, Types::kF32);
  rules.tensor("model_out", args.model_out,
               {2 * noise[0], args.model_out.dim(1), noise[2], noise[3], noise[4]}, Types::kF32);
}

void check_args(const WeightedSumArgs& args) {
  const ShapeRules rules("weighted_sum");
  rules.require(args.count >= 1 && args.count <= kMaxWeightedTerms, "one to six terms");
  rules.tensor("output", args.output, args.output.shape(), Types::kF32);
  for (int i = 0; i < args.count; ++i) {
    rules.tensor("term", args.terms[static_cast<size_t>(i)].tensor, args.output.shape(),
                 Types::kKept);
  }
}

void check_args(const LearnedVarianceNoiseArgs& args) {
  const ShapeRules rules("learned_variance_noise");
  rules.rank("latent", args.latent, 5);
  const Shape latent = args.latent.shape();
  rules.tensor("latent", args.latent, latent, Types::kF32);
  rules.tensor("noise", args.noise, latent, Types::kF32);
  rules.tensor("model_out", args.model_out,
               {2 * latent[0], 2 * latent[1], latent[2], latent[3], latent[4]}, Types::kF32);
}

void check_args(const LowPassArgs& args) {
  const ShapeRules rules("low_pass");
  rules.rank("input", args.input, 3);
  const Shape planes = args.input.shape();
  rules.require(args.radius >= 0 && 2 * args.radius < std::min(planes[1], planes[2]),
                "the radius must be from 0 to less than half of height and width");
  rules.tensor("input", args.input, planes, Types::kF32);
  rules.tensor("output", args.output, planes, Types::kF32);
  rules.require(args.output.data() != args.input.data(), "the output must not be the input");
}

}  // namespace engine
