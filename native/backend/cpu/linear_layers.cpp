#include "backend/cpu/linear_layers.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "backend/cpu/layer_kernels.h"
#include "backend/cpu/linear_panels.h"
#include "backend/cpu/residual.h"
#include "backend/cpu/scratch.h"
#include "backend/packed_store.h"

namespace engine::cpu {

namespace {

// Columns of a panel: three or four vectors.
constexpr int64_t kLanes = 16;
// Rows of one task, about and at least: multiples of the tiles' heights. Each pass over the weights
// serves that many.
constexpr int64_t kBlockRows = 192;
constexpr int64_t kSmallestBlockRows = 24;
constexpr int64_t kTileRowsMax = 8;

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// How the weights of a layer are cut.
struct PanelLayout {
  int vectors;    // of a panel's columns: 3 or 4
  int64_t steps;  // of the depth: numbers of fp32, pairs of bf16
  int64_t panels;

  int64_t width() const { return vectors * kLanes; }
};

// As few columns past the last as can be; of equals the wider panel.
PanelLayout layout_of(int64_t in, int64_t out, DType compute) {
  const auto panels = [out](int64_t vectors) { return ceil_div(out, vectors * kLanes); };
  const int vectors = 3 * panels(3) < 4 * panels(4) ? 3 : 4;
  return {.vectors = vectors,
          .steps = compute == DType::kBF16 ? ceil_div(in, 2) : in,
          .panels = panels(vectors)};
}

class LayerWeights final : public LinearWeights {
 public:
  LayerWeights(int64_t in, int64_t out, DType compute, const PanelLayout& cut)
      : LinearWeights(in, out, compute), layout(cut) {}

  // Whether rows end in the middle of a pair.
  bool odd_pairs() const { return compute() == DType::kBF16 && in() % 2 != 0; }

