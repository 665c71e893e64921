#include "src/sandbox/network/cni_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/sandbox/network/cni_chain.h"

namespace berth {
namespace {

constexpr absl::Duration kDebounce = absl::Milliseconds(250);
constexpr absl::Duration kLongestWait = absl::Hours(1);
constexpr absl::Duration kPauseNotReady = absl::Milliseconds(500), kPause = absl::Seconds(5);
constexpr absl::Duration kPatienceForStatus = absl::Seconds(5);
constexpr int kGrace = 3;  // failures in a row before the network is called not ready

}  // namespace

absl::StatusOr<std::unique_ptr<CniWatch>> CniWatch::Start(Options options, CniPlugins& plugins,
                                                          Tend tend) {
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus("eventfd", "CNI network");
  std::unique_ptr<CniWatch> watch(
      new CniWatch(std::move(options), plugins, std::move(tend), std::move(wake)));
  watch->Reload();
  watch->files_thread_ = std::thread([watch = watch.get()] { watch->FollowFiles(); });
  watch->network_thread_ = std::thread([watch = watch.get()] { watch->FollowNetwork(); });
  return watch;
}

CniWatch::CniWatch(Options options, CniPlugins& plugins, Tend tend, UniqueFd wake)
    : options_(std::move(options)),
      plugins_(plugins),
      tend_(std::move(tend)),
      wake_(std::move(wake)) {}

CniWatch::~CniWatch() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  for (std::thread* thread : {&files_thread_, &network_thread_}) {
    if (thread->joinable()) thread->join();
  }
}

void CniWatch::FollowFiles() {
  std::optional<DirectoryWatch> watch = WatchAgain();
  Reload();  // what changed before the watch
  while (true) {
    AwaitChange(watch);
    if (stopping()) return;
    watch = WatchAgain();
    Reload();
  }
}

void CniWatch::FollowNetwork() {
  while (!stopping()) {
    const std::shared_ptr<const CniNetworkList> network = Network();
    const auto outdated = [&] { return Network() != network; };
    const absl::Time start = network == nullptr ? absl::InfiniteFuture() : absl::InfinitePast();
    absl::Time next_status = start, next_tending = start;
    while (!stopping() && !outdated()) {
      if (SteadyNow() >= next_status) next_status = AskStatus(network, outdated);
      if (SteadyNow() >= next_tending) next_tending = tend_(*network, outdated);
      absl::MutexLock lock(&mu_);
      const auto changed = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
        return stopping_ || configs_.network != network;
      };
      AwaitUntil(mu_, absl::Condition(&changed), std::min(next_status, next_tending));
    }
  }
}

std::optional<DirectoryWatch> CniWatch::WatchAgain() {
  std::vector<std::string> directories = options_.bin_dirs;
  if (!options_.conf_dir.empty()) directories.push_back(options_.conf_dir);
  if (const auto network = Network(); network != nullptr)
    directories.push_back(absl::StrCat(options_.conf_dir, "/", network->name));
  absl::StatusOr<DirectoryWatch> watch = DirectoryWatch::Start(directories);
  const std::string unwatched(watch.status().message());
  if (!watch.ok() && unwatched != unwatched_ && options_.log != nullptr)
    options_.log->Warning("CNI directories are looked at every five seconds",
                          {{"error", unwatched}});
  unwatched_ = unwatched;
  if (!watch.ok()) return std::nullopt;
  return *std::move(watch);
}

