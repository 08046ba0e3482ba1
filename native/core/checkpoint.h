// Named tensors of a published model, mapped from its files, whatever their container: one
// .safetensors, shards with an index.json, or the hub's pickles (.bin, .pt, .pth: zip or legacy
// layout) through a reader that executes nothing.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/tensor_view.h"

namespace engine {

// Free texts of a .safetensors file, by key.
using TensorMetadata = std::map<std::string, std::string>;

// One container file or a set of shards. Views stay valid as long as the object lives.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  virtual std::vector<std::string> names() const = 0;
  // Empty when there is no such tensor.
  virtual ConstTensorView find(const std::string& name) const = 0;
  // Empty where the container has none.
  virtual const TensorMetadata& metadata() const = 0;
  // The bytes of a view are not needed for now: their pages go out of this process's memory.
  virtual void give_back(ConstTensorView view) const = 0;
};

// Throw Error(kNotFound | kIo) or Error(kInvalidCheckpoint): file, what is wrong, where. Every
// offset, size and count of the file is checked (overflow included) before use.
std::unique_ptr<TensorFile> open_safetensors(const std::filesystem::path& file);
std::unique_ptr<TensorFile> open_pickle(const std::filesystem::path& file);

class Checkpoint {
 public:
  // `location`: a file of any of the containers (told by its name's end: .safetensors, .bin, .pt,
  // .pth or .index.json), or a folder that holds exactly one of, in this
  // order of preference: model.safetensors, diffusion_pytorch_model.safetensors,
  // *.safetensors.index.json, a single *.safetensors, pytorch_model.bin(.index.json), a single
  // *.bin | *.pt | *.pth.
  static Checkpoint open(const std::filesystem::path& location);

  // Throws Error(kInvalidCheckpoint) naming the tensor, the file and, for a shape, the expected and
  // the found one.
  ConstTensorView get(const std::string& name) const;
  ConstTensorView get(const std::string& name, const Shape& expected) const;
  // As get(), and refuses a tensor of integers: what weights are read with.
  ConstTensorView get_float(const std::string& name, const Shape& expected) const;
  // Empty when absent.
  ConstTensorView find(const std::string& name) const;
  std::vector<std::string> names() const;
  // A tensor was read and is not needed for now: it no longer counts to this process's memory.
  void give_back(ConstTensorView view) const;
  const std::filesystem::path& location() const { return location_; }
  size_t total_bytes() const;
  // SHA-256 over the sorted (name, dtype, shape, bytes) of all tensors, hex: the same for any
  // container of the same weights.
  std::string digest() const;

 private:
  std::filesystem::path location_;
  std::shared_ptr<const TensorFile> tensors_;
};

// Writes float or integer tensors in name order; part file, fsync, rename.
struct NamedTensor {
  std::string name;
  ConstTensorView tensor;
};
void write_safetensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                       const TensorMetadata& metadata = {});

}  // namespace engine
