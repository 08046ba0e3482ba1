// ClusCa (arXiv 2509.10312): TaylorSeer, in whose forecast steps one token of every group of
// similar tokens is computed by the MLP and corrects the forecasts of its group.
//
// Open in the definition, and settled here: the groups are those of the MLP's own output, block by
// block, and the same for both guidance halves; corrected forecasts are not kept, the next one
// follows from full steps alone.
#include <algorithm>

#include "cache/taylor_timetable.h"

namespace engine {

namespace {

// Steps and order as published for DiT; other models have fewer steps (as for taylorseer).
TaylorTimetable published_timetable(const PolicyContext& context) {
  const int order = published_taylor_order(context);
  if (counts_down(context)) return {.interval = 5, .order = order, .warm = 2};
  return {.interval = 3, .order = order, .warm = 3};
}

class CluscaPolicy : public CachePolicy {
 public:
  CluscaPolicy(const PolicyContext& context, const TaylorTimetable& timetable,
               const ClusterSettings& clusters, std::string fingerprint)
      : context_(context),
        timetable_(timetable),
        clusters_(clusters),
        fingerprint_(std::move(fingerprint)) {}

  ModuleDecision decide(const ModuleSite& site) const override {
    if (timetable_.is_full(site.step)) return {Decision::kRefresh, context_.tokens};
    if (site.module == Module::kMlp) return {Decision::kPartial, clusters_.count};
    return {Decision::kForecast, 0};
  }
  // Differences and centroids reach back over several full steps.
  bool is_refresh_point(int step) const override { return step == 0; }
  CacheNeeds needs() const override {
    return {.features = true, .scores = true, .orders = timetable_.order, .clusters = clusters_};
  }
  // The highest of random numbers is any token of its group.
  ScoreSettings score_settings() const override { return {.score = TokenScore::kRandom}; }
  std::string fingerprint() const override { return fingerprint_; }

 private:
  PolicyContext context_;
  TaylorTimetable timetable_;
  ClusterSettings clusters_;
  std::string fingerprint_;
};

// Beyond these k-means costs more than it saves.
constexpr int kMaxClusters = 1024, kMaxIterations = 100;

}  // namespace

std::unique_ptr<CachePolicy> make_clusca_policy(PolicyOptions& options,
                                                const PolicyContext& context) {
  const TaylorTimetable timetable = read_taylor_timetable(options, published_timetable(context));
  ClusterSettings clusters;
  const int64_t count = options.integer("clusters", 16, 1, kMaxClusters);
  clusters.count = std::min(count, context.tokens);  // then every token stands for itself
  clusters.weight = static_cast<float>(options.number("weight", 0.05, 0, 1));
  clusters.iterations = options.integer("iterations", 3, 1, kMaxIterations);
  options.finish();
  return std::make_unique<CluscaPolicy>(context, timetable, clusters, options.resolved());
}

}  // namespace engine
