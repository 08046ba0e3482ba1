// What PixArt-alpha and DiT have in common as families: one picture, one joint block a layer, the
// image VAE.
#pragma once

#include "models/transformer/joint_buffers.h"
#include "pipeline/model_family.h"

namespace engine {

// How a request is asked of an image transformer, by plan and render alike.
JointShape joint_shape(const RenderRequest& request);

class ImageFamily : public ModelFamily {
 public:
  void check(const RenderRequest& request) const override;
  std::vector<std::string> warnings(const RenderRequest& request) const override;
  PolicyContext policy_context(const RenderRequest& request) const override;
  BlockSizes block_sizes() const override { return joint().sizes; }
  TokenGrid grid(const RenderRequest& request) const override;
  std::vector<LayerModule> layer() const override;
  int64_t latent_channels() const override { return joint().in_channels; }
  DenoiseBytes denoise_bytes(const RenderRequest& request, DType compute,
                             const CachePolicy& policy) const override;
  VaeBytes vae_bytes(const Json& vae, DType compute, const RenderRequest* request) const override;
  Json identity(const RenderRequest& request) const override;

 protected:
  virtual const JointConfig& joint() const = 0;
  virtual PublishedSettings published(const RenderRequest& request) const = 0;
  virtual JointMemory memory(const JointShape& shape, DType compute,
                             const CachePolicy& policy) const = 0;
  // Of conditioning in denoising.
  virtual uint64_t conditioning_bytes(DType compute) const = 0;
  // Numbers of the config that the joint part does not hold.
  virtual Json own_config() const = 0;

  // Pixels of a side of the pictures that the model was trained with.
  int trained_side() const { return static_cast<int>(kPixelsPerLatent * joint().input_size); }
};

}  // namespace engine
