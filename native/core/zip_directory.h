// The table of contents of a zip archive whose files are stored, not compressed: what PyTorch
// writes since 1.6, zip64 included. Format: PKWARE APPNOTE 6.3.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>

namespace engine {

// Name in the archive -> the file's bytes, inside `content`.
using ZipDirectory = std::unordered_map<std::string, std::span<const std::byte>>;

// Throws Error(kInvalidCheckpoint) naming `file` when the archive is damaged, a name stands twice,
// or an entry reaches outside of `content`; Error(kUnsupported) for compressed or encrypted
// entries.
ZipDirectory read_zip_directory(std::span<const std::byte> content, const std::string& file);

}  // namespace engine
