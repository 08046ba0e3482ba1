// One forward of one part of a model, again and again, at the word of another program that takes
// turns with it: bench/peers holds the engine against other libraries on the same weights and
// inputs.
//
//   bench_forward PART FOLDER INPUTS.safetensors [--dtype fp32|bf16] [--threads 0]
//
// PART: stdit3, pixart or dit (policy none, both halves of the guidance), t5, image-vae. FOLDER
// holds the part's config.json and weights. On standard input every line "run" is answered by the
// seconds of one forward, "write FILE" by a file with the last forward's result as tensor "output".
#include <array>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "bench/best_of.h"
#include "core/checkpoint.h"
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

struct Options {
  std::string part, folder, inputs;
  DType dtype = DType::kF32;
  int threads = 0;
};

// A loaded part: each call of `run` is one forward; `output` is the result in host memory.
struct Part {
  std::function<void()> run;
  std::function<Tensor()> output;
};

Tensor downloaded(Backend& backend, ConstTensorView device) {
  Tensor host(device.shape(), device.dtype());
  backend.download(device, host);
  return host;
}

std::shared_ptr<Tensor> uploaded(Backend& backend, ConstTensorView host) {
  auto device = std::make_shared<Tensor>(backend.allocate(host.shape(), host.dtype()));
  backend.upload(host, *device);
  return device;
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

Part pixart_part(Backend& backend, const Options& options, const Checkpoint& inputs) {
  struct Model {
    PixartWeights weights;
    std::unique_ptr<CachePolicy> policy;
    EncodedText text;
    std::unique_ptr<Pixart> network;
  };
  auto model = std::make_shared<Model>();
  model->weights = load_pixart(options.folder, backend, options.dtype);
  const auto latent = uploaded(backend, inputs.get("latent"));
  const JointShape shape = joint_shape(*latent);
  model->policy = make_policy(
      {}, joint_context(model->weights.config.joint, shape, PublishedSettings::kPixartAlpha));
  model->text =
      encode_captions(backend, model->weights, {inputs.get("caption"), inputs.get("mask")},
                      {inputs.get("negative"), inputs.get("negative_mask")}, true);
  model->network = std::make_unique<Pixart>(backend, model->weights, shape, *model->policy);
  model->network->condition(model->text, kPixelsPerLatent * shape.latent_height,
                            kPixelsPerLatent * shape.latent_width);
  const std::array<float, 1> time{inputs.get("time").f32()[0]};
  return transformer_part(backend, [model, latent, time] {
    return model->network->step({.step = 0, .latent = *latent, .timesteps = time});
  });
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
  static const std::map<std::string, MakePart> known{{"stdit3", stdit3_part},
                                                     {"pixart", pixart_part},
                                                     {"dit", dit_part},
                                                     {"t5", t5_part},
                                                     {"image-vae", image_vae_part}};
  return known;
}

Options parse(const std::vector<std::string>& arguments) {
  if (arguments.size() < 3 || arguments.size() % 2 == 0) {
    throw Error(ErrorCode::kInvalidArgument, "give PART FOLDER INPUTS [--dtype D] [--threads N]");
  }
  Options options{.part = arguments[0], .folder = arguments[1], .inputs = arguments[2]};
  for (size_t i = 3; i < arguments.size(); i += 2) {
    const std::string& flag = arguments[i];
    const std::string& value = arguments[i + 1];
    if (flag == "--dtype" && (value == "fp32" || value == "bf16"))
      options.dtype = value == "bf16" ? DType::kBF16 : DType::kF32;
    else if (flag == "--threads")
      options.threads = std::stoi(value);
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
