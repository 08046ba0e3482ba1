// Shapes, views, owned tensors and the arena.
#include "core/tensor.h"

#include "core/arena.h"
#include "core/check.h"
#include "core/quote.h"
#include "core/test_support.h"

#if defined(__SANITIZE_ADDRESS__)
// An allocation that cannot be must fail here as it does without the sanitizer.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "allocator_may_return_null=1";
}
#endif

namespace engine {
namespace {

TEST(ShapeTest, CountsAndPrints) {
  EXPECT_EQ(Shape({2, 320, 144}).to_string(), "[2, 320, 144]");
  EXPECT_EQ(Shape({2, 320, 144}).elements(), 92160);
  EXPECT_EQ(Shape().to_string(), "[]");
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape({3, 0}).elements(), 0);
  EXPECT_NE(Shape({3}), Shape({3, 1}));
}

TEST(ShapeTest, RefusesImpossibleShapes) {
  EXPECT_TRUE(fails([] { Shape({1, -1}); }, ErrorCode::kInternal, "negative"));
  EXPECT_TRUE(fails([] { Shape({1, 1, 1, 1, 1, 1, 1}); }, ErrorCode::kInternal, "6 dimensions"));
  EXPECT_TRUE(fails(
      [] {
        Shape({int64_t{1} << 62, 4}).elements();
      },
      ErrorCode::kInternal, "overflows"));
}

TEST(TensorTest, IsAlignedAndWritable) {
  const Tensor tensor({3, 5}, DType::kF32);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.f32()) % kBufferAlignment, 0u);
  std::fill_n(tensor.f32(), tensor.elements(), 2.0f);
  EXPECT_EQ(tensor.bytes(), 60u);
  EXPECT_FALSE(Tensor({0}, DType::kF32).empty());
  EXPECT_TRUE(Tensor().empty());
}

TEST(TensorTest, NamesTheBytesThatItCannotHave) {
  EXPECT_TRUE(fails([] { Tensor({int64_t{1} << 58}, DType::kF32); }, ErrorCode::kOutOfMemory,
                    "1152921504606846976 bytes"));
  EXPECT_TRUE(fails([] { Tensor({int64_t{1} << 62}, DType::kF64); }, ErrorCode::kOutOfMemory,
                    "address space"));
}

TEST(TensorTest, ReleasesForeignMemoryOnce) {
  int released = 0;
  float value = 1;
  {
    Tensor tensor(&value, {1}, DType::kF32, [&](void*) { ++released; });
    const Tensor moved = std::move(tensor);
    EXPECT_EQ(moved.f32(), &value);
  }
  EXPECT_EQ(released, 1);
}

TEST(TensorViewTest, ReshapesAndCutsRows) {
  const Tensor tensor({4, 3}, DType::kF32);
  const TensorView view = tensor;
  EXPECT_EQ(view.rows(1, 2).f32(), tensor.f32() + 3);
  EXPECT_EQ(view.rows(1, 2).shape(), Shape({2, 3}));
  EXPECT_EQ(view.rows(4, 0).elements(), 0);
  EXPECT_EQ(view.reshaped({2, 6}).dim(1), 6);
  EXPECT_TRUE(fails([&] { view.rows(3, 2); }, ErrorCode::kInternal, "outside"));
  EXPECT_TRUE(fails([&] { view.rows(-1, 1); }, ErrorCode::kInternal, "outside"));
  EXPECT_TRUE(fails([&] { view.reshaped({5}); }, ErrorCode::kInternal, "elements"));
}

TEST(TensorTest, ConvertsEveryFloatTypeToFp32) {
  const uint16_t half = 0xc100;
  const uint16_t brain = 0x3f80;
  const double wide = 0.1;
  const int64_t integer = 1;
  EXPECT_EQ(to_f32({&half, DType::kF16, {1}}).f32()[0], -2.5f);
  EXPECT_EQ(to_f32({&brain, DType::kBF16, {1, 1}}).f32()[0], 1.0f);
  EXPECT_EQ(to_f32({&wide, DType::kF64, {}}).f32()[0], 0.1f);
  EXPECT_TRUE(fails(
      [&] {
        to_f32({&integer, DType::kI64, {1}});
      },
      ErrorCode::kInvalidCheckpoint, "int64"));
}

TEST(ArenaTest, TakesAlignedViewsAndGivesThemBackByMark) {
  Arena arena(Tensor({256}, DType::kU8));
  const TensorView first = arena.take({3}, DType::kF32);
  const size_t mark = arena.mark();
  const TensorView second = arena.take({16}, DType::kF32);
  EXPECT_EQ(static_cast<char*>(second.data()) - static_cast<char*>(first.data()), 64);
  arena.rewind(mark);
  EXPECT_EQ(arena.take({1}, DType::kF32).data(), second.data());
  EXPECT_EQ(arena.peak_bytes(), 128u);
  EXPECT_EQ(Arena::bytes_of({17}, DType::kF32), 128u);
}

TEST(ArenaTest, SaysWhatAPlanThatWasTooSmallLacked) {
  Arena arena(Tensor({128}, DType::kU8));
  arena.take({16}, DType::kF32);
  EXPECT_TRUE(fails([&] { arena.take({17}, DType::kF32); }, ErrorCode::kInternal, "64 left"));
  EXPECT_TRUE(fails([] { Arena().take({1}, DType::kU8); }, ErrorCode::kInternal, "0 left"));
}

TEST(CheckTest, NamesTheCallersPlace) {
  EXPECT_TRUE(fails([] { check(false, "it holds"); }, ErrorCode::kInternal, "tensor_test.cpp:"));
  check(true, "nothing");
}

TEST(QuoteTest, LetsNoControlCharactersThrough) {
  EXPECT_EQ(quote("a\n\x1b\xff"), "\"a\\x0a\\x1b\\xff\"");
  EXPECT_EQ(quote(std::string(500, 'x')).size(), 205u);
}

}  // namespace
}  // namespace engine
