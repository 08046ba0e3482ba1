// Where a backend's packed weights lie: in memory of their own, or in a file that engines share.
#pragma once

#include <functional>
#include <string>

#include "core/tensor.h"

namespace engine {

class PackedStore {
 public:
  // Writes what is packed into uninitialised host memory.
  using Pack = std::function<void(TensorView packed)>;

  virtual ~PackedStore() = default;
  // What was kept at this place in the order of the calls, or else what `pack` writes. `layout`
  // says all that decides the bytes beside source, device and build: where it or the shape is
  // another than what was kept, what was kept is of no use. The memory is read-only once the call
  // returns.
  virtual Tensor keep(const std::string& layout, const Shape& shape, DType dtype,
                      const Pack& pack) = 0;
  // Whether keep() takes what was kept and packs nothing: then nobody need read the source.
  virtual bool holds_all() const = 0;
};

// Host memory packed by `pack`, of `store` where there is one.
Tensor keep_packed(PackedStore* store, const std::string& layout, const Shape& shape, DType dtype,
                   const PackedStore::Pack& pack);
// The same of values that are made fp32 or bf16, or kept as they are.
Tensor pack_values(PackedStore* store, ConstTensorView values, DType dtype);

}  // namespace engine
