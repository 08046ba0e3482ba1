// What every backend does the same way.
#include "backend/backend.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace engine {
namespace {

// By rows, so that no second table is needed.
void round_to_bf16(ConstTensorView values, TensorView packed) {
  const Shape flat{values.dim(0), values.elements() / values.dim(0)};
  const ConstTensorView from = values.reshaped(flat);
  const TensorView to = packed.reshaped(flat);
  Tensor row(Shape{1, flat[1]}, DType::kF32);
  for (int64_t i = 0; i < flat[0]; ++i) {
    convert_to_f32(from.rows(i, 1), row);
    std::transform(row.f32(), row.f32() + flat[1], to.rows(i, 1).bf16(), bf16_from_float);
  }
}

}  // namespace

Tensor keep_packed(PackedStore* store, const std::string& layout, const Shape& shape, DType dtype,
                   const PackedStore::Pack& pack) {
  if (store != nullptr) return store->keep(layout, shape, dtype, pack);
  Tensor packed(shape, dtype);
  pack(packed);
  return packed;
}

Tensor pack_values(PackedStore* store, ConstTensorView values, DType dtype) {
  check(dtype == DType::kF32 || dtype == DType::kBF16 || dtype == values.dtype(),
        "values are made fp32 or bf16, or kept");
  return keep_packed(store, "values", values.shape(), dtype, [&](TensorView packed) {
    if (dtype == values.dtype()) {
      std::memcpy(packed.data(), values.data(), packed.bytes());
    } else if (dtype == DType::kF32) {
      convert_to_f32(values, packed);
    } else {
      round_to_bf16(values, packed);
    }
  });
}

Tensor Backend::pack_tensor(ConstTensorView values, DType dtype) {
  const Tensor host = pack_values(packed_store_, values, dtype);
  Tensor device = allocate(values.shape(), dtype);
  upload(host, device);
  return device;
}

}  // namespace engine
