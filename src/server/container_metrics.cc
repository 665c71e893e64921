#include "src/server/container_metrics.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

using Facts = ContainerFacts;
constexpr auto kCounter = MetricFamily::Type::kCounter;
constexpr auto kGauge = MetricFamily::Type::kGauge;
constexpr auto kOne = MetricFamily::Unit::kOne;
constexpr auto kNanoseconds = MetricFamily::Unit::kNanoseconds;

constexpr const char* kDevice[] = {"device"};
constexpr const char* kBlkioDevice[] = {"device", "major", "minor", "operation"};
constexpr const char* kCpu[] = {"cpu"};
constexpr const char* kFailure[] = {"failure_type", "scope"};
constexpr const char* kPageSize[] = {"pagesize"};
constexpr const char* kInterface[] = {"interface"};
constexpr const char* kUlimit[] = {"ulimit"};

// A value of the sample; nothing where it is unset.
template <std::optional<uint64_t> CgroupUsage::*kField>
void OfUsage(const Facts& facts, AddValue add) {
  if (const std::optional<uint64_t>& value = facts.sample->usage.*kField) add({}, *value);
}

template <std::optional<uint64_t> CgroupDetails::*kField>
void OfDetails(const Facts& facts, AddValue add) {
  if (facts.details == nullptr) return;
  if (const std::optional<uint64_t>& value = facts.details->cgroup.*kField) add({}, *value);
}

// Counters that the kernel begins with the first event, and limits that are not set, are 0.
template <std::optional<uint64_t> CgroupDetails::*kField>
void OfDetailsOrZero(const Facts& facts, AddValue add) {
  if (facts.details != nullptr) add({}, (facts.details->cgroup.*kField).value_or(0));
}

template <uint64_t ProcessFacts::*kField>
void OfProcesses(const Facts& facts, AddValue add) {
  if (facts.details != nullptr) add({}, facts.details->processes.*kField);
}

template <uint64_t BlockIo::*kField>
void OfDevices(const Facts& facts, AddValue add) {
  if (facts.details == nullptr || !facts.details->cgroup.block_io) return;
  for (const BlockIo& io : *facts.details->cgroup.block_io) add({io.device}, io.*kField);
}

template <std::optional<PressureStall> CgroupUsage::*kField, bool kFull>
void OfPressure(const Facts& facts, AddValue add) {
  const std::optional<PressureStall>& stall = facts.sample->usage.*kField;
  if (!stall || (kFull && !stall->full)) return;
  add({}, (kFull ? stall->full->total_us : stall->some.total_us) * 1000);
}

template <uint64_t InterfaceCounters::*kField>
void OfInterfaces(const PodSample& pod, AddValue add) {
  if (!pod.interfaces) return;
  for (const InterfaceCounters& interface : *pod.interfaces) {
    if (interface.name != "lo") add({interface.name}, interface.*kField);
  }
}

template <std::optional<int64_t> CgroupLimits::*kField>
void OfLimits(const Facts& facts, AddValue add) {
  // -1, "unlimited", is 0 here as it is with cAdvisor.
  add({}, static_cast<uint64_t>(
              std::max<int64_t>(0, (LimitsOf(*facts.sample->container).*kField).value_or(0))));
}

void Faults(const Facts& facts, AddValue add) {
  const CgroupUsage& usage = facts.sample->usage;
  for (const char* scope : {"container", "hierarchy"}) {
    if (usage.page_faults) add({"pgfault", scope}, *usage.page_faults);
    if (usage.major_page_faults) add({"pgmajfault", scope}, *usage.major_page_faults);
  }
}

void BlkioUsage(const Facts& facts, AddValue add) {
  if (facts.details == nullptr || !facts.details->cgroup.block_io) return;
  for (const BlockIo& io : *facts.details->cgroup.block_io) {
    const std::string major = absl::StrCat(io.major), minor = absl::StrCat(io.minor);
    add({io.device, major, minor, "Read"}, io.read_bytes);
    add({io.device, major, minor, "Write"}, io.write_bytes);
  }
}

