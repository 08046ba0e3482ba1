#include "cache/policy_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "core/quote.h"
#include "engine/error.h"

namespace engine {

namespace {

// 0.25, not 0.250000.
std::string short_number(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return {text, end};
}

// The whole text must be the number.
template <typename Number>
bool parse(const std::string& text, Number& value) {
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end;
}

}  // namespace

const std::string* PolicyOptions::find(const char* name, std::string allowed) {
  known_.push_back({name, std::move(allowed), {}});
  for (const Map* const options : {&spec_.options, &shared_, &preferred_}) {
    const auto found = options->find(name);
    if (found != options->end()) return &found->second;
  }
  return nullptr;
}

void PolicyOptions::refuse(const char* name, const std::string& value) const {
  throw Error(ErrorCode::kInvalidArgument, "policy " + spec_.name + ": option " + name + "=" +
                                               quote(value) + " must be " + known_.back().allowed);
}

int PolicyOptions::integer(const char* name, int fallback, int min, int max) {
  const std::string* const text =
      find(name, "an integer from " + std::to_string(min) + " to " + std::to_string(max));
  int value = fallback;
  if (text != nullptr && (!parse(*text, value) || value < min || value > max)) refuse(name, *text);
  known_.back().value = std::to_string(value);
  return value;
}

double PolicyOptions::number(const char* name, double fallback, double min, double max) {
  const std::string* const text =
      find(name, "a number from " + short_number(min) + " to " + short_number(max));
  double value = fallback;
  if (text != nullptr &&
      (!parse(*text, value) || !std::isfinite(value) || value < min || value > max)) {
    refuse(name, *text);
  }
  known_.back().value = short_number(value);
  return value;
}

bool PolicyOptions::flag(const char* name, bool fallback) {
  return choice(name, fallback ? 1 : 0, {"false", "true"}) == 1;
}

size_t PolicyOptions::choice(const char* name, size_t fallback,
                             std::initializer_list<const char*> choices) {
  std::string allowed = "one of";
  for (const char* const each : choices) allowed += std::string(" ") + each;
  const std::string* const text = find(name, std::move(allowed));
  auto found = choices.begin() + fallback;
  if (text != nullptr) found = std::find(choices.begin(), choices.end(), *text);
  if (found == choices.end()) refuse(name, *text);
  known_.back().value = *found;
  return static_cast<size_t>(found - choices.begin());
}

std::string PolicyOptions::text(const char* name, const std::string& fallback,
                                const std::string& allowed) {
  const std::string* const given = find(name, allowed);
  known_.back().value = given == nullptr ? fallback : *given;
  return known_.back().value;
}

std::vector<double> PolicyOptions::numbers(const char* name, double min, double max, size_t count) {
  const std::string* const text =
      find(name, "up to " + std::to_string(count) + " numbers from " + short_number(min) + " to " +
                     short_number(max) + ", separated by commas");
  if (text == nullptr) return {};
  std::vector<double> values;
  std::istringstream parts(*text + ",");
  for (std::string part; std::getline(parts, part, ',');) {
    double value = 0;
    if (!parse(part, value) || !(value >= min && value <= max)) refuse(name, *text);
    values.push_back(value);
  }
  if (values.size() > count) refuse(name, *text);
  known_.back().value = *text;
  return values;
}

void PolicyOptions::finish() const {
  for (const auto& [name, value] : spec_.options) {
    if (knows(name)) continue;
    throw Error(ErrorCode::kInvalidArgument,
                "policy " + spec_.name + " has no option " + quote(name) +
                    (known_.empty() ? ": it takes none" : "; known: " + known()));
  }
}

bool PolicyOptions::knows(const std::string& name) const {
  return std::any_of(known_.begin(), known_.end(),
                     [&](const Known& each) { return each.name == name; });
}

std::string PolicyOptions::known() const {
  std::string text;
  for (const Known& each : known_) {
    text += (text.empty() ? "" : ", ") + each.name + " (" + each.allowed + ")";
  }
  return text.empty() ? "none" : text;
}

std::string PolicyOptions::resolved() const {
  std::string text = spec_.name;
  for (const Known& each : known_) text += " " + each.name + "=" + each.value;
  return text;
}

}  // namespace engine
