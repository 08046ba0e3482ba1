// What every backend does the same way.
#include "backend/backend.h"

#include <cstring>

#include "core/check.h"

namespace engine {

Tensor keep_packed(PackedStore* store, const std::string& layout, const Shape& shape, DType dtype,
                   const PackedStore::Pack& pack) {
  if (store != nullptr) return store->keep(layout, shape, dtype, pack);
  Tensor packed(shape, dtype);
  pack(packed);
  return packed;
}

Tensor pack_values(PackedStore* store, ConstTensorView values, DType dtype) {
  check(dtype == DType::kF32 || dtype == values.dtype(), "values are made fp32 or kept");
  return keep_packed(store, "values", values.shape(), dtype, [&](TensorView packed) {
    if (dtype != values.dtype()) {
      convert_to_f32(values, packed);
    } else {
      std::memcpy(packed.data(), values.data(), packed.bytes());
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
