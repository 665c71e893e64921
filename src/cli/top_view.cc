#include "src/cli/top_view.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/cli/quantity.h"
#include "src/cli/table.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

constexpr char kInverse[] = "\x1b[7m", kNormal[] = "\x1b[0m";
constexpr size_t kMostPulls = 4;

std::optional<uint64_t> Value(bool has, const cri::UInt64Value& value) {
  return has ? std::optional(value.value()) : std::nullopt;
}

std::optional<double> Percent(const cri::CpuUsage& cpu) {
  if (!cpu.has_usage_nano_cores()) return std::nullopt;
  return static_cast<double>(cpu.usage_nano_cores().value()) / 1e7;
}

template <typename Usage>
std::optional<double> Stall(const Usage& usage) {
  return usage.has_psi() ? std::optional(usage.psi().some().avg10()) : std::nullopt;
}

template <typename Stats>
void FillUsage(const Stats& stats, TopRow* row) {
  row->cpu_percent = Percent(stats.cpu());
  row->cpu_stall = Stall(stats.cpu());
  const cri::MemoryUsage& memory = stats.memory();
  row->memory = Value(memory.has_working_set_bytes(), memory.working_set_bytes());
  if (memory.has_available_bytes() && row->memory)
    row->memory_limit = *row->memory + memory.available_bytes().value();
  row->memory_stall = Stall(memory);
  row->io_stall = Stall(stats.io());
}

// Sums of a metric over its labels, by container.
std::map<std::string, uint64_t> Sums(const cri::ListPodSandboxMetricsResponse& metrics,
                                     absl::string_view name) {
  std::map<std::string, uint64_t> sums;
  for (const cri::PodSandboxMetrics& pod : metrics.pod_metrics()) {
    for (const cri::ContainerMetrics& container : pod.container_metrics()) {
      for (const cri::Metric& metric : container.metrics()) {
        if (metric.name() == name) sums[container.container_id()] += metric.value().value();
      }
    }
  }
  return sums;
}

std::optional<uint64_t> At(const std::map<std::string, uint64_t>& sums, const std::string& id) {
  const auto found = sums.find(id);
  return found == sums.end() ? std::nullopt : std::optional(found->second);
}

void AddTo(std::optional<uint64_t>* sum, const std::optional<uint64_t>& value) {
  if (value) *sum = sum->value_or(0) + *value;
}

double Highest(const TopRow& row) {
  return std::max(
      {row.cpu_stall.value_or(0), row.memory_stall.value_or(0), row.io_stall.value_or(0)});
}

bool Before(const TopRow& a, const TopRow& b, TopSort sort) {
  switch (sort) {
    case TopSort::kCpu:
      if (a.cpu_percent != b.cpu_percent) return a.cpu_percent > b.cpu_percent;
      break;
    case TopSort::kMemory:
      if (a.memory != b.memory) return a.memory > b.memory;
      break;
    case TopSort::kDisk:
      if (a.disk != b.disk) return a.disk > b.disk;
      break;
    case TopSort::kPressure:
      if (Highest(a) != Highest(b)) return Highest(a) > Highest(b);
      break;
    case TopSort::kName:
      break;
  }
  return a.name != b.name ? a.name < b.name : a.id < b.id;
}

std::string Bytes(const std::optional<uint64_t>& bytes) {
  return bytes ? FormatMemory(*bytes) : "-";
}
std::string Share(const std::optional<double>& percent) {
  return percent ? absl::StrFormat("%.1f", *percent) : "-";
}

