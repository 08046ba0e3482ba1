#include "pipeline/render_checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>
#include <vector>

#include "core/checkpoint.h"
#include "core/json.h"
#include "core/quote.h"
#include "core/sha256.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr const char* kFormat = "tocafarm-render";
constexpr const char* kVersion = "1";
// Over the other texts and the tensors: a file that was damaged on its way is not rendered on.
constexpr const char* kDigestKey = "sha256";

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorCode::kInvalidCheckpoint, "the checkpoint " + file.string() + " " + what);
}

// What says most of a difference comes first: it is the one that an error names.
std::vector<std::pair<std::string, std::string>> texts_of(const ClipIdentity& clip) {
  return {{"kind", clip.kind},
          {"weights_digest", clip.weights_digest},
          {"seed", std::to_string(clip.seed)},
          {"prompt_sha256", clip.prompt_sha256},
          {"policy", clip.policy},
          {"steps", std::to_string(clip.steps)},
          {"plan_digest", clip.plan_digest},
          {"initial_latent_sha256", clip.initial_latent_sha256}};
}

std::span<const std::byte> bytes_of(ConstTensorView tensor) {
  return {static_cast<const std::byte*>(tensor.data()), tensor.bytes()};
}

std::string digest_of(TensorMetadata metadata, ConstTensorView latent, ConstTensorView history) {
  metadata.erase(kDigestKey);
  const std::string texts = Json(metadata).dump();
  Sha256 digest;
  digest.update(std::as_bytes(std::span(texts)));
  digest.update(bytes_of(latent));
  if (!history.empty()) digest.update(bytes_of(history));
  return digest.finish_hex();
}

// A key that is missing reads as "".
std::string text_of(const TensorMetadata& metadata, const std::string& key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : found->second;
}

void check_format(const std::filesystem::path& file, const TensorMetadata& metadata) {
  if (text_of(metadata, "format") != kFormat) refuse(file, "is not one of a render");
  const std::string version = text_of(metadata, "version");
  if (version != kVersion) {
    refuse(file, "has version " + quote(version) + ", this engine reads version " + kVersion);
  }
}

void check_clip(const std::filesystem::path& file, const TensorMetadata& metadata,
                const ClipIdentity& clip) {
  for (const auto& [key, expected] : texts_of(clip)) {
    const std::string found = text_of(metadata, key);
    if (found == expected) continue;
    refuse(file, "has " + key + " " + quote(found) + ", this render has " + quote(expected) +
                     ": begin at step 0");
  }
}

int step_of(const std::filesystem::path& file, const TensorMetadata& metadata, const Plan& plan) {
  const std::string text = text_of(metadata, "step");
  int step = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  const std::vector<int> points = refresh_points(plan);
  const bool resumable = step == static_cast<int>(plan.steps.size()) ||
                         std::binary_search(points.begin(), points.end(), step);
  if (error != std::errc() || end != text.data() + text.size() || !resumable) {
    refuse(file, "is of step " + quote(text) + ", which this render cannot be resumed from");
  }
  return step;
}

Tensor copy_of(const std::filesystem::path& file, ConstTensorView stored, const Shape& expected) {
  if (stored.dtype() != DType::kF32 || !(stored.shape() == expected)) {
    refuse(file, std::string("holds ") + dtype_name(stored.dtype()) + " " +
                     stored.shape().to_string() + ", this render needs fp32 " +
                     expected.to_string());
  }
  Tensor copy(expected, DType::kF32);
  std::memcpy(copy.view().data(), stored.data(), stored.bytes());
  return copy;
}

std::unique_ptr<TensorFile> open(const std::filesystem::path& file) {
  try {
    return open_safetensors(file);
  } catch (const Error& error) {
    throw Error(ErrorCode::kInvalidCheckpoint,
                std::string("the checkpoint cannot be read: ") + error.what());
  }
}

}  // namespace

std::string render_checkpoint_name(int step) {
  return "checkpoint-" + std::to_string(step) + ".safetensors";
}

void write_render_checkpoint(const std::filesystem::path& file, const ClipIdentity& clip,
                             const SamplerState& state) {
  TensorMetadata metadata{
      {"format", kFormat}, {"version", kVersion}, {"step", std::to_string(state.step)}};
  for (const auto& [key, text] : texts_of(clip)) metadata[key] = text;
  metadata[kDigestKey] = digest_of(metadata, state.latent, state.history);
  std::vector<NamedTensor> tensors{{.name = "latent", .tensor = state.latent}};
  if (!state.history.empty()) tensors.push_back({.name = "history", .tensor = state.history});
  write_safetensors(file, tensors, metadata);
}

SamplerState read_render_checkpoint(const std::filesystem::path& file, const ClipIdentity& clip,
                                    const Plan& plan, const Shape& expected) {
  const std::unique_ptr<TensorFile> stored = open(file);
  const TensorMetadata& metadata = stored->metadata();
  check_format(file, metadata);
  const ConstTensorView latent = stored->find("latent");
  if (latent.empty()) refuse(file, "has no tensor \"latent\"");
  const ConstTensorView history = stored->find("history");
  if (text_of(metadata, kDigestKey) != digest_of(metadata, latent, history)) {
    refuse(file, "is damaged: its SHA-256 is not the one that it was written with");
  }
  check_clip(file, metadata, clip);
  const int step = step_of(file, metadata, plan);
  SamplerState state{.step = step, .latent = copy_of(file, latent, expected)};
  const bool has_history =
      plan.sampler_keeps_history && step > 0 && step < static_cast<int>(plan.steps.size());
  if (has_history != !history.empty()) {
    refuse(file, has_history ? "has no tensor \"history\", which this render's sampler needs"
                             : "has a tensor \"history\", which this render's sampler has not");
  }
  if (has_history) state.history = copy_of(file, history, expected);
  return state;
}

std::string tensor_sha256(ConstTensorView tensor) {
  return sha256_hex(bytes_of(tensor));
}

}  // namespace engine
