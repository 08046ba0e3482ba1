// Runs a network of the VAE on a backend.
#pragma once

#include <functional>
#include <string_view>

#include "models/video_vae/weights.h"
#include "models/video_vae/workspace.h"

namespace engine {

// Sees intermediate tensors by name, [F, H, W, C], in the network's dtype and the backend's memory;
// the view is good until the call returns.
using VaeTap = std::function<void(std::string_view name, ConstTensorView value)>;

// A network with its weights.
struct LoadedVaeNetwork {
  VaeNetwork network;
  std::vector<VaeLayerWeights> weights;
};

// input [F, H, W, in] to output [F', H', W', out], both fp32 in the backend's memory and neither in
// the workspace, which has been reserved for such an input. `tap` may be empty.
void run_vae_network(Backend& backend, const LoadedVaeNetwork& loaded,
                     const VaeWorkspace& workspace, ConstTensorView input, TensorView output,
                     const VaeTap& tap);

}  // namespace engine
