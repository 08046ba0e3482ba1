#include "backend/shape_rules.h"

#include "engine/error.h"

namespace engine {

namespace {

bool has_type(DType dtype, Types types) {
  switch (types) {
    case Types::kF32:
      return dtype == DType::kF32;
    case Types::kBF16:
      return dtype == DType::kBF16;
    case Types::kF32OrBF16:
      return dtype == DType::kF32 || dtype == DType::kBF16;
    case Types::kKept:
      return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF8;
    case Types::kAnyFloat:
      return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
    case Types::kF64:
      return dtype == DType::kF64;
    case Types::kI32:
      return dtype == DType::kI32;
    case Types::kU8:
      return dtype == DType::kU8;
  }
  return false;
}

}  // namespace

void ShapeRules::fail(const std::string& what) const {
  throw Error(ErrorCode::kInternal, std::string(operation_) + ": " + what);
}

void ShapeRules::tensor(const char* name, const ConstTensorView& tensor, Shape expected,
                        Types types) const {
  if (!(tensor.shape() == expected)) {
    fail(std::string(name) + " has shape " + tensor.shape().to_string() + ", expected " +
         expected.to_string());
  }
  if (tensor.empty() && expected.elements() > 0) fail(std::string(name) + " is missing");
  if (!has_type(tensor.dtype(), types)) {
    fail(std::string(name) + " has the wrong dtype " + dtype_name(tensor.dtype()));
  }
  if (tensor.dtype() == DType::kF8 && tensor.scales() == nullptr && expected.elements() > 0) {
    fail(std::string(name) + " has no scales");
  }
}

void ShapeRules::optional(const char* name, const ConstTensorView& view, Shape expected,
                          Types types) const {
  if (!view.empty()) tensor(name, view, expected, types);
}

void ShapeRules::rank(const char* name, const ConstTensorView& tensor, int rank) const {
  if (tensor.shape().rank() != rank) {
    fail(std::string(name) + " has shape " + tensor.shape().to_string() + ", expected rank " +
         std::to_string(rank));
  }
}

void ShapeRules::require(bool condition, const char* what) const {
  if (!condition) fail(what);
}

}  // namespace engine
