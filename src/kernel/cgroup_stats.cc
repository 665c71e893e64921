#include "src/kernel/cgroup_stats.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace berth {
namespace {

// Rounded down to pages, v1 writes "no limit" as almost INT64_MAX.
constexpr uint64_t kNoLimit = uint64_t{1} << 62;

// One line after the other, without copies.
absl::string_view TakeLine(absl::string_view* text) {
  const size_t end = std::min(text->find('\n'), text->size());
  const absl::string_view line = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return line;
}

// "avg10=1.50 avg60=0.00 avg300=0.00 total=12"
std::optional<Pressure> ParsePressureLine(absl::string_view line) {
  Pressure pressure;
  bool total = false;
  for (absl::string_view field : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(field, absl::MaxSplits('=', 1));
    const auto average = [&](double* value) { return absl::SimpleAtod(pair.second, value); };
    if (pair.first == "avg10" && !average(&pressure.avg10)) return std::nullopt;
    if (pair.first == "avg60" && !average(&pressure.avg60)) return std::nullopt;
    if (pair.first == "avg300" && !average(&pressure.avg300)) return std::nullopt;
    if (pair.first == "total") total = absl::SimpleAtoi(pair.second, &pressure.total_us);
  }
  return total ? std::optional(pressure) : std::nullopt;
}

bool ParseDevice(absl::string_view text, BlockIo* io) {
  const std::pair<absl::string_view, absl::string_view> pair =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  return absl::SimpleAtoi(pair.first, &io->major) && absl::SimpleAtoi(pair.second, &io->minor);
}

BlockIo* DeviceIn(std::vector<BlockIo>& all, const BlockIo& wanted) {
  for (BlockIo& io : all) {
    if (io.major == wanted.major && io.minor == wanted.minor) return &io;
  }
  all.push_back({.major = wanted.major, .minor = wanted.minor});
  return &all.back();
}

// "8:0 Read 4096" lines; the "Total" ones are sums of them.
void AddBlkio(absl::string_view text, uint64_t BlockIo::*read, uint64_t BlockIo::*write,
              std::vector<BlockIo>* all) {
  while (!text.empty()) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(TakeLine(&text), ' ', absl::SkipEmpty());
    BlockIo device;
    uint64_t value = 0;
    if (words.size() != 3 || !ParseDevice(words[0], &device) || !absl::SimpleAtoi(words[2], &value))
      continue;
    if (words[1] == "Read") DeviceIn(*all, device)->*read = value;
    if (words[1] == "Write") DeviceIn(*all, device)->*write = value;
  }
}

template <typename Out>
struct Keyed {
  absl::string_view key;
  std::optional<uint64_t> Out::*field;
};

constexpr std::array<Keyed<CgroupUsage>, 6> kMemoryV1 = {{
    {"total_inactive_file", &CgroupUsage::memory_inactive_file},
    {"total_rss", &CgroupUsage::memory_rss},
    {"total_pgfault", &CgroupUsage::page_faults},
    {"total_pgmajfault", &CgroupUsage::major_page_faults},
    {"total_cache", &CgroupUsage::memory_cache},
    {"total_mapped_file", &CgroupUsage::memory_mapped_file},
}};
constexpr std::array<Keyed<CgroupUsage>, 6> kMemoryV2 = {{
    {"inactive_file", &CgroupUsage::memory_inactive_file},
    {"anon", &CgroupUsage::memory_rss},
    {"pgfault", &CgroupUsage::page_faults},
    {"pgmajfault", &CgroupUsage::major_page_faults},
    {"file", &CgroupUsage::memory_cache},
    {"file_mapped", &CgroupUsage::memory_mapped_file},
}};
constexpr std::array<Keyed<CgroupDetails>, 3> kCpuV1 = {{
    {"nr_periods", &CgroupDetails::cfs_periods},
    {"nr_throttled", &CgroupDetails::cfs_throttled_periods},
    {"throttled_time", &CgroupDetails::cfs_throttled_ns},
}};

template <typename Out, size_t kCount>
void ReadKeyed(absl::string_view text, const std::array<Keyed<Out>, kCount>& table, Out* out) {
  ForEachKeyed(text, [&](absl::string_view key, uint64_t value) {
    for (const Keyed<Out>& entry : table) {
      if (entry.key == key) out->*(entry.field) = value;
    }
  });
}

}  // namespace