void HugePages(const Facts& facts, AddValue add) {
  if (facts.details == nullptr) return;
  for (const auto& [size, pages] : facts.details->cgroup.huge_pages) add({size}, pages.usage);
}

void HugePagesPeak(const Facts& facts, AddValue add) {
  if (facts.details == nullptr) return;
  for (const auto& [size, pages] : facts.details->cgroup.huge_pages) {
    if (pages.peak) add({size}, *pages.peak);
  }
}

template <uint64_t FileSystemFacts::*kField>
void OfFileSystem(const Facts& facts, AddValue add) {
  if (facts.file_system != nullptr) add({facts.file_system->device}, facts.file_system->*kField);
}

constexpr MetricFamily kFamilies[] = {
    {"container_blkio_device_usage_total", "Bytes moved to and from block devices", kCounter, kOne,
     kBlkioDevice, BlkioUsage},
    {"container_cpu_cfs_periods_total",
     "CPU quota periods that have passed",
     kCounter,
     kOne,
     {},
     OfDetailsOrZero<&CgroupDetails::cfs_periods>},
    {"container_cpu_cfs_throttled_periods_total",
     "CPU quota periods with throttling",
     kCounter,
     kOne,
     {},
     OfDetailsOrZero<&CgroupDetails::cfs_throttled_periods>},
    {"container_cpu_cfs_throttled_seconds_total",
     "Time throttled by the CPU quota",
     kCounter,
     kNanoseconds,
     {},
     OfDetailsOrZero<&CgroupDetails::cfs_throttled_ns>},
    {"container_cpu_system_seconds_total",
     "CPU time in the kernel",
     kCounter,
     kNanoseconds,
     {},
     OfDetails<&CgroupDetails::system_ns>},
    {"container_cpu_usage_seconds_total", "CPU time", kCounter, kNanoseconds, kCpu,
     [](const Facts& facts, AddValue add) {
       if (facts.sample->usage.cpu_ns) add({"total"}, *facts.sample->usage.cpu_ns);
     },
     nullptr, true},
    {"container_cpu_user_seconds_total",
     "CPU time in user mode",
     kCounter,
     kNanoseconds,
     {},
     OfDetails<&CgroupDetails::user_ns>},
    {"container_file_descriptors",
     "Open file descriptors",
     kGauge,
     kOne,
     {},
     OfProcesses<&ProcessFacts::open_files>},
    {"container_fs_inodes_free", "Free inodes of the writable layer's file system", kGauge, kOne,
     kDevice, OfFileSystem<&FileSystemFacts::inodes_free>},
    {"container_fs_inodes_total", "Inodes of the writable layer's file system", kGauge, kOne,
     kDevice, OfFileSystem<&FileSystemFacts::inodes>},
    {"container_fs_limit_bytes", "Size of the writable layer's file system", kGauge, kOne, kDevice,
     OfFileSystem<&FileSystemFacts::bytes>},
    {"container_fs_reads_bytes_total", "Bytes read", kCounter, kOne, kDevice,
     OfDevices<&BlockIo::read_bytes>},
    {"container_fs_reads_total", "Reads", kCounter, kOne, kDevice, OfDevices<&BlockIo::reads>},
    {"container_fs_usage_bytes", "Bytes of the writable layer", kGauge, kOne, kDevice,
     [](const Facts& facts, AddValue add) {
       if (facts.layer && facts.file_system != nullptr)
         add({facts.file_system->device}, static_cast<uint64_t>(facts.layer->bytes));
     },
     nullptr, true},
    {"container_fs_writes_bytes_total", "Bytes written", kCounter, kOne, kDevice,
     OfDevices<&BlockIo::write_bytes>},
    {"container_fs_writes_total", "Writes", kCounter, kOne, kDevice, OfDevices<&BlockIo::writes>},
    {"container_hugetlb_max_usage_bytes", "Most huge pages ever used", kGauge, kOne, kPageSize,
     HugePagesPeak},
    {"container_hugetlb_usage_bytes", "Huge pages used", kGauge, kOne, kPageSize, HugePages},
    {"container_last_seen",
     "When the container was last seen",
     kGauge,
     kNanoseconds,
     {},
     [](const Facts& facts, AddValue add) { add({}, static_cast<uint64_t>(facts.sample->at)); }},
    {"container_memory_cache",
     "Page cache",
     kGauge,
     kOne,
     {},
     OfUsage<&CgroupUsage::memory_cache>,
     nullptr,
     true},
    {"container_memory_failcnt",
     "Times that memory came to its limit",
     kCounter,
     kOne,
     {},
     OfDetailsOrZero<&CgroupDetails::memory_limit_hits>},
    {"container_memory_failures_total", "Page faults", kCounter, kOne, kFailure, Faults},
    {"container_memory_kernel_usage",
     "Kernel memory",
     kGauge,
     kOne,
     {},
     OfDetails<&CgroupDetails::memory_kernel>},
    {"container_memory_mapped_file",
     "Mapped files",
     kGauge,
     kOne,
     {},
     OfUsage<&CgroupUsage::memory_mapped_file>},
    {"container_memory_max_usage_bytes",
     "Most memory ever used",
     kGauge,
     kOne,
     {},
     OfDetails<&CgroupDetails::memory_peak>},
    {"container_memory_rss",
     "Anonymous memory",
     kGauge,
     kOne,
     {},
     OfUsage<&CgroupUsage::memory_rss>,
     nullptr,
     true},
    {"container_memory_swap",
     "Swap used",
     kGauge,
     kOne,
     {},
     [](const Facts& facts, AddValue add) { add({}, facts.sample->usage.swap_bytes.value_or(0)); },
     nullptr,
     true},
    {"container_memory_usage_bytes",
     "Memory used, page cache included",
     kGauge,
     kOne,
     {},
     OfUsage<&CgroupUsage::memory_bytes>,
     nullptr,
     true},
    {"container_memory_working_set_bytes",
     "Memory used without inactive page cache",
     kGauge,
     kOne,
     {},
     [](const Facts& facts, AddValue add) {
       if (const std::optional<uint64_t> bytes = facts.sample->usage.WorkingSet()) add({}, *bytes);
     },
     nullptr,
     true},
    {"container_network_receive_bytes_total", "Bytes received", kCounter, kOne, kInterface, nullptr,
     OfInterfaces<&InterfaceCounters::rx_bytes>, true},
    {"container_network_receive_errors_total", "Receive errors", kCounter, kOne, kInterface,
     nullptr, OfInterfaces<&InterfaceCounters::rx_errors>, true},
    {"container_network_receive_packets_dropped_total", "Received packets dropped", kCounter, kOne,
     kInterface, nullptr, OfInterfaces<&InterfaceCounters::rx_dropped>, true},
    {"container_network_receive_packets_total", "Packets received", kCounter, kOne, kInterface,
     nullptr, OfInterfaces<&InterfaceCounters::rx_packets>, true},
    {"container_network_transmit_bytes_total", "Bytes sent", kCounter, kOne, kInterface, nullptr,
     OfInterfaces<&InterfaceCounters::tx_bytes>, true},
    {"container_network_transmit_errors_total", "Send errors", kCounter, kOne, kInterface, nullptr,
     OfInterfaces<&InterfaceCounters::tx_errors>, true},
    {"container_network_transmit_packets_dropped_total", "Packets dropped instead of sent",
     kCounter, kOne, kInterface, nullptr, OfInterfaces<&InterfaceCounters::tx_dropped>, true},
    {"container_network_transmit_packets_total", "Packets sent", kCounter, kOne, kInterface,
     nullptr, OfInterfaces<&InterfaceCounters::tx_packets>, true},
    {"container_oom_events_total",
     "Processes killed for want of memory",
     kCounter,
     kOne,
     {},
     OfDetailsOrZero<&CgroupDetails::oom_kills>},
    {"container_pressure_cpu_stalled_seconds_total",
     "Time in which all tasks waited for a CPU",
     kCounter,
     kNanoseconds,
     {},
     OfPressure<&CgroupUsage::cpu_pressure, true>,
     nullptr,
     true},
    {"container_pressure_cpu_waiting_seconds_total",
     "Time in which a task waited for a CPU",
     kCounter,
     kNanoseconds,
     {},
     OfPressure<&CgroupUsage::cpu_pressure, false>,
     nullptr,
     true},
    {"container_pressure_io_stalled_seconds_total",
     "Time in which all tasks waited for disks",
     kCounter,
     kNanoseconds,
     {},
     OfPressure<&CgroupUsage::io_pressure, true>,
     nullptr,
     true},
    {"container_pressure_io_waiting_seconds_total",
     "Time in which a task waited for disks",
     kCounter,
     kNanoseconds,
     {},
     OfPressure<&CgroupUsage::io_pressure, false>,
     nullptr,
     true},
    {"container_pressure_memory_stalled_seconds_total",
     "Time in which all tasks waited for memory",
     kCounter,
     kNanoseconds,
     {},
     OfPressure<&CgroupUsage::memory_pressure, true>,
     nullptr,
     true},
    {"container_pressure_memory_waiting_seconds_total",
     "Time in which a task waited for memory",
     kCounter,
     kNanoseconds,
     {},
     OfPressure<&CgroupUsage::memory_pressure, false>,
     nullptr,
     true},
    {"container_processes", "Processes", kGauge, kOne, {}, OfProcesses<&ProcessFacts::processes>},
    {"container_sockets", "Open sockets", kGauge, kOne, {}, OfProcesses<&ProcessFacts::sockets>},
    {"container_spec_cpu_period",
     "Period of the CPU quota, in microseconds",
     kGauge,
     kOne,
     {},
     OfLimits<&CgroupLimits::cpu_period_us>},
    {"container_spec_cpu_quota",
     "CPU quota, in microseconds; 0 for none",
     kGauge,
     kOne,
     {},
     OfLimits<&CgroupLimits::cpu_quota_us>},
    {"container_spec_cpu_shares",
     "CPU shares",
     kGauge,
     kOne,
     {},
     OfLimits<&CgroupLimits::cpu_shares>},
    {"container_spec_memory_limit_bytes",
     "Memory limit; 0 for none",
     kGauge,
     kOne,
     {},
     OfLimits<&CgroupLimits::memory_bytes>,
     nullptr,
     true},
    // The CRI has no word for a reservation.
    {"container_spec_memory_reservation_limit_bytes",
     "Memory reservation; 0 for none",
     kGauge,
     kOne,
     {},
     [](const Facts&, AddValue add) { add({}, 0); }},
    {"container_spec_memory_swap_limit_bytes",
     "Limit of memory and swap together; 0 for none",
     kGauge,
     kOne,
     {},
     OfLimits<&CgroupLimits::memory_swap_bytes>},
    {"container_start_time_seconds",
     "When the container was started",
     kGauge,
     kNanoseconds,
     {},
     [](const Facts& facts, AddValue add) {
       add({}, static_cast<uint64_t>(facts.sample->container->status.started_at));
     },
     nullptr,
     true},
    {"container_threads", "Threads", kGauge, kOne, {}, OfUsage<&CgroupUsage::pids>, nullptr, true},
    {"container_threads_max",
     "Limit of threads; 0 for none",
     kGauge,
     kOne,
     {},
     OfDetailsOrZero<&CgroupDetails::pids_limit>},
    {"container_ulimits_soft", "Soft resource limits of the first process", kGauge, kOne, kUlimit,
     [](const Facts& facts, AddValue add) {
       if (facts.details != nullptr && facts.details->processes.open_files_limit)
         add({"max_open_files"}, *facts.details->processes.open_files_limit);
     }},
};

}  // namespace

absl::Span<const MetricFamily> ContainerMetricFamilies() { return kFamilies; }

}  // namespace berth
