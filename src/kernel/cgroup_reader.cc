#include "src/kernel/cgroup_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/file.h"

namespace berth {

struct CgroupUsageFile {
  const char* controller;  // "unified": of cgroup2, whatever has the controllers
  const char* name;
  void (*parse)(absl::string_view text, CgroupUsage* usage);
  bool tells_life = false;  // changes when something has run in the cgroup
};

namespace {

constexpr size_t kReadBytes = 16 << 10;  // the longest, memory.stat, has 2 KiB

template <std::optional<uint64_t> CgroupUsage::*kField>
void Number(absl::string_view text, CgroupUsage* usage) {
  usage->*kField = ParseCgroupNumber(text);
}

template <std::optional<uint64_t> CgroupUsage::*kField>
void Limit(absl::string_view text, CgroupUsage* usage) {
  const std::optional<uint64_t> value = ParseCgroupNumber(text);
  if (value != UINT64_MAX) usage->*kField = value;
}

template <std::optional<PressureStall> CgroupUsage::*kField>
void Stall(absl::string_view text, CgroupUsage* usage) {
  usage->*kField = ParsePressure(text);
}

void MemoryStatV1(absl::string_view text, CgroupUsage* usage) {
  ReadMemoryStatV1(text, usage);
  ForEachKeyed(text, [&](absl::string_view key, uint64_t value) {
    if (key == "total_swap") usage->swap_bytes = value;  // only where swap is accounted
  });
}

// v1 limits memory and swap together.
void SwapLimitV1(absl::string_view text, CgroupUsage* usage) {
  const std::optional<uint64_t> both = ParseCgroupNumber(text);
  if (!both || *both == UINT64_MAX || !usage->memory_limit) return;
  usage->swap_limit = *both - std::min(*both, *usage->memory_limit);
}

// In the order of reading: a parser may rest on what those before it read.
constexpr CgroupUsageFile kV1[] = {
    {"cpuacct", "cpuacct.usage", Number<&CgroupUsage::cpu_ns>, true},
    {"memory", "memory.usage_in_bytes", Number<&CgroupUsage::memory_bytes>, true},
    {"memory", "memory.stat", MemoryStatV1},
    {"memory", "memory.limit_in_bytes", Limit<&CgroupUsage::memory_limit>},
    {"memory", "memory.memsw.limit_in_bytes", SwapLimitV1},
    {"pids", "pids.current", Number<&CgroupUsage::pids>},
};
constexpr CgroupUsageFile kV2[] = {
    {"cpu", "cpu.stat",
     [](absl::string_view text, CgroupUsage* usage) { ReadCpuStatV2(text, usage, nullptr); }, true},
    {"memory", "memory.current", Number<&CgroupUsage::memory_bytes>, true},
    {"memory", "memory.stat", ReadMemoryStatV2},
    {"memory", "memory.max", Limit<&CgroupUsage::memory_limit>},
    {"memory", "memory.swap.current", Number<&CgroupUsage::swap_bytes>},
    {"memory", "memory.swap.max", Limit<&CgroupUsage::swap_limit>},
    {"pids", "pids.current", Number<&CgroupUsage::pids>},
};
// Of every cgroup2 directory, the one beside v1's hierarchies included.
constexpr CgroupUsageFile kStalls[] = {
    {"unified", "cpu.pressure", Stall<&CgroupUsage::cpu_pressure>},
    {"unified", "memory.pressure", Stall<&CgroupUsage::memory_pressure>},
    {"unified", "io.pressure", Stall<&CgroupUsage::io_pressure>},
};

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::optional<uint64_t> NumberIn(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFileAt(AT_FDCWD, path);
  return text.ok() ? ParseCgroupNumber(*text) : std::nullopt;
}

std::string TextIn(const std::string& path) {
  return ReadFileAt(AT_FDCWD, path).value_or(std::string());
}

bool IsZero(const Pressure& pressure) {
  return pressure.avg10 == 0 && pressure.avg60 == 0 && pressure.avg300 == 0;
}

// Neither has it grown nor is there an average of before.
bool IsOver(const std::optional<PressureStall>& before, const std::optional<PressureStall>& now) {
  if (!now) return true;
  return before && before->some.total_us == now->some.total_us && IsZero(now->some) &&
         (!now->full || IsZero(*now->full));
}

void Key(absl::string_view text, absl::string_view wanted, std::optional<uint64_t>* value) {
  ForEachKeyed(text, [&](absl::string_view key, uint64_t found) {
    if (key == wanted) *value = found;
  });
}

}  // namespace

std::string BlockDeviceName(uint32_t major, uint32_t minor) {
  const std::string text = TextIn(absl::StrCat("/sys/dev/block/", major, ":", minor, "/uevent"));
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (absl::ConsumePrefix(&line, "DEVNAME=")) return absl::StrCat("/dev/", line);
  }
  return "";
}

