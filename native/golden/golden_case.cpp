#include "golden/golden_case.h"

#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace fs = std::filesystem;

GoldenCase GoldenCase::open(const fs::path& folder) {
  const fs::path file = folder / "case.json";
  GoldenCase golden;
  // Relative paths such as "." have no parent to resolve a model against.
  golden.folder_ = fs::absolute(folder).lexically_normal();
  if (!golden.folder_.has_filename()) golden.folder_ = golden.folder_.parent_path();
  golden.json_ = read_json_file(file);
  if (!golden.json_.is_object()) {
    throw Error(ErrorCode::kInvalidCheckpoint, file.string() + ": a case must be a JSON object");
  }
  golden.kind_ = json_string_or(golden.json_, "kind", "", file.string());
  if (golden.kind_.empty()) {
    throw Error(ErrorCode::kInvalidCheckpoint, file.string() + ": the field \"kind\" is missing");
  }
  golden.name_ =
      json_string_or(golden.json_, "case", golden.folder_.filename().string(), file.string());
  const fs::path data = golden.folder_ / "data.safetensors";
  if (fs::exists(data)) golden.data_ = open_safetensors(data);
  return golden;
}

ConstTensorView GoldenCase::find(const std::string& name) const {
  return data_ == nullptr ? ConstTensorView() : data_->find(name);
}

ConstTensorView GoldenCase::tensor(const std::string& name) const {
  const ConstTensorView found = find(name);
  if (found.empty()) {
    throw Error(ErrorCode::kInvalidCheckpoint, (folder_ / "data.safetensors").string() +
                                                   ": tensor " + quote(name) + " is missing");
  }
  return found;
}

fs::path GoldenCase::resolve(const std::string& relative) const {
  return (folder_.parent_path() / relative).lexically_normal();
}

}  // namespace engine
