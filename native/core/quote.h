// Text that a file or a caller gave us, made safe to stand in a one-line error message.
#pragma once

#include <string>
#include <string_view>

namespace engine {

// The text in double quotes; everything but printable ASCII as \xNN, cut after 200 bytes.
std::string quote(std::string_view text);

}  // namespace engine