std::optional<uint64_t> CgroupUsage::WorkingSet() const {
  if (!memory_bytes) return std::nullopt;
  return *memory_bytes - std::min(*memory_bytes, memory_inactive_file.value_or(0));
}

void ForEachKeyed(absl::string_view text,
                  absl::FunctionRef<void(absl::string_view key, uint64_t value)> visit) {
  while (!text.empty()) {
    const absl::string_view line = TakeLine(&text);
    const size_t space = line.find(' ');
    uint64_t value = 0;
    if (space != absl::string_view::npos && absl::SimpleAtoi(line.substr(space + 1), &value))
      visit(line.substr(0, space), value);
  }
}

std::optional<uint64_t> ParseCgroupNumber(absl::string_view text) {
  const absl::string_view word = absl::StripAsciiWhitespace(text);
  if (word == "max" || word == "-1") return UINT64_MAX;
  uint64_t value = 0;
  if (!absl::SimpleAtoi(word, &value)) return std::nullopt;
  return value >= kNoLimit ? UINT64_MAX : value;
}

std::optional<PressureStall> ParsePressure(absl::string_view text) {
  PressureStall stall;
  bool some = false;
  while (!text.empty()) {
    absl::string_view line = TakeLine(&text);
    if (absl::ConsumePrefix(&line, "some ")) {
      const std::optional<Pressure> parsed = ParsePressureLine(line);
      if (!parsed) return std::nullopt;
      stall.some = *parsed;
      some = true;
    } else if (absl::ConsumePrefix(&line, "full ")) {
      stall.full = ParsePressureLine(line);
    }
  }
  return some ? std::optional(stall) : std::nullopt;
}

std::vector<BlockIo> ParseIoStat(absl::string_view text) {
  std::vector<BlockIo> all;
  while (!text.empty()) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(TakeLine(&text), ' ', absl::SkipEmpty());
    BlockIo io;
    if (words.size() < 2 || !ParseDevice(words[0], &io)) continue;
    for (absl::string_view word : words) {
      const std::pair<absl::string_view, absl::string_view> pair =
          absl::StrSplit(word, absl::MaxSplits('=', 1));
      uint64_t value = 0;
      if (!absl::SimpleAtoi(pair.second, &value)) continue;
      if (pair.first == "rbytes") io.read_bytes = value;
      if (pair.first == "wbytes") io.write_bytes = value;
      if (pair.first == "rios") io.reads = value;
      if (pair.first == "wios") io.writes = value;
    }
    all.push_back(io);
  }
  return all;
}

std::vector<BlockIo> ParseBlkio(absl::string_view service_bytes, absl::string_view serviced) {
  std::vector<BlockIo> all;
  AddBlkio(service_bytes, &BlockIo::read_bytes, &BlockIo::write_bytes, &all);
  AddBlkio(serviced, &BlockIo::reads, &BlockIo::writes, &all);
  return all;
}

void ReadMemoryStatV1(absl::string_view text, CgroupUsage* usage) {
  ReadKeyed(text, kMemoryV1, usage);
}

void ReadMemoryStatV2(absl::string_view text, CgroupUsage* usage) {
  ReadKeyed(text, kMemoryV2, usage);
}

void ReadCpuStatV1(absl::string_view text, CgroupDetails* details) {
  ReadKeyed(text, kCpuV1, details);
}

void ReadCpuStatV2(absl::string_view text, CgroupUsage* usage, CgroupDetails* details) {
  ForEachKeyed(text, [&](absl::string_view key, uint64_t value) {
    if (usage != nullptr && key == "usage_usec") usage->cpu_ns = value * 1000;
    if (details == nullptr) return;
    if (key == "user_usec") details->user_ns = value * 1000;
    if (key == "system_usec") details->system_ns = value * 1000;
    if (key == "nr_periods") details->cfs_periods = value;
    if (key == "nr_throttled") details->cfs_throttled_periods = value;
    if (key == "throttled_usec") details->cfs_throttled_ns = value * 1000;
  });
}

}  // namespace berth
