// The classes of a DiT by number and by name. Names come from the model folder's model_index.json
// (id2label, as the hub's repositories have it: a number and its names, with commas between them),
// never from a table in code.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "models/dit/config.h"

namespace engine {

class DitLabels {
 public:
  // `names` by class; classes may be missing.
  DitLabels(int64_t classes, const std::map<int32_t, std::string>& names);

  // The class that a prompt means: its number, one of its names, or all of them as they stand in
  // the file. Case and white space do not count. Throws Error(kInvalidArgument) for a number out of
  // range, a name of several classes (naming them), and an unknown one (naming similar ones).
  int32_t label(const std::string& prompt) const;

 private:
  [[noreturn]] void refuse_ambiguous(const std::string& prompt,
                                     const std::set<int32_t>& found) const;
  [[noreturn]] void refuse_unknown(const std::string& prompt, const std::string& folded) const;

  int64_t classes_;
  std::map<int32_t, std::string> names_;              // as in the file
  std::map<std::string, std::set<int32_t>> by_name_;  // folded
};

// `model_index`: the text of model_index.json; without it, or without id2label, classes have
// numbers alone. Throws Error(kInvalidCheckpoint) for a damaged one.
DitLabels read_dit_labels(const std::string& model_index, const DitConfig& config);

}  // namespace engine
