// Bounds and errors of JSON from elsewhere.
#include "core/json.h"

#include "core/test_support.h"

namespace engine {
namespace {

constexpr auto kBad = ErrorCode::kInvalidCheckpoint;

TEST(JsonTest, ReadsAFile) {
  const TemporaryFolder folder;
  const Json json = read_json_file(folder.write("config.json", R"({"depth": 28, "name": "x"})"));
  EXPECT_EQ(json_int(json, "depth", "config.json", 1, 100), 28);
}

TEST(JsonTest, NamesFileAndPlaceOfAnError) {
  const TemporaryFolder folder;
  const auto file = folder.write("config.json", "{\"a\": 1,\n \"b\": }");
  EXPECT_TRUE(fails([&] { read_json_file(file); }, kBad, "config.json: parse error at line 2"));
  const auto missing = folder.path() / "none.json";
  EXPECT_TRUE(fails([&] { read_json_file(missing); }, ErrorCode::kNotFound, "none.json"));
  EXPECT_TRUE(fails([&] { read_json_file(folder.path()); }, ErrorCode::kIo, "regular file"));
}

TEST(JsonTest, RefusesWhatIsNoStrictJson) {
  for (const char* text : {"", "{", "{} {}", "{\"a\": NaN}", "{\"a\": 1,}", "{'a': 1}", "\xff",
                           "\"\xc3\x28\"", "{\"a\": 1e999}"}) {
    EXPECT_TRUE(fails([&] { parse_json(text, "there"); }, kBad, "there: ")) << text;
  }
}

TEST(JsonTest, RefusesAKeyThatStandsTwice) {
  EXPECT_TRUE(fails([] { parse_json(R"({"a": {"b": 1, "b": 2}})", "x"); }, kBad, "\"b\" stands"));
  EXPECT_EQ(parse_json(R"([{"a": 1}, {"a": 2}])", "x").size(), 2u);
}

TEST(JsonTest, RefusesDeepNesting) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(parse_json(nested(kMaxJsonDepth), "x").is_array());
  EXPECT_TRUE(fails([&] { parse_json(nested(kMaxJsonDepth + 2), "x"); }, kBad, "deeper"));
  EXPECT_TRUE(fails([&] { parse_json(std::string(1 << 20, '['), "x"); }, kBad, "deeper"));
}

TEST(JsonTest, RefusesTextOverTheBound) {
  const std::string text(kMaxJsonBytes + 1, ' ');
  EXPECT_TRUE(fails([&] { parse_json(text, "x"); }, kBad, "at most"));
}

TEST(JsonTest, TypedGettersNameTheField) {
  const Json json = parse_json(
      R"({"i": 5, "f": 0.5, "s": "t", "b": true, "n": null, "big": 18446744073709551615})", "c");
  EXPECT_EQ(json_int(json, "i", "c", 0, 5), 5);
  EXPECT_EQ(json_int_or(json, "none", 9, "c", 0, 5), 9);
  EXPECT_EQ(json_int_or(json, "n", 9, "c", 0, 5), 9);
  EXPECT_EQ(json_number_or(json, "f", 0, "c"), 0.5);
  EXPECT_EQ(json_number_or(json, "i", 0, "c"), 5);
  EXPECT_TRUE(json_bool_or(json, "b", false, "c"));
  EXPECT_EQ(json_string_or(json, "s", "", "c"), "t");
  EXPECT_EQ(json_string_or(json, "none", "u", "c"), "u");
  EXPECT_TRUE(fails([&] { json_int(json, "none", "c", 0, 5); }, kBad, "\"none\" is missing"));
  EXPECT_TRUE(fails([&] { json_int(json, "i", "c", 0, 4); }, kBad, "is 5, allowed is 0 to 4"));
  EXPECT_TRUE(fails([&] { json_int(json, "f", "c", 0, 4); }, kBad, "must be an integer"));
  EXPECT_TRUE(fails([&] { json_int(json, "b", "c", 0, 4); }, kBad, "must be an integer"));
  EXPECT_TRUE(fails([&] { json_int(json, "big", "c", 0, INT64_MAX); }, kBad, "allowed"));
  EXPECT_TRUE(fails([&] { json_number_or(json, "s", 0, "c"); }, kBad, "must be a number"));
  EXPECT_TRUE(fails([&] { json_bool_or(json, "i", false, "c"); }, kBad, "true or false"));
  EXPECT_TRUE(fails([&] { json_string_or(json, "i", "", "c"); }, kBad, "must be a string"));
  EXPECT_TRUE(fails([&] { json_int(Json::array(), "i", "c", 0, 5); }, kBad, "JSON object"));
}

}  // namespace
}  // namespace engine
