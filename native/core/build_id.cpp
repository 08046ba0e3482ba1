// The note that the linker wrote (-Wl,--build-id), found among the program headers of the loaded
// object that this function lies in.
#include "core/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <string_view>

namespace engine {
namespace {

constexpr size_t kNoteAlignment = 4;

size_t padded(size_t bytes) {
  return (bytes + kNoteAlignment - 1) / kNoteAlignment * kNoteAlignment;
}

std::string id_in_notes(const char* at, size_t bytes) {
  constexpr std::string_view kOwner("GNU", 4);
  const char* const end = at + bytes;
  while (static_cast<size_t>(end - at) >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof(note));
    const char* const name = at + sizeof(note);
    const char* const content = name + padded(note.n_namesz);
    if (content + note.n_descsz > end) break;
    if (note.n_type == NT_GNU_BUILD_ID && std::string_view(name, note.n_namesz) == kOwner) {
      constexpr char kHex[] = "0123456789abcdef";
      std::string text;
      for (size_t i = 0; i < note.n_descsz; ++i) {
        const auto byte = static_cast<unsigned char>(content[i]);
        text += kHex[byte >> 4];
        text += kHex[byte & 15];
      }
      return text;
    }
    at = content + padded(note.n_descsz);
  }
  return "";
}

int visit(dl_phdr_info* object, size_t, void* result) {
  const auto here = reinterpret_cast<ElfW(Addr)>(&visit);
  bool holds_us = false;
  std::string found;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object->dlpi_phdr[i];
    const ElfW(Addr) begin = object->dlpi_addr + part.p_vaddr;
    if (part.p_type == PT_LOAD) holds_us |= here >= begin && here - begin < part.p_memsz;
    if (part.p_type != PT_NOTE || !found.empty()) continue;
    found = id_in_notes(reinterpret_cast<const char*>(begin), part.p_memsz);
  }
  if (holds_us) *static_cast<std::string*>(result) = found;
  return holds_us ? 1 : 0;
}

}  // namespace

std::string build_id() {
  std::string id;
  dl_iterate_phdr(visit, &id);
  return id;
}

}  // namespace engine
