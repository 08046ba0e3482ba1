#include "models/t5/model.h"

#include "core/check.h"
#include "engine/error.h"

namespace engine {

T5Encoder T5Encoder::load(Backend& backend, const std::filesystem::path& folder, DType compute) {
  engine::check(compute == DType::kF32 || compute == DType::kBF16, "T5 computes in fp32 or bf16");
  const T5Config config = read_t5_config(folder);
  const Checkpoint checkpoint = Checkpoint::open(folder);
  return {backend, config, compute, load_t5_weights(backend, checkpoint, config, compute)};
}

void T5Encoder::check(const std::filesystem::path& folder) {
  check_t5_weights(Checkpoint::open(folder), read_t5_config(folder));
}

void T5Encoder::check_input(ConstTensorView ids, ConstTensorView mask) const {
  engine::check(ids.shape().rank() == 2 && ids.dtype() == DType::kI32, "ids are [B, L], i32");
  engine::check(mask.shape() == ids.shape() && mask.dtype() == DType::kU8,
                "the mask is [B, L], u8");
  const int64_t vocabulary = weights_.embedding.dim(0);
  for (int64_t i = 0; i < ids.elements(); ++i) {
    const int32_t id = ids.i32()[i];
    if (id >= 0 && id < vocabulary) continue;
    throw Error(ErrorCode::kInvalidCheckpoint,
                "token id " + std::to_string(id) + " is outside of the text encoder's " +
                    std::to_string(vocabulary) +
                    " embedding rows; use the tokenizer that belongs to the text encoder");
  }
}

void T5Encoder::embed(ConstTensorView ids, TensorView hidden) const {
  const Shape tokens{ids.elements()};
  Tensor device_ids = backend_->allocate(tokens, DType::kI32);
  backend_->upload(ids.reshaped(tokens), device_ids);
  backend_->token_embedding({.ids = device_ids, .table = weights_.embedding, .output = hidden});
  backend_->synchronize();  // before device_ids goes
}

Tensor T5Encoder::encode(ConstTensorView ids, ConstTensorView mask, const T5Hooks& hooks) const {
  check_input(ids, mask);
  const int64_t batch = ids.dim(0);
  const int64_t length = ids.dim(1);
  T5Workspace workspace = allocate_t5_workspace(*backend_, config_, compute_, batch, length);
  const Tensor bias = t5_position_bias(weights_.relative_attention_bias,
                                       config_.relative_attention_max_distance, length);
  backend_->upload(bias, workspace.bias);
  backend_->upload(mask, workspace.key_mask);
  embed(ids, workspace.hidden);
  for (int64_t block = 0; block < config_.num_layers; ++block) {
    if (hooks.cancelled && hooks.cancelled()) {
      throw Error(ErrorCode::kCancelled, "cancelled while encoding text");
    }
    run_t5_block(*backend_, config_, weights_.blocks[static_cast<size_t>(block)], batch, length,
                 workspace);
    if (hooks.after_block) hooks.after_block(block, workspace.hidden);
  }
  Tensor output = backend_->allocate({batch, length, config_.d_model}, DType::kF32);
  backend_->rms_norm({.input = workspace.hidden,
                      .weight = weights_.final_norm,
                      .eps = config_.layer_norm_epsilon,
                      .output = output.view().reshaped(workspace.hidden.shape())});
  backend_->synchronize();  // before the workspace goes
  return output;
}

}  // namespace engine
