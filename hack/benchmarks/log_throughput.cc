// What a container's log costs: CPU time and memory of whoever reads the output and writes the file
// (daemon, monitors and shims; conmon), while a container writes as fast as it can.
#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "hack/benchmarks/conmon.h"
#include "hack/benchmarks/process_table.h"
#include "hack/benchmarks/scenario.h"
#include "src/base/status_macros.h"

namespace berth::bench {
namespace {

constexpr int kLineBytes = 100, kMegabytes = 512;
constexpr int64_t kBytes = int64_t{kMegabytes} * 1000000, kLines = kBytes / kLineBytes;
// Of the CRI's log format; containerd leaves zeros at the end of a second's fraction out.
constexpr int kShortestHead = 30;
constexpr absl::Duration kSilence = absl::Milliseconds(500);
constexpr absl::Duration kPatience = absl::Minutes(5), kPoll = absl::Milliseconds(50);
// Whose time is the writer's own.
constexpr const char* kWriter[] = {"sh", "yes", "head", "sleep", "busybox"};

bool Writes(pid_t pid) {
  const std::string command = CommandOf(pid);
  return std::any_of(std::begin(kWriter), std::end(kWriter),
                     [&](const char* name) { return command == name; });
}

struct Use {
  absl::Duration cpu;
  int64_t pss_kib = 0;
};

Use UseOf(const std::set<pid_t>& pids) {
  Use use;
  for (const pid_t pid : pids) {
    if (Writes(pid)) continue;
    use.cpu += CpuTimeOf(pid);
    use.pss_kib += PssKib(pid);
  }
  return use;
}

// Of the daemon and of what it keeps beside the pod's processes.
std::set<pid_t> RuntimeOf(const CgroupTree& cgroup, const Peer& peer) {
  std::set<pid_t> pids = WithMonitors(ProcessesIn(cgroup.pods()), peer.daemon());
  pids.insert(peer.daemon());
  return pids;
}

// The size of the one log whose name begins with `name`.
int64_t LogBytes(const std::string& directory, const std::string& name) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (absl::StartsWith(entry.path().filename().string(), name))
      return static_cast<int64_t>(entry.file_size(error));
  }
  return 0;
}

void RemoveLogs(const std::string& directory, const std::string& name) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (absl::StartsWith(entry.path().filename().string(), name))
      std::filesystem::remove_all(entry.path(), error);
  }
}

std::string Script(const std::string& prefix) {
  return absl::StrCat(prefix, "yes ", std::string(kLineBytes - 1, 'x'), " | ", prefix, "head -n ",
                      kLines, "; exec ", prefix, "sleep 36000");
}

// Waits for all of the log; `now` tells what was used until then.
template <typename Now>
absl::Status Measure(Bench& bench, const std::string& column, const std::string& name, Use before,
                     absl::Time begin, Now now) {
  int64_t most_kib = before.pss_kib, bytes = 0;
  absl::Time grew = begin;
  while (bytes < kBytes + kLines * kShortestHead || absl::Now() - grew < kSilence) {
    if (absl::Now() - begin > kPatience)
      return absl::DeadlineExceededError("the log does not become complete");
    absl::SleepFor(kPoll);
    const int64_t size = LogBytes(bench.options.log_directory, name);
    if (size != bytes) grew = absl::Now();
    bytes = size;
    most_kib = std::max(most_kib, now().pss_kib);
  }
  const absl::Duration took = grew - begin;
  const Use after = now();
  bench.report.Add({.name = "log: MB a second of one core", .unit = "MB/s", .pace = ""}, column,
                   kMegabytes / absl::ToDoubleSeconds(after.cpu - before.cpu));
  bench.report.Add({.name = "log: MB a second", .unit = "MB/s", .pace = ""}, column,
                   kMegabytes / absl::ToDoubleSeconds(took));
  bench.report.Add({.name = "log: memory that the flood took", .unit = "KiB", .pace = ""}, column,
                   static_cast<double>(most_kib - before.pss_kib));
  return absl::OkStatus();
}

absl::Status MeasurePeer(Bench& bench, const Peer& peer, const CgroupTree& cgroup) {
  const std::string name = absl::StrCat("log", absl::ToUnixMicros(absl::Now()));
  ASSIGN_OR_RETURN(ScopedPod pod, ScopedPod::Run(peer, bench.PodFor(peer, Network::kHost)));
  // So that the processes of a running container are there before and after.
  RETURN_IF_ERROR(
      pod.CreateAndStart("idle", bench.options.shell_image, {"/bin/sleep", "36000"}).status());
  const Use before = UseOf(RuntimeOf(cgroup, peer));
  const absl::Time begin = absl::Now();
  RETURN_IF_ERROR(
      pod.CreateAndStart(name, bench.options.shell_image, {"/bin/sh", "-c", Script("")}).status());
  const absl::Status measured = Measure(bench, peer.name(), name, before, begin,
                                        [&] { return UseOf(RuntimeOf(cgroup, peer)); });
  RemoveLogs(bench.options.log_directory, name);
  RETURN_IF_ERROR(measured);
  return pod.Remove();
}

absl::Status MeasureConmon(Bench& bench) {
  const std::string name = absl::StrCat("conmon", absl::ToUnixMicros(absl::Now()));
  const std::string directory = absl::StrCat(bench.options.log_directory, "/", name, ".dir");
  absl::StatusOr<ConmonContainer> container =
      ConmonContainer::Create({.directory = directory,
                               .root = bench.options.conmon_root,
                               .log = absl::StrCat(bench.options.log_directory, "/", name, ".log"),
                               .args = {"/bin/busybox", "sh", "-c", Script("busybox ")}});
  absl::Status measured = container.status();
  if (container.ok()) {
    const std::set<pid_t> conmon = {container->conmon()};
    const Use before = UseOf(conmon);
    const absl::Time begin = absl::Now();
    measured = container->Start();
    if (measured.ok())
      measured = Measure(bench, kConmon, absl::StrCat(name, ".log"), before, begin,
                         [&] { return UseOf(conmon); });
    measured.Update(container->Remove());
  }
  RemoveLogs(bench.options.log_directory, name);
  return measured;
}

}  // namespace

absl::Status MeasureLogThroughput(Bench& bench) {
  for (int round = 0; round < std::max(1, bench.options.rounds / 5); ++round) {
    for (const Peer* peer : bench.Order(round)) {
      const auto cgroup = bench.cgroups.find(peer->name());
      if (cgroup == bench.cgroups.end()) continue;
      RETURN_IF_ERROR(MeasurePeer(bench, *peer, cgroup->second));
    }
    if (!bench.options.conmon_root.empty()) RETURN_IF_ERROR(MeasureConmon(bench));
  }
  return absl::OkStatus();
}

}  // namespace berth::bench
