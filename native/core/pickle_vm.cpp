// One method for each group of opcodes (Lib/pickletools.py of CPython describes them all); a step
// costs at most what its bytes are long, so time and memory are bounded by the pickle's size.
#include "core/pickle_vm.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <unordered_map>

#include "core/byte_cursor.h"
#include "core/pickle_globals.h"
#include "core/pickle_opcodes.h"
#include "core/quote.h"

namespace engine {
namespace {

using namespace pickle_opcode;

class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> content, const std::string& context)
      : cursor_(content, context) {}

  PickleDocument run() {
    for (;;) {
      const auto opcode = cursor_.read<uint8_t>();
      if (opcode == kStop) break;
      const bool known = run_number(opcode) || run_text(opcode) || run_container(opcode) ||
                         run_filling(opcode) || run_object(opcode) || run_stack(opcode);
      if (!known) cursor_.fail("holds operation " + std::to_string(opcode) + ", which is not read");
    }
    document_.root = pop();
    document_.bytes_read = cursor_.at();
    return std::move(document_);
  }

 private:
  using Items = std::vector<PickleId>;

  void push_id(PickleId id) {
    if (stack_.size() >= kMaxPickleValues) cursor_.fail("holds too many values");
    stack_.push_back(id);
  }

  void push(PickleValue value) {
    if (document_.values.size() >= kMaxPickleValues) cursor_.fail("holds too many values");
    document_.values.push_back(std::move(value));
    push_id(static_cast<PickleId>(document_.values.size() - 1));
  }

