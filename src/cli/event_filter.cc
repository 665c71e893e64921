#include "src/cli/event_filter.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace berth::cli {
namespace {

struct Key {
  absl::string_view name;
  bool (*matches)(const v1::Event& event, const std::string& value);
};

absl::string_view Part(const v1::Event& event, size_t index) {
  const std::vector<absl::string_view> parts = absl::StrSplit(event.subject(), '/');
  return index < parts.size() ? parts[index] : absl::string_view();
}

constexpr std::array kKeys = {
    Key{"type",
        [](const v1::Event& event, const std::string& value) { return event.type() == value; }},
    Key{"kind",
        [](const v1::Event& event, const std::string& value) { return event.kind() == value; }},
    Key{"id", [](const v1::Event& event,
                 const std::string& value) { return absl::StartsWith(event.id(), value); }},
    Key{"namespace",
        [](const v1::Event& event, const std::string& value) {
          return event.kind() != "image" && Part(event, 0) == value;
        }},
    Key{"pod",
        [](const v1::Event& event, const std::string& value) {
          return (!event.pod_id().empty() && absl::StartsWith(event.pod_id(), value)) ||
                 (event.kind() != "image" && (Part(event, 1) == value || Part(event, 0) == value));
        }},
};

}  // namespace

absl::StatusOr<EventFilter> EventFilter::Parse(const std::vector<std::string>& filters) {
  EventFilter filter;
  for (const std::string& text : filters) {
    const std::pair<std::string, std::string> pair = absl::StrSplit(text, absl::MaxSplits('=', 1));
    const bool known = std::any_of(kKeys.begin(), kKeys.end(),
                                   [&](const Key& key) { return key.name == pair.first; });
    if (!known || pair.second.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--filter ", text, ": must be type=, kind=, id=, namespace= or pod= and a value"));
    }
    filter.wanted_[pair.first].push_back(pair.second);
  }
  return filter;
}

bool EventFilter::Accepts(const v1::Event& event) const {
  for (const Key& key : kKeys) {
    const auto values = wanted_.find(std::string(key.name));
    if (values == wanted_.end()) continue;
    if (std::none_of(values->second.begin(), values->second.end(),
                     [&](const std::string& value) { return key.matches(event, value); }))
      return false;
  }
  return true;
}

}  // namespace berth::cli