struct Column {
  const char* name;
  size_t width;
  std::string (*text)(const TopRow& row);
  TopSort sort = TopSort::kName;
  bool of_pods = true, of_containers = true;
};
constexpr std::array kColumns = {
    Column{"CPU%", 6, [](const TopRow& row) { return Share(row.cpu_percent); }, TopSort::kCpu},
    Column{"MEMORY", 9, [](const TopRow& row) { return Bytes(row.memory); }, TopSort::kMemory},
    Column{"LIMIT", 9, [](const TopRow& row) { return Bytes(row.memory_limit); }},
    Column{"DISK", 9, [](const TopRow& row) { return Bytes(row.disk); }, TopSort::kDisk},
    Column{"READ", 9, [](const TopRow& row) { return Bytes(row.read); }},
    Column{"WRITTEN", 9, [](const TopRow& row) { return Bytes(row.written); }},
    Column{"RECEIVED", 9, [](const TopRow& row) { return Bytes(row.received); }, TopSort::kName,
           true, false},
    Column{"SENT", 9, [](const TopRow& row) { return Bytes(row.sent); }, TopSort::kName, true,
           false},
    Column{"PIDS", 5,
           [](const TopRow& row) { return row.processes ? absl::StrCat(*row.processes) : "-"; }},
    Column{"STALL:CPU", 9, [](const TopRow& row) { return Share(row.cpu_stall); },
           TopSort::kPressure},
    Column{"MEM", 5, [](const TopRow& row) { return Share(row.memory_stall); }, TopSort::kPressure},
    Column{"IO", 5, [](const TopRow& row) { return Share(row.io_stall); }, TopSort::kPressure},
};

// Names take what the figures leave.
size_t NameWidth(const TopChoice& choice, const TopScreen& screen) {
  size_t figures = 0;
  for (const Column& column : kColumns) {
    if (choice.pods ? column.of_pods : column.of_containers) figures += column.width + 1;
  }
  return std::clamp<size_t>(screen.columns > figures ? screen.columns - figures : 0, 16, 50);
}

std::string Pad(const std::string& text, size_t width) {
  const size_t shown = DisplayWidth(text);
  return shown < width ? text + std::string(width - shown, ' ') : text;
}

std::string Line(const TopChoice& choice, const TopScreen& screen, const std::string& name,
                 const std::function<std::string(const Column&)>& cell) {
  const size_t width = NameWidth(choice, screen);
  std::string line = Pad(Shorten(name, width), width);
  for (const Column& column : kColumns) {
    if (choice.pods ? column.of_pods : column.of_containers)
      absl::StrAppend(&line, " ", absl::StrFormat("%*s", column.width, cell(column)));
  }
  return Pad(Shorten(line, screen.columns), screen.columns);
}

std::string Summary(const TopReplies& replies, const std::vector<TopRow>& rows) {
  double cpu = 0;
  uint64_t memory = 0;
  size_t containers = 0;
  for (const cri::PodSandboxStats& pod : replies.stats.stats()) {
    cpu += Percent(pod.linux().cpu()).value_or(0);
    memory += pod.linux().memory().working_set_bytes().value();
    containers += static_cast<size_t>(pod.linux().containers_size());
  }
  return absl::StrFormat(
      "berth top  %s   %d pods, %d containers   CPU %.1f%%   memory %s   %d shown",
      absl::FormatTime("%H:%M:%S", replies.at, absl::LocalTimeZone()), replies.stats.stats_size(),
      containers, cpu, FormatMemory(memory), rows.size());
}

std::string PullLine(const v1::Pull& pull) {
  const std::string done =
      pull.total_bytes() > 0
          ? absl::StrFormat("%3d%%", 100 * pull.bytes() / std::max<int64_t>(1, pull.total_bytes()))
          : "  ? ";
  return absl::StrFormat(
      "pulling %s  %s of %s  %s", done, FormatSize(static_cast<uint64_t>(pull.bytes())),
      FormatSize(static_cast<uint64_t>(pull.total_bytes())), OneLine(pull.reference()));
}

}  // namespace

