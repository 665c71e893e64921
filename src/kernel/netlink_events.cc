#include "src/kernel/netlink_events.h"

#include <libmnl/libmnl.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {

absl::StatusOr<NetlinkEvents> NetlinkEvents::Open(int protocol, int group) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  const std::string object = absl::StrCat("netlink group ", group, " of protocol ", protocol);
  if (!fd.valid()) return ErrnoStatus("open", object);
  // The kernel tells nothing to a socket without a port.
  const sockaddr_nl own = {.nl_family = AF_NETLINK};
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), sizeof(own)) != 0)
    return ErrnoStatus("bind", object);
  if (::setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0)
    return ErrnoStatus("join", object);
  return NetlinkEvents(std::move(fd));
}

bool NetlinkEvents::Drain(absl::FunctionRef<void(const nlmsghdr&)> visit) {
  bool complete = true;
  while (true) {
    const ssize_t n = ::recv(fd_.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ENOBUFS) {
      complete = false;
      continue;
    }
    if (n <= 0) return complete;
    int left = static_cast<int>(n);
    for (auto* header = reinterpret_cast<const nlmsghdr*>(buffer_.data());
         mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left)) {
      visit(*header);
    }
  }
}

}  // namespace berth
