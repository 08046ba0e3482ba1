// The one place where a request is held to its bounds.
#pragma once

#include "engine/request.h"

namespace engine {

// Throws Error(kInvalidArgument) naming the field, its value, the bounds and what to do.
void check_request(const RenderRequest& request);

}  // namespace engine
