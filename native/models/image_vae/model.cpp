#include "models/image_vae/model.h"

#include "core/check.h"

namespace engine {

VaeNetwork image_decoder(const ImageVaeConfig& config, DType compute) {
  return spatial_decoder(config.network, compute, {.prefix = "", .scaling = config.scaling_factor});
}

ImageVae ImageVae::load(Backend& backend, const std::filesystem::path& folder, DType compute) {
  const ImageVaeConfig config = read_image_vae_config(folder);
  return load(backend, Checkpoint::open(folder), config, compute);
}

ImageVae ImageVae::load(Backend& backend, const Checkpoint& checkpoint,
                        const ImageVaeConfig& config, DType compute) {
  ImageVae vae(backend, config);
  VaeNetwork network = image_decoder(config, compute);
  std::vector<VaeLayerWeights> weights = load_vae_weights(backend, checkpoint, network);
  vae.decoder_ = {std::move(network), std::move(weights)};
  return vae;
}

void ImageVae::decode(ConstTensorView latents, const VaeFrameSink& sink, const VaeHooks& hooks) {
  const Shape shape = latents.shape();
  check(shape.rank() == 5 && shape[1] == config_.network.latent_channels && shape[2] == 1,
        "latents of pictures are [n, C, 1, h, w]");
  const FrameExtent extent{1, shape[3], shape[4]};
  const FrameExtent pixels = network_output(decoder_.network, extent);
  const Shape pixel_shape{1, pixels.height, pixels.width, config_.network.out_channels};
  const Tensor latent = backend_->allocate({1, shape[3], shape[4], shape[1]}, DType::kF32);
  const Tensor picture = backend_->allocate(pixel_shape, DType::kF32);
  const Tensor rgb8 = backend_->allocate(pixel_shape, DType::kU8);
  const Tensor host(pixel_shape, DType::kU8);
  workspace_.reserve(decoder_.network, extent);
  for (int64_t i = 0; i < shape[0]; ++i) {
    hooks.check_cancelled();
    const ConstTensorView one = latents.rows(i, 1).reshaped({shape[1], 1, shape[3], shape[4]});
    backend_->channels_last({.input = one, .output = latent});
    run_vae_network(*backend_, decoder_, workspace_, latent, picture, hooks.tap);
    if (hooks.tap) hooks.tap("frames", picture);
    backend_->frames_to_rgb8({.input = picture, .output = rgb8});
    backend_->download(rgb8, host);
    sink(i, host);
  }
}

}  // namespace engine
