#include "pipeline/versions.h"

#include "backend/backend.h"
#include "engine/engine.h"

namespace engine {

const char* engine_version() {
  return TOCAFARM_VERSION;
}

Versions engine_versions() {
  Versions versions;
  versions.engine = engine_version();
#ifdef TOCAFARM_HAS_TEXT
  versions.sentencepiece = true;
#endif
#ifdef TOCAFARM_HAS_CPU
  const BackendInfo cpu = make_cpu_backend({.threads = 1, .isa = ""})->info();
  versions.onednn = cpu.library;
  versions.isa = cpu.isa;
  versions.bf16_native = cpu.bf16_native;
#endif
  return versions;
}

}  // namespace engine
