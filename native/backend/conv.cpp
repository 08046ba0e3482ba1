#include "backend/conv.h"

namespace engine {

std::array<int64_t, 3> ConvWeights::output_size(int64_t frames, int64_t height,
                                                int64_t width) const {
  const std::array<int64_t, 3> input = geometry_.convolved_size({frames, height, width});
  std::array<int64_t, 3> output{};
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t padded = input[axis] + geometry_.pad_before[axis] + geometry_.pad_after[axis];
    const int64_t room = padded - kernel_[axis];
    output[axis] = room < 0 ? 0 : room / geometry_.stride[axis] + 1;
  }
  return output;
}

}  // namespace engine