  PanelLayout layout;
  Tensor values;  // [panels, steps, width, 1 or 2]; past the last column or number 0
  Tensor bias;    // [panels · width]
};

// What every task of a run shares.
struct LayerRun {
  const LayerWeights* weights = nullptr;
  ConstTensorView input;  // [rows, in]
  Epilogue epilogue = Epilogue::kNone;
  bool output_bf16 = false;
};

// How the work is cut. No bit of the result depends on it, so it may follow the thread count.
struct Cut {
  int64_t block_rows;
  int64_t blocks;
  int64_t panels_a_task;
  int64_t panel_groups;
};

// Blocks alike, so that none has few rows: those would wait for the weights, which every block
// streams from memory. For the same reason work for more threads is cut along the panels first.
Cut cut_work(int64_t rows, int64_t panels, int threads) {
  constexpr int64_t kTasksAThread = 4;  // so that a slow thread costs little
  const int64_t wanted = threads <= 1 ? 1 : threads * kTasksAThread;
  const int64_t like = std::max<int64_t>(1, (rows + kBlockRows / 2) / kBlockRows);
  int64_t parts = ceil_div(ceil_div(rows, like), kSmallestBlockRows);  // of a block
  while (parts > 1 && ceil_div(rows, parts * kSmallestBlockRows) * panels < wanted) {
    parts = ceil_div(parts, 2);
  }
  Cut cut{.block_rows = std::max<int64_t>(1, parts) * kSmallestBlockRows,
          .blocks = 0,
          .panels_a_task = panels,
          .panel_groups = 1};
  cut.blocks = ceil_div(rows, cut.block_rows);
  if (cut.blocks < wanted) {
    cut.panels_a_task = std::max<int64_t>(1, panels * cut.blocks / wanted);
    cut.panel_groups = ceil_div(panels, cut.panels_a_task);
  }
  return cut;
}

struct TaskMemory {
  LayerRow* rows;
  float* sums;
  uint16_t* copy;
};

// Rows [first, first + count) with a zero behind each.
void copy_rows(ConstTensorView input, int64_t first, int64_t count, uint16_t* copy) {
  const int64_t width = input.dim(1);
  for (int64_t r = 0; r < count; ++r, copy += width + 1) {
    std::memcpy(copy, input.bf16() + (first + r) * width, static_cast<size_t>(width) * 2);
    copy[width] = 0;
  }
}

// `row_of` tells where row r goes to.
template <typename RowOf>
void run_task(const LayerRun& run, const Cut& cut, int64_t task, const TaskMemory& memory,
              RowOf row_of) {
  const LayerWeights& weights = *run.weights;
  const int64_t first = task / cut.panel_groups * cut.block_rows;
  const int64_t count = std::min(cut.block_rows, run.input.dim(0) - first);
  const auto* input = static_cast<const std::byte*>(run.input.data());
  int64_t row_numbers = weights.in(), origin = first;
  if (weights.odd_pairs()) {
    copy_rows(run.input, first, count, memory.copy);
    input = reinterpret_cast<const std::byte*>(memory.copy);
    ++row_numbers;
    origin = 0;
  }
  const size_t row_bytes = static_cast<size_t>(row_numbers) * dtype_bytes(weights.compute());
  for (int64_t r = 0; r < count; ++r) {
    memory.rows[r] = row_of(first + r);
    memory.rows[r].input = input + static_cast<size_t>(origin + r) * row_bytes;
  }
  const bool bf16 = weights.compute() == DType::kBF16;
  const auto multiply = bf16 ? avx512_bf16::multiply_layer : avx512::multiply_layer;
  const size_t panel_bytes = weights.values.bytes() / static_cast<size_t>(weights.layout.panels);
  const int64_t first_panel = task % cut.panel_groups * cut.panels_a_task;
  const int64_t last_panel = std::min(weights.layout.panels, first_panel + cut.panels_a_task);
  for (int64_t panel = first_panel; panel < last_panel; ++panel) {
    const int64_t column = panel * weights.layout.width();
    multiply({.rows = memory.rows,
              .row_count = count,
              .steps = weights.layout.steps,
              .panel = static_cast<const std::byte*>(weights.values.view().data()) +
                       static_cast<size_t>(panel) * panel_bytes,
              .panel_vectors = weights.layout.vectors,
              .bias = weights.bias.view().f32() + column,
              .sums = memory.sums,
              .epilogue = run.epilogue,
              .output_bf16 = run.output_bf16,
              .first_column = column,
              .columns = std::min(weights.layout.width(), weights.out() - column)});
  }
}

template <typename RowOf>
void run_tasks(const CpuContext& context, const LayerRun& run, RowOf row_of) {
  const LayerWeights& weights = *run.weights;
  const Cut cut = cut_work(run.input.dim(0), weights.layout.panels, context.threads);
  ScratchLayout layout;
  const size_t rows = layout.add<LayerRow>(cut.block_rows);
  const size_t sums = layout.add<float>((cut.block_rows + kTileRowsMax) * weights.layout.width());
  const size_t copy =
      layout.add<uint16_t>(weights.odd_pairs() ? cut.block_rows * (weights.in() + 1) : 0);
  const Scratch scratch(0, static_cast<size_t>(context.threads), layout.bytes());
  const auto work = [&](int64_t task, size_t thread) {
    std::byte* const mine = scratch.part(thread);
    run_task(run, cut, task,
             {.rows = reinterpret_cast<LayerRow*>(mine + rows),
              .sums = reinterpret_cast<float*>(mine + sums),
              .copy = reinterpret_cast<uint16_t*>(mine + copy)},
             row_of);
  };
  const int64_t tasks = cut.blocks * cut.panel_groups;
  if (context.threads <= 1) {
    for (int64_t task = 0; task < tasks; ++task) work(task, 0);
    return;
  }
#pragma omp parallel for num_threads(context.threads) schedule(dynamic, 1)
  for (int64_t task = 0; task < tasks; ++task) {
    work(task, static_cast<size_t>(omp_get_thread_num()));
  }
}

// columns: [columns, in], fp32; panel: [1, steps, width, 1 or 2].
void fill_panel(ConstTensorView columns, TensorView panel) {
  const int64_t in = columns.dim(1), width = panel.dim(2), group = panel.dim(3);
  std::memset(panel.data(), 0, panel.bytes());
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t lane = 0; lane < columns.dim(0); ++lane) {
      const float value = columns.f32()[lane * in + i];
      const int64_t place = (i / group * width + lane) * group + i % group;
      if (panel.dtype() == DType::kBF16) {
        panel.bf16()[place] = bf16_from_float(value);
      } else {
        panel.f32()[place] = value;
      }
    }
  }
}

