// What the kernel tells of changes: a netlink socket that is a member of one multicast group.
// Not thread-safe.
#pragma once

#include <linux/netlink.h>

#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "src/base/unique_fd.h"

namespace berth {

class NetlinkEvents {
 public:
  // In the network namespace of the calling thread; it stays there.
  static absl::StatusOr<NetlinkEvents> Open(int protocol, int group);

  int fd() const { return fd_.get(); }  // readable when something has changed
  // Shows all that has come, without waiting. False: the kernel had no room and something was left
  // out.
  bool Drain(absl::FunctionRef<void(const nlmsghdr&)> visit);

 private:
  explicit NetlinkEvents(UniqueFd fd) : fd_(std::move(fd)), buffer_(kReceiveBytes) {}

  static constexpr size_t kReceiveBytes = 64 << 10;
  UniqueFd fd_;
  std::vector<char> buffer_;
};

}  // namespace berth
