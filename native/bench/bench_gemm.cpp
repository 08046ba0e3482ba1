// What share of a bare oneDNN matmul's speed the engine's linear layers reach, bias and activation
// included, for the shapes of STDiT3 at its real width and of the demo model.
//
//   bench_gemm [--threads N] [--isa baseline|avx2|avx512] [--seconds S] [--json]
//
// --seconds: for each line of the table (default 1). --json: an array with one object a line.
#include <omp.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "bench/bare_matmul.h"
#include "bench/best_of.h"
#include "engine/error.h"

namespace engine::bench {
namespace {

struct Layer {
  const char* name;
  int64_t rows, in, out;
  Activation activation;
};

// Rows: 2 guidance halves · 5 latent frames · 405 tokens (240p); a partial step of ToCa computes
// 14.95 % of them. The demo model: 2 · 5 · 64.
constexpr Layer kLayers[] = {
    {"qkv", 4050, 1152, 3456, Activation::kNone},
    {"proj", 4050, 1152, 1152, Activation::kNone},
    {"fc1 gelu", 4050, 1152, 4608, Activation::kGeluTanh},
    {"fc2", 4050, 4608, 1152, Activation::kNone},
    {"fc1 gelu, partial", 605, 1152, 4608, Activation::kGeluTanh},
    {"fc2, partial", 605, 4608, 1152, Activation::kNone},
    {"t_block", 2, 1152, 6912, Activation::kNone},
    {"demo qkv", 640, 144, 432, Activation::kNone},
    {"demo fc1 gelu", 640, 144, 576, Activation::kGeluTanh},
    {"demo fc2", 640, 576, 144, Activation::kNone},
    {"demo fc1 gelu, partial", 95, 144, 576, Activation::kGeluTanh},
};

struct Options {
  CpuOptions cpu;
  double seconds = 1.0;
  bool json = false;
};

struct Line {
  const Layer* layer;
  DType dtype;
  Pair seconds;

  double gflops(double run_seconds) const {
    return 2e-9 * static_cast<double>(layer->rows * layer->in * layer->out) / run_seconds;
  }
};

Tensor random_tensor(Backend& backend, Shape shape, DType dtype) {
  Tensor values(shape, DType::kF32);
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < values.elements(); ++i) values.f32()[i] = normal(generator);
  if (dtype == DType::kF32) return values;
  Tensor converted(shape, dtype);
  backend.convert({values, converted});
  return converted;
}

Line measure(Backend& backend, const Layer& layer, DType dtype, double budget_seconds) {
  const Tensor weight = random_tensor(backend, {layer.out, layer.in}, DType::kF32);
  const Tensor bias = random_tensor(backend, {layer.out}, DType::kF32);
  const Tensor input = random_tensor(backend, {layer.rows, layer.in}, dtype);
  Tensor output({layer.rows, layer.out}, dtype);
  const auto packed = backend.pack_linear(weight, bias, dtype);
  omp_set_num_threads(backend.info().threads);
  BareMatmul bare(weight, input, output);
  const Pair seconds = best_of_both(
      [&] {
        backend.linear({packed.get(), input, output, layer.activation});
      },
      [&] { bare.run(); }, budget_seconds);
  return {.layer = &layer, .dtype = dtype, .seconds = seconds};
}

void print_table(const BackendInfo& info, const std::vector<Line>& lines) {
  std::printf("%s, %s\n\n", info.kind.c_str(), info.device_name.c_str());
  std::printf("| layer | rows | in | out | dtype | GFLOP/s | bare oneDNN | share |\n");
  std::printf("|---|---:|---:|---:|---|---:|---:|---:|\n");
  for (const Line& line : lines) {
    const Layer& layer = *line.layer;
    std::printf("| %s | %lld | %lld | %lld | %s | %.1f | %.1f | %.0f %% |\n", layer.name,
                static_cast<long long>(layer.rows), static_cast<long long>(layer.in),
                static_cast<long long>(layer.out), dtype_name(line.dtype),
                line.gflops(line.seconds.ours), line.gflops(line.seconds.other),
                100.0 * line.seconds.other / line.seconds.ours);
  }
}

void print_json(const BackendInfo& info, const std::vector<Line>& lines) {
  nlohmann::json table = nlohmann::json::array();
  for (const Line& line : lines) {
    table.push_back({{"kind", info.kind},
                     {"device", info.device_name},
                     {"layer", line.layer->name},
                     {"rows", line.layer->rows},
                     {"in", line.layer->in},
                     {"out", line.layer->out},
                     {"dtype", dtype_name(line.dtype)},
                     {"gflops", line.gflops(line.seconds.ours)},
                     {"bare_gflops", line.gflops(line.seconds.other)},
                     {"share", line.seconds.other / line.seconds.ours}});
  }
  std::printf("%s\n", table.dump(2).c_str());
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string flag = arguments[i];
    if (flag == "--json") {
      options.json = true;
    } else if (flag == "--threads" && i + 1 < count) {
      options.cpu.threads = std::atoi(arguments[++i]);
    } else if (flag == "--isa" && i + 1 < count) {
      options.cpu.isa = arguments[++i];
    } else if (flag == "--seconds" && i + 1 < count) {
      options.seconds = std::atof(arguments[++i]);
    } else {
      throw Error(ErrorCode::kInvalidArgument, "unknown or incomplete flag \"" + flag + "\"");
    }
  }
  return options;
}

void run(const Options& options) {
  const auto backend = make_cpu_backend(options.cpu);
  std::vector<Line> lines;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    if (dtype == DType::kBF16 && !backend->info().bf16_native) continue;
    for (const Layer& layer : kLayers) {
      lines.push_back(measure(*backend, layer, dtype, options.seconds));
    }
  }
  if (options.json) {
    print_json(backend->info(), lines);
  } else {
    print_table(backend->info(), lines);
  }
}

}  // namespace
}  // namespace engine::bench

int main(int count, char** arguments) {
  try {
    engine::bench::run(engine::bench::parse(count, arguments));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_gemm: %s\n", error.what());
    return 1;
  }
  return 0;
}
