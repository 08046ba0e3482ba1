#include "bindings/reports.h"

#include <cmath>
#include <memory>
#include <optional>
#include <utility>

namespace engine::bindings {
namespace {

Napi::Number number(Napi::Env env, double value) {
  return Napi::Number::New(env, value);
}
Napi::Number number(Napi::Env env, int64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}
Napi::Number number(Napi::Env env, int value) {
  return Napi::Number::New(env, value);
}
Napi::Number number(Napi::Env env, uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}
Napi::String text(Napi::Env env, const std::string& value) {
  return Napi::String::New(env, value);
}

Napi::Array texts(Napi::Env env, const std::vector<std::string>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, text(env, values[i]));
  return array;
}

Napi::Array numbers(Napi::Env env, const std::vector<int>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, number(env, values[i]));
  return array;
}

Napi::Array numbers(Napi::Env env, const std::vector<double>& values) {
  Napi::Array array = Napi::Array::New(env, values.size());
  for (uint32_t i = 0; i < values.size(); ++i) array.Set(i, number(env, values[i]));
  return array;
}

// JSON knows no infinity: what is no number is null.
Napi::Value ratio_or_null(Napi::Env env, const std::optional<double>& ratio) {
  return ratio && std::isfinite(*ratio) ? Napi::Value(number(env, *ratio)) : env.Null();
}

Napi::Object planned_module_to_js(Napi::Env env, const PlannedModule& module) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("layer", number(env, module.layer));
  js.Set("block", text(env, block_kind_name(module.block)));
  js.Set("module", text(env, module_name(module.module)));
  js.Set("decision", text(env, decision_name(module.decision)));
  js.Set("tokens", number(env, module.tokens));
  js.Set("flops", number(env, module.flops));
  return js;
}

Napi::Object planned_step_to_js(Napi::Env env, const PlannedStep& step) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("step", number(env, step.step));
  js.Set("timestep", number(env, step.timestep));
  js.Set("refreshPoint", Napi::Boolean::New(env, step.refresh_point));
  js.Set("trunk", text(env, trunk_decision_name(step.trunk)));
  js.Set("runShare", number(env, step.run_share));
  js.Set("flops", number(env, step.flops));
  Napi::Array modules = Napi::Array::New(env, step.modules.size());
  for (uint32_t i = 0; i < step.modules.size(); ++i) {
    modules.Set(i, planned_module_to_js(env, step.modules[i]));
  }
  js.Set("modules", modules);
  return js;
}

Napi::Value indices_to_js(Napi::Env env, const OwnedIndices& indices) {
  if (indices.rows == 0) return env.Null();
  Napi::Array rows = Napi::Array::New(env, static_cast<size_t>(indices.rows));
  const size_t per_row = indices.values.size() / static_cast<size_t>(indices.rows);
  for (uint32_t row = 0; row < static_cast<uint32_t>(indices.rows); ++row) {
    Napi::Array values = Napi::Array::New(env, per_row);
    for (uint32_t i = 0; i < per_row; ++i)
      values.Set(i, number(env, indices.values[row * per_row + i]));
    rows.Set(row, values);
  }
  return rows;
}

Napi::Object module_report_to_js(Napi::Env env, const ModuleReport& report,
                                 const OwnedIndices& indices) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("layer", number(env, report.layer));
  js.Set("block", text(env, block_kind_name(report.block)));
  js.Set("module", text(env, module_name(report.module)));
  js.Set("decision", text(env, decision_name(report.decision)));
  js.Set("tokensComputed", number(env, report.tokens_computed));
  js.Set("tokensReused", number(env, report.tokens_reused));
  js.Set("seconds", number(env, report.seconds));
  js.Set("flops", number(env, report.flops));
  js.Set("drift", ratio_or_null(env, report.drift));
  js.Set("indices", indices_to_js(env, indices));
  return js;
}

