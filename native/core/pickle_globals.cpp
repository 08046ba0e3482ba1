// Modules first, because the ways into a shell are many; of the builtins only the harmless types.
#include "core/pickle_globals.h"

#include <algorithm>
#include <array>

namespace engine {

bool is_attack_global(std::string_view module, std::string_view name) {
  constexpr std::array<std::string_view, 21> kModules{
      "os",     "posix",   "nt",        "subprocess", "commands", "pty",        "sys",
      "shutil", "socket",  "importlib", "runpy",      "imp",      "code",       "codeop",
      "ctypes", "asyncio", "timeit",    "pdb",        "bdb",      "webbrowser", "operator"};
  constexpr std::array<std::string_view, 18> kHarmlessBuiltins{
      "set",   "frozenset", "dict",  "list",  "tuple",   "int",    "float", "bool",     "str",
      "bytes", "bytearray", "range", "slice", "complex", "object", "type",  "Ellipsis", "long"};
  const std::string_view package = module.substr(0, module.find('.'));
  if (package == "builtins" || package == "__builtin__") {
    return std::find(kHarmlessBuiltins.begin(), kHarmlessBuiltins.end(), name) ==
           kHarmlessBuiltins.end();
  }
  return std::find(kModules.begin(), kModules.end(), package) != kModules.end();
}

}  // namespace engine
