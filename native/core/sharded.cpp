// The index is read whole before a shard is opened; every shard lies beside the index.
#include "core/sharded.h"

#include <map>

#include "core/json.h"
#include "core/quote.h"
#include "core/tensor_table.h"
#include "engine/error.h"

namespace engine {
namespace {

using Shards = std::map<std::string, std::vector<std::string>>;  // file name -> tensors

[[noreturn]] void fail(const std::filesystem::path& index, const std::string& what) {
  throw Error(ErrorCode::kInvalidCheckpoint, index.string() + ": " + what);
}

bool ends_with(const std::filesystem::path& file, std::string_view ending) {
  return file.filename().string().ends_with(ending);
}

// A name with a separator or a NUL could lead out of the folder.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

Shards read_index(const std::filesystem::path& index) {
  const Json json = read_json_file(index);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    fail(index, "has no object \"weight_map\"");
  }
  Shards shards;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string()) fail(index, "the file of tensor " + quote(tensor) + " is no string");
    const auto& name = file.get_ref<const std::string&>();
    if (!is_plain_name(name) || name.ends_with(".index.json")) {
      fail(index, "tensor " + quote(tensor) + " is said to lie in " + quote(name) +
                      ", which is not the name of a weight file in this folder");
    }
    shards[name].push_back(tensor);
  }
  return shards;
}

std::shared_ptr<TensorFile> open_shard(const std::filesystem::path& index,
                                       const std::string& name) {
  const std::filesystem::path file = index.parent_path() / name;
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    throw Error(ErrorCode::kNotFound, "shard " + file.string() + ", named by " +
                                          index.filename().string() + ", is missing");
  }
  return open_container(file);
}

}  // namespace

std::unique_ptr<TensorFile> open_container(const std::filesystem::path& file) {
  if (ends_with(file, ".index.json")) return open_sharded(file);
  if (ends_with(file, ".safetensors")) return open_safetensors(file);
  if (ends_with(file, ".bin") || ends_with(file, ".pt") || ends_with(file, ".pth")) {
    return open_pickle(file);
  }
  throw Error(ErrorCode::kInvalidArgument,
              file.string() +
                  " is no weight file by its name: .safetensors, .bin, .pt, .pth and "
                  ".index.json are read");
}

std::unique_ptr<TensorFile> open_sharded(const std::filesystem::path& index) {
  auto table = std::make_unique<TensorTable>();
  for (const auto& [name, tensors] : read_index(index)) {
    const std::shared_ptr<TensorFile> shard = open_shard(index, name);
    table->keep(shard);
    for (const std::string& tensor : tensors) {
      const ConstTensorView view = shard->find(tensor);
      if (view.empty()) fail(index, "shard " + name + " does not hold tensor " + quote(tensor));
      table->add(tensor, view);
    }
  }
  return table;
}

}  // namespace engine
