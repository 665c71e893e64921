// The screen of `berth top`, from the daemon's replies and what the person has chosen. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "berth/v1/berth.pb.h"
#include "cri/runtime/v1/api.pb.h"

namespace berth::cli {

namespace cri = ::runtime::v1;

// What one refresh has read.
struct TopReplies {
  absl::Time at;
  cri::ListPodSandboxStatsResponse stats;
  cri::ListPodSandboxMetricsResponse metrics;
  v1::ListPullsResponse pulls;
};

struct TopRow {
  std::string id, name;  // "pod/container"; of a pod "namespace/pod"
  std::optional<double> cpu_percent;
  std::optional<uint64_t> memory, memory_limit, disk, read, written, received, sent, processes;
  std::optional<double> cpu_stall, memory_stall, io_stall;  // percent of the last 10 s
};

enum class TopSort { kCpu, kMemory, kDisk, kPressure, kName };

// What is shown; keys change it.
struct TopChoice {
  TopSort sort = TopSort::kCpu;
  bool pods = false;   // else containers
  std::string filter;  // part of a name
  bool editing_filter = false;
  size_t selected = 0;
};

// In the chosen order, filtered.
std::vector<TopRow> TopRows(const TopReplies& replies, const TopChoice& choice);

struct TopScreen {
  size_t columns = 80, rows = 24;
  bool colour = false;
};
// One string a line, none wider than the screen and as many as fit. `rows` are TopRows'.
std::vector<std::string> RenderTop(const TopReplies& replies, const std::vector<TopRow>& rows,
                                   const TopChoice& choice, const TopScreen& screen);

}  // namespace berth::cli
