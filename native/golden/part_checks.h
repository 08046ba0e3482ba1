// What the cases of a single part (T5, VAE) share: where the part's folder is, and how a tensor is
// held against its reference.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>

#include "core/check.h"
#include "engine/error.h"
#include "golden/golden_case.h"

namespace engine {

// The folder of `part` ("text_encoder", "tokenizer", "vae"): the case's own model is that folder
// itself, a model given by the user may be a whole one that contains it.
inline std::filesystem::path golden_part_folder(const GoldenCase& golden,
                                                const GoldenOptions& options, const char* part) {
  const std::filesystem::path folder =
      options.model ? *options.model
                    : golden.resolve(json_string_or(golden.json(), "model", "", golden.name()));
  return std::filesystem::is_directory(folder / part) ? folder / part : folder;
}

// Fp32 rounding adds up differently in every implementation: ten times what the reference itself
// loses against float64, and never less than this share of the largest value.
inline constexpr double kGoldenFloor = 1e-5;
// bf16 keeps 8 bits; errors of a few of its steps add up over a model's layers.
inline constexpr double kGoldenBf16Floor = 3e-2;

inline double largest_magnitude(ConstTensorView tensor) {
  double largest = 0;
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(tensor.f32()[i])));
  }
  return largest;
}

// Both fp32 and in host memory, of the same number of elements. NaN counts as infinite.
inline double largest_difference(ConstTensorView found, ConstTensorView expected) {
  check(found.elements() == expected.elements(), "golden tensors of one size");
  double largest = 0;
  for (int64_t i = 0; i < found.elements(); ++i) {
    const double error = std::abs(static_cast<double>(found.f32()[i]) - expected.f32()[i]);
    if (std::isnan(error)) return HUGE_VAL;
    largest = std::max(largest, error);
  }
  return largest;
}

// `reference_error`: fp32_vs_fp64 of the case, 0 when it has none.
inline GoldenCheck golden_tensor_check(std::string what, ConstTensorView found,
                                       ConstTensorView expected, double reference_error,
                                       DType compute) {
  const double floor = compute == DType::kBF16 ? kGoldenBf16Floor : kGoldenFloor;
  GoldenCheck result;
  result.what = std::move(what);
  result.error = largest_difference(found, expected);
  result.bound = std::max(10 * reference_error, floor * std::max(1.0, largest_magnitude(expected)));
  result.passed = result.error <= result.bound;
  return result;
}

// The tensor in host memory.
inline Tensor golden_download(Backend& backend, ConstTensorView device) {
  Tensor host(device.shape(), device.dtype());
  backend.download(device, host);
  return host;
}

}  // namespace engine
