#include "src/stream/request_head.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using wire::SessionKind;

const std::string kToken(wire::kTokenBytes, '7');
constexpr char kSpdy[] = "Host: node\r\nConnection: keep-alive, Upgrade\r\nUpgrade: spdy/3.1\r\n";
constexpr char kWebSocket[] =
    "Host: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

HeadResult Read(const std::string& text) {
  RequestHead head;
  auto result = head.Feed(text);
  if (!result.has_value()) return HttpRefusal{.status = 0, .message = "more is needed"};
  return *std::move(result);
}

HeadResult ReadRequest(absl::string_view method, absl::string_view target,
                       absl::string_view fields) {
  return Read(absl::StrCat(method, " ", target, " HTTP/1.1\r\n", fields, "\r\n"));
}

UpgradeRequest Accepted(const HeadResult& result) {
  if (const auto* refusal = std::get_if<HttpRefusal>(&result)) {
    ADD_FAILURE() << refusal->status << " " << refusal->message;
    return {};
  }
  return std::get<UpgradeRequest>(result);
}

int StatusOf(const HeadResult& result) {
  const auto* refusal = std::get_if<HttpRefusal>(&result);
  return refusal == nullptr ? 101 : refusal->status;
}

TEST(RequestHead, IsReadInPiecesUpToItsEnd) {
  const std::string text = absl::StrCat("POST /exec/", kToken, " HTTP/1.1\r\n", kSpdy,
                                        "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n");
  RequestHead head;
  for (size_t at = 0; at + 1 < text.size(); ++at)
    ASSERT_FALSE(head.Feed(text.substr(at, 1)).has_value()) << at;
  const auto result = head.Feed("\nrest");
  ASSERT_TRUE(result.has_value());
  const UpgradeRequest request = Accepted(*result);
  EXPECT_EQ(request.kind, SessionKind::kExec);
  EXPECT_EQ(request.token, kToken);
  EXPECT_FALSE(request.websocket);
  EXPECT_EQ(head.head(), text);
  EXPECT_EQ(head.rest(), "rest");
}

TEST(RequestHead, ChoosesTheFirstSpdyProtocolOfTheClientThatIsKnown) {
  struct Case {
    const char* path;
    const char* offered;
    const char* chosen;
    CommandProtocol command;
  };
  const Case cases[] = {
      {"/exec/", "v5.channel.k8s.io, v4.channel.k8s.io,v3.channel.k8s.io", "v4.channel.k8s.io",
       CommandProtocol::kV4},
      {"/attach/", "v3.channel.k8s.io\r\nX-Stream-Protocol-Version: v4.channel.k8s.io",
       "v3.channel.k8s.io", CommandProtocol::kV3},
      {"/exec/", "v2.channel.k8s.io", "v2.channel.k8s.io", CommandProtocol::kV2},
      {"/exec/", "channel.k8s.io", "channel.k8s.io", CommandProtocol::kV1},
      {"/portforward/", "portforward.k8s.io", "portforward.k8s.io", CommandProtocol::kV1},
  };
  for (const Case& good : cases) {
    const UpgradeRequest request = Accepted(
        ReadRequest("POST", absl::StrCat(good.path, kToken),
                    absl::StrCat(kSpdy, "X-Stream-Protocol-Version: ", good.offered, "\r\n")));
    EXPECT_EQ(request.protocol, good.chosen);
    EXPECT_EQ(request.command, good.command);
  }
}

TEST(RequestHead, ChoosesWebSocketProtocols) {
  struct Case {
    const char* path;
    const char* offered;
    CommandProtocol command;
    bool base64, tunnel;
  };
  using enum CommandProtocol;
  const Case cases[] = {
      {"/exec/", "v5.channel.k8s.io", kV5, false, false},
      {"/exec/", "v4.channel.k8s.io", kV4, false, false},
      {"/attach/", "v4.base64.channel.k8s.io", kV4, true, false},
      {"/exec/", "channel.k8s.io", kV1, false, false},
      {"/exec/", "base64.channel.k8s.io", kV1, true, false},
      {"/portforward/", "v4.channel.k8s.io", kV1, false, false},
      {"/portforward/", "v4.base64.channel.k8s.io", kV1, true, false},
      {"/portforward/", "SPDY/3.1+portforward.k8s.io", kV1, false, true},
      {"/portforward/", "v2.portforward.k8s.io", kV1, false, true},
  };
  for (const Case& good : cases) {
    const UpgradeRequest request = Accepted(ReadRequest(
        "GET", absl::StrCat(good.path, kToken),
        absl::StrCat(kWebSocket, "Sec-WebSocket-Protocol: nonsense, ", good.offered, "\r\n")));
    EXPECT_TRUE(request.websocket);
    EXPECT_EQ(request.protocol, good.offered);
    EXPECT_EQ(request.command, good.command) << good.offered;
    EXPECT_EQ(request.base64, good.base64) << good.offered;
    EXPECT_EQ(request.tunnel, good.tunnel) << good.offered;
  }
  EXPECT_EQ(Accepted(ReadRequest("GET", "/exec/" + kToken, kWebSocket)).protocol, "");
}

