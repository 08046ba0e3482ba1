// Nothing in the header is believed: lengths, offsets and products are checked, overflow included,
// before an address is made from them.
#include "core/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "core/json.h"
#include "core/quote.h"
#include "engine/error.h"

namespace engine {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr const char* kMetadataKey = "__metadata__";

constexpr std::array<std::pair<const char*, DType>, 8> kDTypes{{
    {"F32", DType::kF32},
    {"F16", DType::kF16},
    {"BF16", DType::kBF16},
    {"F64", DType::kF64},
    {"I64", DType::kI64},
    {"I32", DType::kI32},
    {"U8", DType::kU8},
    {"BOOL", DType::kU8},  // a byte of 0 or 1
}};

[[noreturn]] void fail(const std::string& file, const std::string& what) {
  throw Error(ErrorCode::kInvalidCheckpoint, file + ": " + what);
}

// A JSON integer that is a size: 0 .. 2^63 - 1.
std::optional<int64_t> size_value(const Json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{INT64_MAX}) return {};
  return value.get<int64_t>();
}

DType parse_dtype(const Json& fields, const std::string& where) {
  const auto field = fields.find("dtype");
  if (field == fields.end() || !field->is_string()) fail(where, "has no dtype");
  const auto& name = field->get_ref<const std::string&>();
  for (const auto& [known, dtype] : kDTypes) {
    if (name == known) return dtype;
  }
  throw Error(ErrorCode::kUnsupported,
              where + ": dtype " + quote(name) +
                  " is not read; convert to F32, F16, BF16, F64, I64, I32, U8 or BOOL");
}

Shape parse_shape(const Json& fields, const std::string& where) {
  const auto field = fields.find("shape");
  if (field == fields.end() || !field->is_array()) fail(where, "has no shape");
  if (field->size() > Shape::kMaxRank) {
    fail(where, "has " + std::to_string(field->size()) + " dimensions, at most " +
                    std::to_string(Shape::kMaxRank) + " are read");
  }
  std::vector<int64_t> dims;
  for (const Json& value : *field) {
    const std::optional<int64_t> dim = size_value(value);
    if (!dim) fail(where, "dimension " + quote(value.dump()) + " is no size");
    dims.push_back(*dim);
  }
  return Shape(std::span<const int64_t>(dims));
}

// Bytes of a dense tensor; empty when the product does not fit.
std::optional<size_t> dense_bytes(const Shape& shape, DType dtype) {
  int64_t bytes = static_cast<int64_t>(dtype_bytes(dtype));
  for (int axis = 0; axis < shape.rank(); ++axis) {
    // A zero elsewhere must not hide an overflow: Shape::elements() would meet it.
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(shape[axis], 1), &bytes)) return {};
  }
  return shape.elements() == 0 ? 0 : static_cast<size_t>(bytes);
}

SafetensorsEntry parse_entry(const std::string& name, const Json& fields, size_t data_begin,
                             size_t data_bytes, const std::string& file) {
  const std::string where = file + ": tensor " + quote(name);
  if (!fields.is_object()) fail(where, "is not described by an object");
  SafetensorsEntry entry;
  entry.name = name;
  entry.dtype = parse_dtype(fields, where);
  entry.shape = parse_shape(fields, where);
  const auto offsets = fields.find("data_offsets");
  if (offsets == fields.end() || !offsets->is_array() || offsets->size() != 2) {
    fail(where, "has no pair of data_offsets");
  }
  const std::optional<int64_t> begin = size_value((*offsets)[0]);
  const std::optional<int64_t> end = size_value((*offsets)[1]);
  if (!begin || !end || *begin > *end || static_cast<uint64_t>(*end) > data_bytes) {
    fail(where, "data_offsets " + quote(offsets->dump()) + " do not lie in the " +
                    std::to_string(data_bytes) + " bytes of data");
  }
  entry.begin = data_begin + static_cast<size_t>(*begin);
  entry.bytes = static_cast<size_t>(*end - *begin);
  const std::optional<size_t> needed = dense_bytes(entry.shape, entry.dtype);
  if (!needed || *needed != entry.bytes) {
    fail(where, "shape " + entry.shape.to_string() + " of " + dtype_name(entry.dtype) +
                    " does not make the " + std::to_string(entry.bytes) +
                    " bytes that data_offsets give it");
  }
  return entry;
}

TensorMetadata parse_metadata(const Json& metadata, const std::string& file) {
  const bool of_strings =
      metadata.is_object() && std::all_of(metadata.begin(), metadata.end(),
                                          [](const Json& value) { return value.is_string(); });
  if (!of_strings) fail(file, "__metadata__ is not an object of strings");
  return metadata.get<TensorMetadata>();
}

// The data must be covered from end to end, each byte by one tensor.
void check_cover(const std::vector<SafetensorsEntry>& entries, size_t data_begin, size_t file_bytes,
                 const std::string& file) {
  size_t covered = data_begin;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != covered) {
      fail(file, "tensor " + quote(entry.name) +
                     (entry.begin < covered ? " overlaps the one before it"
                                            : " leaves a hole before its data"));
    }
    covered += entry.bytes;
  }
  if (covered != file_bytes) {
    fail(file, "the last " + std::to_string(file_bytes - covered) + " bytes belong to no tensor");
  }
}

}  // namespace

SafetensorsHeader read_safetensors_header(std::span<const std::byte> content,
                                          const std::string& file) {
  if (content.size() < kLengthBytes) fail(file, "too short for a safetensors file");
  uint64_t header_bytes = 0;  // stored little-endian, as every machine is that we build for
  std::memcpy(&header_bytes, content.data(), kLengthBytes);
  if (header_bytes > content.size() - kLengthBytes) {
    fail(file, "the header is said to have " + std::to_string(header_bytes) +
                   " bytes, the file has " + std::to_string(content.size()) +
                   ": cut short, or no safetensors file");
  }
  const std::string_view text(reinterpret_cast<const char*>(content.data()) + kLengthBytes,
                              header_bytes);
  if (text.empty() || text.front() != '{') fail(file, "the header is not a JSON object");
  const Json header = parse_json(text, file + ": header");
  const size_t data_begin = kLengthBytes + header_bytes;
  SafetensorsHeader result;
  std::vector<SafetensorsEntry>& entries = result.entries;
  entries.reserve(header.size());
  for (const auto& [name, fields] : header.items()) {
    if (name == kMetadataKey) {
      result.metadata = parse_metadata(fields, file);
    } else {
      entries.push_back(parse_entry(name, fields, data_begin, content.size() - data_begin, file));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.bytes) < std::pair(b.begin, b.bytes);
  });
  check_cover(entries, data_begin, content.size(), file);
  return result;
}

const char* safetensors_dtype_name(DType dtype) {
  const auto found = std::find_if(kDTypes.begin(), kDTypes.end(),
                                  [&](const auto& known) { return known.second == dtype; });
  return found->first;
}

}  // namespace engine
