// The examples of FIPS 180-4, and both ways through a block against each other.
#include "core/sha256.h"

#include <gtest/gtest.h>

#include <random>
#include <string_view>
#include <vector>

namespace engine {
namespace {

std::string hex_of(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text)));
}

TEST(Sha256Test, GivesThePublishedDigests) {
  EXPECT_EQ(hex_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex_of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, DoesNotDependOnHowTheBytesAreCut) {
  const std::string text(300, 'x');
  for (size_t first = 0; first <= text.size(); ++first) {
    Sha256 hash;
    hash.update(std::as_bytes(std::span(text).first(first)));
    hash.update(std::as_bytes(std::span(text).subspan(first)));
    ASSERT_EQ(hash.finish_hex(), hex_of(text)) << first;
  }
}

TEST(Sha256Test, TheCpusInstructionsAgreeWithPlainCode) {
  std::mt19937 random(1);
  std::vector<std::byte> data(kSha256BlockBytes * 9);
  for (std::byte& byte : data) byte = std::byte(random());
  Sha256State fast{1, 2, 3, 4, 5, 6, 7, 8};
  Sha256State plain = fast;
  sha256_blocks(fast, data.data(), 9);
  sha256_blocks_plain(plain, data.data(), 9);
  EXPECT_EQ(fast, plain);
}

}  // namespace
}  // namespace engine
