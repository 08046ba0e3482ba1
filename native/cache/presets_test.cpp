#include "cache/presets.h"

#include <gtest/gtest.h>

#include "engine/error.h"

namespace engine {
namespace {

PolicyContext context_of(PublishedSettings model, int steps) {
  return {.steps = steps,
          .depth = 28,
          .tokens = 256,
          .temporal_blocks = model == PublishedSettings::kOpenSora,
          .published = model};
}

const PolicyContext kOpenSora = context_of(PublishedSettings::kOpenSora, 30);

TEST(Presets, EveryOneIsAPolicyOnEveryModelThatSavesMoreTheLessItIsFaithful) {
  EXPECT_EQ(preset_names(), (std::vector<std::string>{"preview", "balanced", "faithful"}));
  for (const PublishedSettings model :
       {PublishedSettings::kOpenSora, PublishedSettings::kPixartAlpha, PublishedSettings::kDitDdim,
        PublishedSettings::kDitDdpm}) {
    const PolicyContext context = context_of(model, 20);
    size_t full_before = 0;
    for (const std::string& name : preset_names()) {
      const PolicySpec policy = resolve_preset({.name = "preset:" + name, .options = {}}, context);
      EXPECT_FALSE(policy.name.starts_with("preset:"));
      size_t full = 0;
      const auto made = make_policy(policy, context);
      for (int step = 0; step < context.steps; ++step) {
        if (made->trunk(step) == TrunkDecision::kRun &&
            made->decide({.step = step}).decision == Decision::kRefresh) {
          ++full;
        }
      }
      EXPECT_GT(full, full_before) << name;
      full_before = full;
    }
    EXPECT_LT(full_before, static_cast<size_t>(context.steps));
  }
}

TEST(Presets, ThreeAreThese) {
  using Options = std::map<std::string, std::string>;
  const auto options = [](const char* name, const PolicyContext& context) {
    return resolve_preset({.name = name, .options = {}}, context).options;
  };
  EXPECT_EQ(options("preset:preview", kOpenSora), (Options{{"compute", "0-5,8,16,24"}}));
  EXPECT_EQ(options("preset:balanced", kOpenSora), (Options{{"compute", "0-5,8,12,16,20,24,28"}}));
  const PolicyContext short_one = context_of(PublishedSettings::kOpenSora, 5);
  EXPECT_EQ(options("preset:faithful", short_one), (Options{{"compute", "0,2,4"}}));
  const PolicyContext image = context_of(PublishedSettings::kPixartAlpha, 20);
  EXPECT_EQ(options("preset:balanced", image), (Options{{"interval", "4"}, {"warm", "4"}}));
}

TEST(Presets, OptionsThatAreGivenWinOverThoseOfThePreset) {
  const PolicySpec changed = resolve_preset(
      {.name = "preset:balanced", .options = {{"interval", "7"}, {"cross_attention", "false"}}},
      context_of(PublishedSettings::kPixartAlpha, 20));
  EXPECT_EQ(changed.name, "fora");
  EXPECT_EQ(changed.options.at("interval"), "7");
  EXPECT_EQ(changed.options.at("warm"), "4");
  EXPECT_EQ(changed.options.at("cross_attention"), "false");
}

TEST(Presets, OneIsWarnedOfWhereItWasNotMeasured) {
  const PolicySpec preset{.name = "preset:balanced", .options = {}};
  EXPECT_TRUE(preset_warnings(preset, kOpenSora).empty());
  const auto fewer = preset_warnings(preset, context_of(PublishedSettings::kOpenSora, 20));
  ASSERT_EQ(fewer.size(), 1u);
  EXPECT_TRUE(fewer[0].starts_with("preset balanced was measured with 30 steps, not with 20"));
  const auto image = preset_warnings(preset, context_of(PublishedSettings::kPixartAlpha, 20));
  ASSERT_EQ(image.size(), 1u);
  EXPECT_TRUE(image[0].starts_with("preset balanced was measured on video alone"));
  EXPECT_TRUE(preset_warnings({.name = "fora", .options = {}}, context_of({}, 20)).empty());
}

TEST(Presets, WhatIsNoPresetIsLeftAlone) {
  const PolicySpec spec{.name = "balanced", .options = {{"interval", "3"}}};
  const PolicySpec same = resolve_preset(spec, kOpenSora);
  EXPECT_EQ(same.name, spec.name);
  EXPECT_EQ(same.options, spec.options);
}

TEST(Presets, AnUnknownOneIsRefusedWithTheKnownOnes) {
  try {
    resolve_preset({.name = "preset:fast", .options = {}}, kOpenSora);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_STREQ(error.what(), "unknown preset \"fast\"; known: preview balanced faithful");
  }
}

}  // namespace
}  // namespace engine
