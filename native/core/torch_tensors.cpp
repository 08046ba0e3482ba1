// The shapes of PyTorch's own pickles: torch/_utils.py (how tensors are put together again) and
// torch/serialization.py (how storages are named). What has another shape is no tensor.
#include "core/torch_tensors.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "core/quote.h"
#include "core/strided_copy.h"
#include "engine/error.h"

namespace engine {
namespace {

struct StorageType {
  std::string_view name;
  uint64_t element_bytes;
  std::optional<DType> dtype;
};

constexpr std::array<StorageType, 12> kStorageTypes{{
    {"FloatStorage", 4, DType::kF32},
    {"HalfStorage", 2, DType::kF16},
    {"BFloat16Storage", 2, DType::kBF16},
    {"DoubleStorage", 8, DType::kF64},
    {"LongStorage", 8, DType::kI64},
    {"IntStorage", 4, DType::kI32},
    {"ByteStorage", 1, DType::kU8},
    {"BoolStorage", 1, DType::kU8},
    {"CharStorage", 1, {}},
    {"ShortStorage", 2, {}},
    {"ComplexFloatStorage", 8, {}},
    {"ComplexDoubleStorage", 16, {}},
}};

// Under these keys training scripts put the weights; of several, the first is what their authors'
// own inference loads.
constexpr std::array<std::string_view, 4> kWrapperKeys{"state_dict", "ema", "model", "module"};
constexpr int kMaxWrappers = 4;
// A parameter wraps a tensor; nothing honest wraps it deeper.
constexpr int kMaxTensorWrappers = 4;

constexpr size_t kSequencePartsMin = 4;

// The items of a tuple, or of torch.Size made from one.
const PickleSequence* sequence_of(const PickleDocument& document, PickleId id) {
  if (const auto* call = document.get<PickleCall>(id)) {
    const auto* function = document.get<PickleGlobal>(call->function);
    const auto* arguments = document.get<PickleSequence>(call->arguments);
    const bool is_size = function != nullptr && function->is("torch", "Size");
    if (!is_size || arguments == nullptr || arguments->items.size() != 1) return nullptr;
    id = arguments->items[0];
  }
  return document.get<PickleSequence>(id);
}

std::optional<uint64_t> count_of(const PickleDocument& document, PickleId id) {
  const auto* value = document.get<int64_t>(id);
  if (value == nullptr || *value < 0) return {};
  return static_cast<uint64_t>(*value);
}

const StorageType* storage_type_of(const PickleDocument& document, PickleId id) {
  const auto* type = document.get<PickleGlobal>(id);
  if (type == nullptr || (type->module != "torch" && type->module != "torch.cuda")) return nullptr;
  const auto found =
      std::find_if(kStorageTypes.begin(), kStorageTypes.end(),
                   [&](const StorageType& known) { return known.name == type->name; });
  return found == kStorageTypes.end() ? nullptr : &*found;
}

// A legacy storage that is a part of its root: (key of the view, first element, elements).
bool read_storage_view(const PickleDocument& document, PickleId id, TorchStorage& storage) {
  if (document.get<PickleNone>(id) != nullptr) return true;
  const auto* parts = document.get<PickleSequence>(id);
  if (parts == nullptr || parts->items.size() != 3) return false;
  const auto begin = count_of(document, parts->items[1]);
  const auto elements = count_of(document, parts->items[2]);
  if (!begin || !elements || *begin > storage.elements || *elements > storage.elements - *begin) {
    return false;
  }
  storage.view_begin = *begin;
  storage.view_elements = *elements;
  return true;
}

// The arguments (storage, offset, size, strides, ...) of the call that puts a tensor together; null
// when the value is no tensor.
const PickleSequence* tensor_arguments(const PickleDocument& document, PickleId id) {
  for (int depth = 0; depth < kMaxTensorWrappers; ++depth) {
    const auto* call = document.get<PickleCall>(id);
    if (call == nullptr) return nullptr;
    const auto* function = document.get<PickleGlobal>(call->function);
    const auto* arguments = document.get<PickleSequence>(call->arguments);
    if (function == nullptr || arguments == nullptr || arguments->items.empty()) return nullptr;
    if (function->is("torch._utils", "_rebuild_tensor_v2") ||
        function->is("torch._utils", "_rebuild_tensor")) {
      return arguments;
    }
    if (!function->is("torch._utils", "_rebuild_parameter") &&
        !function->is("torch._utils", "_rebuild_parameter_with_state")) {
      return nullptr;
    }
    id = arguments->items[0];
  }
  return nullptr;
}

bool holds_tensor(const PickleDocument& document, const PickleDict& dict) {
  return std::any_of(dict.items.begin(), dict.items.end(), [&](const auto& item) {
    return tensor_arguments(document, item.second) != nullptr;
  });
}

const PickleDict* find_dict(const PickleDocument& document, const PickleDict& in,
                            std::string_view key) {
  for (auto item = in.items.rbegin(); item != in.items.rend(); ++item) {
    const auto* text = document.get<std::string_view>(item->first);
    if (text != nullptr && *text == key) return document.get<PickleDict>(item->second);
  }
  return nullptr;
}

// The dict that holds tensors: `dict` or one inside it under a wrapper's key, at most kMaxWrappers
// deep (a pickled dict may contain itself); null when there is none.
const PickleDict* find_state_dict(const PickleDocument& document, const PickleDict* dict,
                                  int wrappers = 0) {
  if (dict == nullptr || wrappers > kMaxWrappers) return nullptr;
  for (const std::string_view key : kWrapperKeys) {
    const PickleDict* inner = find_dict(document, *dict, key);
    const PickleDict* found = find_state_dict(document, inner, wrappers + 1);
    if (found != nullptr) return found;
  }
  return holds_tensor(document, *dict) ? dict : nullptr;
}

// Turns the arguments of one tensor into a view.
class TensorBuilder {
 public:
  TensorBuilder(TensorTable& table, const PickleDocument& document, const FindStorage& find_storage,
                uint64_t copy_bytes_max)
      : table_(table),
        document_(document),
        find_storage_(find_storage),
        copy_bytes_left_(copy_bytes_max) {}

