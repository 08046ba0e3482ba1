// The one implementation of TensorFile: names to views, and whatever keeps the views' memory alive.
// A container's reader fills it once and hands it out.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/checkpoint.h"
#include "core/file_mapping.h"
#include "core/tensor.h"

namespace engine {

class TensorTable : public TensorFile {
 public:
  std::vector<std::string> names() const override;
  ConstTensorView find(const std::string& name) const override;
  const TensorMetadata& metadata() const override { return metadata_; }
  void give_back(ConstTensorView view) const override;

  // False when the name is taken.
  bool add(const std::string& name, ConstTensorView view);
  void describe(TensorMetadata metadata) { metadata_ = std::move(metadata); }
  // Keep the owner of views' memory as long as this table lives: a mapping, another table, a copy.
  void keep(std::shared_ptr<const FileMapping> owner) { mappings_.push_back(std::move(owner)); }
  void keep(std::shared_ptr<const TensorFile> owner) { tables_.push_back(std::move(owner)); }
  void keep(std::shared_ptr<const Tensor> owner) { copies_.push_back(std::move(owner)); }

 private:
  std::map<std::string, ConstTensorView> views_;
  TensorMetadata metadata_;
  std::vector<std::shared_ptr<const FileMapping>> mappings_;
  std::vector<std::shared_ptr<const TensorFile>> tables_;
  std::vector<std::shared_ptr<const Tensor>> copies_;
};

// A view of `shape` at `data`, which the table keeps alive; where `data` is not aligned for
// `dtype`, of an aligned copy, which the table keeps too.
ConstTensorView aligned_view(TensorTable& table, const std::byte* data, DType dtype, Shape shape);

}  // namespace engine
