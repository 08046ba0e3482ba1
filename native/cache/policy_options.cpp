#include "cache/policy_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>

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
  known_.push_back({name, std::move(allowed)});
  const auto found = spec_.options.find(name);
  return found == spec_.options.end() ? nullptr : &found->second;
}

void PolicyOptions::refuse(const char* name, const std::string& value) const {
  throw Error(ErrorCode::kInvalidArgument, "policy " + spec_.name + ": option " + name + "=" +
                                               quote(value) + " must be " + known_.back().allowed);
}

int PolicyOptions::integer(const char* name, int fallback, int min, int max) {
  const std::string* const text =
      find(name, "an integer from " + std::to_string(min) + " to " + std::to_string(max));
  if (text == nullptr) return fallback;
  int value = 0;
  if (!parse(*text, value) || value < min || value > max) refuse(name, *text);
  return value;
}

double PolicyOptions::number(const char* name, double fallback, double min, double max) {
  const std::string* const text =
      find(name, "a number from " + short_number(min) + " to " + short_number(max));
  if (text == nullptr) return fallback;
  double value = 0;
  if (!parse(*text, value) || !std::isfinite(value) || value < min || value > max) {
    refuse(name, *text);
  }
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
  if (text == nullptr) return fallback;
  const auto found = std::find(choices.begin(), choices.end(), *text);
  if (found == choices.end()) refuse(name, *text);
  return static_cast<size_t>(found - choices.begin());
}

void PolicyOptions::finish() const {
  for (const auto& [name, value] : spec_.options) {
    const bool known = std::any_of(known_.begin(), known_.end(),
                                   [&](const Known& each) { return each.name == name; });
    if (known) continue;
    std::string message = "policy " + spec_.name + " has no option " + quote(name);
    if (known_.empty()) message += ": it takes none";
    for (size_t i = 0; i < known_.size(); ++i) {
      message += (i == 0 ? "; known: " : ", ") + known_[i].name + " (" + known_[i].allowed + ")";
    }
    throw Error(ErrorCode::kInvalidArgument, message);
  }
}

}  // namespace engine