void CniWatch::AwaitChange(const std::optional<DirectoryWatch>& watch) const {
  const absl::Duration patience = watch.has_value() ? kLongestWait : kPause;
  pollfd fds[] = {{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                  {.fd = watch.has_value() ? watch->fd() : -1, .events = POLLIN, .revents = 0}};
  const int ready = ::poll(fds, 2, static_cast<int>(absl::ToInt64Milliseconds(patience)));
  if (ready <= 0 || fds[0].revents != 0) return;
  ::poll(fds, 1, static_cast<int>(absl::ToInt64Milliseconds(kDebounce)));
}

void CniWatch::Reload() {
  if (options_.conf_dir.empty()) return;
  MakeDirs(options_.conf_dir, 0700).IgnoreError();  // if not, there is no file
  CniConfigs configs =
      LoadCniConfigs(options_.conf_dir, options_.default_network,
                     [this](const std::string& type) { return plugins_.Find(type); });
  absl::MutexLock lock(&mu_);
  // A file that is being written is not good for a moment: what was there before holds until it is.
  if (configs.network == nullptr && configs.unreadable && configs_.network != nullptr) {
    configs.network = configs_.network;
    configs.file = configs_.file;
  }
  const bool same = configs.network != nullptr && configs_.network != nullptr &&
                    CniConfigJson(*configs.network) == CniConfigJson(*configs_.network);
  if (same) configs.network = configs_.network;
  const bool told = configs.problems == configs_.problems;
  configs_ = std::move(configs);
  if (!same) {
    status_known_ = false;
    status_failures_ = 0;
    status_error_.clear();
  }
  Tell(!same, !told);
}

void CniWatch::Tell(bool changed, bool problems_changed) const {
  if (options_.log == nullptr) return;
  if (changed && configs_.network != nullptr) {
    options_.log->Info("CNI network", {{"name", configs_.network->name},
                                       {"file", configs_.file},
                                       {"version", configs_.network->version}});
  }
  if (!problems_changed) return;
  for (const std::string& problem : configs_.problems)
    options_.log->Warning("CNI configuration passed over", {{"file", problem}});
}

absl::Time CniWatch::AskStatus(const std::shared_ptr<const CniNetworkList>& network,
                               const std::function<bool()>& outdated) {
  if (!network->VersionAtLeast(kCniHasStatus)) {
    absl::MutexLock lock(&mu_);
    if (configs_.network == network) status_known_ = true;
    return absl::InfiniteFuture();
  }
  const absl::Status status = CniStatus(plugins_, *network, outdated);
  absl::MutexLock lock(&mu_);
  if (stopping_ || configs_.network != network) return absl::InfinitePast();
  status_failures_ = status.ok() ? 0 : status_failures_ + 1;
  if (status.ok()) status_error_.clear();
  if (!status.ok() && (!status_known_ || status_failures_ >= kGrace))
    status_error_ = std::string(status.message());
  status_known_ = true;
  return SteadyNow() + (status.ok() ? kPause : kPauseNotReady);
}

std::shared_ptr<const CniNetworkList> CniWatch::Network() const {
  absl::MutexLock lock(&mu_);
  return configs_.network;
}

absl::StatusOr<std::shared_ptr<const CniNetworkList>> CniWatch::Usable() const {
  {
    absl::MutexLock lock(&mu_);
    const auto known = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return stopping_ || configs_.network == nullptr || status_known_;
    };
    AwaitFor(mu_, absl::Condition(&known), kPatienceForStatus);
  }
  const NetworkReadiness readiness = Readiness();
  std::shared_ptr<const CniNetworkList> network = Network();
  if (readiness.ready && network != nullptr) return network;
  return absl::UnavailableError(absl::StrCat("network is not ready: ", readiness.message));
}

NetworkReadiness CniWatch::Readiness() const {
  absl::MutexLock lock(&mu_);
  if (configs_.network == nullptr) {
    const std::string why =
        configs_.problems.empty() ? "there is no file" : configs_.problems.front();
    return {.ready = false,
            .message = absl::StrCat("no CNI configuration in ", options_.conf_dir, ": ", why)};
  }
  if (!status_known_) {
    return {.ready = false,
            .message = absl::StrCat("CNI network ", configs_.network->name,
                                    ": its plugins have not told their status yet")};
  }
  return {.ready = status_error_.empty(), .message = status_error_};
}

bool CniWatch::HasConfig() const {
  absl::MutexLock lock(&mu_);
  return configs_.any_file;
}

void CniWatch::Describe(nlohmann::json* described) const {
  const NetworkReadiness readiness = Readiness();
  absl::MutexLock lock(&mu_);
  described->update({{"confDir", options_.conf_dir},
                     {"binDirs", options_.bin_dirs},
                     {"ready", readiness.ready},
                     {"message", readiness.message},
                     {"problems", configs_.problems}});
  if (configs_.network == nullptr) return;
  (*described)["file"] = configs_.file;
  (*described)["network"] = CniConfigJson(*configs_.network);
}

}  // namespace berth
