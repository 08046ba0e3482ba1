#include "models/video_vae/runner.h"

#include <cmath>

#include "core/check.h"

namespace engine {
namespace {

int64_t frames_per_norm(const VaeNetwork& network, FrameExtent extent) {
  return network.temporal ? extent.frames : 1;
}

void run_conv(Backend& backend, const VaeNetwork& network, const VaeLayer& layer,
              const VaeLayerWeights& weights, const VaeWorkspace& workspace, FrameExtent extent,
              ConstTensorView input, TensorView output) {
  ConvArgs args{.weights = weights.conv.get(), .input = input, .residual = {}, .output = output};
  if (layer.residual >= 0) {
    args.residual = workspace.view(layer.residual, output.shape(), output.dtype());
  }
  if (!layer.norm.empty()) {
    args.norm = {.weight = weights.norm_weight,
                 .bias = weights.norm_bias,
                 .groups = layer.groups,
                 .frames_per_norm = frames_per_norm(network, extent),
                 .eps = layer.eps,
                 .lines = workspace.bytes(kNormLines)};
  }
  backend.conv(args);
}

void run_attention(Backend& backend, const VaeNetwork& network, const VaeLayer& layer,
                   const VaeLayerWeights& weights, const VaeWorkspace& workspace,
                   FrameExtent extent) {
  const int64_t channels = layer.in;
  const int64_t pixels = extent.height * extent.width;
  const Shape rows{extent.frames * pixels, channels};
  const Shape frames{extent.frames, 1, pixels, channels};
  const Shape heads{extent.frames, pixels, 1, channels};
  const TensorView normed = workspace.view(layer.input, rows, network.compute);
  const TensorView residual = workspace.view(layer.residual, frames, network.compute);
  const TensorView packed = workspace.view(layer.scratch, {3 * rows[0], channels}, network.compute);
  const TensorView query = packed.rows(0, rows[0]);
  const TensorView key = packed.rows(rows[0], rows[0]);
  const TensorView value = packed.rows(2 * rows[0], rows[0]);
  backend.linear({.weights = weights.query.get(), .input = normed, .output = query});
  backend.linear({.weights = weights.key.get(), .input = normed, .output = key});
  backend.linear({.weights = weights.value.get(), .input = normed, .output = value});
  // The normed input is done with: its place takes the result.
  const TensorView& attended = normed;
  backend.biased_attention({.query = query.reshaped(heads),
                            .key = key.reshaped(heads),
                            .value = value.reshaped(heads),
                            .bias = {},
                            .key_mask = {},
                            .scale = 1.0f / std::sqrt(static_cast<float>(channels)),
                            .output = attended.reshaped({extent.frames, pixels, channels})});
  backend.conv({.weights = weights.conv.get(),
                .input = attended.reshaped(frames),
                .residual = residual,
                .output = residual});
}

void run_layer(Backend& backend, const VaeNetwork& network, const VaeLayer& layer,
               const VaeLayerWeights& weights, const VaeWorkspace& workspace, FrameExtent extent,
               ConstTensorView input, TensorView output) {
  switch (layer.kind) {
    case VaeLayerKind::kConv:
      run_conv(backend, network, layer, weights, workspace, extent, input, output);
      break;
    case VaeLayerKind::kGroupNorm:
      backend.group_norm({.input = input,
                          .weight = weights.norm_weight,
                          .bias = weights.norm_bias,
                          .groups = layer.groups,
                          .frames_per_norm = frames_per_norm(network, extent),
                          .eps = layer.eps,
                          .output = output});
      break;
    case VaeLayerKind::kChannelsToTime:
      backend.channels_to_time({.input = input, .output = output});
      break;
    case VaeLayerKind::kAttention:
      run_attention(backend, network, layer, weights, workspace, extent);
      break;
  }
}

}  // namespace

void run_vae_network(Backend& backend, const LoadedVaeNetwork& loaded,
                     const VaeWorkspace& workspace, ConstTensorView input, TensorView output,
                     const VaeTap& tap) {
  check(input.shape().rank() == 4, "a VAE network takes [F, H, W, C]");
  const DType dtype = loaded.network.compute;
  FrameExtent extent{input.dim(0), input.dim(1), input.dim(2)};
  for (size_t i = 0; i < loaded.network.layers.size(); ++i) {
    const VaeLayer& layer = loaded.network.layers[i];
    const FrameExtent next = layer_output(layer, extent);
    const Shape in_shape{extent.frames, extent.height, extent.width, layer.in};
    const Shape out_shape{next.frames, next.height, next.width, layer.out};
    const ConstTensorView from =
        layer.input >= 0 ? ConstTensorView(workspace.view(layer.input, in_shape, dtype)) : input;
    const TensorView to =
        layer.output >= 0 ? workspace.view(layer.output, out_shape, dtype) : output;
    check(from.shape() == in_shape && to.shape() == out_shape, "a VAE network's input or output");
    run_layer(backend, loaded.network, layer, loaded.weights[i], workspace, extent, from, to);
    if (tap && !layer.tap.empty()) tap(layer.tap, to);
    extent = next;
  }
}

}  // namespace engine
