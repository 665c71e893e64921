#include "src/sandbox/exit_watcher.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/kernel/socket.h"

namespace berth {
namespace {

constexpr uint64_t kStopKey = 0;

}  // namespace

absl::StatusOr<std::unique_ptr<ExitWatcher>> ExitWatcher::Start(Callbacks callbacks) {
  std::unique_ptr<ExitWatcher> watcher(new ExitWatcher(std::move(callbacks)));
  watcher->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!watcher->epoll_.valid()) return ErrnoStatus("epoll_create", "exit watcher");
  watcher->stop_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!watcher->stop_.valid()) return ErrnoStatus("eventfd", "exit watcher");
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = kStopKey}};
  if (::epoll_ctl(watcher->epoll_.get(), EPOLL_CTL_ADD, watcher->stop_.get(), &event) != 0) {
    return ErrnoStatus("epoll_ctl", "exit watcher");
  }
  watcher->thread_ = std::thread([raw = watcher.get()] { raw->Run(); });
  return watcher;
}

ExitWatcher::~ExitWatcher() {
  if (!thread_.joinable()) return;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

absl::Status ExitWatcher::Add(const std::string& pod_id, UniqueFd connection) {
  connection = SetAside(std::move(connection));
  absl::MutexLock lock(&mu_);
  if (const auto before = keys_.find(pod_id); before != keys_.end())
    Forget(connections_.find(before->second)).reset();
  const uint64_t key = next_key_++;
  epoll_event event = {.events = EPOLLIN, .data = {.u64 = key}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.get(), &event) != 0) {
    return ErrnoStatus("epoll_ctl", pod_id);
  }
  connections_[key] = {pod_id, std::move(connection)};
  keys_[pod_id] = key;
  return absl::OkStatus();
}

UniqueFd ExitWatcher::Remove(absl::string_view pod_id) {
  absl::MutexLock lock(&mu_);
  const auto key = keys_.find(pod_id);
  if (key == keys_.end()) return UniqueFd();
  return Forget(connections_.find(key->second));
}

UniqueFd ExitWatcher::Forget(Connections::iterator connection) {
  UniqueFd socket = std::move(connection->second.second);
  keys_.erase(connection->second.first);
  connections_.erase(connection);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket.get(), nullptr);
  return socket;
}

void ExitWatcher::Run() {
  while (true) {
    epoll_event event;
    if (::epoll_wait(epoll_.get(), &event, 1, -1) != 1) continue;
    if (event.data.u64 == kStopKey) return;
    std::string pod_id;
    absl::StatusOr<std::optional<WatchEvent>> told = absl::UnavailableError("");
    {
      absl::MutexLock lock(&mu_);
      const auto found = connections_.find(event.data.u64);
      if (found == connections_.end()) continue;
      pod_id = found->second.first;
      const absl::StatusOr<Packet> packet =
          ReceivePacket(found->second.second.get(), absl::InfinitePast());
      if (absl::IsDeadlineExceeded(packet.status())) continue;
      if (packet.ok()) told = ParseWatchEvent(packet->data);
      if (!told.ok()) Forget(found).reset();
    }
    if (!told.ok()) {
      callbacks_.watch_lost(pod_id);
    } else if (told->has_value()) {
      callbacks_.container_event(pod_id, **told);
    }
  }
}

}  // namespace berth
