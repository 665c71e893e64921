#include "src/server/container_series.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace berth {
namespace {

constexpr size_t kPieceBytes = 64 << 10;
constexpr size_t kMaxLabelBytes = 253;

std::string LabelsOf(const ContainerSample& sample, const PodConfig& pod) {
  return absl::StrCat("namespace=\"", LabelValue(pod.pod_namespace), "\",pod=\"",
                      LabelValue(pod.name), "\",container=\"",
                      LabelValue(sample.container->config.name), "\"");
}

std::string LabelsOf(const PodConfig& pod) {
  return absl::StrCat("namespace=\"", LabelValue(pod.pod_namespace), "\",pod=\"",
                      LabelValue(pod.name), "\"");
}

int64_t MadeAt(const ContainerSample& sample) { return sample.container->created_at; }
int64_t MadeAt(const PodSample& sample) { return sample.pod->created_at; }

// Two of the same name would make Prometheus refuse the whole scrape: the newer one is shown.
template <typename Labelled>
size_t DropDuplicates(std::vector<Labelled>& all) {
  const size_t before = all.size();
  absl::flat_hash_map<absl::string_view, size_t> newest;
  std::vector<bool> keep(all.size(), true);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto [found, is_new] = newest.try_emplace(all[i].labels, i);
    if (is_new) continue;
    const bool newer = MadeAt(*all[i].sample) > MadeAt(*all[found->second].sample);
    keep[newer ? found->second : i] = false;
    if (newer) found->second = i;
  }
  std::vector<Labelled> kept;
  kept.reserve(newest.size());
  for (size_t i = 0; i < all.size(); ++i) {
    if (keep[i]) kept.push_back(std::move(all[i]));
  }
  all = std::move(kept);
  return before - all.size();
}

void AppendValue(MetricFamily::Unit unit, uint64_t value, std::string* out) {
  if (unit == MetricFamily::Unit::kOne) {
    absl::StrAppend(out, value, "\n");
    return;
  }
  absl::StrAppend(out, value / kNanosecondsPerSecond, ".",
                  absl::Dec(value % kNanosecondsPerSecond, absl::kZeroPad9), "\n");
}

void AppendSample(const MetricFamily& family, absl::string_view labels,
                  std::initializer_list<absl::string_view> extra, uint64_t value,
                  std::string* out) {
  absl::StrAppend(out, "berth_", family.name, "{", labels);
  size_t i = 0;
  for (absl::string_view label : extra)
    absl::StrAppend(out, ",", family.extra_labels[i++], "=\"", LabelValue(label), "\"");
  out->append("} ");
  AppendValue(family.unit, value, out);
}

}  // namespace

std::string LabelValue(absl::string_view text) {
  if (text.size() > kMaxLabelBytes) {
    size_t end = kMaxLabelBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text = text.substr(0, end);  // not within a character
  }
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

ContainerSeries::ContainerSeries(Options options) : options_(std::move(options)) {
  absl::flat_hash_map<absl::string_view, const PodConfig*> configs;
  for (const auto& pod : *options_.pods) {
    configs[pod->pod->id] = &pod->pod->config;
    if (pod->at != 0) pods_.push_back({pod, LabelsOf(pod->pod->config)});
  }
  for (const auto& container : *options_.containers) {
    const auto pod = configs.find(container->container->pod_id);
    if (container->at != 0 && pod != configs.end())
      containers_.push_back({container, LabelsOf(*container, *pod->second)});
  }
  not_shown_ = DropDuplicates(containers_);
  DropDuplicates(pods_);
  if (containers_.size() > options_.max_containers) {
    not_shown_ += containers_.size() - options_.max_containers;
    containers_.resize(options_.max_containers);
  }
  if (pods_.size() > options_.max_containers) pods_.resize(options_.max_containers);
}

void ContainerSeries::BeginFamily(const MetricFamily& family, std::string* piece) const {
  absl::string_view name = family.name;
  if (options_.format == MetricsFormat::kOpenMetrics) name = absl::StripSuffix(name, "_total");
  absl::StrAppend(piece, "# HELP berth_", name, " ", family.help, "\n# TYPE berth_", name, " ",
                  family.type == MetricFamily::Type::kCounter ? "counter" : "gauge", "\n");
}

void ContainerSeries::AppendNotShown(std::string* piece) const {
  absl::StrAppend(piece,
                  "# HELP berth_containers_not_shown Containers without series of their own: too "
                  "many, or of the same name\n# TYPE berth_containers_not_shown gauge\n"
                  "berth_containers_not_shown ",
                  not_shown_, "\n");
}

bool ContainerSeries::Next(std::string* piece) {
  const size_t end = piece->size() + kPieceBytes;
  const absl::Span<const MetricFamily> families = ContainerMetricFamilies();
  for (; family_ < families.size(); ++family_, next_ = 0) {
    const MetricFamily& family = families[family_];
    const size_t count = family.of_pod != nullptr ? pods_.size() : containers_.size();
    if (!family.cheap || count == 0) continue;
    if (next_ == 0) BeginFamily(family, piece);
    while (next_ < count) {
      const size_t at = next_++;
      const auto add = [&](absl::string_view labels) {
        return [&family, piece, labels](std::initializer_list<absl::string_view> extra,
                                        uint64_t value) {
          AppendSample(family, labels, extra, value, piece);
        };
      };
      if (family.of_pod != nullptr) {
        family.of_pod(*pods_[at].sample, add(pods_[at].labels));
      } else {
        const ContainerSample& sample = *containers_[at].sample;
        family.of_container({.sample = &sample,
                             .layer = options_.layer(sample.container->id),
                             .file_system = &options_.file_system},
                            add(containers_[at].labels));
      }
      if (piece->size() >= end) return true;
    }
  }
  AppendNotShown(piece);
  return false;
}

}  // namespace berth
