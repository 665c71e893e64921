#include "src/sandbox/stats_sampler.h"

#include <fcntl.h>
#include <unistd.h>

#include <type_traits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr int kPointsPerWindow = 4;
constexpr size_t kEventQueue = 4096;
// Bounds of looking at one container's processes.
constexpr size_t kMaxProcesses = 64;
constexpr size_t kMaxDescriptors = 1024;

int64_t ResidentBytes(int pid) {
  const absl::StatusOr<std::string> text =
      ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", pid, "/statm"));
  if (!text.ok()) return 0;
  const std::vector<absl::string_view> fields = absl::StrSplit(*text, ' ');
  int64_t pages = 0;
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &pages)) return 0;
  return pages * ::sysconf(_SC_PAGESIZE);
}

}  // namespace

std::optional<uint64_t> RateWindow::Add(int64_t at_ns, uint64_t total, absl::Duration window) {
  const int64_t window_ns = absl::ToInt64Nanoseconds(window);
  if (!points_.empty() && total < points_.back().total) points_.clear();
  // The oldest one stays until the next is as old as the window.
  while (points_.size() >= 2 && at_ns - points_[1].at_ns >= window_ns) points_.pop_front();
  std::optional<uint64_t> rate;
  if (!points_.empty() && at_ns > points_.front().at_ns) {
    rate = static_cast<uint64_t>(static_cast<double>(total - points_.front().total) * 1e9 /
                                 static_cast<double>(at_ns - points_.front().at_ns));
  }
  if (points_.empty() || at_ns - points_.back().at_ns >= window_ns / kPointsPerWindow)
    points_.push_back({at_ns, total});
  return rate;
}

StatsSampler::StatsSampler(Sources sources, Options options)
    : sources_(std::move(sources)),
      options_(options),
      traffic_(sources_.interfaces),
      last_containers_(std::make_shared<const ContainerSamples>()),
      last_pods_(std::make_shared<const PodSamples>()),
      ended_(sources_.events->Subscribe(kEventQueue, {EventType::kStopped})) {
  thread_ = std::thread([this] { Run(); });
}

StatsSampler::~StatsSampler() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  ended_->Wake();
  thread_.join();
}

template <typename Sample>
bool StatsSampler::Fresh(const Tracked<Sample>& tracked, absl::Time now) const {
  return tracked.last != nullptr && now - tracked.last->made_at < options_.min_age;
}

template <typename Sample>
void StatsSampler::ReadUsage(const std::string& cgroup, Tracked<Sample>& tracked, Sample* sample) {
  if (!tracked.reader) {
    CgroupReader reader = sources_.cgroups->Reader(cgroup, CgroupReader::Keep::kOpen);
    if (descriptors_ + reader.descriptors() > options_.max_descriptors)
      reader = sources_.cgroups->Reader(cgroup, CgroupReader::Keep::kNothing);
    descriptors_ += reader.descriptors();
    tracked.reader = std::move(reader);
  }
  absl::StatusOr<CgroupUsage> usage = tracked.reader->Read();
  if (!usage.ok()) return;  // it has just ended
  sample->at = absl::GetCurrentTimeNanos();
  sample->usage = *std::move(usage);
  if (sample->usage.cpu_ns)
    sample->nano_cores =
        tracked.rate.Add(absl::ToUnixNanos(SteadyNow()), *sample->usage.cpu_ns, options_.window);
}

template <typename Sample>
void StatsSampler::Release(TrackedMap<Sample>& map, const std::string& id) {
  const auto found = map.find(id);
  if (found == map.end()) return;
  if constexpr (std::is_same_v<Sample, PodSample>) traffic_.Forget(id);
  if (found->second.reader) descriptors_ -= found->second.reader->descriptors();
  map.erase(found);
}

void StatsSampler::RenewContainers(const NodeSnapshot& snapshot) {
  const absl::Time now = SteadyNow();
  auto samples = std::make_shared<ContainerSamples>();
  samples->reserve(snapshot.containers.size());
  for (const auto& [id, container] : snapshot.containers) {
    if (container->status.state == ContainerState::kExited) {
      Release(containers_, id);
      continue;
    }
    Tracked<ContainerSample>& tracked = containers_[id];
    const bool running = container->status.state == ContainerState::kRunning;
    // One that was seen before it ran has not been read.
    const bool fresh = Fresh(tracked, now) && (!running || tracked.last->at != 0);
    const bool updated = tracked.last != nullptr && tracked.last->container != container;
    if (updated && tracked.reader) tracked.reader->Wake();
    if (!fresh || updated) {
      auto sample = std::make_shared<ContainerSample>();
      if (fresh) *sample = *tracked.last;
      sample->container = container;
      if (!fresh) sample->made_at = now;
      if (!fresh && running) ReadUsage(container->cgroup, tracked, sample.get());
      tracked.last = std::move(sample);
    }
    samples->push_back(tracked.last);
  }
  if (containers_.size() > samples->size()) {
    for (auto each = containers_.begin(); each != containers_.end();) {
      const auto current = each++;
      if (snapshot.containers.contains(current->first)) continue;
      const std::string gone = current->first;
      Release(containers_, gone);
    }
  }
  if (*samples != *last_containers_) last_containers_ = std::move(samples);
}

