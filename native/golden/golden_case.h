// One folder of golden data: case.json (model, settings, list of tensors) and data.safetensors
// (inputs, and reference values under `ref.`). A runner for each kind renders the inputs and
// returns a row for each thing that it compared.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/checkpoint.h"
#include "core/json.h"

namespace engine {

struct GoldenOptions {
  DType dtype = DType::kF32;
  std::optional<std::filesystem::path> model;  // overrides the case's model folder
};

// One line of the table.
struct GoldenCheck {
  std::string what;  // "latents", "selections", "frames toca", ...
  double error = 0;  // largest absolute error, or PSNR in dB for frames
  double bound = 0;  // what it is held to
  std::string unit =
      "abs";  // "abs" (error <= bound), "dB" (error >= bound), "count" (error <= bound)
  int64_t selections_excused = 0;  // rows of token selections that differ within a tie
  bool passed = false;
  std::string note;  // one line, e.g. why a row was excused
};

class GoldenCase {
 public:
  // Throws Error(kNotFound | kInvalidCheckpoint) naming the file and the field.
  static GoldenCase open(const std::filesystem::path& folder);

  const std::string& name() const { return name_; }
  const std::string& kind() const { return kind_; }
  const Json& json() const { return json_; }
  const std::filesystem::path& folder() const { return folder_; }
  // Throws Error(kInvalidCheckpoint) when the case lacks the tensor.
  ConstTensorView tensor(const std::string& name) const;
  ConstTensorView find(const std::string& name) const;  // empty when absent
  // A path written in case.json is relative to the folder above the case.
  std::filesystem::path resolve(const std::string& relative) const;

 private:
  std::filesystem::path folder_;
  std::string name_;
  std::string kind_;
  Json json_;
  std::shared_ptr<TensorFile> data_;  // null for a case of JSON alone
};

using GoldenChecks = std::vector<GoldenCheck>;

GoldenChecks run_stdit3_forward(const GoldenCase& golden, Backend& backend,
                                const GoldenOptions& options);
GoldenChecks run_stdit3_rflow(const GoldenCase& golden, Backend& backend,
                              const GoldenOptions& options);
GoldenChecks run_dit(const GoldenCase& golden, Backend& backend, const GoldenOptions& options);
GoldenChecks run_pixart(const GoldenCase& golden, Backend& backend, const GoldenOptions& options);
GoldenChecks run_t5_encoder(const GoldenCase& golden, Backend& backend,
                            const GoldenOptions& options);
GoldenChecks run_vae_decode(const GoldenCase& golden, Backend& backend,
                            const GoldenOptions& options);
GoldenChecks run_vae_encode(const GoldenCase& golden, Backend& backend,
                            const GoldenOptions& options);
GoldenChecks run_pipeline(const GoldenCase& golden, Backend& backend, const GoldenOptions& options);

}  // namespace engine