CgroupReader Cgroups::Reader(const std::string& path, CgroupReader::Keep keep) const {
  CgroupReader reader;
  reader.cgroup_ = path;
  reader.keep_ = keep;
  reader.v2_ = mode_ == Mode::kV2;
  reader.memory_ = PathOf("memory", path);
  reader.cpu_ = PathOf("cpu", path);
  reader.cpuacct_ = PathOf("cpuacct", path);
  reader.pids_ = PathOf("pids", path);
  reader.blkio_ = PathOf(reader.v2_ ? "io" : "blkio", path);
  reader.hugetlb_ = PathOf("hugetlb", path);
  const Hierarchy* hugetlb = Find("hugetlb");
  reader.hugetlb_unified_ = hugetlb != nullptr && hugetlb->unified;
  std::string unified;
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (hierarchy.unified) unified = hierarchy.NameOf(path);
  }
  const auto add = [&](const CgroupUsageFile& file) {
    const absl::string_view controller = file.controller;
    const std::string& directory = controller == "unified"   ? unified
                                   : controller == "cpuacct" ? reader.cpuacct_
                                   : controller == "pids"    ? reader.pids_
                                   : controller == "cpu"     ? reader.cpu_
                                                             : reader.memory_;
    if (!directory.empty())
      reader.files_.push_back({.what = &file, .path = absl::StrCat(directory, "/", file.name)});
  };
  if (reader.v2_) {
    for (const CgroupUsageFile& file : kV2) add(file);
  } else {
    for (const CgroupUsageFile& file : kV1) add(file);
  }
  for (const CgroupUsageFile& file : kStalls) add(file);
  return reader;
}

bool CgroupReader::ReadFile(File& file, CgroupUsage* usage) {
  if (file.absent) return false;
  UniqueFd opened;
  int fd = file.fd.get();
  if (fd < 0) {
    opened = UniqueFd(::open(file.path.c_str(), O_RDONLY | O_CLOEXEC));
    fd = opened.get();
    if (fd < 0) return false;
  }
  char buffer[kReadBytes];
  const ssize_t length = ::pread(fd, buffer, sizeof(buffer), 0);
  // EOPNOTSUPP: pressure is not accounted (psi=0).
  if (length < 0) {
    file.absent = errno == EOPNOTSUPP;
    return false;
  }
  file.what->parse(absl::string_view(buffer, static_cast<size_t>(length)), usage);
  if (keep_ == Keep::kOpen && opened.valid()) file.fd = SetAside(std::move(opened));
  return true;
}

bool CgroupReader::Unchanged(const CgroupUsage& usage) const {
  return usage.cpu_ns && usage.cpu_ns == last_.cpu_ns && usage.memory_bytes == last_.memory_bytes;
}

absl::StatusOr<CgroupUsage> CgroupReader::Read(absl::Time now) {
  CgroupUsage usage;
  bool any = false;
  for (File& file : files_) {
    if (file.what->tells_life) any |= ReadFile(file, &usage);
  }
  const bool unchanged = Unchanged(usage);
  if (any && unchanged && asleep_ && now - last_at_ < kAsleep) return last_;
  for (File& file : files_) {
    if (!file.what->tells_life) any |= ReadFile(file, &usage);
  }
  if (!any) return absl::NotFoundError(absl::StrCat("cgroup ", cgroup_, ": does not exist"));
  // A task that waits without running shows in the stalls alone.
  asleep_ = unchanged && IsOver(last_.cpu_pressure, usage.cpu_pressure) &&
            IsOver(last_.memory_pressure, usage.memory_pressure) &&
            IsOver(last_.io_pressure, usage.io_pressure);
  last_ = usage;
  last_at_ = now;
  return usage;
}

