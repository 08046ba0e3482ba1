// The machine against hand-written pickles: hostile, damaged, and the shapes that Python writes.
#include "core/pickle_vm.h"

#include "core/test_support.h"

namespace engine {
namespace {

constexpr auto kBad = ErrorCode::kInvalidCheckpoint;
using namespace std::string_literals;

PickleDocument read(const std::string& pickle) {
  return read_pickle(std::as_bytes(std::span(pickle)), "file");
}

testing::AssertionResult refuses(const std::string& pickle, const std::string& text) {
  return fails([&] { read(pickle); }, kBad, text);
}

TEST(PickleTest, ReadsNumbers) {
  const auto number = [](const std::string& pickle) {
    const PickleDocument document = read(pickle + ".");
    return *document.get<int64_t>(document.root);
  };
  EXPECT_EQ(number("K\xff"), 255);
  EXPECT_EQ(number("M\xff\xff"), 65535);
  EXPECT_EQ(number("J\xff\xff\xff\xff"), -1);
  EXPECT_EQ(number("\x8a\x00"s), 0);
  EXPECT_EQ(number("\x8a\x01\x80"s), -128);
  EXPECT_EQ(number("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"), INT64_MAX);
  const PickleDocument real = read("G\x3f\xf8\0\0\0\0\0\0."s);
  EXPECT_EQ(*real.get<double>(real.root), 1.5);
  const std::string long_integer = "\x8a\x09\1\2\3\4\5\6\7\x08\x09.";
  const PickleDocument big = read(long_integer);
  EXPECT_EQ(big.get<PickleBytes>(big.root)->bytes.size(), 9u);
}

TEST(PickleTest, ReadsContainersAndMemo) {
  const std::string pickle = "\x80\x02}q\0(X\1\0\0\0aq\1](K\1K\2eU\1bh\1\x8c\1cK\1K\2\x86u."s;
  const PickleDocument document = read(pickle);
  const auto* dict = document.get<PickleDict>(document.root);
  ASSERT_EQ(dict->items.size(), 3u);
  EXPECT_EQ(*document.get<std::string_view>(dict->items[0].first), "a");
  EXPECT_EQ(document.get<PickleSequence>(dict->items[0].second)->items.size(), 2u);
  EXPECT_EQ(*document.get<std::string_view>(dict->items[1].second), "a");
  EXPECT_EQ(document.get<PickleSequence>(dict->items[2].second)->items.size(), 2u);
  EXPECT_EQ(document.bytes_read, pickle.size());
}

TEST(PickleTest, ACallIsOnlyRecorded) {
  const std::string pickle =
      "\x80\x02"
      "cmy.module\nmake\nK\1\x85R}X\1\0\0\0aK\2sb."s;
  const PickleDocument document = read(pickle);
  const auto* call = document.get<PickleCall>(document.root);
  ASSERT_NE(call, nullptr);
  EXPECT_TRUE(document.get<PickleGlobal>(call->function)->is("my.module", "make"));
  EXPECT_EQ(document.get<PickleSequence>(call->arguments)->items.size(), 1u);
}

TEST(PickleTest, ObjectsMayBeFilledAndForgotten) {
  // NEWOBJ, then APPENDS and SETITEMS on it, as a list or dict subclass is written.
  const std::string pickle =
      "\x80\x02"
      "cm\nC\n)\x81(K\1K\2e(K\1K\2u."s;
  const PickleDocument document = read(pickle);
  EXPECT_NE(document.get<PickleCall>(document.root), nullptr);
}

TEST(PickleTest, OrderedDictsAreDicts) {
  const std::string empty = "ccollections\nOrderedDict\n)R(U\1aK\1u."s;
  const PickleDocument filled = read(empty);
  EXPECT_EQ(filled.get<PickleDict>(filled.root)->items.size(), 1u);
  const std::string of_pairs =
      "ccollections\nOrderedDict\n]U\1aK\1\x86"
      "a\x85R."s;
  const PickleDocument paired = read(of_pairs);
  EXPECT_EQ(paired.get<PickleDict>(paired.root)->items.size(), 1u);
  EXPECT_TRUE(refuses("ccollections\nOrderedDict\n]K\1a\x85R."s, "no pairs"));
  EXPECT_TRUE(refuses("ccollections\nOrderedDict\nK\1\x85R."s, "no pairs"));
}

TEST(PickleTest, NamesAnAttackAndRunsNothing) {
  const TemporaryFolder folder;
  const std::string command = "touch " + (folder.path() / "attacked").string();
  const std::string argument = "X"s + bytes_of(static_cast<uint32_t>(command.size())) + command;
  EXPECT_TRUE(
      refuses("\x80\x02"
              "cos\nsystem\n"s +
                  argument + "\x85R.",
              "\"os.system\""));
  EXPECT_TRUE(
      refuses("\x80\x02"
              "cposix\nsystem\n"s +
                  argument + "\x85R.",
              "\"posix.system\""));
  EXPECT_TRUE(refuses("\x80\4\x8c\2os\x8c\6system\x93"s + argument + "\x85R.", "\"os.system\""));
  EXPECT_TRUE(refuses("c__builtin__\neval\n"s + argument + "\x85R.", "eval"));
  EXPECT_TRUE(refuses("cbuiltins\ngetattr\n.", "getattr"));
  EXPECT_TRUE(refuses("csubprocess\nPopen\n.", "subprocess.Popen"));
  EXPECT_TRUE(refuses("cimportlib.util\nfind_spec\n.", "importlib"));
  EXPECT_EQ(read("cbuiltins\nset\n.").values.size(), 1u);
  EXPECT_EQ(folder.files(), 0u);
}

TEST(PickleTest, RefusesOperationsThatItDoesNotKnow) {
  // Text numbers, INST, OBJ and extension codes: no torch.save has ever written them.
  for (const char* pickle : {"I1\n.", "(ios\nsystem\n.", "(o.", "\x82\1.", "\xff.", "P1\n."}) {
    EXPECT_TRUE(refuses(pickle, "operation")) << pickle;
  }
  EXPECT_TRUE(refuses("\x80\x06.", "protocol 6"));
}

TEST(PickleTest, RefusesWhatIsCutShort) {
  const std::string whole =
      "\x80\x02}q\0(X\1\0\0\0aq\1](K\1K\2ecm\nC\nU\1bh\1\x86u\x8a\1\1G\0\0\0\0\0\0\0\0\x86."s;
  read(whole);
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_TRUE(refuses(whole.substr(0, bytes), "file: the pickle")) << bytes;
  }
}

TEST(PickleTest, RefusesLengthsThatLie) {
  EXPECT_TRUE(refuses("X\xff\xff\xff\xff"s + "a.", "cut short"));
  EXPECT_TRUE(refuses("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"s + "a.", "cut short"));
  EXPECT_TRUE(refuses("\x8b\xff\xff\xff\x7f.", "cut short"));
  EXPECT_TRUE(refuses("cno line end", "cut short"));
}

TEST(PickleTest, RefusesStacksThatDoNotAddUp) {
  for (const char* pickle :
       {".", "0",     "2",      "\x85.", "K\1\x86.", "R",       "K\1R", "e",
        "u", "]e.",   "t.",     "1",     "a",        "K\1a",    "b",    "K\1b",
        "Q", "}K\1s", "](K\1s", "(0",    "q\1",      "}(K\1u.", "\x93", "K\1K\1\x93"}) {
    EXPECT_TRUE(refuses(pickle, "file: the pickle")) << pickle;
  }
  EXPECT_TRUE(refuses("K\1K\2a.", "no container"));
  EXPECT_TRUE(refuses("K\1(K\2K\3u.", "no container"));
}

TEST(PickleTest, RefusesAMemoThatWasNeverFilled) {
  EXPECT_TRUE(refuses("h\1.", "never stored"));
  EXPECT_TRUE(refuses("j\xff\xff\xff\xff.", "never stored"));
  const std::string far =
      "K\1r\xff\xff\xff\xff"
      "0j\xff\xff\xff\xff.";
  const PickleDocument document = read(far);
  EXPECT_EQ(*document.get<int64_t>(document.root), 1);
}

TEST(PickleTest, HoldsCyclesAndDeepNestingWithoutRecursion) {
  const PickleDocument cycle = read("]q\1h\1a.");
  EXPECT_EQ(cycle.get<PickleSequence>(cycle.root)->items[0], cycle.root);
  constexpr size_t kDepth = 1000000;
  const PickleDocument deep = read("]"s + std::string(kDepth, '\x85') + ".");
  EXPECT_EQ(deep.values.size(), kDepth + 1);
}

TEST(PickleTest, BoundsItsMemory) {
  EXPECT_TRUE(refuses(std::string(kMaxPickleValues + 1, ']'), "too many values"));
  EXPECT_TRUE(refuses("K\1"s + std::string(kMaxPickleValues + 1, '2'), "too many values"));
  EXPECT_TRUE(refuses(std::string(kMaxPickleValues + 1, '('), "too many marks"));
  // A list of a thousand pairs, made a dict again and again.
  std::string pickle = "]q\1(";
  for (int i = 0; i < 1000; ++i) pickle += "K\1K\2\x86";
  pickle += "eccollections\nOrderedDict\nq\2";
  for (size_t i = 0; i < kMaxPickleValues / 1000 + 1; ++i) pickle += "h\2h\1\x85R0";
  EXPECT_TRUE(refuses(pickle, "too many values"));
}

}  // namespace
}  // namespace engine
