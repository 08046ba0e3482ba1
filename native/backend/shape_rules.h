// The words in which shapes.cpp and its siblings state what an argument must look like.
#pragma once

#include <initializer_list>

#include "core/tensor_view.h"

namespace engine {

// A set of dtypes that an argument may have.
// kKept: what a cache holds, fp32, bf16 or fp8 with scales.
enum class Types { kF32, kBF16, kF32OrBF16, kKept, kAnyFloat, kF64, kI32, kU8 };

// Rules for one operation's arguments; each throws Error(kInternal) when it is broken. A tensor
// without elements may have null data; any other must not.
class ShapeRules {
 public:
  explicit ShapeRules(const char* operation) : operation_(operation) {}

  // `tensor` has exactly this shape and one of these dtypes.
  void tensor(const char* name, const ConstTensorView& tensor, Shape expected, Types types) const;
  // The same where the argument may be left out.
  void optional(const char* name, const ConstTensorView& tensor, Shape expected, Types types) const;
  void rank(const char* name, const ConstTensorView& tensor, int rank) const;
  // Anything else, said in words.
  void require(bool condition, const char* what) const;

 private:
  [[noreturn]] void fail(const std::string& what) const;

  const char* operation_;
};

}  // namespace engine
