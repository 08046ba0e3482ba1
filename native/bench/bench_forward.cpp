// One forward of one part of a model, again and again, at the word of another program that takes
// turns with it: bench/peers holds the engine against other libraries on the same weights and
// inputs.
//
//   bench_forward PART FOLDER INPUTS.safetensors [--dtype fp32|bf16] [--threads 0]
//                 [--steps 20] [--policy none] [--option NAME=VALUE]...
//
// PART: stdit3, pixart or dit (policy none, both halves of the guidance), t5, image-vae; or
// pixart-steps: the forwards of a whole render under a caching policy, whose latent goes a straight
// step along each guided prediction. FOLDER holds the part's config.json and weights. On standard
// input every line "run" is answered by the seconds of one forward (pixart-steps: of all), "write
// FILE" by a file with the last one's result as tensor "output", "report" by one line of JSON:
// modules that the last run computed, and all.
#include <array>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "bench/best_of.h"
#include "core/checkpoint.h"
#include "core/json.h"
#include "engine/error.h"
#include "models/dit/model.h"
#include "models/image_vae/model.h"
#include "models/pixart/model.h"
#include "models/stdit3/model.h"
#include "models/t5/model.h"
#include "pipeline/device.h"

namespace engine {
namespace {

constexpr int64_t kPixelsPerLatent = 8;
constexpr float kGuidance = 4.5f;

struct Options {
  std::string part, folder, inputs;
  DType dtype = DType::kF32;
  int threads = 0;
  int steps = 20;
  PolicySpec policy;
};

// A loaded part: each call of `run` is one forward; `output` is the result in host memory.
struct Part {
  std::function<void()> run;
  std::function<Tensor()> output;
  std::function<Json()> report = {};
};

Tensor downloaded(Backend& backend, ConstTensorView device) {
  Tensor host(device.shape(), device.dtype());
  backend.download(device, host);
  return host;
}

Tensor on_device(Backend& backend, ConstTensorView host) {
  Tensor device = backend.allocate(host.shape(), host.dtype());
  backend.upload(host, device);
  return device;
}

std::shared_ptr<Tensor> uploaded(Backend& backend, ConstTensorView host) {
  return std::make_shared<Tensor>(on_device(backend, host));
}

// `forward` gives the prediction of a transformer that owns what it needs.
Part transformer_part(Backend& backend, std::function<ConstTensorView()> forward) {
  auto last = std::make_shared<ConstTensorView>();
  return {.run = [last, forward] { *last = forward(); },
          .output = [last, &backend] { return downloaded(backend, *last); }};
}

Part stdit3_part(Backend& backend, const Options& options, const Checkpoint& inputs) {
  struct Model {
    STDiT3Weights weights;
    std::unique_ptr<CachePolicy> policy;
    STDiT3Text text;
    std::unique_ptr<STDiT3> network;
  };
  auto model = std::make_shared<Model>();
  model->weights = load_stdit3(options.folder, backend, options.dtype);
  const auto latent = uploaded(backend, inputs.get("latent"));
  const STDiT3Shape shape{.latent_frames = latent->dim(2),
                          .latent_height = latent->dim(3),
                          .latent_width = latent->dim(4),
                          .pixel_height = static_cast<double>(kPixelsPerLatent * latent->dim(3)),
                          .pixel_width = static_cast<double>(kPixelsPerLatent * latent->dim(4))};
  const TokenGrid grid = token_grid(model->weights.config, shape.latent_frames, shape.latent_height,
                                    shape.latent_width);
  model->policy =
      make_policy({}, {.steps = 1, .depth = model->weights.config.depth, .tokens = grid.tokens()});
  model->text =
      encode_captions(backend, model->weights, inputs.get("caption"), inputs.get("mask"), true);
  model->network = std::make_unique<STDiT3>(backend, model->weights, shape, *model->policy);
  const std::array<float, 1> fps{inputs.get("fps").f32()[0]};
  const std::array<float, 1> time{inputs.get("time").f32()[0]};
  model->network->condition(model->text, fps);
  return transformer_part(backend, [model, latent, time] {
    return model->network->step({.step = 0, .latent = *latent, .timesteps = time, .x_mask = {}});
  });
}

JointShape joint_shape(ConstTensorView latent) {
  return {.latent_height = latent.dim(3), .latent_width = latent.dim(4)};
}

PolicyContext joint_context(const JointConfig& config, const JointShape& shape,
                            PublishedSettings published) {
  return {.steps = 1,
          .depth = config.depth,
          .tokens = token_grid(config, shape).tokens(),
          .temporal_blocks = false,
          .published = published};
}

// A PixArt-alpha with its text encoded, ready for its steps.
struct PixartModel {
  PixartModel(Backend& backend, const Options& options, const Checkpoint& inputs, int steps)
      : weights(load_pixart(options.folder, backend, options.dtype)),
        latent(uploaded(backend, inputs.get("latent"))) {
    const JointShape shape = joint_shape(*latent);
    PolicyContext context =
        joint_context(weights.config.joint, shape, PublishedSettings::kPixartAlpha);
    context.steps = steps;
    policy = make_policy(options.policy, context);
    text = encode_captions(backend, weights, {inputs.get("caption"), inputs.get("mask")},
                           {inputs.get("negative"), inputs.get("negative_mask")}, true);
    network = std::make_unique<Pixart>(backend, weights, shape, *policy);
    condition();
  }

