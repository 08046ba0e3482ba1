// Reads the options of a policy by name, with bounds, and remembers what was asked for, so that an
// unknown option can be answered with the known ones.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "engine/request.h"

namespace engine {

// Every getter throws Error(kInvalidArgument) naming policy, option, value and what is allowed.
class PolicyOptions {
 public:
  explicit PolicyOptions(const PolicySpec& spec) : spec_(spec) {}

  int integer(const char* name, int fallback, int min, int max);
  double number(const char* name, double fallback, double min, double max);
  // true or false.
  bool flag(const char* name, bool fallback);
  // The index of the value in `choices`.
  size_t choice(const char* name, size_t fallback, std::initializer_list<const char*> choices);

  // Throws when an option was given that no getter asked for.
  void finish() const;

 private:
  const std::string* find(const char* name, std::string allowed);
  [[noreturn]] void refuse(const char* name, const std::string& value) const;

  const PolicySpec& spec_;
  struct Known {
    std::string name;
    std::string allowed;
  };
  std::vector<Known> known_;
};

}  // namespace engine
