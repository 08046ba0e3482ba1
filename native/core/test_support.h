// For tests: a folder that goes away, files with given bytes, a full disk, and errors as values.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"
#include "engine/error.h"

namespace engine {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tocafarm-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::remove(file);  // a new file: an old one may be mapped, and cutting it is slow
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }
  size_t files() const {
    const std::filesystem::directory_iterator first(path_);
    return static_cast<size_t>(std::distance(first, std::filesystem::directory_iterator()));
  }

 private:
  std::filesystem::path path_;
};

// While it lives, files of this process cannot grow over the limit, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

inline std::string read_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// The action must throw an Error with this code, in one line that holds `text`.
template <typename Action>
testing::AssertionResult fails(Action action, ErrorCode code, const std::string& text) {
  try {
    action();
  } catch (const Error& error) {
    const std::string message = error.what();
    const std::string found = std::string(error_code_name(error.code())) + ": " + message;
    if (error.code() != code) return testing::AssertionFailure() << "another code: " << found;
    if (message.find('\n') != std::string::npos) {
      return testing::AssertionFailure() << "more than a line: " << found;
    }
    if (message.find(text) == std::string::npos) {
      return testing::AssertionFailure() << "\"" << text << "\" is not in: " << found;
    }
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "no error was thrown";
}

template <typename Element>
std::vector<Element> elements_of(const ConstTensorView& view) {
  const auto* data = static_cast<const Element*>(view.data());
  return {data, data + view.elements()};
}

// Any integer, float or text as its little-endian bytes.
template <typename Value>
std::string bytes_of(const Value& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

}  // namespace engine
