// Convolutions of 3 x 3 taps with 4/9 of the products: tiles of 2 x 2 output pixels by Winograd's
// minimal filtering (tile_kernels.h).
#pragma once

#include "backend/cpu/conv_part.h"

namespace engine::cpu {

// weight: [out, in, (kt,) 3, 3], fp32, of a convolution in_tiles(). Its panels hold the weights at
// the points of a tile, computed in double; the taps of a point are those of time.
ConvPart pack_tiles(const CpuContext& context, ConstTensorView weight, ConstTensorView bias,
                    const Axes& kernel, const ConvGeometry& geometry, DType compute, bool pairs);

// Lines [band.first, band.end) of the output. `input` has all lines that they need; `padding`: the
// pixel outside.
void conv_tiles(const CpuContext& context, const ConvPart& part, const Lines& input,
                const ConvArgs& args, Band band, const void* padding);

}  // namespace engine::cpu
