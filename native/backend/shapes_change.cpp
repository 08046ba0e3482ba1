// Checks of the operations that compare a feature with its earlier values.
#include "backend/shape_rules.h"
#include "backend/shapes.h"

namespace engine {

void check_args(const RelativeL1Args& args) {
  const ShapeRules rules("relative_l1");
  rules.require(args.a.shape().rank() > 0, "a tensor needs an axis of rows");
  rules.tensor("a", args.a, args.a.shape(), Types::kF32);
  rules.tensor("b", args.b, args.a.shape(), Types::kF32);
  rules.tensor("sums", args.sums, {args.a.dim(0), 2}, Types::kF64);
}

void check_args(const UpdateDifferencesArgs& args) {
  const ShapeRules rules("update_differences");
  rules.require(args.count >= 1 && args.count <= kMaxDifferenceOrders + 1,
                "one to five differences");
  rules.tensor("fresh", args.fresh, args.fresh.shape(), Types::kF32);
  for (int i = 0; i < args.count; ++i) {
    rules.tensor("difference", args.differences[static_cast<size_t>(i)], args.fresh.shape(),
                 Types::kKept);
  }
}

}  // namespace engine
