// Kind t5-encoder: token ids of each text, the hidden state after each block, and the last one, for
// a batch of prompts and for one long row that reaches the logarithmic position buckets.
#include "golden/part_checks.h"
#include "models/t5/model.h"
#include "models/t5/tokenizer.h"

namespace engine {
namespace {

// Rows of the case that the ids of `text` differ from. Where the published tokenizer class gives
// other ids than bare SentencePiece (a special token written out), its ids count.
GoldenCheck check_token_ids(const GoldenCase& golden, const T5Tokenizer& tokenizer) {
  GoldenCheck result;
  result.what = "token ids";
  result.unit = "count";
  for (const Json& row : golden.json().at("rows")) {
    const bool published = row.contains("transformers_ids");
    const auto expected =
        row.at(published ? "transformers_ids" : "ids").get<std::vector<int32_t>>();
    const auto text = row.at("text").get<std::string>();
    const TextTokens tokens = tokenizer.encode(text, static_cast<int64_t>(expected.size()));
    if (std::equal(expected.begin(), expected.end(), tokens.ids.view().i32())) continue;
    if (result.error == 0) result.note = "first: " + row.at("text").dump();
    ++result.error;
  }
  result.passed = result.error == 0;
  return result;
}

GoldenCheck check_long_ids(const GoldenCase& golden, const T5Tokenizer& tokenizer) {
  const ConstTensorView expected = golden.tensor("long.ids");
  const auto text = golden.json().at("long_text").get<std::string>();
  const TextTokens tokens = tokenizer.encode(text, expected.elements());
  GoldenCheck result;
  result.what = "token ids of the long text";
  result.unit = "count";
  for (int64_t i = 0; i < expected.elements(); ++i) {
    result.error += tokens.ids.view().i32()[i] == expected.i32()[i] ? 0 : 1;
  }
  result.passed = result.error == 0;
  return result;
}

void check_tokenizer(const GoldenCase& golden, const GoldenOptions& options, GoldenChecks& checks) {
  try {
    const T5Tokenizer tokenizer =
        T5Tokenizer::load(golden_part_folder(golden, options, "tokenizer"));
    if (golden.json().contains("rows")) checks.push_back(check_token_ids(golden, tokenizer));
    if (golden.json().contains("long_text") && !golden.find("long.ids").empty()) {
      checks.push_back(check_long_ids(golden, tokenizer));
    }
  } catch (const Error& error) {
    // A build without SentencePiece (a GPU machine's) still checks the encoder.
    if (error.code() != ErrorCode::kUnsupported) throw;
    checks.push_back({.what = "token ids",
                      .unit = "count",
                      .passed = true,
                      .note = std::string("not checked: ") + error.what()});
  }
}

Tensor mask_to_u8(ConstTensorView mask) {
  Tensor result(mask.shape(), DType::kU8);
  std::transform(mask.i32(), mask.i32() + mask.elements(), result.view().u8(),
                 [](int32_t value) { return static_cast<uint8_t>(value != 0); });
  return result;
}

// Inputs and references under `prefix`.
void check_encoder(const GoldenCase& golden, Backend& backend, const T5Encoder& encoder,
                   const std::string& prefix, GoldenChecks& checks) {
  const double reference_error = json_number_or(golden.json(), "fp32_vs_fp64", 0, golden.name());
  const auto compare = [&](const std::string& what, ConstTensorView found,
                           ConstTensorView expected) {
    checks.push_back(
        golden_tensor_check(what, found, expected, reference_error, encoder.compute()));
  };
  T5Hooks hooks;
  hooks.after_block = [&](int64_t block, ConstTensorView hidden) {
    const std::string name = prefix + "ref.block." + std::to_string(block);
    const ConstTensorView expected = golden.find(name);
    if (expected.empty()) return;
    // The reference keeps the first prompts alone.
    const Tensor host = golden_download(backend, hidden);
    compare(name, host.view().rows(0, expected.dim(0) * expected.dim(1)), expected);
  };
  const ConstTensorView ids = golden.tensor(prefix + "ids");
  const Tensor mask = mask_to_u8(golden.tensor(prefix + "attention_mask"));
  const Tensor hidden = encoder.encode(ids, mask, hooks);
  compare(prefix + "ref.hidden", golden_download(backend, hidden),
          golden.tensor(prefix + "ref.hidden"));
}

}  // namespace

GoldenChecks run_t5_encoder(const GoldenCase& golden, Backend& backend,
                            const GoldenOptions& options) {
  GoldenChecks checks;
  check_tokenizer(golden, options, checks);
  const T5Encoder encoder =
      T5Encoder::load(backend, golden_part_folder(golden, options, "text_encoder"), options.dtype);
  check_encoder(golden, backend, encoder, "", checks);
  if (!golden.find("long.ids").empty()) check_encoder(golden, backend, encoder, "long.", checks);
  return checks;
}

}  // namespace engine