  // `where` begins every error: file and tensor.
  ConstTensorView build(const PickleSequence& arguments, const std::string& where) {
    if (arguments.items.size() < kSequencePartsMin) fail(where, "is described by too few values");
    const TorchStorage storage = storage_of(arguments.items[0], where);
    const StridedLayout layout = layout_of(arguments, where);
    if (!storage.dtype) {
      throw Error(ErrorCode::kUnsupported, where + " has elements of torch." +
                                               std::string(storage.type) + ", which are not read");
    }
    const std::byte* data = data_of(storage, where);
    if (!fits_storage(layout, storage.view_elements)) {
      fail(where, "shape " + layout.shape.to_string() + " at element " +
                      std::to_string(layout.offset) + " reaches out of its storage of " +
                      std::to_string(storage.view_elements) + " elements");
    }
    return view_of(layout, data, *storage.dtype, where);
  }

 private:
  [[noreturn]] static void fail(const std::string& where, const std::string& what) {
    throw Error(ErrorCode::kInvalidCheckpoint, where + " " + what);
  }

  TorchStorage storage_of(PickleId id, const std::string& where) const {
    const auto* reference = document_.get<PickleReference>(id);
    const auto storage =
        reference == nullptr ? std::nullopt : read_torch_storage(document_, *reference);
    if (!storage) fail(where, "has no storage that can be read");
    return *storage;
  }

  StridedLayout layout_of(const PickleSequence& arguments, const std::string& where) const {
    const auto offset = count_of(document_, arguments.items[1]);
    const PickleSequence* dims = sequence_of(document_, arguments.items[2]);
    const PickleSequence* strides = sequence_of(document_, arguments.items[3]);
    if (!offset || dims == nullptr || strides == nullptr ||
        dims->items.size() != strides->items.size()) {
      fail(where, "has no offset, shape and strides");
    }
    if (dims->items.size() > Shape::kMaxRank) {
      fail(where, "has " + std::to_string(dims->items.size()) + " dimensions, at most " +
                      std::to_string(Shape::kMaxRank) + " are read");
    }
    StridedLayout layout;
    layout.offset = static_cast<int64_t>(*offset);
    std::array<int64_t, Shape::kMaxRank> lengths{};
    for (size_t axis = 0; axis < dims->items.size(); ++axis) {
      const auto length = count_of(document_, dims->items[axis]);
      const auto stride = count_of(document_, strides->items[axis]);
      if (!length || !stride) fail(where, "has a shape or strides that are no sizes");
      lengths[axis] = static_cast<int64_t>(*length);
      layout.strides[axis] = static_cast<int64_t>(*stride);
    }
    layout.shape = Shape(std::span<const int64_t>(lengths).first(dims->items.size()));
    return layout;
  }

