// Writing .safetensors: header and data in name order, so that the same tensors make the same file.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/json.h"
#include "core/part_file.h"
#include "core/quote.h"
#include "core/safetensors_header.h"
#include "core/tensor_table.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr const char* kMetadataKey = "__metadata__";

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, "cannot write " + file.string() + ": " + what);
}

std::vector<NamedTensor> sorted_by_name(const std::filesystem::path& file,
                                        std::vector<NamedTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string& name = tensors[i].name;
    check(!tensors[i].tensor.empty(), "an empty view to write");
    if (name == kMetadataKey) fail(file, "the name \"__metadata__\" is taken by the format");
    if (i > 0 && name == tensors[i - 1].name) fail(file, "two tensors " + quote(name));
  }
  return tensors;
}

// The JSON header, padded with spaces so that the data starts at a multiple of 8.
std::string header_of(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                      const TensorMetadata& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[kMetadataKey] = metadata;
  size_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    Json dims = Json::array();
    for (int axis = 0; axis < tensor.shape().rank(); ++axis) dims.push_back(tensor.dim(axis));
    header[name] = {{"dtype", safetensors_dtype_name(tensor.dtype())},
                    {"shape", std::move(dims)},
                    {"data_offsets", {offset, offset + tensor.bytes()}}};
    offset += tensor.bytes();
  }
  try {
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    return text;
  } catch (const Json::exception&) {
    fail(file, "a tensor's name or a text of the metadata is not UTF-8");
  }
}

}  // namespace

void write_safetensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                       const TensorMetadata& metadata) {
  const std::vector<NamedTensor> sorted = sorted_by_name(file, tensors);
  const std::string header = header_of(file, sorted, metadata);
  const uint64_t header_bytes = header.size();
  PartFile part(file);
  part.write(std::as_bytes(std::span(&header_bytes, 1)));
  part.write(std::as_bytes(std::span(header)));
  for (const NamedTensor& named : sorted) {
    part.write({static_cast<const std::byte*>(named.tensor.data()), named.tensor.bytes()});
  }
  part.commit();
}

}  // namespace engine