std::vector<TopRow> TopRows(const TopReplies& replies, const TopChoice& choice) {
  const auto read = Sums(replies.metrics, "container_fs_reads_bytes_total");
  const auto written = Sums(replies.metrics, "container_fs_writes_bytes_total");
  const auto threads = Sums(replies.metrics, "container_threads");
  std::vector<TopRow> rows;
  for (const cri::PodSandboxStats& pod : replies.stats.stats()) {
    const cri::PodSandboxMetadata& metadata = pod.attributes().metadata();
    TopRow of_pod{.id = pod.attributes().id(),
                  .name = OneLine(metadata.namespace_().empty()
                                      ? metadata.name()
                                      : absl::StrCat(metadata.namespace_(), "/", metadata.name()))};
    FillUsage(pod.linux(), &of_pod);
    of_pod.processes =
        Value(pod.linux().process().has_process_count(), pod.linux().process().process_count());
    if (pod.linux().network().has_default_interface()) {
      of_pod.received = pod.linux().network().default_interface().rx_bytes().value();
      of_pod.sent = pod.linux().network().default_interface().tx_bytes().value();
    }
    for (const cri::ContainerStats& container : pod.linux().containers()) {
      const std::string& id = container.attributes().id();
      TopRow row{.id = id,
                 .name = OneLine(
                     absl::StrCat(metadata.name(), "/", container.attributes().metadata().name()))};
      FillUsage(container, &row);
      row.disk = Value(container.has_writable_layer(), container.writable_layer().used_bytes());
      row.read = At(read, id);
      row.written = At(written, id);
      row.processes = At(threads, id);
      AddTo(&of_pod.disk, row.disk);
      AddTo(&of_pod.read, row.read);
      AddTo(&of_pod.written, row.written);
      if (!choice.pods) rows.push_back(std::move(row));
    }
    if (choice.pods) rows.push_back(std::move(of_pod));
  }
  const std::string filter = absl::AsciiStrToLower(choice.filter);
  std::erase_if(rows, [&](const TopRow& row) {
    return !absl::StrContains(absl::AsciiStrToLower(row.name), filter);
  });
  std::sort(rows.begin(), rows.end(),
            [&](const TopRow& a, const TopRow& b) { return Before(a, b, choice.sort); });
  return rows;
}

std::vector<std::string> RenderTop(const TopReplies& replies, const std::vector<TopRow>& rows,
                                   const TopChoice& choice, const TopScreen& screen) {
  std::vector<std::string> lines = {Shorten(Summary(replies, rows), screen.columns)};
  const auto pulls = std::min(static_cast<size_t>(replies.pulls.pulls_size()), kMostPulls);
  for (size_t i = 0; i < pulls; ++i)
    lines.push_back(Shorten(PullLine(replies.pulls.pulls(static_cast<int>(i))), screen.columns));
  lines.push_back("");
  const std::string head =
      Line(choice, screen, choice.pods ? "POD" : "CONTAINER", [&](const Column& column) {
        const bool sorted = column.sort == choice.sort && choice.sort != TopSort::kName;
        return absl::StrCat(sorted ? ">" : "", column.name);
      });
  lines.push_back(screen.colour ? absl::StrCat(kInverse, head, kNormal) : head);
  const std::string keys =
      choice.editing_filter
          ? absl::StrCat("filter: ", OneLine(choice.filter), "_  (Enter, Esc)")
          : absl::StrCat("c m d s n sort  p pods  / filter", choice.filter.empty() ? "" : " [",
                         OneLine(choice.filter), choice.filter.empty() ? "" : "]",
                         "  up down  l logs  i inspect  q quit");
  const size_t room = screen.rows > lines.size() + 1 ? screen.rows - lines.size() - 1 : 0;
  const size_t first = choice.selected >= room && room > 0 ? choice.selected - room + 1 : 0;
  for (size_t i = first; i < rows.size() && i < first + room; ++i) {
    const std::string line = Line(choice, screen, rows[i].name,
                                  [&](const Column& column) { return column.text(rows[i]); });
    lines.push_back(i == choice.selected && screen.colour ? absl::StrCat(kInverse, line, kNormal)
                                                          : line);
  }
  while (lines.size() + 1 < screen.rows) lines.push_back("");
  lines.push_back(Shorten(keys, screen.columns));
  return lines;
}

}  // namespace berth::cli
