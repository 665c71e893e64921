#include "src/server/http_endpoint.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth {
namespace {

TEST(ParseHttpRequest, TakesPathAndAccept) {
  bool is_head = true;
  const absl::StatusOr<HttpRequest> request = ParseHttpRequest(
      "GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\nACCEPT: a/b;q=0.5\r\nAccept: c/d", &is_head);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->path, "/metrics");
  EXPECT_EQ(request->accept, "a/b;q=0.5,c/d");
  EXPECT_FALSE(is_head);
  EXPECT_TRUE(ParseHttpRequest("HEAD / HTTP/1.0", &is_head).ok());
  EXPECT_TRUE(is_head);
}

TEST(ParseHttpRequest, RefusesWhatIsNone) {
  bool is_head = false;
  for (const char* head : {"", "GET", "GET / ", "GET / SPDY/3", "GET http://x/ HTTP/1.1",
                           "GET  / HTTP/1.1", "\x16\x03\x01"}) {
    EXPECT_EQ(ParseHttpRequest(head, &is_head).status().code(), absl::StatusCode::kInvalidArgument)
        << head;
  }
  EXPECT_EQ(ParseHttpRequest("POST / HTTP/1.1", &is_head).status().code(),
            absl::StatusCode::kUnimplemented);
}

// An endpoint on a socket without a name, and what it answers to bytes.
class HttpEndpointTest : public testing::Test {
 protected:
  void Start(HttpEndpoint::Handler handler) {
    sockaddr_un address = {.sun_family = AF_UNIX};
    UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // Only the family: the kernel chooses an abstract name.
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)),
              0);
    ASSERT_EQ(::listen(listener.get(), 16), 0);
    length_ = sizeof(address_);
    ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address_), &length_), 0);
    endpoint_ = std::make_unique<HttpEndpoint>(std::move(listener), std::move(handler));
  }
  UniqueFd Connect() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address_), length_), 0);
    return fd;
  }
  static std::string ReadAll(int fd) {
    std::string all;
    char buffer[4096];
    for (ssize_t n; (n = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;)
      all.append(buffer, static_cast<size_t>(n));
    return all;
  }
  std::string Ask(absl::string_view request) {
    const UniqueFd fd = Connect();
    EXPECT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(request.size()));
    return ReadAll(fd.get());
  }

  sockaddr_un address_ = {};
  socklen_t length_ = 0;
  std::unique_ptr<HttpEndpoint> endpoint_;
};

TEST_F(HttpEndpointTest, SendsABodyInPieces) {
  Start([](const HttpRequest& request) -> HttpResponse {
    int pieces = 0;
    return {.body = [path = request.path, pieces](std::string* piece) mutable {
      *piece = absl::StrCat(path, pieces);
      return ++pieces < 3;
    }};
  });
  const std::string answer = Ask("GET /a HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(absl::StartsWith(answer, "HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(absl::EndsWith(answer, "3\r\n/a0\r\n3\r\n/a1\r\n3\r\n/a2\r\n0\r\n\r\n")) << answer;
}

TEST_F(HttpEndpointTest, GivesHeadNoBodyAndOthersTheirError) {
  Start([](const HttpRequest&) { return TextResponse(200, "body"); });
  const std::string head = Ask("HEAD / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(absl::EndsWith(head, "\r\n\r\n")) << head;
  EXPECT_FALSE(absl::StrContains(head, "body"));
  EXPECT_TRUE(absl::StartsWith(Ask("PUT / HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 "));
  EXPECT_TRUE(absl::StartsWith(Ask("nonsense\r\n\r\n"), "HTTP/1.1 400 "));
}

TEST_F(HttpEndpointTest, ClosesOnAHeadWithoutEnd) {
  Start([](const HttpRequest&) { return TextResponse(200, "body"); });
  EXPECT_EQ(Ask("GET / HTTP/1.1\r\nX: " + std::string(9000, 'x')), "");
}

TEST_F(HttpEndpointTest, AClientThatSaysNothingKeepsNobodyElseWaiting) {
  Start([](const HttpRequest&) { return TextResponse(200, "body"); });
  const UniqueFd silent = Connect();
  EXPECT_TRUE(absl::StrContains(Ask("GET / HTTP/1.1\r\n\r\n"), "body"));
}

}  // namespace
}  // namespace berth
