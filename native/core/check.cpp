// A failed assertion becomes an Error(kInternal), so that a defect ends one render with its place
// in the message, not the whole process.
#include "core/check.h"

#include <string>

#include "engine/error.h"

namespace engine {

void check(bool condition, std::string_view what, std::source_location where) {
  if (condition) return;
  throw Error(ErrorCode::kInternal, std::string(what) + " (assertion at " + where.file_name() +
                                        ":" + std::to_string(where.line()) + ")");
}

}  // namespace engine
