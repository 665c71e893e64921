#include "src/cli/list_tables.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/cli/age.h"
#include "src/cli/quantity.h"
#include "src/cli/targets.h"

namespace berth::cli {
namespace {

constexpr size_t kMostImageNameColumns = 50;

std::string OrDash(const std::string& text) { return text.empty() ? "-" : text; }

Cell ContainerState(const cri::ContainerStatus& status, absl::Time now) {
  switch (status.state()) {
    case cri::CONTAINER_CREATED:
      return Cell("Created");
    case cri::CONTAINER_RUNNING: {
      const absl::Duration up = now - absl::FromUnixNanos(status.started_at());
      return Cell(absl::StrCat("Up ", DescribeDuration(up)), Tone::kGood);
    }
    case cri::CONTAINER_EXITED: {
      std::string text =
          absl::StrCat("Exited (", status.exit_code(), ") ", FormatAgo(status.finished_at(), now));
      if (!status.reason().empty() && status.reason() != "Completed" &&
          status.reason() != "Error") {
        absl::StrAppend(&text, " ", status.reason());
      }
      return Cell(text, status.exit_code() == 0 ? Tone::kPlain : Tone::kBad);
    }
    default:
      return Cell("Unknown", Tone::kBad);
  }
}

// The name a person gave rather than the id that it became.
std::string ImageName(const cri::Container& container, bool no_trunc) {
  const cri::ImageSpec& image = container.image();
  const std::string name =
      image.user_specified_image().empty() ? image.image() : image.user_specified_image();
  if (absl::StartsWith(name, "sha256:")) return ShownId(name, no_trunc);
  if (no_trunc || name.size() <= kMostImageNameColumns) return name;
  return name.substr(0, name.find("@sha256:"));
}

// "host:5000/a/b:tag" to its repository and tag; a colon before the last slash belongs to a port.
std::pair<std::string, std::string> SplitTag(const std::string& reference) {
  const size_t slash = reference.rfind('/');
  const size_t colon = reference.rfind(':');
  if (colon == std::string::npos || (slash != std::string::npos && colon < slash)) {
    return {reference, "<none>"};
  }
  return {reference.substr(0, colon), reference.substr(colon + 1)};
}

std::string CpuPercent(const cri::ContainerStats* before, const cri::ContainerStats& after) {
  if (before == nullptr || !after.cpu().has_usage_core_nano_seconds() ||
      after.cpu().timestamp() <= before->cpu().timestamp()) {
    return "-";
  }
  const auto used = static_cast<double>(after.cpu().usage_core_nano_seconds().value()) -
                    static_cast<double>(before->cpu().usage_core_nano_seconds().value());
  const auto passed = static_cast<double>(after.cpu().timestamp() - before->cpu().timestamp());
  return absl::StrFormat("%.2f%%", std::max(0.0, 100 * used / passed));
}

std::string MemoryUse(const cri::MemoryUsage& memory) {
  if (!memory.has_working_set_bytes()) return "-";
  const uint64_t used = memory.working_set_bytes().value();
  if (!memory.has_available_bytes()) return FormatMemory(used);
  const uint64_t limit = used + memory.available_bytes().value();
  return absl::StrCat(FormatMemory(used), " / ", FormatMemory(limit));
}

}  // namespace

std::string ShownId(absl::string_view id, bool no_trunc) {
  return no_trunc ? std::string(id) : ShortId(id);
}

Table PodsTable(const std::vector<cri::PodSandbox>& pods,
                const std::map<std::string, std::string>& addresses, const TableStyle& style) {
  Table table({"POD ID", "NAME", "NAMESPACE", "STATUS", "ADDRESS", "CREATED", "RUNTIME"});
  for (const cri::PodSandbox& pod : pods) {
    const bool ready = pod.state() == cri::SANDBOX_READY;
    const auto address = addresses.find(pod.id());
    table.AddRow({ShownId(pod.id(), style.no_trunc), pod.metadata().name(),
                  pod.metadata().namespace_(),
                  Cell(ready ? "Ready" : "Stopped", ready ? Tone::kGood : Tone::kFaint),
                  address == addresses.end() ? "-" : OrDash(address->second),
                  FormatAgo(pod.created_at(), style.now),
                  pod.runtime_handler().empty() ? "default" : pod.runtime_handler()});
  }
  return table;
}

Table ContainersTable(const std::vector<ContainerRow>& rows, const TableStyle& style) {
  Table table({"CONTAINER ID", "IMAGE", "NAME", "POD", "CREATED", "STATUS"});
  for (const ContainerRow& row : rows) {
    table.AddRow({ShownId(row.container.id(), style.no_trunc),
                  ImageName(row.container, style.no_trunc), row.container.metadata().name(),
                  row.pod_name.empty() ? ShownId(row.container.pod_sandbox_id(), style.no_trunc)
                                       : row.pod_name,
                  FormatAgo(row.container.created_at(), style.now),
                  ContainerState(row.status, style.now)});
  }
  return table;
}

Table ImagesTable(const cri::ListImagesResponse& images, const TableStyle& style) {
  Table table({"REPOSITORY", "TAG", "IMAGE ID", "SIZE"});
  std::vector<std::pair<std::pair<std::string, std::string>, const cri::Image*>> rows;
  for (const cri::Image& image : images.images()) {
    for (const std::string& tag : image.repo_tags()) rows.push_back({SplitTag(tag), &image});
    if (image.repo_tags().empty()) {
      const std::string digest = image.repo_digests().empty() ? "" : image.repo_digests(0);
      const std::string repository = digest.substr(0, digest.find('@'));
      rows.push_back({{repository.empty() ? "<none>" : repository, "<none>"}, &image});
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [name, image] : rows) {
    table.AddRow(
        {name.first, name.second, ShownId(image->id(), style.no_trunc), FormatSize(image->size())});
  }
  return table;
}

Table StatsTable(const cri::ListContainerStatsResponse& before,
                 const cri::ListContainerStatsResponse& after, const TableStyle& style) {
  Table table({"CONTAINER ID", "NAME", "CPU", "MEMORY", "DISK", "INODES"});
  std::map<std::string, const cri::ContainerStats*> earlier;
  for (const cri::ContainerStats& stats : before.stats()) earlier[stats.attributes().id()] = &stats;
  for (const cri::ContainerStats& stats : after.stats()) {
    const auto found = earlier.find(stats.attributes().id());
    const cri::FilesystemUsage& disk = stats.writable_layer();
    table.AddRow({ShownId(stats.attributes().id(), style.no_trunc),
                  stats.attributes().metadata().name(),
                  CpuPercent(found == earlier.end() ? nullptr : found->second, stats),
                  MemoryUse(stats.memory()),
                  disk.has_used_bytes() ? FormatSize(disk.used_bytes().value()) : "-",
                  disk.has_inodes_used() ? absl::StrCat(disk.inodes_used().value()) : "-"});
  }
  return table;
}

std::string PodAddresses(const cri::PodSandboxStatus& status) {
  std::string addresses = status.network().ip();
  for (const cri::PodIP& further : status.network().additional_ips()) {
    absl::StrAppend(&addresses, addresses.empty() ? "" : ",", further.ip());
  }
  return OrDash(addresses);
}

}  // namespace berth::cli
