// Speed of attention and convolution for the shapes of STDiT3 and the VAE at their real widths, and
// of the demo model.
//
//   bench_products [--threads N] [--isa baseline|avx2|avx512] [--seconds S]
//
// --seconds: for each line of the table (default 1).
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "bench/best_of.h"
#include "engine/error.h"

namespace engine::bench {
namespace {

constexpr int64_t kHeadWidth = 72;

struct Options {
  CpuOptions cpu;
  double seconds = 1.0;
};

Tensor random_tensor(Shape shape, DType dtype) {
  Tensor tensor(shape, dtype);
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const float value = normal(generator);
    if (dtype == DType::kBF16) {
      tensor.view().bf16()[i] = bf16_from_float(value);
    } else {
      tensor.f32()[i] = value;
    }
  }
  return tensor;
}

void print_line(const char* what, const Shape& shape, DType dtype, double seconds, int64_t flops) {
  std::printf("| %s | %s | %s | %.3f | %.1f |\n", what, shape.to_string().c_str(),
              dtype_name(dtype), seconds * 1e3, static_cast<double>(flops) * 1e-9 / seconds);
}

void measure_self(Backend& backend, const Options& options, AttentionAxis axis, int64_t frames,
                  int64_t tokens, int64_t heads, DType dtype) {
  const Tensor qkv = random_tensor({2, frames, tokens, 3, heads, kHeadWidth}, dtype);
  const Tensor norm = random_tensor({kHeadWidth}, DType::kF32);
  const Tensor angles = random_tensor({frames, kHeadWidth / 2}, DType::kF32);
  Tensor output({2, frames, tokens, heads * kHeadWidth}, dtype);
  SelfAttentionArgs args{.qkv = qkv,
                         .axis = axis,
                         .q_norm = norm,
                         .k_norm = norm,
                         .rope_cos = {},
                         .rope_sin = {},
                         .scale = 0.117f,
                         .output = output};
  const bool temporal = axis == AttentionAxis::kTemporal;
  if (temporal) args.rope_cos = args.rope_sin = angles;
  const double seconds = best_of([&] { backend.self_attention(args); }, options.seconds);
  const int64_t keys = temporal ? frames : tokens;
  print_line(temporal ? "temporal attention" : "spatial attention", qkv.shape(), dtype, seconds,
             4 * 2 * frames * tokens * keys * heads * kHeadWidth);
}

void measure_cross(Backend& backend, const Options& options, int64_t queries, int64_t text,
                   int64_t heads, DType dtype) {
  const Tensor query = random_tensor({2, queries, heads, kHeadWidth}, dtype);
  const Tensor key_value = random_tensor({2 * text, 2, heads, kHeadWidth}, dtype);
  Tensor output({2, queries, heads * kHeadWidth}, dtype), entropy({2, queries}, DType::kF32);
  const std::vector<int32_t> offsets{0, static_cast<int32_t>(text), static_cast<int32_t>(2 * text)};
  const CrossAttentionArgs args{.query = query,
                                .key_value = key_value,
                                .text_offsets = offsets,
                                .scale = 0.117f,
                                .output = output,
                                .half_entropy = entropy,
                                .indices = {}};
  const double seconds = best_of([&] { backend.cross_attention(args); }, options.seconds);
  const std::string what = "cross-attention to " + std::to_string(text) + " words, entropy";
  print_line(what.c_str(), query.shape(), dtype, seconds,
             4 * 2 * queries * text * heads * kHeadWidth);
}

void measure_conv(Backend& backend, const Options& options, Shape input_shape, Shape weight_shape,
                  DType dtype) {
  const int64_t kt = weight_shape[2], kh = weight_shape[3], kw = weight_shape[4];
  const ConvGeometry geometry{.stride = {1, 1, 1},
                              .pad_before = {kt - 1, kh / 2, kw / 2},
                              .pad_after = {0, kh / 2, kw / 2}};
  const Tensor input = random_tensor(input_shape, dtype);
  const auto weights =
      backend.pack_conv(random_tensor(weight_shape, DType::kF32), {}, geometry, dtype);
  Tensor output({input.dim(0), input.dim(1), input.dim(2), weights->out()}, dtype);
  const double seconds = best_of(
      [&] {
        backend.conv({weights.get(), input, {}, output});
      },
      options.seconds);
  const std::string what = "convolution " + std::to_string(kt) + "x" + std::to_string(kh) + "x" +
                           std::to_string(kw) + " to " + std::to_string(weights->out());
  print_line(what.c_str(), input_shape, dtype, seconds,
             2 * output.elements() * weights->in() * kt * kh * kw);
}

void run(const Options& options) {
  const auto owner = make_cpu_backend(options.cpu);
  Backend& backend = *owner;
  constexpr auto kSpatial = AttentionAxis::kSpatial, kTemporal = AttentionAxis::kTemporal;
  std::printf("%s, %s\n\n", backend.info().kind.c_str(), backend.info().device_name.c_str());
  std::printf("| operation | input | dtype | ms | GFLOP/s |\n|---|---|---|---:|---:|\n");
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    measure_self(backend, options, kSpatial, 5, 405, 16, dtype);
    measure_self(backend, options, kTemporal, 5, 405, 16, dtype);
    measure_self(backend, options, kTemporal, 15, 405, 16, dtype);
    measure_self(backend, options, kSpatial, 1, 3600, 16, dtype);
    measure_cross(backend, options, 2025, 30, 16, dtype);
    measure_cross(backend, options, 2025, 300, 16, dtype);
    measure_self(backend, options, kSpatial, 5, 64, 2, dtype);
    measure_self(backend, options, kTemporal, 5, 64, 2, dtype);
  }
  // Input [F, H, W, C]; weight [out, in, kt, kh, kw]. FLOPs count the padding as if it were data.
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    measure_conv(backend, options, {1, 64, 64, 512}, {512, 512, 1, 3, 3}, dtype);
    measure_conv(backend, options, {1, 128, 128, 256}, {256, 256, 1, 3, 3}, dtype);
    measure_conv(backend, options, {1, 256, 256, 128}, {128, 128, 1, 3, 3}, dtype);
    measure_conv(backend, options, {5, 30, 54, 512}, {512, 512, 3, 3, 3}, dtype);
    measure_conv(backend, options, {17, 30, 54, 128}, {128, 128, 3, 3, 3}, dtype);
    measure_conv(backend, options, {4, 60, 107, 512}, {512, 512, 1, 3, 3}, dtype);
    measure_conv(backend, options, {2, 240, 426, 128}, {128, 128, 1, 3, 3}, dtype);
    measure_conv(backend, options, {2, 240, 426, 128}, {3, 128, 1, 3, 3}, dtype);
    measure_conv(backend, options, {4, 64, 64, 16}, {16, 16, 1, 3, 3}, dtype);
  }
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string flag = arguments[i];
    if (flag == "--threads") {
      options.cpu.threads = std::atoi(arguments[i + 1]);
    } else if (flag == "--isa") {
      options.cpu.isa = arguments[i + 1];
    } else if (flag == "--seconds") {
      options.seconds = std::atof(arguments[i + 1]);
    } else {
      throw Error(ErrorCode::kInvalidArgument, "unknown flag \"" + flag + "\"");
    }
  }
  if (count % 2 == 0) {
    throw Error(ErrorCode::kInvalidArgument, "every flag needs a value");
  }
  return options;
}

}  // namespace
}  // namespace engine::bench

int main(int count, char** arguments) {
  try {
    engine::bench::run(engine::bench::parse(count, arguments));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_products: %s\n", error.what());
    return 1;
  }
  return 0;
}