Napi::Object record_to_js(Napi::Env env, const StepRecord& step) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("step", number(env, step.step));
  js.Set("timestep", number(env, step.timestep));
  js.Set("stream", number(env, step.stream));
  js.Set("trunk", numbers(env, step.trunk));
  js.Set("output", number(env, step.output));
  Napi::Array modules = Napi::Array::New(env, step.modules.size());
  for (uint32_t i = 0; i < step.modules.size(); ++i) {
    const ModuleChanges& module = step.modules[i];
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("layer", number(env, module.layer));
    entry.Set("block", text(env, block_kind_name(module.block)));
    entry.Set("module", text(env, module_name(module.module)));
    entry.Set("changes", numbers(env, module.changes));
    modules.Set(i, entry);
  }
  js.Set("modules", modules);
  return js;
}

Napi::Object policy_to_js(Napi::Env env, const PolicySpec& policy) {
  Napi::Object options = Napi::Object::New(env);
  for (const auto& [name, value] : policy.options) options.Set(name, text(env, value));
  Napi::Object js = Napi::Object::New(env);
  js.Set("name", text(env, policy.name));
  js.Set("options", options);
  return js;
}

}  // namespace

Napi::Object traits_to_js(Napi::Env env, const ModelTraits& traits) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("family", text(env, traits.family));
  js.Set("prompt", text(env, prompt_kind_name(traits.prompt)));
  js.Set("imagesOnly", Napi::Boolean::New(env, traits.images_only));
  js.Set("fixedSize", Napi::Boolean::New(env, traits.fixed_size));
  js.Set("frames", number(env, traits.frames));
  js.Set("height", number(env, traits.height));
  js.Set("width", number(env, traits.width));
  js.Set("fps", number(env, traits.fps));
  js.Set("guidance", number(env, traits.guidance));
  Napi::Array samplers = Napi::Array::New(env, traits.samplers.size());
  for (uint32_t i = 0; i < traits.samplers.size(); ++i) {
    Napi::Object sampler = Napi::Object::New(env);
    sampler.Set("name", text(env, traits.samplers[i].name));
    sampler.Set("steps", number(env, traits.samplers[i].steps));
    samplers.Set(i, sampler);
  }
  js.Set("samplers", samplers);
  return js;
}

Napi::Object plan_to_js(Napi::Env env, const Plan& plan) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("family", text(env, plan.family));
  js.Set("sampler", text(env, plan.sampler));
  js.Set("policy", policy_to_js(env, plan.policy));
  js.Set("tokens", number(env, plan.tokens));
  js.Set("tokensPerFrame", number(env, plan.tokens_per_frame));
  js.Set("latentFrames", number(env, plan.latent_frames));
  js.Set("latentHeight", number(env, plan.latent_height));
  js.Set("latentWidth", number(env, plan.latent_width));
  js.Set("outputHeight", number(env, plan.output_height));
  js.Set("outputWidth", number(env, plan.output_width));
  js.Set("flopsNone", number(env, plan.flops_none));
  js.Set("flops", number(env, plan.flops));
  js.Set("cacheBytes", number(env, plan.cache_bytes));
  js.Set("peakBytes", number(env, plan.peak_bytes));
  js.Set("overlappedPeakBytes", number(env, plan.overlapped_peak_bytes));
  js.Set("peakBytesPromptKept", number(env, plan.peak_bytes_prompt_kept));
  js.Set("dynamic", Napi::Boolean::New(env, plan.dynamic));
  Napi::Array steps = Napi::Array::New(env, plan.steps.size());
  for (uint32_t i = 0; i < plan.steps.size(); ++i)
    steps.Set(i, planned_step_to_js(env, plan.steps[i]));
  js.Set("steps", steps);
  js.Set("refreshPoints", numbers(env, refresh_points(plan)));
  js.Set("warnings", texts(env, plan.warnings));
  js.Set("digest", text(env, plan.digest));
  return js;
}

