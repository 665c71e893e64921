#include "src/image/testing/registry_stub.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/image/digest.h"
#include "src/image/platform.h"
#include "src/image/testing/tar_writer.h"

namespace berth::testing_image {
namespace {

// False when the test is over or the client is gone.
bool WaitReadable(int fd, int stop) {
  struct pollfd fds[2] = {{.fd = fd, .events = POLLIN, .revents = 0},
                          {.fd = stop, .events = POLLIN, .revents = 0}};
  return ::poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

// False as soon as the client is gone or `stop` is readable.
bool SendSlowly(int fd, int stop, absl::string_view bytes) {
  for (const char byte : bytes) {
    struct pollfd end[] = {{.fd = fd, .events = POLLIN, .revents = 0},
                           {.fd = stop, .events = POLLIN, .revents = 0}};
    if (::poll(end, 2, 100) != 0 || ::send(fd, &byte, 1, MSG_NOSIGNAL) != 1) return false;
  }
  return true;
}

bool SendAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

bool ReadRequest(int fd, int stop, StubRequest* request) {
  std::string bytes;
  size_t end = std::string::npos;
  size_t length = 0;
  char buffer[4096];
  while (end == std::string::npos || bytes.size() < end + 4 + length) {
    if (!WaitReadable(fd, stop)) return false;
    const ssize_t n = ::recv(fd, buffer, sizeof(buffer), 0);
    if (n <= 0) return false;
    bytes.append(buffer, static_cast<size_t>(n));
    if (end != std::string::npos) continue;
    end = bytes.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    const std::vector<std::string> lines = absl::StrSplit(bytes.substr(0, end), "\r\n");
    const std::vector<std::string> first = absl::StrSplit(lines[0], ' ');
    request->method = first[0];
    request->target = first.size() > 1 ? first[1] : "";
    request->path = request->target.substr(0, request->target.find('?'));
    for (size_t i = 1; i < lines.size(); ++i) {
      const std::pair<std::string, std::string> header =
          absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
      request->headers[absl::AsciiStrToLower(header.first)] = header.second;
    }
    if (!absl::SimpleAtoi(request->Header("content-length"), &length)) length = 0;
  }
  request->body = bytes.substr(end + 4);
  return true;
}

// "Range: bytes=FROM-" and "bytes=FROM-TO".
StubAnswer BlobAnswer(const std::string& bytes, const StubRequest& request) {
  const std::string range = request.Header("range");
  size_t from = 0, to = bytes.size() - 1;
  const size_t dash = range.find('-');
  if (!absl::StartsWith(range, "bytes=") || !absl::SimpleAtoi(range.substr(6, dash - 6), &from) ||
      from >= bytes.size()) {
    return {.headers = {"Accept-Ranges: bytes"}, .body = bytes};
  }
  if (size_t end = 0; absl::SimpleAtoi(range.substr(dash + 1), &end)) to = std::min(to, end);
  return {.status = 206,
          .headers = {absl::StrCat("Content-Range: bytes ", from, "-", to, "/", bytes.size())},
          .body = bytes.substr(from, to - from + 1)};
}

}  // namespace

std::string StubImage::id() const { return Digest::Sha256(config).text(); }
std::string StubImage::manifest_digest() const { return Digest::Sha256(manifest).text(); }

StubImage MakeImage(const std::vector<StubLayer>& layers, const std::string& config_part,
                    const std::string& architecture) {
  StubImage image;
  std::vector<std::string> descriptors;
  for (const StubLayer& layer : layers) {
    const std::string blob = layer.compressed.empty() ? Gzip(layer.tar) : layer.compressed;
    const std::string digest = Digest::Sha256(blob).text();
    image.blobs[digest] = blob;
    image.diff_ids.push_back(Digest::Sha256(layer.tar).text());
    descriptors.push_back(
        absl::StrCat(R"({"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":")",
                     digest, R"(","size":)", blob.size(), "}"));
  }
  image.config =
      absl::StrCat(R"({"os":"linux","architecture":")",
                   architecture.empty() ? HostPlatform().architecture : architecture,
                   R"(","config":)", config_part, R"(,"rootfs":{"type":"layers","diff_ids":[")",
                   absl::StrJoin(image.diff_ids, "\",\""), "\"]}}");
  if (layers.empty()) {
    image.config = absl::StrCat(R"({"os":"linux","config":)", config_part,
                                R"(,"rootfs":{"type":"layers","diff_ids":[]}})");
  }
  image.blobs[image.id()] = image.config;
  image.manifest = absl::StrCat(
      R"({"schemaVersion":2,"mediaType":")", image.manifest_type,
      R"(","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":")",
      image.id(), R"(","size":)", image.config.size(), R"(},"layers":[)",
      absl::StrJoin(descriptors, ","), "]}");
  return image;
}