TEST(RequestHead, TakesPortsFromTheQuery) {
  const UpgradeRequest request = Accepted(ReadRequest(
      "GET", absl::StrCat("/portforward/", kToken, "?port=80,8080&other=1&port=443"), kWebSocket));
  EXPECT_THAT(request.ports, ElementsAre(80, 8080, 443));
  for (const char* query : {"port=", "port=0", "port=65536", "port=x", "port=80,", "port=-1"}) {
    EXPECT_EQ(
        StatusOf(ReadRequest("GET", absl::StrCat("/portforward/", kToken, "?", query), kWebSocket)),
        400)
        << query;
  }
}

TEST(RequestHead, SaysWhatItWouldHaveTaken) {
  const HeadResult result =
      ReadRequest("POST", "/exec/" + kToken,
                  absl::StrCat(kSpdy, "X-Stream-Protocol-Version: v9.channel.k8s.io\r\n"));
  EXPECT_EQ(StatusOf(result), 403);
  EXPECT_THAT(SerializeRefusal(std::get<HttpRefusal>(result)),
              HasSubstr("\r\nX-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io, "
                        "v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io\r\n"));
}

TEST(RequestHead, ChecksTheOriginOfPages) {
  const auto from = [](absl::string_view origin) {
    return StatusOf(ReadRequest("GET", "/exec/" + kToken,
                                absl::StrCat(kWebSocket, "Origin: ", origin, "\r\n")));
  };
  EXPECT_EQ(from("https://dashboard.example:8443"), 101);
  EXPECT_EQ(from("http://[::1]"), 101);
  for (const char* origin : {"null", "file://", "https://", "https://a/b", "javascript:x", ""})
    EXPECT_EQ(from(origin), 403) << origin;
}

TEST(RequestHead, RefusesWithTheRightStatus) {
  const std::string exec = "/exec/" + kToken;
  const std::string version = "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
  const auto spdy = [&](absl::string_view more) { return absl::StrCat(kSpdy, version, more); };
  struct Case {
    const char* name;
    int status;
    HeadResult result;
  };
  const Case cases[] = {
      {"no head", 400, Read("\r\n\r\n")},
      {"TLS", 400, Read("\x16\x03\x01\x02\r\n\r\n")},
      {"HTTP/1.0", 400, Read(absl::StrCat("GET ", exec, " HTTP/1.0\r\n", spdy(""), "\r\n"))},
      {"no host", 400, ReadRequest("GET", exec, "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n")},
      {"two hosts", 400, ReadRequest("GET", exec, spdy("Host: other\r\n"))},
      {"method", 405, ReadRequest("DELETE", exec, spdy(""))},
      {"path", 404, ReadRequest("GET", "/", spdy(""))},
      {"another path", 404, ReadRequest("GET", "/execute/" + kToken, spdy(""))},
      {"short token", 404, ReadRequest("GET", "/exec/7", spdy(""))},
      {"long token", 404, ReadRequest("GET", exec + "7", spdy(""))},
      {"token of other letters", 404,
       ReadRequest("GET", "/exec/" + std::string(wire::kTokenBytes, 'G'), spdy(""))},
      {"a path behind the token", 404, ReadRequest("GET", exec + "/", spdy(""))},
      {"no upgrade", 400, ReadRequest("GET", exec, "Host: x\r\n")},
      {"upgrade to h2c", 400,
       ReadRequest("GET", exec, "Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n")},
      {"no version", 400, ReadRequest("POST", exec, kSpdy)},
      {"a body", 400, ReadRequest("POST", exec, spdy("Content-Length: 5\r\n"))},
      {"chunks", 400, ReadRequest("POST", exec, spdy("Transfer-Encoding: chunked\r\n"))},
      {"WebSocket by POST", 400, ReadRequest("POST", exec, kWebSocket)},
      {"WebSocket version", 426,
       ReadRequest("GET", exec,
                   "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: x\r\n")},
      {"no WebSocket key", 400,
       ReadRequest("GET", exec,
                   "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 13\r\n")},
      {"port-forward protocol for exec", 403,
       ReadRequest("GET", exec,
                   absl::StrCat(kWebSocket, "Sec-WebSocket-Protocol: v2.portforward.k8s.io\r\n"))},
      {"too long", 431, Read(std::string(kMaxHeadBytes + 1, 'x'))},
      {"line folding", 400, ReadRequest("GET", exec, "Host: x\r\n\tfolded\r\n\x01: y\r\n")},
  };
  for (const Case& bad : cases) EXPECT_EQ(StatusOf(bad.result), bad.status) << bad.name;
  std::string many;
  for (size_t i = 0; i <= kMaxHeadFields; ++i) absl::StrAppend(&many, "X", i, ": y\r\n");
  EXPECT_EQ(StatusOf(ReadRequest("POST", exec, spdy(many))), 431);
}

}  // namespace
}  // namespace berth
