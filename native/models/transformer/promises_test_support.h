// What the tests of the cache contract have in common, whatever the model.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "engine/error.h"
#include "models/transformer/step_hooks.h"

namespace engine {

// The fast backend where there is one: the promises are made of it.
inline std::unique_ptr<Backend> make_backend(int threads = 1) {
#ifdef TOCAFARM_HAS_CPU
  return make_cpu_backend({.threads = threads, .isa = ""});
#else
  static_cast<void>(threads);
  return make_plain_backend();
#endif
}

inline bool same_bits(ConstTensorView a, ConstTensorView b) {
  return a.bytes() == b.bytes() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

template <typename Clip>
std::vector<uint64_t> seeds_of(const std::vector<Clip>& clips) {
  std::vector<uint64_t> seeds;
  for (const Clip& clip : clips) seeds.push_back(clip.seed);
  return seeds;
}

// `run` with these hooks is cancelled when it asks for the `asks`-th time, and asks no more.
inline void expect_cancelled(int asks, const std::function<void(const StepHooks&)>& run) {
  int asked = 0;
  StepHooks hooks;
  hooks.cancelled = [&] { return ++asked == asks; };
  try {
    run(hooks);
    FAIL() << "the step went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_EQ(asked, asks);
}

// Counts the module calls of a clip whose rows have `tokens` tokens, and holds each to its account.
class ModuleCounter {
 public:
  explicit ModuleCounter(int64_t tokens) : tokens_(tokens) {}

  StepHooks hooks() {
    StepHooks hooks;
    hooks.want_indices = true;
    hooks.on_module = [this](const ModuleReport& report) { count(report); };
    return hooks;
  }
  int64_t calls() const { return calls_; }
  int64_t partial() const { return partial_; }  // that computed some tokens

 private:
  void count(const ModuleReport& report) {
    ++calls_;
    EXPECT_EQ(report.tokens_computed + report.tokens_reused, 2 * tokens_);
    EXPECT_EQ(report.flops == 0, report.tokens_computed == 0);
    if (report.decision != Decision::kPartial || report.tokens_computed == 0) return;
    ++partial_;
    EXPECT_EQ(report.indices.shape(), (Shape{2, report.tokens_computed / 2}));
  }

  int64_t tokens_;
  int64_t calls_ = 0, partial_ = 0;
};

}  // namespace engine
