#include "hack/benchmarks/scrape.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/socket.h"

namespace berth::bench {
namespace {

constexpr char kRequest[] =
    "GET /metrics HTTP/1.1\r\nHost: berth\r\nAccept: text/plain;version=0.0.4\r\n\r\n";

}  // namespace

absl::StatusOr<size_t> Scrape(const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd fd, ConnectUnix(path, SOCK_STREAM));
  if (::send(fd.get(), kRequest, sizeof(kRequest) - 1, MSG_NOSIGNAL) < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("send ", path));
  static thread_local char buffer[256 << 10];
  std::string head;
  size_t bytes = 0;
  for (ssize_t n; (n = ::recv(fd.get(), buffer, sizeof(buffer), 0)) > 0;) {
    if (head.size() < 16) head.append(buffer, std::min<size_t>(static_cast<size_t>(n), 16));
    bytes += static_cast<size_t>(n);
  }
  if (!absl::StartsWith(head, "HTTP/1.1 200"))
    return absl::InternalError(absl::StrCat("GET ", path, ": ", head));
  return bytes;
}

}  // namespace berth::bench
