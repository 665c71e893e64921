// What pods and containers use, read in one pass that all callers share: a sample younger than
// `min_age` is handed out again, an older one is renewed, each cgroup by itself. A background pass
// keeps CPU rates and scrapes fresh. Samples are immutable. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/cgroup_reader.h"
#include "src/kernel/process_facts.h"
#include "src/sandbox/event_hub.h"
#include "src/sandbox/network/pod_traffic.h"
#include "src/sandbox/node_state.h"

namespace berth {

struct UsageSample {
  absl::Time made_at;  // SteadyNow
  int64_t at = 0;      // ns since the epoch; 0: it does not run, nothing was read
  CgroupUsage usage;
  std::optional<uint64_t> nano_cores;  // over the window; unset until there are two samples
};
struct ContainerSample : UsageSample {
  ContainerPtr container;
};
// In the order of ids. Those that have exited, and pods that are not ready, are left out.
using ContainerSamples = std::vector<std::shared_ptr<const ContainerSample>>;
struct PodSample : UsageSample {
  PodPtr pod;
  std::optional<std::vector<InterfaceCounters>> interfaces;  // unset on the node's network
  ContainerSamples containers;                               // of those that run
};
using PodSamples = std::vector<std::shared_ptr<const PodSample>>;

// What only a few ask for, of a running container.
struct ContainerDetails {
  CgroupDetails cgroup;
  ProcessFacts processes;
};
using DetailsById = absl::flat_hash_map<std::string, ContainerDetails>;

// The rate of a counter over about `window`: between now and the oldest of a few samples that are
// kept for it.
class RateWindow {
 public:
  // Units of `total` a second; nullopt with the first sample, and after the counter fell. `at_ns`
  // is of a clock that nobody sets.
  std::optional<uint64_t> Add(int64_t at_ns, uint64_t total, absl::Duration window);

 private:
  struct Point {
    int64_t at_ns;
    uint64_t total;
  };
  std::deque<Point> points_;
};

class StatsSampler {
 public:
  struct Options {
    absl::Duration min_age = absl::Milliseconds(500);
    absl::Duration interval = absl::Seconds(10);  // of the background pass
    absl::Duration window = absl::Seconds(10);
    absl::Duration details_min_age = absl::Seconds(5);
    size_t max_descriptors = 4096;  // that are kept open; cgroups beyond that are opened each time
  };
  struct Sources {
    std::function<std::shared_ptr<const NodeSnapshot>()> snapshot;
    const Cgroups* cgroups = nullptr;
    PodTraffic::Reader interfaces;
    EventHub* events = nullptr;  // what ends is let go of at once
  };
  StatsSampler(Sources sources, Options options);
  ~StatsSampler();

  // The same pointer again while nothing in it has changed.
  std::shared_ptr<const ContainerSamples> Containers();
  std::shared_ptr<const PodSamples> Pods();
  // Of running containers; at most details_min_age old.
  std::shared_ptr<const DetailsById> Details();

  // Resident memory of the monitors of ready pods, as of the last background pass.
  struct Monitors {
    int64_t count = 0, resident_bytes = 0;
  };
  Monitors LastMonitors() const;

 private:
  // What is kept of a cgroup between samples.
  template <typename Sample>
  struct Tracked {
    std::optional<CgroupReader> reader;
    RateWindow rate;
    std::shared_ptr<const Sample> last;
  };
  template <typename Sample>
  using TrackedMap = absl::flat_hash_map<std::string, Tracked<Sample>>;

  void RenewContainers(const NodeSnapshot& snapshot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  template <typename Sample>
  bool Fresh(const Tracked<Sample>& tracked, absl::Time now) const;
  template <typename Sample>
  void ReadUsage(const std::string& cgroup, Tracked<Sample>& tracked, Sample* sample)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  template <typename Sample>
  void Release(TrackedMap<Sample>& map, const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Run();
  void Follow(absl::Time until);
  Monitors ReadMonitors() const;

  const Sources sources_;
  const Options options_;
  mutable absl::Mutex mu_;
  TrackedMap<ContainerSample> containers_ ABSL_GUARDED_BY(mu_);
  TrackedMap<PodSample> pods_ ABSL_GUARDED_BY(mu_);
  PodTraffic traffic_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const ContainerSamples> last_containers_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const PodSamples> last_pods_ ABSL_GUARDED_BY(mu_);
  size_t descriptors_ ABSL_GUARDED_BY(mu_) = 0;
  Monitors monitors_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  absl::Mutex details_mu_;
  std::shared_ptr<const DetailsById> details_ ABSL_GUARDED_BY(details_mu_);
  absl::Time details_at_ ABSL_GUARDED_BY(details_mu_) = absl::InfinitePast();

  std::unique_ptr<EventHub::Subscription> ended_;
  std::thread thread_;
};

}  // namespace berth
