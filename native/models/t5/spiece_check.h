// SentencePiece trusts what it loads: a damaged normalisation table makes it read outside of its
// memory. So the file is checked here before the library sees it.
#pragma once

#include <string>
#include <string_view>

namespace engine {

// `bytes`: a whole spiece.model (a serialised ModelProto). Throws Error(kInvalidCheckpoint) naming
// `file` when messages do not nest, pieces are missing or empty, or a normalisation table (a
// double-array trie and the strings that it leads to) points outside of itself.
void check_spiece_model(std::string_view bytes, const std::string& file);

}  // namespace engine