RegistryStub::RegistryStub()
    : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      stop_(::eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_.get(), generic, length) != 0 || ::listen(listener_.get(), 64) != 0 ||
      ::getsockname(listener_.get(), generic, &length) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

RegistryStub::~RegistryStub() {
  const uint64_t one = 1;
  if (::write(stop_.get(), &one, sizeof(one)) != sizeof(one)) std::abort();
  acceptor_.join();
  std::vector<std::thread> connections;
  {
    absl::MutexLock lock(&mu_);
    connections.swap(connections_);
  }
  for (std::thread& connection : connections) connection.join();
}

std::string RegistryStub::host() const { return absl::StrCat("127.0.0.1:", port_); }

void RegistryStub::Handle(const std::string& path, Handler handler) {
  absl::MutexLock lock(&mu_);
  handlers_[path] = std::move(handler);
}

void RegistryStub::Serve(const std::string& path, const StubAnswer& answer) {
  Handle(path, [answer](const StubRequest&) { return answer; });
}

void RegistryStub::Guard(Handler guard) {
  absl::MutexLock lock(&mu_);
  guard_ = std::move(guard);
}

void RegistryStub::Publish(const std::string& repository, const std::string& tag,
                           const StubImage& image) {
  const std::string base = absl::StrCat("/v2/", repository);
  for (const std::string& selector : {tag, image.manifest_digest()}) {
    Serve(
        absl::StrCat(base, "/manifests/", selector),
        {.headers = {absl::StrCat("Content-Type: ", image.manifest_type)}, .body = image.manifest});
  }
  for (const auto& [digest, bytes] : image.blobs) {
    Handle(absl::StrCat(base, "/blobs/", digest),
           [bytes = bytes](const StubRequest& request) { return BlobAnswer(bytes, request); });
  }
}

std::vector<StubRequest> RegistryStub::requests() const {
  absl::MutexLock lock(&mu_);
  return requests_;
}

int RegistryStub::CountRequests(const std::string& path) const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(std::count_if(requests_.begin(), requests_.end(),
                                        [&](const StubRequest& r) { return r.path == path; }));
}

void RegistryStub::AwaitRequest(const std::string& path) const {
  absl::MutexLock lock(&mu_);
  const auto seen = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return std::any_of(requests_.begin(), requests_.end(),
                       [&](const StubRequest& r) { return r.path == path; });
  };
  mu_.Await(absl::Condition(&seen));
}

void RegistryStub::Accept() {
  while (WaitReadable(listener_.get(), stop_.get())) {
    UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid()) continue;
    absl::MutexLock lock(&mu_);
    connections_.emplace_back([this, fd = connection.release()] { Converse(UniqueFd(fd)); });
  }
}

StubAnswer RegistryStub::Answer(const StubRequest& request) {
  Handler guard, handler;
  {
    absl::MutexLock lock(&mu_);
    requests_.push_back(request);
    guard = guard_;
    if (const auto found = handlers_.find(request.path); found != handlers_.end())
      handler = found->second;
  }
  if (guard) {
    StubAnswer answer = guard(request);
    if (answer.status != 0) return answer;
  }
  if (handler) return handler(request);
  return {.status = 404,
          .body = R"({"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]})"};
}

void RegistryStub::Converse(UniqueFd connection) {
  StubRequest request;
  if (!ReadRequest(connection.get(), stop_.get(), &request)) return;
  const StubAnswer answer = Answer(request);
  char ignored[16];
  const auto wait_for_the_end = [&] {
    while (WaitReadable(connection.get(), stop_.get()) &&
           ::recv(connection.get(), ignored, sizeof(ignored), 0) > 0) {
    }
  };
  if (answer.hang) return wait_for_the_end();
  std::string head =
      absl::StrCat("HTTP/1.1 ", answer.status,
                   " Stub\r\nConnection: close\r\nContent-Length: ", answer.body.size(), "\r\n");
  for (const std::string& header : answer.headers) absl::StrAppend(&head, header, "\r\n");
  absl::StrAppend(&head, "\r\n");
  const size_t limit = std::min(answer.cut_after, answer.hang_after);
  const absl::string_view body = absl::string_view(answer.body).substr(0, limit);
  if (!SendAll(connection.get(), head)) return;
  if (answer.trickle ? !SendSlowly(connection.get(), stop_.get(), body)
                     : !SendAll(connection.get(), body)) {
    return;
  }
  if (answer.hang_after != std::string::npos) return wait_for_the_end();
  // An orderly end: a close with unread bytes would reset the connection under the client's feet.
  ::shutdown(connection.get(), SHUT_WR);
  wait_for_the_end();
}

}  // namespace berth::testing_image
