// Layouts of tensors in storages, hostile ones among them.
#include "core/strided_copy.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace engine {
namespace {

TEST(StridedCopyTest, MakesPermutedTensorsDense) {
  std::vector<int32_t> storage(25);
  std::iota(storage.begin(), storage.end(), 0);
  const StridedLayout layout{{4, 2, 3}, {1, 12, 4}, 1};
  std::vector<int32_t> dense(24);
  ASSERT_TRUE(fits_storage(layout, storage.size()));
  copy_strided(layout, reinterpret_cast<const std::byte*>(storage.data()), 4,
               reinterpret_cast<std::byte*>(dense.data()));
  for (int a = 0; a < 4; ++a) {
    for (int b = 0; b < 2; ++b) {
      for (int c = 0; c < 3; ++c) EXPECT_EQ(dense[a * 6 + b * 3 + c], 1 + a + 12 * b + 4 * c);
    }
  }
}

TEST(StridedCopyTest, AStrideThatIsNeverTakenDoesNotMatter) {
  const std::vector<int32_t> storage{1, 2, 3, 4, 5};
  const StridedLayout layout{{2, 1}, {3, INT64_MAX}, 1};
  std::vector<int32_t> dense(2);
  ASSERT_TRUE(fits_storage(layout, storage.size()));
  copy_strided(layout, reinterpret_cast<const std::byte*>(storage.data()), 4,
               reinterpret_cast<std::byte*>(dense.data()));
  EXPECT_EQ(dense, (std::vector<int32_t>{2, 5}));
}

TEST(StridedCopyTest, KnowsWhatIsContiguous) {
  EXPECT_TRUE(is_contiguous({{2, 3}, {3, 1}, 5}));
  EXPECT_TRUE(is_contiguous({{2, 1, 3}, {3, 999, 1}, 0}));
  EXPECT_TRUE(is_contiguous({{}, {}, 0}));
  EXPECT_FALSE(is_contiguous({{3, 2}, {1, 3}, 0}));
  EXPECT_FALSE(is_contiguous({{3}, {0}, 0}));
}

TEST(StridedCopyTest, KnowsWhatReachesOutOfTheStorage) {
  EXPECT_TRUE(fits_storage({{2, 3}, {3, 1}, 4}, 10));
  EXPECT_FALSE(fits_storage({{2, 3}, {3, 1}, 5}, 10));
  EXPECT_TRUE(fits_storage({{0, 3}, {3, 1}, 10}, 10));
  EXPECT_FALSE(fits_storage({{0, 3}, {3, 1}, 11}, 10));
  EXPECT_TRUE(fits_storage({{}, {}, 9}, 10));
  EXPECT_FALSE(fits_storage({{}, {}, 10}, 10));
}

TEST(StridedCopyTest, DoesNotFallForOverflow) {
  constexpr int64_t kHuge = INT64_MAX;
  EXPECT_FALSE(fits_storage({{kHuge}, {kHuge}, 0}, 10));
  EXPECT_FALSE(fits_storage({{3}, {kHuge}, 2}, 10));
  EXPECT_FALSE(fits_storage({{2, 2, 2}, {kHuge, kHuge, 2}, 0}, 10));
  EXPECT_FALSE(fits_storage({{kHuge, kHuge}, {0, 0}, 0}, 10));
  EXPECT_FALSE(fits_storage({{kHuge, 2, 0}, {0, 0, 0}, 0}, 10));
}

}  // namespace
}  // namespace engine