absl::StatusOr<CgroupDetails> CgroupReader::ReadDetails() const {
  if (!Exists(cpu_.empty() ? memory_ : cpu_))
    return absl::NotFoundError(absl::StrCat("cgroup ", cgroup_, ": does not exist"));
  CgroupDetails details;
  if (v2_) {
    ReadDetailsV2(&details);
  } else {
    ReadDetailsV1(&details);
  }
  if (const std::optional<uint64_t> limit = NumberIn(pids_ + "/pids.max"); limit != UINT64_MAX)
    details.pids_limit = limit;
  ReadHugePages(&details);
  if (details.block_io) {
    for (BlockIo& io : *details.block_io) io.device = BlockDeviceName(io.major, io.minor);
  }
  return details;
}

void CgroupReader::ReadDetailsV1(CgroupDetails* details) const {
  details->user_ns = NumberIn(cpuacct_ + "/cpuacct.usage_user");
  details->system_ns = NumberIn(cpuacct_ + "/cpuacct.usage_sys");
  ReadCpuStatV1(TextIn(cpu_ + "/cpu.stat"), details);
  details->memory_peak = NumberIn(memory_ + "/memory.max_usage_in_bytes");
  details->memory_kernel = NumberIn(memory_ + "/memory.kmem.usage_in_bytes");
  details->memory_limit_hits = NumberIn(memory_ + "/memory.failcnt");
  Key(TextIn(memory_ + "/memory.oom_control"), "oom_kill", &details->oom_kills);
  const std::string bytes = blkio_ + "/blkio.throttle.io_service_bytes_recursive";
  if (Exists(bytes)) {
    details->block_io =
        ParseBlkio(TextIn(bytes), TextIn(blkio_ + "/blkio.throttle.io_serviced_recursive"));
  }
}

void CgroupReader::ReadDetailsV2(CgroupDetails* details) const {
  ReadCpuStatV2(TextIn(cpu_ + "/cpu.stat"), nullptr, details);
  details->memory_peak = NumberIn(memory_ + "/memory.peak");
  Key(TextIn(memory_ + "/memory.stat"), "kernel", &details->memory_kernel);
  const std::string events = TextIn(memory_ + "/memory.events");
  Key(events, "max", &details->memory_limit_hits);
  Key(events, "oom_kill", &details->oom_kills);
  const std::string io = blkio_ + "/io.stat";
  if (Exists(io)) details->block_io = ParseIoStat(TextIn(io));
}

void CgroupReader::ReadHugePages(CgroupDetails* details) const {
  if (hugetlb_.empty()) return;
  const absl::string_view ending = hugetlb_unified_ ? ".current" : ".usage_in_bytes";
  for (std::string name : ListDir(AT_FDCWD, hugetlb_).value_or(std::vector<std::string>())) {
    absl::string_view size = name;
    if (!absl::ConsumePrefix(&size, "hugetlb.") || !absl::ConsumeSuffix(&size, ending) ||
        absl::StrContains(size, '.'))
      continue;  // "hugetlb.2MB.rsvd.current" is of reservations
    CgroupDetails::HugePages& pages = details->huge_pages[std::string(size)];
    pages.usage = NumberIn(absl::StrCat(hugetlb_, "/", name)).value_or(0);
    if (!hugetlb_unified_)
      pages.peak = NumberIn(absl::StrCat(hugetlb_, "/hugetlb.", size, ".max_usage_in_bytes"));
  }
}

std::vector<pid_t> CgroupReader::Processes(size_t limit) const {
  std::vector<pid_t> pids;
  const std::string text = TextIn((pids_.empty() ? memory_ : pids_) + "/cgroup.procs");
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    pid_t pid = 0;
    if (pids.size() < limit && absl::SimpleAtoi(line, &pid) && pid > 0) pids.push_back(pid);
  }
  return pids;
}

}  // namespace berth