  // The first byte of the (part of the) storage, all of which is known to be there.
  const std::byte* data_of(const TorchStorage& storage, const std::string& where) const {
    const auto bytes = find_storage_(storage.key);
    if (!bytes) fail(where, "lies in storage " + quote(storage.key) + ", which the file lacks");
    if (storage.elements > bytes->size() / storage.element_bytes) {
      fail(where, "lies in a storage of " + std::to_string(storage.elements) +
                      " elements, for which the file has only " + std::to_string(bytes->size()) +
                      " bytes");
    }
    return bytes->data() + storage.view_begin * storage.element_bytes;
  }

  ConstTensorView view_of(const StridedLayout& layout, const std::byte* storage, DType dtype,
                          const std::string& where) {
    const size_t element_bytes = dtype_bytes(dtype);
    const std::byte* first = storage + static_cast<size_t>(layout.offset) * element_bytes;
    const bool in_place =
        is_contiguous(layout) && reinterpret_cast<uintptr_t>(first) % element_bytes == 0;
    if (in_place) return {first, dtype, layout.shape};
    const auto elements = static_cast<uint64_t>(layout.shape.elements());
    if (elements > copy_bytes_left_ / element_bytes) {
      fail(where, "repeats its storage more than a file of weights may");
    }
    copy_bytes_left_ -= elements * element_bytes;
    auto copy = std::make_shared<Tensor>(layout.shape, dtype);
    copy_strided(layout, storage, element_bytes, static_cast<std::byte*>(copy->view().data()));
    table_.keep(copy);
    return *copy;
  }

  TensorTable& table_;
  const PickleDocument& document_;
  const FindStorage& find_storage_;
  uint64_t copy_bytes_left_;
};

}  // namespace

std::optional<TorchStorage> read_torch_storage(const PickleDocument& document,
                                               const PickleReference& reference) {
  const auto* parts = document.get<PickleSequence>(reference.description);
  if (parts == nullptr || parts->items.size() < 5 || parts->items.size() > 6) return {};
  const auto* kind = document.get<std::string_view>(parts->items[0]);
  const StorageType* type = storage_type_of(document, parts->items[1]);
  const auto* key = document.get<std::string_view>(parts->items[2]);
  const auto elements = count_of(document, parts->items[4]);
  if (kind == nullptr || *kind != "storage" || type == nullptr || key == nullptr || !elements) {
    return {};
  }
  TorchStorage storage{*key, type->name, type->dtype, type->element_bytes, *elements, 0, *elements};
  const bool is_whole = parts->items.size() == 5;
  if (!is_whole && !read_storage_view(document, parts->items[5], storage)) return {};
  return storage;
}

void add_torch_tensors(TensorTable& table, const PickleDocument& document,
                       const FindStorage& find_storage, uint64_t copy_bytes_max,
                       const std::string& file) {
  const PickleDict* state_dict = find_state_dict(document, document.get<PickleDict>(document.root));
  if (state_dict == nullptr) {
    throw Error(ErrorCode::kInvalidCheckpoint,
                file +
                    ": the pickle holds no dict of tensors (a whole pickled model is not read: "
                    "save its state_dict)");
  }
  // The last of equal keys counts, as in Python.
  std::unordered_map<std::string_view, const PickleSequence*> tensors;
  for (const auto& [key, value] : state_dict->items) {
    const auto* name = document.get<std::string_view>(key);
    if (name != nullptr) tensors[*name] = tensor_arguments(document, value);
  }
  TensorBuilder builder(table, document, find_storage, copy_bytes_max);
  for (const auto& [name, arguments] : tensors) {
    if (arguments == nullptr) continue;
    const std::string where = file + ": tensor " + quote(name);
    table.add(std::string(name), builder.build(*arguments, where));
  }
}

uint64_t torch_copy_bytes_max(uint64_t file_bytes) {
  return 4 * file_bytes + (uint64_t{1} << 20);
}

}  // namespace engine
