#include "golden/golden_arguments.h"

#include <charconv>

#include "core/quote.h"
#include "engine/error.h"

namespace engine {

const char* const kGoldenUsage =
    "usage: golden_runner [--device cpu|plain] [--dtype fp32|bf16] [--threads N] [--model DIR]\n"
    "                     [--json] CASE...\n"
    "Runs golden cases (folders with case.json and data.safetensors) and prints what was\n"
    "compared. Exit status: 0 all passed, 1 something failed, 2 a case could not be run.\n";

namespace {

constexpr int kMaxThreads = 1024;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::kInvalidArgument, what + "; see golden_runner --help");
}

int parse_threads(const std::string& text) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end || value < 0 || value > kMaxThreads) {
    refuse("--threads " + quote(text) + " must be an integer from 0 (all cores) to " +
           std::to_string(kMaxThreads));
  }
  return value;
}

DType parse_dtype(const std::string& text) {
  if (text == "fp32") return DType::kF32;
  if (text == "bf16") return DType::kBF16;
  refuse("--dtype " + quote(text) + " must be fp32 or bf16");
}

std::string parse_device(const std::string& text) {
  if (text != "cpu" && text != "plain") {
    refuse("--device " + quote(text) + " is not built; known: cpu, plain");
  }
  return text;
}

}  // namespace

GoldenArguments parse_golden_arguments(std::span<const char* const> arguments) {
  GoldenArguments parsed;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string argument = arguments[i];
    const auto value = [&]() -> std::string {
      if (i + 1 >= arguments.size()) refuse(argument + " needs a value");
      return arguments[++i];
    };
    if (argument == "--device") {
      parsed.device = parse_device(value());
    } else if (argument == "--dtype") {
      parsed.options.dtype = parse_dtype(value());
    } else if (argument == "--threads") {
      parsed.threads = parse_threads(value());
    } else if (argument == "--model") {
      parsed.options.model = value();
    } else if (argument == "--json") {
      parsed.json = true;
    } else if (argument == "--help") {
      parsed.help = true;
    } else if (argument.starts_with("-")) {
      refuse("unknown option " + quote(argument));
    } else {
      parsed.cases.emplace_back(argument);
    }
  }
  if (parsed.cases.empty() && !parsed.help) refuse("no case was given");
  return parsed;
}

std::unique_ptr<Backend> make_golden_backend(const GoldenArguments& arguments) {
  if (arguments.device == "plain") return make_plain_backend();
#ifdef TOCAFARM_HAS_CPU
  return make_cpu_backend({.threads = arguments.threads, .isa = ""});
#else
  throw Error(ErrorCode::kUnsupported,
              "this build has no CPU backend (TOCAFARM_CPU=OFF); use --device plain");
#endif
}

}  // namespace engine