std::shared_ptr<const ContainerSamples> StatsSampler::Containers() {
  absl::MutexLock lock(&mu_);
  // Taken here, so that none is older than what Follow has let go of.
  RenewContainers(*sources_.snapshot());
  return last_containers_;
}

std::shared_ptr<const PodSamples> StatsSampler::Pods() {
  absl::MutexLock lock(&mu_);
  // Taken here, so that none is older than what Follow has let go of.
  const std::shared_ptr<const NodeSnapshot> snapshot = sources_.snapshot();
  RenewContainers(*snapshot);
  absl::flat_hash_map<absl::string_view, ContainerSamples> running;
  for (const auto& sample : *last_containers_) {
    if (sample->at != 0) running[sample->container->pod_id].push_back(sample);
  }
  const absl::Time now = SteadyNow();
  auto samples = std::make_shared<PodSamples>();
  samples->reserve(snapshot->pods.size());
  bool looked = false;
  for (const auto& [id, pod] : snapshot->pods) {
    if (pod->status.state != PodState::kReady) {
      Release(pods_, id);
      continue;
    }
    Tracked<PodSample>& tracked = pods_[id];
    const bool fresh = Fresh(tracked, now);
    const bool updated = tracked.last != nullptr && tracked.last->pod != pod;
    if (updated && tracked.reader) tracked.reader->Wake();
    ContainerSamples& containers = running[id];
    if (!fresh || updated || tracked.last->containers != containers) {
      auto sample = std::make_shared<PodSample>();
      if (fresh) *sample = *tracked.last;
      sample->pod = pod;
      sample->containers = std::move(containers);
      if (!fresh) {
        sample->made_at = now;
        ReadUsage(pod->status.cgroup, tracked, sample.get());
        if (!std::exchange(looked, true)) traffic_.Look();
        absl::StatusOr<std::vector<InterfaceCounters>> interfaces = traffic_.Read(id);
        if (interfaces.ok()) sample->interfaces = *std::move(interfaces);
      }
      tracked.last = std::move(sample);
    }
    samples->push_back(tracked.last);
  }
  if (pods_.size() > samples->size()) {
    for (auto each = pods_.begin(); each != pods_.end();) {
      const auto current = each++;
      if (snapshot->pods.contains(current->first)) continue;
      const std::string gone = current->first;
      Release(pods_, gone);
    }
  }
  if (*samples != *last_pods_) last_pods_ = std::move(samples);
  return last_pods_;
}

std::shared_ptr<const DetailsById> StatsSampler::Details() {
  absl::MutexLock lock(&details_mu_);
  const bool fresh = details_ != nullptr && SteadyNow() - details_at_ < options_.details_min_age;
  // What has started since is read at once.
  std::vector<ContainerPtr> unread;
  const std::shared_ptr<const NodeSnapshot> snapshot = sources_.snapshot();
  for (const auto& [id, container] : snapshot->containers) {
    if (container->status.state == ContainerState::kRunning && !(fresh && details_->contains(id)))
      unread.push_back(container);
  }
  if (fresh && unread.empty()) return details_;
  auto details = fresh ? std::make_shared<DetailsById>(*details_) : std::make_shared<DetailsById>();
  for (const ContainerPtr& container : unread) {
    const CgroupReader reader =
        sources_.cgroups->Reader(container->cgroup, CgroupReader::Keep::kNothing);
    absl::StatusOr<CgroupDetails> cgroup = reader.ReadDetails();
    if (!cgroup.ok()) continue;
    (*details)[container->id] = {
        .cgroup = *std::move(cgroup),
        .processes = ReadProcessFacts(reader.Processes(kMaxProcesses), kMaxDescriptors)};
  }
  if (!fresh) details_at_ = SteadyNow();
  details_ = std::move(details);
  return details_;
}

StatsSampler::Monitors StatsSampler::LastMonitors() const {
  absl::MutexLock lock(&mu_);
  return monitors_;
}

StatsSampler::Monitors StatsSampler::ReadMonitors() const {
  Monitors monitors;
  const std::shared_ptr<const NodeSnapshot> snapshot = sources_.snapshot();
  for (const auto& [id, pod] : snapshot->pods) {
    if (pod->status.state != PodState::kReady || pod->status.monitor_pid <= 0) continue;
    ++monitors.count;
    monitors.resident_bytes += ResidentBytes(pod->status.monitor_pid);
  }
  return monitors;
}

// Lets go of what ends, until the next pass is due.
void StatsSampler::Follow(absl::Time until) {
  while (SteadyNow() < until) {
    const EventPtr event = ended_->Next(until);
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
    if (event == nullptr) continue;
    if (event->of_pod) {
      Release(pods_, event->id);
    } else {
      Release(containers_, event->id);
    }
  }
}

void StatsSampler::Run() {
  while (true) {
    Containers();
    Pods();
    const Monitors monitors = ReadMonitors();
    {
      absl::MutexLock lock(&mu_);
      monitors_ = monitors;
    }
    Follow(SteadyNow() + options_.interval);
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
  }
}

}  // namespace berth
