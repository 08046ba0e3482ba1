// Classes by number and by name, and what an error says of a name that means none or several.
#include "models/dit/labels.h"

#include <gtest/gtest.h>

#include "engine/error.h"

namespace engine {
namespace {

DitLabels labels() {
  return {1000,
          {{1, "goldfish, Carassius auratus"},
           {134, "crane"},
           {207, "golden retriever"},
           {208, "Labrador retriever"},
           {517, "crane"},
           {638, "maillot"},
           {639, "maillot, tank suit"}}};
}

std::string error_of(const DitLabels& labels, const std::string& prompt) {
  try {
    labels.label(prompt);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  return "";
}

TEST(DitLabels, KnowsNumbersNamesAndWholeEntries) {
  EXPECT_EQ(labels().label("207"), 207);
  EXPECT_EQ(labels().label(" 0 "), 0);
  EXPECT_EQ(labels().label("999"), 999);
  EXPECT_EQ(labels().label("Golden  Retriever"), 207);
  EXPECT_EQ(labels().label("carassius auratus"), 1);
  EXPECT_EQ(labels().label("goldfish, Carassius auratus"), 1);
  EXPECT_EQ(labels().label("maillot, tank suit"), 639);
}

TEST(DitLabels, RefusesANumberThatIsNoClass) {
  EXPECT_NE(error_of(labels(), "1000").find("0 to 999"), std::string::npos);
  EXPECT_NE(error_of(labels(), "99999999999999999999").find("0 to 999"), std::string::npos);
  EXPECT_NE(error_of(labels(), "-1").find("is no class"), std::string::npos);
}

TEST(DitLabels, NamesAllClassesThatANameMeans) {
  EXPECT_EQ(error_of(labels(), "Crane"),
            "\"Crane\" is the name of several classes: 134 (\"crane\"), 517 (\"crane\"); give the "
            "number");
  EXPECT_NE(error_of(labels(), "maillot").find("639 (\"maillot, tank suit\")"), std::string::npos);
}

TEST(DitLabels, NamesSimilarOnesForAnUnknownName) {
  EXPECT_NE(error_of(labels(), "goldfisch").find("similar are \"goldfish\", "), std::string::npos);
  const std::string error = error_of(labels(), "retriever");
  EXPECT_NE(error.find("similar are \"golden retriever\", \"labrador retriever\""),
            std::string::npos);
  EXPECT_NE(error_of({1000, {}}, "goldfish").find("this model folder has no names"),
            std::string::npos);
}

TEST(DitLabels, ReadsTheHubsModelIndex) {
  DitConfig config;
  config.classes = 10;
  const std::string text =
      R"({"_class_name": "DiTPipeline", "id2label": {"0": "tench", "9": "ox"}})";
  EXPECT_EQ(read_dit_labels(text, config).label("ox"), 9);
  EXPECT_EQ(read_dit_labels("", config).label("9"), 9);
  EXPECT_EQ(read_dit_labels("{}", config).label("9"), 9);
  for (const char* const damaged : {"{", R"({"id2label": {"10": "x"}})",
                                    R"({"id2label": {"x": "y"}})", R"({"id2label": {"1": 2}})"}) {
    EXPECT_THROW(read_dit_labels(damaged, config), Error) << damaged;
  }
}

}  // namespace
}  // namespace engine
