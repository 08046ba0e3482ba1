#include "models/dit/labels.h"

#include <algorithm>
#include <charconv>

#include "core/quote.h"
#include "engine/error.h"

namespace engine {
namespace {

// Similar names that an error tells of.
constexpr size_t kSimilarMax = 5;

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// Without upper case, outer white space and runs of inner white space. Names are ASCII, or compared
// by their bytes.
std::string folded(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (is_space(c)) {
      if (!result.empty() && result.back() != ' ') result += ' ';
    } else {
      result += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

std::vector<std::string> split(const std::string& names) {
  std::vector<std::string> parts;
  for (size_t first = 0; first <= names.size();) {
    const size_t end = std::min(names.find(',', first), names.size());
    parts.push_back(folded(names.substr(first, end - first)));
    first = end + 1;
  }
  return parts;
}

// The whole text as a number; false when it is none. One that is too large for the type is -1.
bool parse_number(const std::string& text, int64_t& number) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string::npos) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) number = -1;
  return true;
}

// Levenshtein's distance.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// How far a name is from what was typed; a name that contains it, or a word of it, is near.
size_t strangeness(const std::string& typed, const std::string& name) {
  if (name.find(typed) != std::string::npos) return 0;
  return distance(typed, name);
}

}  // namespace

DitLabels::DitLabels(int64_t classes, const std::map<int32_t, std::string>& names)
    : classes_(classes), names_(names) {
  for (const auto& [number, all] : names_) {
    by_name_[folded(all)].insert(number);
    for (const std::string& name : split(all)) by_name_[name].insert(number);
  }
  by_name_.erase("");
}

int32_t DitLabels::label(const std::string& prompt) const {
  const std::string text = folded(prompt);
  int64_t number = 0;
  if (parse_number(text, number)) {
    if (number >= 0 && number < classes_) return static_cast<int32_t>(number);
    throw Error(ErrorCode::kInvalidArgument, "class " + quote(text) +
                                                 " is not one of the model's, 0 to " +
                                                 std::to_string(classes_ - 1));
  }
  const auto found = by_name_.find(text);
  if (found == by_name_.end()) refuse_unknown(prompt, text);
  if (found->second.size() > 1) refuse_ambiguous(prompt, found->second);
  return *found->second.begin();
}

void DitLabels::refuse_ambiguous(const std::string& prompt, const std::set<int32_t>& found) const {
  std::string classes;
  for (const int32_t number : found) {
    classes += (classes.empty() ? "" : ", ") + std::to_string(number) + " (" +
               quote(names_.at(number)) + ")";
  }
  throw Error(ErrorCode::kInvalidArgument,
              quote(prompt) + " is the name of several classes: " + classes + "; give the number");
}

void DitLabels::refuse_unknown(const std::string& prompt, const std::string& text) const {
  const std::string range = "0 to " + std::to_string(classes_ - 1);
  if (by_name_.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                quote(prompt) + " is no number of a class, " + range +
                    ", and this model folder has no names (id2label in model_index.json)");
  }
  std::vector<std::pair<size_t, std::string>> similar;
  for (const auto& [name, numbers] : by_name_) similar.emplace_back(strangeness(text, name), name);
  const size_t count = std::min(kSimilarMax, similar.size());
  std::partial_sort(similar.begin(), similar.begin() + static_cast<std::ptrdiff_t>(count),
                    similar.end());
  std::string names;
  for (size_t i = 0; i < count; ++i) names += (i == 0 ? "" : ", ") + quote(similar[i].second);
  throw Error(ErrorCode::kInvalidArgument, quote(prompt) +
                                               " is no class of this model; similar are " + names +
                                               "; or give a number, " + range);
}

DitLabels read_dit_labels(const std::string& model_index, const DitConfig& config) {
  const std::string context = "model_index.json";
  std::map<int32_t, std::string> names;
  if (model_index.empty()) return {config.classes, names};
  const Json json = parse_json(model_index, context);
  const auto found = json.is_object() ? json.find("id2label") : json.end();
  if (found == json.end() || found->is_null()) return {config.classes, names};
  for (const auto& [key, value] : found->items()) {
    int64_t number = 0;
    const bool known =
        parse_number(key, number) && number >= 0 && number < config.classes && value.is_string();
    if (!known) {
      throw Error(ErrorCode::kInvalidCheckpoint,
                  context + ": id2label must give a name to numbers from 0 to " +
                      std::to_string(config.classes - 1) + ", not " + value.dump() + " to " +
                      quote(key));
    }
    names[static_cast<int32_t>(number)] = value.get<std::string>();
  }
  return {config.classes, names};
}

}  // namespace engine
