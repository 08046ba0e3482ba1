#include "core/cache_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "core/build_id.h"
#include "core/test_support.h"

namespace engine {
namespace {

std::span<const std::byte> content(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// As if the file had last been used so long ago.
void age(const std::filesystem::path& file, int seconds) {
  const timespec then{::time(nullptr) - seconds, 0};
  const std::array<timespec, 2> times{then, then};
  ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times.data(), 0), 0);
}

class CacheFolderTest : public testing::Test {
 protected:
  std::filesystem::path file(const std::string& key) const { return cache_.file_of(key, ""); }
  size_t files() const {
    const std::filesystem::directory_iterator first(cache_.folder());
    return static_cast<size_t>(std::distance(first, std::filesystem::directory_iterator()));
  }

  TemporaryFolder home_;
  CacheFolder cache_{home_.path() / "cache" / "texts", 1000};
};

TEST_F(CacheFolderTest, KeepsBytesUnderTheirKeyForItsUserAlone) {
  EXPECT_FALSE(cache_.read("a"));
  cache_.write("a", content("first"));
  cache_.write("b", content(std::string("\0\n", 2)));
  EXPECT_EQ(cache_.read("a"), "first");
  EXPECT_EQ(cache_.read("b"), std::string("\0\n", 2));
  EXPECT_FALSE(cache_.read("c"));
  cache_.write("a", content(""));
  EXPECT_EQ(cache_.read("a"), "");
  struct stat status {};
  ASSERT_EQ(::stat(cache_.folder().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(CacheFolderTest, ReadsNothingThatIsTornDamagedOrOfAnotherKey) {
  cache_.write("a", content("some content"));
  const std::string whole = read_text(file("a"));
  const auto put = [&](const std::string& bytes) {
    std::filesystem::remove(file("a"));
    std::ofstream(file("a"), std::ios::binary) << bytes;
  };
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    put(whole.substr(0, bytes));
    ASSERT_FALSE(cache_.read("a")) << bytes;
    std::string damaged = whole;
    damaged[bytes] ^= 1;
    put(damaged);
    ASSERT_FALSE(cache_.read("a")) << bytes;
  }
  put(whole);
  EXPECT_EQ(cache_.read("a"), "some content");
  std::filesystem::rename(file("a"), file("b"));
  EXPECT_FALSE(cache_.read("b"));
}

TEST_F(CacheFolderTest, TrustsNoFileThatAnotherUserCouldHaveWritten) {
  cache_.write("a", content("some content"));
  ::chmod(file("a").c_str(), 0666);
  EXPECT_FALSE(cache_.read("a"));
  ::chmod(file("a").c_str(), 0644);
  EXPECT_TRUE(cache_.read("a"));
  std::filesystem::rename(file("a"), home_.path() / "elsewhere");
  std::filesystem::create_symlink(home_.path() / "elsewhere", file("a"));
  EXPECT_FALSE(cache_.read("a"));
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  cache_.write("b", content("some content"));
  constexpr uid_t kSomebody = 12345;
  ASSERT_EQ(::chown(file("b").c_str(), kSomebody, kSomebody), 0);
  EXPECT_FALSE(cache_.read("b"));
}

TEST_F(CacheFolderTest, RemovesWhatWasNotUsedForLongest) {
  const std::string large(300, 'x');  // some 400 bytes with its head: two fit
  for (const char* key : {"a", "b"}) cache_.write(key, content(large));
  age(file("a"), 100);
  age(file("b"), 200);
  EXPECT_TRUE(cache_.read("b"));  // so a is the one not used for longest
  cache_.write("c", content(large));
  EXPECT_FALSE(cache_.read("a"));
  EXPECT_TRUE(cache_.read("b"));
  EXPECT_TRUE(cache_.read("c"));
}

TEST_F(CacheFolderTest, RemovesPartsThatNobodyWritesAnyMore) {
  cache_.write("a", content("x"));
  const auto left = cache_.folder() / "left.part", young = cache_.folder() / "young.part";
  std::ofstream(left) << "x";
  std::ofstream(young) << "x";
  age(left, 24 * 3600);
  cache_.write("b", content("x"));
  EXPECT_FALSE(std::filesystem::exists(left));
  EXPECT_TRUE(std::filesystem::exists(young));
  EXPECT_EQ(files(), 3u);
}

TEST_F(CacheFolderTest, SaysWhyNothingCanBeKept) {
  const std::filesystem::path file = home_.write("file", "x");
  const CacheFolder below(file / "cache", 1000);
  EXPECT_TRUE(fails([&] { below.write("a", content("x")); }, ErrorCode::kIo, "cannot make"));
  EXPECT_FALSE(below.read("a"));
  cache_.write("a", content("x"));
  const FileSizeLimit limit(16);
  EXPECT_TRUE(
      fails([&] { cache_.write("b", content("content")); }, ErrorCode::kIo, "cannot write"));
  EXPECT_EQ(files(), 1u);
}

TEST(FileIdentity, ChangesWithTheContent) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.write("a", "x");
  const FileIdentity first = file_identity(file);
  EXPECT_EQ(file_identity(file).changed, first.changed);
  EXPECT_FALSE(first.settled);
  age(file, 100);
  const FileIdentity aged = file_identity(file);
  EXPECT_NE(aged.written, first.written);
  std::filesystem::permissions(file, std::filesystem::perms::owner_read);
  EXPECT_EQ(file_identity(file).written, aged.written);
  EXPECT_NE(file_identity(file).changed, aged.changed);
  EXPECT_TRUE(file_identity("/proc/self/exe").settled);
  EXPECT_TRUE(fails([&] { file_identity(folder.path() / "b"); }, ErrorCode::kNotFound, "b"));
}

TEST(BuildId, IsTheLinkersOwn) {
  EXPECT_EQ(build_id().size(), 40u);
  EXPECT_EQ(build_id().find_first_not_of("0123456789abcdef"), std::string::npos);
}

}  // namespace
}  // namespace engine
