#include "src/kernel/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr size_t kMaxFds = 253;  // SCM_MAX_FD
constexpr size_t kMaxPacketBytes = 64 << 10;
constexpr timeval kSendTimeout = {.tv_sec = 5, .tv_usec = 0};

struct Address {
  sockaddr_un address = {};
  UniqueFd directory;  // keeps a /proc/self/fd name valid
};

absl::StatusOr<Address> MakeAddress(const std::string& path) {
  Address out;
  out.address.sun_family = AF_UNIX;
  std::string name = path;
  if (name.size() >= sizeof(out.address.sun_path)) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos)
      return absl::InvalidArgumentError(absl::StrCat("socket ", path, ": name too long"));
    ASSIGN_OR_RETURN(out.directory, OpenDir(AT_FDCWD, path.substr(0, slash)));
    name = absl::StrCat("/proc/self/fd/", out.directory.get(), path.substr(slash));
  }
  if (name.size() >= sizeof(out.address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket ", path, ": name too long"));
  }
  std::memcpy(out.address.sun_path, name.c_str(), name.size() + 1);
  return out;
}

// True for a socket file that nobody listens on any more. Anything but a refusal (another type of
// socket, a full queue) means that somebody is there; a file that is no socket is not ours to
// replace.
bool IsStale(const std::string& path, int type, const sockaddr_un& address) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  const UniqueFd probe(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return false;
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) !=
             0 &&
         errno == ECONNREFUSED;
}

}  // namespace

absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path, int type) {
  ASSIGN_OR_RETURN(const Address to, MakeAddress(path));
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus("socket", path);
  // Also how long connect(2) waits where nobody accepts and the queue is full: unix(7).
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof(kSendTimeout));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.address), sizeof(to.address)) !=
      0) {
    if (errno == EAGAIN)
      return absl::DeadlineExceededError(absl::StrCat("connect ", path, ": nobody accepts"));
    return ErrnoStatus("connect", path);
  }
  return fd;
}

absl::StatusOr<SocketPair> ConnectedPair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return ErrnoStatus("socketpair", "for a helper");
  SocketPair pair = {.ours = UniqueFd(ends[0]), .theirs = UniqueFd(ends[1])};
  ::setsockopt(pair.ours.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof(kSendTimeout));
  return pair;
}

absl::StatusOr<UniqueFd> ListenUnix(const std::string& path, int type, mode_t mode) {
  ASSIGN_OR_RETURN(const Address at, MakeAddress(path));
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus("socket", path);
  const auto* address = reinterpret_cast<const sockaddr*>(&at.address);
  int bound = ::bind(fd.get(), address, sizeof(at.address));
  if (bound != 0 && errno == EADDRINUSE) {
    if (!IsStale(path, type, at.address)) {
      return absl::AlreadyExistsError(
          absl::StrCat("listen on ", path, ": another process serves it, or it is no socket"));
    }
    ::unlink(path.c_str());
    bound = ::bind(fd.get(), address, sizeof(at.address));
  }
  if (bound != 0) return ErrnoStatus("bind", path);
  if (::chmod(path.c_str(), mode) != 0) return ErrnoStatus("chmod", path);
  if (::listen(fd.get(), SOMAXCONN) != 0) return ErrnoStatus("listen", path);
  return fd;
}

absl::Status SendPacket(int socket, absl::string_view data, const std::vector<int>& fds) {
  iovec iov = {const_cast<char*>(data.data()), data.size()};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control;
  if (fds.size() > kMaxFds)
    return absl::InvalidArgumentError("send: more than 253 file descriptors");
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET)
      return absl::UnavailableError("send: the peer closed the connection");
    if (errno == EMSGSIZE)
      return absl::OutOfRangeError(absl::StrCat("send: ", data.size(), " bytes are too many"));
    return ErrnoStatus("send", "packet");
  }
  return absl::OkStatus();
}

absl::StatusOr<Packet> ReceivePacket(int socket, absl::Time deadline, size_t max_bytes) {
  while (true) {
    pollfd wait = {.fd = socket, .events = POLLIN, .revents = 0};
    int timeout = -1;
    if (deadline != absl::InfiniteFuture()) {
      const int64_t left =
          absl::ToInt64Milliseconds(deadline - SteadyNow() + absl::Microseconds(999));
      timeout = static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
    }
    const int ready = ::poll(&wait, 1, timeout);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return ErrnoStatus("poll", "socket");
    if (ready == 0) return absl::DeadlineExceededError("receive: deadline passed");
    break;
  }
  // Not filled with zeros, and most of it never touched.
  std::array<char, kMaxPacketBytes> buffer;
  Packet packet;
  iovec iov = {buffer.data(), std::min(max_bytes, buffer.size())};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control;
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n;
  do {
    n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  // Of a peer that had not read all when it closed. `control` has not been written, then: what is
  // in it are the descriptors of some earlier message, which are somebody's.
  if (n < 0 && errno == ECONNRESET)
    return absl::UnavailableError("receive: the peer closed the connection");
  if (n < 0) return ErrnoStatus("receive", "packet");
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      packet.fds.emplace_back(fd);
    }
  }
  if (n == 0) return absl::UnavailableError("receive: the peer closed the connection");
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
    return absl::DataLossError("receive: message longer than allowed");
  packet.data.assign(buffer.data(), static_cast<size_t>(n));
  return packet;
}

}  // namespace berth