Napi::Object info_to_js(Napi::Env env, const EngineInfo& info) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("kind", text(env, info.kind));
  js.Set("deviceName", text(env, info.device_name));
  js.Set("memoryBytes", number(env, info.memory_bytes));
  js.Set("weightsDigest", text(env, info.weights_digest));
  js.Set("weightsBytes", number(env, info.weights_bytes));
  js.Set("mappedBytes", number(env, info.mapped_bytes));
  js.Set("loadSeconds", number(env, info.load_seconds));
  js.Set("notes", texts(env, info.notes));
  return js;
}

Napi::Object result_to_js(Napi::Env env, const RenderResult& result) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("seconds", number(env, result.seconds));
  js.Set("frames", number(env, result.frames));
  js.Set("height", number(env, result.height));
  js.Set("width", number(env, result.width));
  js.Set("peakBytes", number(env, result.peak_bytes));
  js.Set("promptKept", Napi::Boolean::New(env, result.prompt_kept));
  return js;
}

Napi::Array records_to_js(Napi::Env env, const std::vector<StepRecord>& steps) {
  Napi::Array array = Napi::Array::New(env, steps.size());
  for (uint32_t i = 0; i < steps.size(); ++i) array.Set(i, record_to_js(env, steps[i]));
  return array;
}

Napi::Array differences_to_js(Napi::Env env, const std::vector<FrameDifference>& differences) {
  Napi::Array array = Napi::Array::New(env, differences.size());
  for (uint32_t i = 0; i < differences.size(); ++i) {
    Napi::Object js = Napi::Object::New(env);
    js.Set("meanAbsolute", number(env, differences[i].mean_absolute));
    js.Set("rootMeanSquare", number(env, differences[i].root_mean_square));
    array.Set(i, js);
  }
  return array;
}

Napi::Object stage_event_to_js(Napi::Env env, Stage stage, double seconds) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("type", text(env, "stage"));
  js.Set("stage", text(env, stage_name(stage)));
  js.Set("seconds", number(env, seconds));
  return js;
}

Napi::Object step_event_to_js(Napi::Env env, const StepReport& report,
                              const std::vector<OwnedIndices>& indices) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("type", text(env, "step"));
  js.Set("step", number(env, report.step));
  js.Set("steps", number(env, report.steps));
  js.Set("timestep", number(env, report.timestep));
  js.Set("trunk", text(env, trunk_decision_name(report.trunk)));
  js.Set("seconds", number(env, report.seconds));
  js.Set("flops", number(env, report.flops));
  js.Set("flopsNone", number(env, report.flops_none));
  Napi::Array modules = Napi::Array::New(env, report.modules.size());
  for (uint32_t i = 0; i < report.modules.size(); ++i) {
    modules.Set(i, module_report_to_js(env, report.modules[i], indices[i]));
  }
  js.Set("modules", modules);
  return js;
}

Napi::Object checkpoint_event_to_js(Napi::Env env, const RenderCheckpoint& checkpoint) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("type", text(env, "checkpoint"));
  js.Set("step", number(env, checkpoint.step));
  js.Set("path", text(env, checkpoint.file.string()));
  return js;
}

Napi::Object checkpoint_failed_event_to_js(Napi::Env env, int step, const std::string& message) {
  Napi::Object js = Napi::Object::New(env);
  js.Set("type", text(env, "checkpoint_failed"));
  js.Set("step", number(env, step));
  js.Set("message", text(env, message));
  return js;
}

Napi::Object frames_event_to_js(Napi::Env env, int first, const Shape& shape,
                                std::vector<uint8_t>&& rgb) {
  auto owned = std::make_unique<std::vector<uint8_t>>(std::move(rgb));
  Napi::Object js = Napi::Object::New(env);
  js.Set("type", text(env, "frames"));
  js.Set("first", number(env, first));
  js.Set("count", number(env, shape[0]));
  js.Set("height", number(env, shape[1]));
  js.Set("width", number(env, shape[2]));
  const auto free_owned = [](Napi::Env, uint8_t*, std::vector<uint8_t>* data) { delete data; };
  js.Set("rgb",
         Napi::Buffer<uint8_t>::New(env, owned->data(), owned->size(), free_owned, owned.get()));
  owned.release();  // the finalizer has it now
  return js;
}

}  // namespace engine::bindings
