#include "samplers/dpm_solver.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "engine/error.h"
#include "samplers/diffusion_schedule.h"

namespace engine {

namespace {

// The last step is of first order below so many.
constexpr int kFewSteps = 10;
constexpr double kLastTime = 1.0 / kTrainedTimesteps;

// ½ Σ ln(1 - beta): the logarithm of alpha at t = 1/1000, 2/1000, .., 1.
std::vector<double> log_alphas() {
  std::vector<double> logs;
  double sum = 0;
  for (const double beta : linear_betas()) logs.push_back(sum += 0.5 * std::log1p(-beta));
  return logs;
}

// `steps` + 1 times from 1 to 0.001, in float32 from the nearer end, as the published code spaces
// them: rounded otherwise, the model would be asked a little beside the reference.
std::vector<double> even_times(int steps) {
  const float first = 1.0f, last = static_cast<float>(kLastTime);
  const float stride = (last - first) / static_cast<float>(steps);
  std::vector<double> times;
  for (int i = 0; i <= steps; ++i) {
    const bool upper = i < (steps + 1) / 2;
    times.push_back(
        static_cast<double>(upper ? std::fma(stride, static_cast<float>(i), first)
                                  : std::fma(-stride, static_cast<float>(steps - i), last)));
  }
  return times;
}

// The model counts from the first trained timestep.
float asked_time(double time) {
  return (static_cast<float>(time) - static_cast<float>(kLastTime)) *
         static_cast<float>(kTrainedTimesteps);
}

int checked(int steps) {
  if (steps >= 1 && steps <= kTrainedTimesteps) return steps;
  throw Error(ErrorCode::kInvalidArgument, "DPM-Solver++ takes 1 to " +
                                               std::to_string(kTrainedTimesteps) + " steps, not " +
                                               std::to_string(steps));
}

}  // namespace

std::vector<float> dpm_solver_timesteps(int steps) {
  std::vector<float> asked;
  for (const double time : even_times(checked(steps))) asked.push_back(asked_time(time));
  asked.pop_back();  // where the last step ends
  return asked;
}

DpmSolver::DpmSolver(Backend& backend, int steps, const Guidance& guidance,
                     const Shape& latent_shape)
    : backend_(backend), guidance_(guidance) {
  const std::vector<double> logs = log_alphas();
  for (const double time : even_times(checked(steps))) levels_.push_back(level_at(time, logs));
  noise_ = backend.allocate(latent_shape, DType::kF32);
  for (Tensor& each : predicted_) each = backend.allocate(latent_shape, DType::kF32);
}

// ln alpha is linear between the trained timesteps.
DpmSolver::Level DpmSolver::level_at(double time, const std::vector<double>& log_alphas) {
  const double place = std::clamp(time * kTrainedTimesteps - 1, 0.0, kTrainedTimesteps - 1.0);
  const auto below = std::min(static_cast<size_t>(place), log_alphas.size() - 2);
  const double share = place - static_cast<double>(below);
  const double log_alpha = log_alphas[below] + share * (log_alphas[below + 1] - log_alphas[below]);
  const double sigma = std::sqrt(-std::expm1(2 * log_alpha));
  return {.time = time,
          .alpha = std::exp(log_alpha),
          .sigma = sigma,
          .log_ratio = log_alpha - std::log(sigma)};
}

float DpmSolver::timestep(int step) const {
  check(step >= 0 && step < steps(), "step outside of the sampler's range");
  return asked_time(levels_[static_cast<size_t>(step)].time);
}

ConstTensorView DpmSolver::history() const {
  return has_history_ ? ConstTensorView(predicted_[0]) : ConstTensorView();
}

void DpmSolver::restore(ConstTensorView history) {
  check(!history.empty() && history.shape() == predicted_[0].shape(),
        "DPM-Solver++ is taken up with the picture predicted at the last step");
  const Tensor host(history.shape(), DType::kF32);
  backend_.download(history, host);
  backend_.upload(host, predicted_[0]);
  has_history_ = true;
}

bool DpmSolver::first_order(int step) const {
  return step == 0 || (step + 1 == steps() && steps() < kFewSteps);
}

void DpmSolver::step(int step, TensorView latent, const NoiseModel& model, const NoiseSource&) {
  const float time = timestep(step);
  const Level& from = levels_[static_cast<size_t>(step)];
  const Level& to = levels_[static_cast<size_t>(step) + 1];
  backend_.guided_noise({.model_out = model({.step = step, .timestep = time, .latent = latent}),
                         .guidance = static_cast<float>(guidance_.scale),
                         .guided_channels = guidance_.channels,
                         .noise = noise_});
  std::swap(predicted_[0], predicted_[1]);
  WeightedSumArgs picture;  // x0 = (x - sigma e) / alpha
  picture.terms[0] = {static_cast<float>(1 / from.alpha), latent};
  picture.terms[1] = {static_cast<float>(-from.sigma / from.alpha), noise_};
  picture.count = 2;
  picture.output = predicted_[0];
  backend_.weighted_sum(picture);

  // x' = sigma'/sigma x - alpha' (e^-h - 1) (x0 + (x0 - x0 before) / 2r), r = h before / h.
  const double h = to.log_ratio - from.log_ratio;
  const double weight = -to.alpha * std::expm1(-h);
  WeightedSumArgs update;
  update.terms[0] = {static_cast<float>(to.sigma / from.sigma), latent};
  update.output = latent;
  if (first_order(step)) {
    update.terms[1] = {static_cast<float>(weight), predicted_[0]};
    update.count = 2;
  } else {
    check(has_history_, "a step of second order needs the picture of the one before");
    const Level& before = levels_[static_cast<size_t>(step) - 1];
    const double half = 0.5 * h / (from.log_ratio - before.log_ratio);
    update.terms[1] = {static_cast<float>(weight * (1 + half)), predicted_[0]};
    update.terms[2] = {static_cast<float>(-weight * half), predicted_[1]};
    update.count = 3;
  }
  backend_.weighted_sum(update);
  has_history_ = true;
}

}  // namespace engine