  // Nothing may be taken from below the topmost mark.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  PickleId top() const {
    if (stack_.size() <= floor()) cursor_.fail("takes a value from an empty stack");
    return stack_.back();
  }

  PickleId pop() {
    const PickleId id = top();
    stack_.pop_back();
    return id;
  }

  Items pop_last(size_t count) {
    if (stack_.size() - floor() < count) cursor_.fail("takes a value from an empty stack");
    Items items(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  Items pop_to_mark() {
    if (marks_.empty()) cursor_.fail("uses a mark that was never set");
    Items items = pop_last(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  bool run_number(uint8_t opcode) {
    switch (opcode) {
      case kNone:
        push(PickleNone{});
        return true;
      case kTrue:
      case kFalse:
        push(opcode == kTrue);
        return true;
      case kInt1:
        push(int64_t{cursor_.read<uint8_t>()});
        return true;
      case kInt2:
        push(int64_t{cursor_.read<uint16_t>()});
        return true;
      case kInt4:
        push(int64_t{cursor_.read<int32_t>()});
        return true;
      case kLong1:
        push_long(cursor_.text(cursor_.read<uint8_t>()));
        return true;
      case kLong4:
        push_long(cursor_.text(cursor_.read<uint32_t>()));
        return true;
      case kFloat:
        push(std::bit_cast<double>(__builtin_bswap64(cursor_.read<uint64_t>())));
        return true;
      default:
        return false;
    }
  }

  // Two's complement, little-endian, of any length.
  void push_long(std::string_view bytes) {
    if (bytes.size() > sizeof(int64_t)) return push(PickleBytes{bytes});
    uint64_t value = !bytes.empty() && (bytes.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push(static_cast<int64_t>(value));
  }

  bool run_text(uint8_t opcode) {
    switch (opcode) {
      case kString1:
      case kUnicode1:
        push(cursor_.text(cursor_.read<uint8_t>()));
        return true;
      case kString4:
      case kUnicode4:
        push(cursor_.text(cursor_.read<uint32_t>()));
        return true;
      case kUnicode8:
        push(cursor_.text(cursor_.read<uint64_t>()));
        return true;
      case kBytes1:
        push(PickleBytes{cursor_.text(cursor_.read<uint8_t>())});
        return true;
      case kBytes4:
        push(PickleBytes{cursor_.text(cursor_.read<uint32_t>())});
        return true;
      case kBytes8:
      case kByteArray8:
        push(PickleBytes{cursor_.text(cursor_.read<uint64_t>())});
        return true;
      default:
        return false;
    }
  }

  bool run_container(uint8_t opcode) {
    switch (opcode) {
      case kEmptyTuple:
      case kEmptyList:
      case kEmptySet:
        push(PickleSequence{});
        return true;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        push(PickleSequence{pop_last(size_t{opcode} - kTuple1 + 1)});
        return true;
      case kTuple:
      case kList:
      case kFrozenSet:
        push(PickleSequence{pop_to_mark()});
        return true;
      case kEmptyDict:
        push(PickleDict{});
        return true;
      case kDict: {
        const Items items = pop_to_mark();
        push(PickleDict{});
        set_items(items);
        return true;
      }
      default:
        return false;
    }
  }

  // Operations that put items into the container on top of the stack.
  bool run_filling(uint8_t opcode) {
    switch (opcode) {
      case kAppend:
        append_items(pop_last(1));
        return true;
      case kAppends:
      case kAddItems:
        append_items(pop_to_mark());
        return true;
      case kSetItem:
        set_items(pop_last(2));
        return true;
      case kSetItems:
        set_items(pop_to_mark());
        return true;
      case kBuild:
        // Attributes of an object, such as a state dict's _metadata: weights need none of them.
        pop();
        top();
        return true;
      default:
        return false;
    }
  }

  // Items of an object that is only a record of a call are dropped with the object's other state.
  void append_items(const Items& items) {
    auto* sequence = std::get_if<PickleSequence>(&document_.values[top()]);
    if (sequence == nullptr) return require_call("appends to");
    sequence->items.insert(sequence->items.end(), items.begin(), items.end());
  }

  void set_items(const Items& items) {
    if (items.size() % 2 != 0) cursor_.fail("sets a key without a value");
    auto* dict = std::get_if<PickleDict>(&document_.values[top()]);
    if (dict == nullptr) return require_call("sets a key of");
    for (size_t i = 0; i < items.size(); i += 2) dict->items.emplace_back(items[i], items[i + 1]);
  }

  void require_call(const char* doing) {
    if (document_.get<PickleCall>(top()) != nullptr) return;
    cursor_.fail(std::string(doing) + " a value that is no container");
  }

  bool run_object(uint8_t opcode) {
    switch (opcode) {
      case kGlobal: {
        const std::string_view module = cursor_.line();
        push_global(module, cursor_.line());
        return true;
      }
      case kStackGlobal: {
        const auto* name = document_.get<std::string_view>(pop());
        const auto* module = document_.get<std::string_view>(pop());
        if (name == nullptr || module == nullptr) cursor_.fail("names a global by no text");
        push_global(*module, *name);
        return true;
      }
      case kNewObjectWithKeywords:
        pop();
        [[fallthrough]];
      case kReduce:
      case kNewObject: {
        const PickleId arguments = pop();
        push_call(pop(), arguments);
        return true;
      }
      case kPersistentId:
        push(PickleReference{pop()});
        return true;
      default:
        return false;
    }
  }

  void push_global(std::string_view module, std::string_view name) {
    if (is_attack_global(module, name)) {
      cursor_.fail("wants to use " + quote(std::string(module) + "." + std::string(name)) +
                   ", which no file of weights needs: do not trust it. Nothing of it was run");
    }
    push(PickleGlobal{module, name});
  }

  // A dict by another name becomes a dict; every other call stays a record.
  void push_call(PickleId function, PickleId arguments) {
    const auto* global = document_.get<PickleGlobal>(function);
    const auto* given = document_.get<PickleSequence>(arguments);
    const bool is_dict = global != nullptr && (global->is("collections", "OrderedDict") ||
                                               global->is("collections", "defaultdict"));
    if (!is_dict || given == nullptr) return push(PickleCall{function, arguments});
    PickleDict dict;
    if (global->name == "OrderedDict" && !given->items.empty()) dict = pairs_of(given->items[0]);
    push(std::move(dict));
  }

  // OrderedDict([(key, value), ...]), as Python 2 wrote it.
  PickleDict pairs_of(PickleId list) {
    PickleDict dict;
    const auto* pairs = document_.get<PickleSequence>(list);
    if (pairs == nullptr) cursor_.fail("makes a dict of no pairs");
    // The one place where a few bytes of pickle copy many items: a list may be recalled for ever.
    copied_items_ += pairs->items.size();
    if (copied_items_ > kMaxPickleValues) cursor_.fail("holds too many values");
    for (const PickleId id : pairs->items) {
      const auto* pair = document_.get<PickleSequence>(id);
      if (pair == nullptr || pair->items.size() != 2) cursor_.fail("makes a dict of no pairs");
      dict.items.emplace_back(pair->items[0], pair->items[1]);
    }
    return dict;
  }

  bool run_stack(uint8_t opcode) {
    switch (opcode) {
      case kProtocol:
        if (const auto protocol = cursor_.read<uint8_t>(); protocol > 5) {
          cursor_.fail("has protocol " + std::to_string(protocol) + ", at most 5 is read");
        }
        return true;
      case kFrame:
        cursor_.read<uint64_t>();
        return true;
      case kMark:
        if (marks_.size() >= kMaxPickleValues) cursor_.fail("sets too many marks");
        marks_.push_back(stack_.size());
        return true;
      case kPopMark:
        pop_to_mark();
        return true;
      case kPop:
        pop();
        return true;
      case kDup:
        push_id(top());
        return true;
      default:
        return run_memo(opcode);
    }
  }

  bool run_memo(uint8_t opcode) {
    switch (opcode) {
      case kPut1:
        remember(cursor_.read<uint8_t>());
        return true;
      case kPut4:
        remember(cursor_.read<uint32_t>());
        return true;
      case kMemoize:
        remember(static_cast<uint32_t>(memo_.size()));
        return true;
      case kGet1:
        recall(cursor_.read<uint8_t>());
        return true;
      case kGet4:
        recall(cursor_.read<uint32_t>());
        return true;
      default:
        return false;
    }
  }

  void remember(uint32_t index) {
    if (memo_.size() >= kMaxPickleValues) cursor_.fail("remembers too many values");
    memo_[index] = top();
  }

  void recall(uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) cursor_.fail("recalls a value that it never stored");
    push_id(found->second);
  }

  ByteCursor cursor_;
  PickleDocument document_;
  std::vector<PickleId> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint32_t, PickleId> memo_;
  size_t copied_items_ = 0;
};

}  // namespace

PickleDocument read_pickle(std::span<const std::byte> content, const std::string& context) {
  const std::string whose = context + ": the pickle";
  return PickleMachine(content.first(std::min(content.size(), kMaxPickleBytes)), whose).run();
}

}  // namespace engine
