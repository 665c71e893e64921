#include "src/server/http_endpoint.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

constexpr size_t kMaxConnections = 32;
constexpr size_t kMaxHeadBytes = 8 << 10;
constexpr absl::Duration kConnectionTime = absl::Seconds(30);
constexpr absl::Duration kDescriptorPatience = absl::Milliseconds(100);  // when there is none left
constexpr absl::string_view kHeadEnd = "\r\n\r\n";

const char* ReasonOf(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 503:
      return "Service Unavailable";
    default:
      return "Bad Request";
  }
}

// A client that is gone between poll and accept must not hold up the others.
UniqueFd NonBlocking(UniqueFd fd) {
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

}  // namespace

struct HttpEndpoint::Connection {
  UniqueFd fd;
  absl::Time deadline;
  std::string in, out;
  size_t sent = 0;  // of out
  bool answered = false, only_head = false, finished = false;
  HttpResponse response;
};

HttpResponse TextResponse(int code, std::string text) {
  return {.code = code, .body = [text = std::move(text)](std::string* piece) {
            piece->append(text);
            return false;
          }};
}

absl::StatusOr<HttpRequest> ParseHttpRequest(absl::string_view head, bool* is_head) {
  const std::vector<absl::string_view> lines = absl::StrSplit(head, "\r\n");
  const std::vector<absl::string_view> words = absl::StrSplit(lines[0], ' ');
  if (words.size() != 3 || !absl::StartsWith(words[2], "HTTP/1.") ||
      !absl::StartsWith(words[1], "/"))
    return absl::InvalidArgumentError("not an HTTP/1 request");
  *is_head = words[0] == "HEAD";
  if (words[0] != "GET" && !*is_head)
    return absl::UnimplementedError("only GET and HEAD are served");
  HttpRequest request{.path = std::string(words[1].substr(0, words[1].find('?')))};
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::pair<absl::string_view, absl::string_view> header =
        absl::StrSplit(lines[i], absl::MaxSplits(':', 1));
    if (!absl::EqualsIgnoreCase(header.first, "accept")) continue;
    if (!request.accept.empty()) request.accept += ",";
    absl::StrAppend(&request.accept, absl::StripAsciiWhitespace(header.second));
  }
  return request;
}

HttpEndpoint::HttpEndpoint(UniqueFd listener, Handler handler)
    : listener_(NonBlocking(std::move(listener))),
      stop_(::eventfd(0, EFD_CLOEXEC)),
      handler_(std::move(handler)),
      thread_([this] { Run(); }) {}

HttpEndpoint::~HttpEndpoint() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void HttpEndpoint::Accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid() && (errno == EMFILE || errno == ENFILE)) absl::SleepFor(kDescriptorPatience);
  if (!fd.valid() || connections_.size() >= kMaxConnections) return;
  auto connection = std::make_unique<Connection>();
  connection->fd = std::move(fd);
  connection->deadline = SteadyNow() + kConnectionTime;
  connections_[connection->fd.get()] = std::move(connection);
}

void HttpEndpoint::Answer(Connection& connection) {
  connection.answered = true;
  const absl::StatusOr<HttpRequest> request =
      ParseHttpRequest(absl::string_view(connection.in)
                           .substr(0, connection.in.find(kHeadEnd.data(), 0, kHeadEnd.size())),
                       &connection.only_head);
  if (request.ok()) {
    connection.response = handler_(*request);
  } else {
    connection.response = TextResponse(absl::IsUnimplemented(request.status()) ? 405 : 400,
                                       absl::StrCat(request.status().message(), "\n"));
  }
  const HttpResponse& response = connection.response;
  connection.out = absl::StrCat("HTTP/1.1 ", response.code, " ", ReasonOf(response.code),
                                "\r\nContent-Type: ", response.content_type,
                                "\r\nTransfer-Encoding: chunked\r\nConnection: close",
                                response.code == 405 ? "\r\nAllow: GET, HEAD" : "", kHeadEnd);
}

bool HttpEndpoint::Progress(Connection& connection) {
  if (!connection.answered) {
    char buffer[4096];
    const ssize_t n = ::recv(connection.fd.get(), buffer, sizeof(buffer), 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    connection.in.append(buffer, static_cast<size_t>(n));
    if (!absl::StrContains(connection.in, kHeadEnd)) return connection.in.size() < kMaxHeadBytes;
    Answer(connection);
  }
  while (true) {
    if (connection.sent == connection.out.size()) {
      if (connection.finished || connection.only_head) return false;
      std::string piece;
      connection.finished = !connection.response.body(&piece);
      connection.sent = 0;
      connection.out.clear();
      if (!piece.empty())
        connection.out = absl::StrCat(absl::Hex(piece.size()), "\r\n", piece, "\r\n");
      if (connection.finished) connection.out += "0\r\n\r\n";
      continue;
    }
    const ssize_t n = ::send(connection.fd.get(), connection.out.data() + connection.sent,
                             connection.out.size() - connection.sent, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    connection.sent += static_cast<size_t>(n);
  }
}

void HttpEndpoint::Run() {
  while (true) {
    std::vector<pollfd> ready = {{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    absl::Time next = absl::InfiniteFuture();
    for (const auto& [fd, connection] : connections_) {
      ready.push_back({fd, static_cast<short>(connection->answered ? POLLOUT : POLLIN), 0});
      next = std::min(next, connection->deadline);
    }
    const int wait = next == absl::InfiniteFuture()
                         ? -1
                         : static_cast<int>(std::max<int64_t>(
                               0, absl::ToInt64Milliseconds(next - SteadyNow()) + 1));
    if (::poll(ready.data(), ready.size(), wait) < 0) continue;
    if (ready[0].revents != 0) return;
    for (size_t i = 2; i < ready.size(); ++i) {
      Connection& connection = *connections_.at(ready[i].fd);
      const bool open =
          ready[i].revents == 0 ? connection.deadline > SteadyNow() : Progress(connection);
      if (!open) connections_.erase(ready[i].fd);
    }
    if (ready[1].revents != 0) Accept();
  }
}

}  // namespace berth
