// Reads the options of a policy by name, with bounds, and remembers what was asked for, so that an
// unknown option can be answered with the known ones.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace engine {

// Every getter throws Error(kInvalidArgument) naming policy, option, value and what is allowed.
class PolicyOptions {
 public:
  using Map = std::map<std::string, std::string>;

  // `shared`: options that may be meant for another policy as well; finish() leaves them alone.
  explicit PolicyOptions(PolicySpec spec, Map shared = {})
      : spec_(std::move(spec)), shared_(std::move(shared)) {}

  int integer(const char* name, int fallback, int min, int max);
  double number(const char* name, double fallback, double min, double max);
  // true or false.
  bool flag(const char* name, bool fallback);
  // The index of the value in `choices`.
  size_t choice(const char* name, size_t fallback, std::initializer_list<const char*> choices);

  // Any text; the policy reads it. `allowed` describes it.
  std::string text(const char* name, const std::string& fallback, const std::string& allowed);
  // Numbers separated by commas, at most `count`; empty when the option is not given.
  std::vector<double> numbers(const char* name, double min, double max, size_t count);

  // What holds for an option that is not given, in place of the getter's own.
  void prefer(const std::string& name, const std::string& value) { preferred_[name] = value; }

  // Throws when an option was given that no getter asked for.
  void finish() const;

  // Whether a getter asked for it.
  bool knows(const std::string& name) const;
  // "interval (an integer from 1 to 1000), ..."; "none".
  std::string known() const;
  // Every option asked for with the value that holds: the policy's own description of itself.
  std::string resolved() const;

 private:
  const std::string* find(const char* name, std::string allowed);
  [[noreturn]] void refuse(const char* name, const std::string& value) const;

  PolicySpec spec_;
  Map shared_;
  Map preferred_;
  struct Known {
    std::string name;
    std::string allowed;
    std::string value;
  };
  std::vector<Known> known_;
};

}  // namespace engine