// weight: [out, in]; values: as in LayerWeights. A panel at a time, so that no copy of the whole
// weight is held beside what is packed.
void fill_panels(ConstTensorView weight, TensorView values) {
  const int64_t out = weight.dim(0), width = values.dim(2);
  for (int64_t panel = 0; panel < values.dim(0); ++panel) {
    const int64_t first = panel * width;
    const Tensor columns = to_f32(weight.rows(first, std::min(width, out - first)));
    fill_panel(columns, values.rows(panel, 1));
  }
}

}  // namespace

Epilogue epilogue_of(Activation activation) {
  switch (activation) {
    case Activation::kGeluTanh:
      return Epilogue::kGeluTanh;
    case Activation::kSilu:
      return Epilogue::kSilu;
    case Activation::kNone:
      break;
  }
  return Epilogue::kNone;
}

std::unique_ptr<LinearWeights> pack_layer(const CpuContext& context, ConstTensorView weight,
                                          ConstTensorView bias, DType compute) {
  const int64_t in = weight.dim(1), out = weight.dim(0);
  const PanelLayout cut = layout_of(in, out, compute);
  auto packed = std::make_unique<LayerWeights>(in, out, compute, cut);
  const std::string name =
      "layer of " + std::to_string(in) + " numbers, " + std::to_string(out) + " columns";
  packed->values = keep_packed(
      context.packed, name, {cut.panels, cut.steps, cut.width(), compute == DType::kBF16 ? 2 : 1},
      compute, [&](TensorView values) { fill_panels(weight, values); });
  packed->bias = keep_packed(context.packed, "bias", {cut.panels * cut.width()}, DType::kF32,
                             [&](TensorView values) { fill_bias(bias, values); });
  return packed;
}

bool run_layer(const CpuContext& context, const LinearArgs& args) {
  const auto* weights = dynamic_cast<const LayerWeights*>(args.weights);
  if (weights == nullptr) return false;
  const bool bf16 = args.output.dtype() == DType::kBF16;
  auto* const output = static_cast<std::byte*>(args.output.data());
  const size_t row_bytes = static_cast<size_t>(weights->out()) * dtype_bytes(args.output.dtype());
  run_tasks(context,
            {.weights = weights,
             .input = args.input,
             .epilogue = epilogue_of(args.activation),
             .output_bf16 = bf16},
            [=](int64_t row) {
              return LayerRow{.output = output + static_cast<size_t>(row) * row_bytes};
            });
  return true;
}

bool run_layer(const CpuContext& context, const LinearResidualArgs& args) {
  const auto* weights = dynamic_cast<const LayerWeights*>(args.weights);
  if (weights == nullptr) return false;
  const int64_t tokens = args.residual.dim(1), width = weights->out();
  run_tasks(context, {.weights = weights, .input = args.input}, [&, tokens, width](int64_t row) {
    const int64_t batch_row = row / tokens;
    const bool noisy = is_noisy(args.frames, batch_row, row % tokens);
    const RowVectors& gate = noisy ? args.gate : args.gate_clean;
    return LayerRow{
        .output = args.keep_output ? args.output.f32() + row * width : nullptr,
        .residual = args.residual.f32() + row * width,
        .gate = gate.data == nullptr ? nullptr : gate.data + batch_row * gate.row_stride};
  });
  return true;
}

bool run_layer(const CpuContext& context, const LinearScatterArgs& args) {
  const auto* weights = dynamic_cast<const LayerWeights*>(args.weights);
  const DType kept = args.output.dtype();
  if (weights == nullptr || (kept != DType::kF32 && kept != DType::kBF16)) return false;
  const int64_t tokens = args.output.dim(1), count = args.indices.dim(1);
  const int32_t* const chosen = args.indices.i32();
  auto* const output = static_cast<std::byte*>(args.output.data());
  const size_t row_bytes = static_cast<size_t>(weights->out()) * dtype_bytes(kept);
  run_tasks(context, {.weights = weights, .input = args.input, .output_bf16 = kept == DType::kBF16},
            [=](int64_t row) {
              const int64_t place = row / count * tokens + chosen[row];
              return LayerRow{.output = output + static_cast<size_t>(place) * row_bytes};
            });
  return true;
}

}  // namespace engine::cpu
