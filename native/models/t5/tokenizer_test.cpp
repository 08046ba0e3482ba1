// The tokenizer against the reference's ids, and against damaged files: an Error each, never a
// crash.
#include "models/t5/tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <vector>

#include "core/json.h"
#include "engine/error.h"
#include "models/t5/spiece_check.h"

namespace engine {
namespace {

const std::filesystem::path kGolden = TOCAFARM_TEST_DATA;
const std::filesystem::path kTiny = kGolden / "models" / "t5-tiny";

std::vector<int32_t> ids_of(const TextTokens& tokens) {
  return {tokens.ids.view().i32(), tokens.ids.view().i32() + tokens.ids.elements()};
}

std::string read_file(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(T5Tokenizer, gives_the_ids_of_the_published_one) {
  const T5Tokenizer tokenizer = T5Tokenizer::load(kTiny);
  const Json golden = read_json_file(kGolden / "t5-encoder" / "case.json");
  for (const Json& row : golden.at("rows")) {
    const auto expected = row.at("transformers_ids").get<std::vector<int32_t>>();
    const TextTokens tokens =
        tokenizer.encode(row.at("text").get<std::string>(), static_cast<int64_t>(expected.size()));
    EXPECT_EQ(ids_of(tokens), expected) << row.at("text");
  }
}

TEST(T5Tokenizer, masks_the_padding_and_counts_the_rest) {
  const T5Tokenizer tokenizer = T5Tokenizer::load(kTiny);
  const TextTokens tokens = tokenizer.encode("a beautiful waterfall", 6);
  EXPECT_EQ(ids_of(tokens), (std::vector<int32_t>{80, 102, 106, 1, 0, 0}));
  EXPECT_EQ(tokens.count, 4);
  const uint8_t* const mask = tokens.mask.view().u8();
  EXPECT_EQ(std::vector<int>(mask, mask + 6), (std::vector<int>{1, 1, 1, 1, 0, 0}));
}

TEST(T5Tokenizer, keeps_the_end_of_sequence_when_it_cuts) {
  const T5Tokenizer tokenizer = T5Tokenizer::load(kTiny);
  EXPECT_EQ(ids_of(tokenizer.encode("a beautiful waterfall", 2)), (std::vector<int32_t>{80, 1}));
  EXPECT_EQ(ids_of(tokenizer.encode("a beautiful waterfall", 1)), (std::vector<int32_t>{1}));
  EXPECT_EQ(ids_of(tokenizer.encode("", 2)), (std::vector<int32_t>{1, 0}));
  EXPECT_THROW(tokenizer.encode("a", 0), Error);
}

TEST(T5Tokenizer, takes_only_extra_ids_that_the_model_has) {
  const T5Tokenizer tiny = T5Tokenizer::load(kTiny);
  EXPECT_EQ(tiny.vocabulary(), 520);
  EXPECT_EQ(ids_of(tiny.encode("<extra_id_99>", 2)), (std::vector<int32_t>{420, 1}));
  EXPECT_NE(ids_of(tiny.encode("<extra_id_100>", 2))[0], 419);
  EXPECT_NE(ids_of(tiny.encode("<extra_id_07>", 2))[0], 512);
  const TextTokens nested = tiny.encode("<extra_id_<extra_id_0>", 40);
  EXPECT_EQ(nested.ids.view().i32()[nested.count - 2], 519);
  const T5Tokenizer demo =
      T5Tokenizer::load(std::filesystem::path(TOCAFARM_DEMO_MODEL) / "tokenizer");
  EXPECT_EQ(demo.vocabulary(), 307);
}

TEST(T5Tokenizer, survives_text_that_is_not_utf_8) {
  const T5Tokenizer tokenizer = T5Tokenizer::load(kTiny);
  const TextTokens tokens = tokenizer.encode(std::string_view("a \xff\xc3 \0 b\xe2\x82", 9), 12);
  EXPECT_GT(tokens.count, 1);
}

// A folder with a tokenizer to damage.
class DamagedTokenizer : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              (std::string("tocafarm-tokenizer-") +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    content_ = read_file(kTiny / "spiece.model");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void save(std::string_view content) const {
    std::ofstream(folder_ / "spiece.model", std::ios::binary) << content;
  }
  ErrorCode load_error() const {
    try {
      T5Tokenizer::load(folder_);
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "no error was thrown";
    return ErrorCode::kInternal;
  }
  // Loads and uses what it was given, or gets an error.
  void use() const {
    try {
      T5Tokenizer::load(folder_).encode(
          "a dog's ball \xe2\x84\x96"
          "5 caf\xc3\xa9 \xe3\x81\xae",
          40);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidCheckpoint) << error.what();
    }
  }

  std::filesystem::path folder_;
  std::string content_;
};

TEST_F(DamagedTokenizer, is_reported_when_it_is_missing_empty_or_something_else) {
  EXPECT_EQ(load_error(), ErrorCode::kNotFound);
  for (const char* content : {"", "not a model", "{\"json\": true}", "<html></html>"}) {
    save(content);
    EXPECT_EQ(load_error(), ErrorCode::kInvalidCheckpoint) << content;
  }
}

TEST_F(DamagedTokenizer, is_reported_when_it_is_truncated) {
  // Cut inside the last field, inside the normalisation table, inside a piece.
  for (const size_t kept : {content_.size() - 1, content_.size() / 2, size_t{1000}, size_t{1}}) {
    save(std::string_view(content_).substr(0, kept));
    EXPECT_EQ(load_error(), ErrorCode::kInvalidCheckpoint) << kept;
  }
}

TEST_F(DamagedTokenizer, never_crashes_the_process) {
  std::mt19937 random(20250101);
  for (int round = 0; round < 60; ++round) {
    std::string damaged = content_;
    for (int byte = 0; byte < 1 << (round % 8); ++byte) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    save(damaged);
    use();
  }
}

TEST_F(DamagedTokenizer, is_reported_when_a_piece_begins_with_a_zero_byte) {
  const size_t piece = content_.find("waterfall");
  ASSERT_NE(piece, std::string::npos);
  content_[piece - 3] = '\0';  // before it the mark of a space, three bytes of UTF-8
  save(content_);
  EXPECT_EQ(load_error(), ErrorCode::kInvalidCheckpoint);
}

TEST_F(DamagedTokenizer, is_reported_when_its_normalisation_leads_out_of_the_table) {
  // The trie starts with the root's unit, behind 4 bytes of length; the strings of the tiny model
  // begin with "nmt_nfkc", the name before the table.
  const size_t name = content_.find("nmt_nfkc");
  ASSERT_NE(name, std::string::npos);
  // Name, tag of the table, its length as a varint of 3 bytes, bytes of the trie.
  const size_t root = name + 8 + 1 + 3 + 4;
  std::string damaged = content_;
  for (size_t i = 0; i < 4; ++i) damaged[root + i] = static_cast<char>(0xff);
  EXPECT_THROW(check_spiece_model(damaged, "spiece.model"), Error);
  EXPECT_NO_THROW(check_spiece_model(content_, "spiece.model"));
}

TEST_F(DamagedTokenizer, is_read_with_the_default_extra_ids_when_nothing_names_them) {
  save(content_);
  EXPECT_EQ(T5Tokenizer::load(folder_).vocabulary(), 520);
  std::ofstream(folder_ / "tokenizer_config.json") << R"({"extra_ids": 7})";
  EXPECT_EQ(T5Tokenizer::load(folder_).vocabulary(), 427);
  std::ofstream(folder_ / "tokenizer_config.json")
      << R"({"additional_special_tokens": ["<extra_id_0>", "<extra_id_1>", "<other>"]})";
  EXPECT_EQ(T5Tokenizer::load(folder_).vocabulary(), 422);
  std::ofstream(folder_ / "tokenizer_config.json") << R"({"extra_ids": -1})";
  EXPECT_EQ(load_error(), ErrorCode::kInvalidCheckpoint);
}

}  // namespace
}  // namespace engine
