#include "models/video_vae/block.h"

#include <utility>

namespace engine {
namespace {

// A temporal convolution is causal: time is padded in front only, by kernel - stride; space evenly.
// A spatial one with stride 2 pads at the far end only, as diffusers' Downsample2D does.
ConvGeometry geometry_of(bool temporal, int64_t kernel, int64_t stride) {
  const int64_t even = kernel / 2;
  if (temporal) {
    return {.stride = {stride, 1, 1},
            .pad_before = {kernel - stride, even, even},
            .pad_after = {0, even, even}};
  }
  if (stride == 1) return {.pad_before = {0, even, even}, .pad_after = {0, even, even}};
  return {.stride = {1, stride, stride}, .pad_before = {0, 0, 0}, .pad_after = {0, 1, 1}};
}

}  // namespace

int VaeNetworkBuilder::other_than(int first, int second) {
  for (int buffer = 0;; ++buffer) {
    if (buffer != first && buffer != second) return buffer;
  }
}

VaeLayer VaeNetworkBuilder::conv_layer(const std::string& name, int64_t in, int64_t out,
                                       Conv conv) {
  const bool temporal = network_.temporal;
  VaeLayer layer;
  layer.kind = VaeLayerKind::kConv;
  layer.name = temporal ? name + ".conv" : name;
  layer.in = in;
  layer.out = out;
  layer.kernel = {temporal ? conv.kernel : 1, conv.kernel, conv.kernel};
  layer.geometry = geometry_of(temporal, conv.kernel, conv.stride);
  layer.geometry.upsample = conv.upsample;
  layer.flat = !temporal;
  layer.input_divisor = std::exchange(input_divisor_, 1.0);
  layer.has_bias = conv.has_bias;
  const Norm norm = std::exchange(norm_, {});
  layer.norm = norm.name;
  layer.groups = norm.groups;
  layer.eps = norm.eps;
  return layer;
}

void VaeNetworkBuilder::conv(const std::string& name, int64_t out, Conv conv) {
  VaeLayer layer = conv_layer(name, channels_, out, conv);
  layer.input = current_;
  layer.output = other_than(current_, kNoBuffer);
  current_ = layer.output;
  channels_ = out;
  network_.layers.push_back(std::move(layer));
}

void VaeNetworkBuilder::norm_silu(const std::string& name, int64_t groups, float eps) {
  norm_ = {.name = name, .groups = groups, .eps = eps};
}

void VaeNetworkBuilder::res_block(const std::string& name, int64_t out, ResBlock block) {
  const int input = current_;
  const int first = other_than(input, kNoBuffer);

  norm_silu(name + ".norm1", block.groups, block.eps);
  VaeLayer conv1 = conv_layer(name + ".conv1", channels_, out, {.has_bias = block.conv_bias});
  conv1.input = input;
  conv1.output = first;
  norm_silu(name + ".norm2", block.groups, block.eps);
  VaeLayer conv2 = conv_layer(name + ".conv2", out, out, {.has_bias = block.conv_bias});
  conv2.input = first;
  conv2.residual = conv2.output = input;
  network_.layers.push_back(std::move(conv1));
  if (channels_ != out) {
    VaeLayer shortcut = conv_layer(name + "." + block.shortcut, channels_, out,
                                   {.kernel = 1, .has_bias = block.conv_bias});
    shortcut.input = input;
    shortcut.output = other_than(input, first);
    conv2.residual = conv2.output = shortcut.output;
    network_.layers.push_back(std::move(shortcut));
  }
  current_ = conv2.output;
  channels_ = out;
  network_.layers.push_back(std::move(conv2));
}

void VaeNetworkBuilder::attention(const std::string& name, int64_t groups, float eps) {
  VaeLayer norm;
  norm.kind = VaeLayerKind::kGroupNorm;
  norm.name = name + ".group_norm";
  norm.in = norm.out = channels_;
  norm.groups = groups;
  norm.eps = eps;
  norm.input = current_;
  norm.output = other_than(current_, kNoBuffer);
  VaeLayer attention;
  attention.kind = VaeLayerKind::kAttention;
  attention.name = name;
  attention.in = attention.out = channels_;
  attention.input = norm.output;
  attention.scratch = other_than(current_, norm.output);
  attention.residual = attention.output = current_;
  network_.layers.push_back(std::move(norm));
  network_.layers.push_back(std::move(attention));
}

void VaeNetworkBuilder::upsample_space(const std::string& name) {
  conv(name, channels_, {.upsample = true});
}

void VaeNetworkBuilder::upsample_time(const std::string& name) {
  const int64_t channels = channels_;
  conv(name, 2 * channels, {});
  VaeLayer layer;
  layer.kind = VaeLayerKind::kChannelsToTime;
  layer.in = channels_;
  layer.out = channels_ = channels;
  layer.input = current_;
  layer.output = current_ = other_than(current_, kNoBuffer);
  network_.layers.push_back(std::move(layer));
}

VaeNetwork VaeNetworkBuilder::finish() {
  network_.layers.back().output = kOuterBuffer;
  return std::move(network_);
}

}  // namespace engine