  // Forgets the steps of the last render.
  void condition() {
    const JointShape& shape = network->shape();
    network->condition(text, kPixelsPerLatent * shape.latent_height,
                       kPixelsPerLatent * shape.latent_width);
  }

  PixartWeights weights;
  std::shared_ptr<Tensor> latent;
  std::unique_ptr<CachePolicy> policy;
  EncodedText text;
  std::unique_ptr<Pixart> network;
};

Part pixart_part(Backend& backend, const Options& options, const Checkpoint& inputs) {
  auto model = std::make_shared<PixartModel>(backend, options, inputs, /*steps=*/1);
  const std::array<float, 1> time{inputs.get("time").f32()[0]};
  return transformer_part(backend, [model, time] {
    return model->network->step({.step = 0, .latent = *model->latent, .timesteps = time});
  });
}

// latent -= (u + g (c - u)) / steps, where c and u are the halves of the prediction's first
// channels.
void follow(ConstTensorView prediction, int steps, Tensor& latent) {
  const int64_t count = latent.elements();
  const float* conditional = prediction.f32();
  const float* unconditional = conditional + prediction.shape().elements() / 2;
  for (int64_t i = 0; i < count; ++i) {
    const float guided = unconditional[i] + kGuidance * (conditional[i] - unconditional[i]);
    latent.f32()[i] -= guided / static_cast<float>(steps);
  }
}

Part pixart_steps_part(Backend& backend, const Options& options, const Checkpoint& inputs) {
  struct Run {
    Tensor latent;
    int64_t computed = 0, modules = 0;
  };
  auto model = std::make_shared<PixartModel>(backend, options, inputs, options.steps);
  auto last = std::make_shared<Run>();
  const auto run = [model, last, &backend, steps = options.steps] {
    *last = {.latent = downloaded(backend, *model->latent)};
    model->condition();
    StepHooks hooks;
    hooks.on_module = [last](const ModuleReport& module) {
      ++last->modules;
      if (module.decision == Decision::kRefresh) ++last->computed;
    };
    for (int step = 0; step < steps; ++step) {
      const std::array<float, 1> time{1000.0f * static_cast<float>(steps - step) /
                                      static_cast<float>(steps)};
      const Tensor latent = on_device(backend, last->latent);
      const ConstTensorView prediction =
          model->network->step({.step = step, .latent = latent, .timesteps = time}, hooks);
      follow(downloaded(backend, prediction), steps, last->latent);
    }
  };
  return {.run = run,
          .output = [last] { return std::move(last->latent); },
          .report =
              [last] {
                return Json{{"computed", last->computed}, {"modules", last->modules}};
              }};
}

Part dit_part(Backend& backend, const Options& options, const Checkpoint& inputs) {
  struct Model {
    DitWeights weights;
    std::unique_ptr<CachePolicy> policy;
    std::unique_ptr<Dit> network;
  };
  auto model = std::make_shared<Model>();
  model->weights = load_dit(options.folder, backend, options.dtype);
  const auto latent = uploaded(backend, inputs.get("latent"));
  const JointShape shape = joint_shape(*latent);
  model->policy = make_policy(
      {}, joint_context(model->weights.config.joint, shape, PublishedSettings::kDitDdim));
  model->network = std::make_unique<Dit>(backend, model->weights, shape, *model->policy);
  const std::array<int32_t, 1> label{inputs.get("label").i32()[0]};
  model->network->condition(label);
  const std::array<float, 1> time{inputs.get("time").f32()[0]};
  return transformer_part(backend, [model, latent, time] {
    return model->network->step({.step = 0, .latent = *latent, .timesteps = time});
  });
}

Part t5_part(Backend& backend, const Options& options, const Checkpoint& inputs) {
  auto encoder =
      std::make_shared<T5Encoder>(T5Encoder::load(backend, options.folder, options.dtype));
  const ConstTensorView ids = inputs.get("ids"), mask = inputs.get("mask");
  auto last = std::make_shared<Tensor>();
  return {.run = [encoder, ids, mask, last] { *last = encoder->encode(ids, mask); },
          .output = [last, &backend] { return downloaded(backend, *last); }};
}

Part image_vae_part(Backend& backend, const Options& options, const Checkpoint& inputs) {
  auto vae = std::make_shared<ImageVae>(ImageVae::load(backend, options.folder, options.dtype));
  const auto latents = uploaded(backend, inputs.get("latent"));
  auto last = std::make_shared<Tensor>();
  const VaeFrameSink keep = [last](int64_t, ConstTensorView rgb8) {
    if (last->empty()) *last = Tensor(rgb8.shape(), rgb8.dtype());
    std::copy_n(static_cast<const uint8_t*>(rgb8.data()), rgb8.bytes(),
                static_cast<uint8_t*>(last->view().data()));
  };
  return {.run = [vae, latents, keep] { vae->decode(*latents, keep); },
          .output = [last] { return std::move(*last); }};
}

using MakePart = Part (*)(Backend&, const Options&, const Checkpoint&);

const std::map<std::string, MakePart>& parts() {
  static const std::map<std::string, MakePart> known{
      {"stdit3", stdit3_part}, {"pixart", pixart_part}, {"pixart-steps", pixart_steps_part},
      {"dit", dit_part},       {"t5", t5_part},         {"image-vae", image_vae_part}};
  return known;
}

Options parse(const std::vector<std::string>& arguments) {
  if (arguments.size() < 3 || arguments.size() % 2 == 0) {
    throw Error(ErrorCode::kInvalidArgument, "give PART FOLDER INPUTS [--FLAG VALUE]...");
  }
  Options options{
      .part = arguments[0], .folder = arguments[1], .inputs = arguments[2], .policy = {}};
  for (size_t i = 3; i < arguments.size(); i += 2) {
    const std::string& flag = arguments[i];
    const std::string& value = arguments[i + 1];
    if (flag == "--dtype" && (value == "fp32" || value == "bf16"))
      options.dtype = value == "bf16" ? DType::kBF16 : DType::kF32;
    else if (flag == "--threads")
      options.threads = std::stoi(value);
    else if (flag == "--steps")
      options.steps = std::stoi(value);
    else if (flag == "--policy")
      options.policy.name = value;
    else if (const size_t equals = value.find('='); flag == "--option" && equals != value.npos)
      options.policy.options[value.substr(0, equals)] = value.substr(equals + 1);
    else
      throw Error(ErrorCode::kInvalidArgument, "flag " + flag + " " + value + " is unknown");
  }
  return options;
}

int serve(const Options& options) {
  const auto make = parts().find(options.part);
  if (make == parts().end())
    throw Error(ErrorCode::kInvalidArgument, "part " + options.part + " is unknown");
  const auto backend = open_device("cpu", options.threads);
  const Checkpoint inputs = Checkpoint::open(options.inputs);
  const Part part = make->second(*backend, options, inputs);
  std::cout << device_kind(backend->info(), options.dtype) << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "run") {
      std::cout << bench::seconds_of(part.run) << std::endl;
    } else if (line.starts_with("write ")) {
      const Tensor output = part.output();
      write_safetensors(line.substr(6), {{"output", output}});
      std::cout << "written" << std::endl;
    } else if (line == "report" && part.report) {
      std::cout << part.report().dump() << std::endl;
    } else {
      throw Error(ErrorCode::kInvalidArgument, "line \"" + line + "\" is unknown");
    }
  }
  return 0;
}

}  // namespace
}  // namespace engine

int main(int argc, char** argv) {
  try {
    return engine::serve(engine::parse({argv + 1, argv + argc}));
  } catch (const std::exception& error) {
    std::cerr << "bench_forward: " << error.what() << "\n";
    return 2;
  }
}
