// The face of all containers: one set of named tensors, with errors that say what a model expected.
#include "core/checkpoint.h"

#include <algorithm>

#include "core/checkpoint_locate.h"
#include "core/quote.h"
#include "core/sha256.h"
#include "core/sharded.h"
#include "engine/error.h"

namespace engine {
namespace {

// Text fields go into the digest with their length, so that no two lists of tensors read the same.
void hash_text(Sha256& hash, const std::string& text) {
  const std::string sized = std::to_string(text.size()) + ":" + text + ";";
  hash.update(std::as_bytes(std::span(sized)));
}

}  // namespace

Checkpoint Checkpoint::open(const std::filesystem::path& location) {
  Checkpoint checkpoint;
  checkpoint.location_ = locate_weights(location);
  checkpoint.tensors_ = open_container(checkpoint.location_);
  return checkpoint;
}

ConstTensorView Checkpoint::get(const std::string& name) const {
  const ConstTensorView view = find(name);
  if (view.empty()) {
    throw Error(ErrorCode::kInvalidCheckpoint,
                location_.string() + " holds no tensor " + quote(name));
  }
  return view;
}

ConstTensorView Checkpoint::get(const std::string& name, const Shape& expected) const {
  const ConstTensorView view = get(name);
  if (view.shape() != expected) {
    throw Error(ErrorCode::kInvalidCheckpoint, location_.string() + ": tensor " + quote(name) +
                                                   " has shape " + view.shape().to_string() +
                                                   ", expected " + expected.to_string());
  }
  return view;
}

ConstTensorView Checkpoint::get_float(const std::string& name, const Shape& expected) const {
  const ConstTensorView view = get(name, expected);
  if (dtype_is_float(view.dtype())) return view;
  throw Error(ErrorCode::kInvalidCheckpoint, location_.string() + ": tensor " + quote(name) +
                                                 " holds " + dtype_name(view.dtype()) +
                                                 "; a float type is needed");
}

ConstTensorView Checkpoint::find(const std::string& name) const {
  return tensors_ ? tensors_->find(name) : ConstTensorView{};
}

std::vector<std::string> Checkpoint::names() const {
  return tensors_ ? tensors_->names() : std::vector<std::string>{};
}

void Checkpoint::give_back(ConstTensorView view) const {
  if (tensors_) tensors_->give_back(view);
}

size_t Checkpoint::total_bytes() const {
  size_t total = 0;
  for (const std::string& name : names()) total += find(name).bytes();
  return total;
}

std::string Checkpoint::digest() const {
  std::vector<std::string> sorted = names();
  std::sort(sorted.begin(), sorted.end());
  Sha256 hash;
  for (const std::string& name : sorted) {
    const ConstTensorView view = find(name);
    hash_text(hash, name);
    hash_text(hash, dtype_name(view.dtype()));
    hash_text(hash, view.shape().to_string());
    hash.update({static_cast<const std::byte*>(view.data()), view.bytes()});
    give_back(view);
  }
  return hash.finish_hex();
}

}  // namespace engine
