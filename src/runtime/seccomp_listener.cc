#include "src/runtime/seccomp_listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr char kOciVersion[] = "1.2.0";

std::string StateMessage(const SeccompProgram& program, const NotifiedProcess& process) {
  nlohmann::json message = {
      {"ociVersion", kOciVersion},
      {"fds", {"seccompFd"}},
      {"pid", process.pid},
      {"state",
       {{"ociVersion", kOciVersion},
        {"id", process.container_id},
        {"status", "creating"},
        {"pid", process.pid},
        {"bundle", process.bundle}}},
  };
  if (!program.listener_metadata.empty()) message["metadata"] = program.listener_metadata;
  return message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A blocking call that ran into SO_SNDTIMEO answers EAGAIN (connect(2), unix(7)).
absl::Status SocketFailed(absl::string_view call, const std::string& path) {
  if (errno == EAGAIN || errno == EINPROGRESS)
    return absl::DeadlineExceededError(
        absl::StrCat(call, " ", path, ": the agent does not take it"));
  return ErrnoStatus(call, path);
}

absl::StatusOr<UniqueFd> Connect(const std::string& path, absl::Duration timeout) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // Names longer than sun_path go through their directory.
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos)
    return absl::InvalidArgumentError(absl::StrCat("connect ", path, ": not an absolute path"));
  ASSIGN_OR_RETURN(
      const UniqueFd directory,
      OpenFile(AT_FDCWD, slash == 0 ? "/" : path.substr(0, slash), O_PATH | O_DIRECTORY));
  const std::string name = absl::StrCat("/proc/self/fd/", directory.get(), path.substr(slash));
  if (name.size() >= sizeof(address.sun_path))
    return absl::InvalidArgumentError(absl::StrCat("connect ", path, ": name too long"));
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus("socket", path);
  const timeval limit = absl::ToTimeval(timeout);
  if (setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0)
    return ErrnoStatus("setsockopt", path);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    return SocketFailed("connect", path);
  return fd;
}

// The descriptor goes with the first byte; the rest may take several calls.
absl::Status Send(int socket, std::string text, int listener, const std::string& path) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec data = {.iov_base = text.data(), .iov_len = text.size()};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &listener, sizeof(int));
  while (data.iov_len > 0) {
    const ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return SocketFailed("send to", path);
    data.iov_base = static_cast<char*>(data.iov_base) + sent;
    data.iov_len -= static_cast<size_t>(sent);
    message.msg_control = nullptr;
    message.msg_controllen = 0;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SendSeccompListener(const SeccompProgram& program, const NotifiedProcess& process,
                                 const UniqueFd& listener, absl::Duration timeout) {
  if (program.listener_path.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("seccomp listener of ", process.container_id,
                                                      ": the profile names no listenerPath"));
  }
  // A zero SO_SNDTIMEO would wait forever.
  timeout = std::max(timeout, absl::Milliseconds(1));
  ASSIGN_OR_RETURN(const UniqueFd socket, Connect(program.listener_path, timeout));
  return Send(socket.get(), StateMessage(program, process), listener.get(), program.listener_path);
}

}  // namespace berth
