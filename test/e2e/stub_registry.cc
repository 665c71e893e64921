#include "test/e2e/stub_registry.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"

namespace berth::e2e {
namespace {

// base64("user:password"), and the token that it buys.
constexpr char kBasic[] = "Basic dXNlcjpwYXNzd29yZA==";
constexpr char kToken[] = "e2e-token";

// False once `stop` is readable.
bool WaitReadable(int fd, int stop) {
  pollfd fds[] = {{fd, POLLIN, 0}, {stop, POLLIN, 0}};
  while (poll(fds, 2, -1) < 0) {
    if (errno != EINTR) return false;
  }
  return (fds[1].revents & POLLIN) == 0;
}

bool SendAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// The value of `name` (lower case) in the header lines, "" if absent.
std::string HeaderValue(const std::string& headers, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(headers, "\r\n")) {
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos || !absl::EqualsIgnoreCase(line.substr(0, colon), name))
      continue;
    return std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return "";
}

// The first byte that "Range: bytes=N-" asks for.
size_t RangeStart(const std::string& headers, size_t size) {
  const std::string range = HeaderValue(headers, "range");
  if (!absl::StartsWith(range, "bytes=")) return 0;
  return std::min(size, static_cast<size_t>(std::strtoull(range.c_str() + 6, nullptr, 10)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<StubRegistry>> StubRegistry::Start() {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      listen(listener.get(), 64) != 0 ||
      getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return ErrnoStatus("listen", "127.0.0.1");
  }
  return std::unique_ptr<StubRegistry>(
      new StubRegistry(std::move(listener), absl::StrCat("127.0.0.1:", ntohs(address.sin_port))));
}

StubRegistry::StubRegistry(UniqueFd listener, std::string host)
    : listener_(std::move(listener)), host_(std::move(host)), stop_(eventfd(0, EFD_CLOEXEC)) {
  acceptor_ = std::thread([this] { Accept(); });
}

StubRegistry::~StubRegistry() {
  const uint64_t one = 1;
  if (write(stop_.get(), &one, sizeof one) < 0) abort();
  acceptor_.join();
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mu_);
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

std::string StubRegistry::Add(const std::string& name, const std::string& tag,
                              const BuiltImage& image) {
  absl::MutexLock lock(&mu_);
  const std::string base = absl::StrCat("/v2/", name);
  for (const auto& [digest, blob] : image.blobs) {
    answers_[absl::StrCat(base, "/blobs/", digest)] = {
        .media_type = "application/octet-stream", .body = blob.content, .digest = digest};
  }
  for (const Blob& manifest : image.manifests) {
    const std::string digest = Digest(manifest.content);
    const Answer answer{
        .media_type = manifest.media_type, .body = manifest.content, .digest = digest};
    answers_[absl::StrCat(base, "/manifests/", digest)] = answer;
    answers_[absl::StrCat(base, "/manifests/", tag)] = answer;
  }
  return absl::StrCat(host_, "/", name, ":", tag);
}

void StubRegistry::SetFault(const std::string& part, Fault fault) {
  absl::MutexLock lock(&mu_);
  faults_[part] = fault;
}

std::vector<std::string> StubRegistry::Requests() const {
  absl::MutexLock lock(&mu_);
  return requests_;
}

std::vector<std::string> StubRegistry::Authorizations() const {
  absl::MutexLock lock(&mu_);
  return authorizations_;
}

int StubRegistry::OpenConnections() const {
  absl::MutexLock lock(&mu_);
  return open_connections_;
}

void StubRegistry::Accept() {
  while (WaitReadable(listener_.get(), stop_.get())) {
    UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid()) continue;
    absl::MutexLock lock(&mu_);
    ++open_connections_;
    threads_.emplace_back([this, fd = connection.release()] { Serve(UniqueFd(fd)); });
  }
}

void StubRegistry::Serve(UniqueFd connection) {
  std::string input;
  char block[4096];
  bool open = true;
  while (open && WaitReadable(connection.get(), stop_.get())) {
    const ssize_t n = recv(connection.get(), block, sizeof block, 0);
    if (n <= 0) break;
    input.append(block, static_cast<size_t>(n));
    for (size_t end; open && (end = input.find("\r\n\r\n")) != std::string::npos;) {
      const std::string head = input.substr(0, end);
      input.erase(0, end + 4);
      const std::vector<std::string> words = absl::StrSplit(head.substr(0, head.find("\r\n")), ' ');
      open = words.size() >= 2 && Respond(connection.get(), words[0], words[1], head);
    }
  }
  connection.reset();
  absl::MutexLock lock(&mu_);
  --open_connections_;
}

StubRegistry::Fault StubRegistry::FaultOf(const std::string& path) const {
  for (const auto& [part, fault] : faults_) {
    if (absl::StrContains(path, part)) return fault;
  }
  return Fault::kNone;
}

StubRegistry::Answer StubRegistry::Find(const std::string& path) const {
  if (path == "/v2/" || path == "/v2") return {.media_type = "application/json", .body = "{}"};
  const auto answer = answers_.find(path);
  if (answer != answers_.end()) return answer->second;
  return {.status = 404,
          .media_type = "application/json",
          .body = R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"};
}

bool StubRegistry::Respond(int connection, const std::string& method, const std::string& path,
                           const std::string& headers) {
  Answer answer;
  Fault fault;
  const std::string authorization = HeaderValue(headers, "authorization");
  {
    absl::MutexLock lock(&mu_);
    requests_.push_back(absl::StrCat(method, " ", path));
    authorizations_.push_back(authorization);
    fault = FaultOf(path);
    answer = Find(path.substr(0, path.find('?')));
  }
  if (absl::StartsWith(path, "/token")) {
    answer = {.media_type = "application/json",
              .body = absl::StrCat(R"({"token":")", kToken, R"("})")};
    if (authorization != kBasic) answer = {.status = 401, .body = "wrong password"};
  } else if (fault == Fault::kServerError) {
    answer = {.status = 500, .body = "internal error"};
  } else if (fault == Fault::kDenied) {
    answer = {.status = 401,
              .body = R"({"errors":[{"code":"DENIED","message":"requested access is denied"}]})"};
  } else if (fault == Fault::kNeedsToken && authorization != absl::StrCat("Bearer ", kToken)) {
    answer = {.status = 401, .body = "{}"};
    answer.extra_headers =
        absl::StrCat("WWW-Authenticate: Bearer realm=\"http://", host_,
                     "/token\",service=\"e2e\",scope=\"repository:any:pull\"\r\n");
  }
  if (fault == Fault::kSilence) {
    WaitReadable(connection, stop_.get());  // until the client gives up
    return false;
  }
  if (fault == Fault::kCorrupt && !answer.body.empty()) answer.body[answer.body.size() / 2] ^= 1;

  const size_t from = answer.status == 200 ? RangeStart(headers, answer.body.size()) : 0;
  const size_t length = answer.body.size() - from;
  if (from > 0) {
    answer.status = 206;
    absl::StrAppend(&answer.extra_headers, "Content-Range: bytes ", from, "-",
                    answer.body.size() - 1, "/", answer.body.size(), "\r\n");
  }
  std::string head =
      absl::StrCat("HTTP/1.1 ", answer.status, " e2e\r\nContent-Length: ", length,
                   "\r\nDocker-Distribution-Api-Version: registry/2.0\r\n", answer.extra_headers);
  if (!answer.media_type.empty())
    absl::StrAppend(&head, "Content-Type: ", answer.media_type, "\r\n");
  if (!answer.digest.empty())
    absl::StrAppend(&head, "Docker-Content-Digest: ", answer.digest, "\r\n");
  absl::StrAppend(&head, "\r\n");
  if (!SendAll(connection, head)) return false;
  if (method == "HEAD") return true;
  const bool cut = fault == Fault::kHang || fault == Fault::kTruncate;
  if (!SendAll(connection, absl::string_view(answer.body).substr(from, cut ? length / 2 : length)))
    return false;
  if (fault == Fault::kHang) WaitReadable(connection, stop_.get());
  return !cut;
}

}  // namespace berth::e2e
