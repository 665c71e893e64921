#include "src/stream/request_head.h"

#include <algorithm>
#include <array>
#include <boost/beast/http.hpp>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace berth {
namespace {

namespace http = boost::beast::http;
using Fields = http::fields;
using wire::SessionKind;

constexpr absl::string_view kSpdyName = "SPDY/3.1";
constexpr char kVersionField[] = "X-Stream-Protocol-Version";
constexpr char kAcceptedField[] = "X-Accepted-Stream-Protocol-Versions";

struct Path {
  absl::string_view prefix;
  SessionKind kind;
};
constexpr std::array kPaths = {
    Path{"/exec/", SessionKind::kExec},
    Path{"/attach/", SessionKind::kAttach},
    Path{"/portforward/", SessionKind::kPortForward},
};

struct Protocol {
  absl::string_view name;
  bool websocket;
  bool port_forward;
  CommandProtocol command = CommandProtocol::kV1;
  bool base64 = false;
  bool tunnel = false;
};
using enum CommandProtocol;
// The best first. v5 differs from v4 by a message that SPDY does not need.
constexpr std::array kProtocols = {
    Protocol{
        .name = "v4.channel.k8s.io", .websocket = false, .port_forward = false, .command = kV4},
    Protocol{
        .name = "v3.channel.k8s.io", .websocket = false, .port_forward = false, .command = kV3},
    Protocol{
        .name = "v2.channel.k8s.io", .websocket = false, .port_forward = false, .command = kV2},
    Protocol{.name = "channel.k8s.io", .websocket = false, .port_forward = false, .command = kV1},
    Protocol{.name = "portforward.k8s.io", .websocket = false, .port_forward = true},
    Protocol{.name = "v5.channel.k8s.io", .websocket = true, .port_forward = false, .command = kV5},
    Protocol{.name = "v4.channel.k8s.io", .websocket = true, .port_forward = false, .command = kV4},
    Protocol{.name = "v4.base64.channel.k8s.io",
             .websocket = true,
             .port_forward = false,
             .command = kV4,
             .base64 = true},
    Protocol{.name = "channel.k8s.io", .websocket = true, .port_forward = false},
    Protocol{
        .name = "base64.channel.k8s.io", .websocket = true, .port_forward = false, .base64 = true},
    Protocol{.name = "SPDY/3.1+portforward.k8s.io",
             .websocket = true,
             .port_forward = true,
             .tunnel = true},
    Protocol{
        .name = "v2.portforward.k8s.io", .websocket = true, .port_forward = true, .tunnel = true},
    Protocol{.name = "v4.channel.k8s.io", .websocket = true, .port_forward = true},
    Protocol{.name = "v4.base64.channel.k8s.io",
             .websocket = true,
             .port_forward = true,
             .base64 = true},
};

absl::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

// The elements of all fields of this name, each a list with commas.
std::vector<std::string> ListOf(const Fields& fields, const char* name) {
  std::vector<std::string> all;
  const auto range = fields.equal_range(name);
  for (auto field = range.first; field != range.second; ++field) {
    for (const absl::string_view element :
         absl::StrSplit(View(field->value()), ',', absl::SkipWhitespace()))
      all.emplace_back(absl::StripAsciiWhitespace(element));
  }
  return all;
}

bool Lists(const Fields& fields, const char* name, absl::string_view wanted) {
  const std::vector<std::string> all = ListOf(fields, name);
  return std::any_of(all.begin(), all.end(), [&](const std::string& element) {
    return absl::EqualsIgnoreCase(element, wanted);
  });
}

// Where a browser page came from. The kubelet hands on what the API server's clients sent, so a
// foreign origin is no sign of an attack, and a page that guesses no token gets nothing; but "null"
// and nonsense come from sandboxed pages and from nobody honest.
bool IsOrigin(absl::string_view origin) {
  if (!absl::ConsumePrefix(&origin, "http://") && !absl::ConsumePrefix(&origin, "https://"))
    return false;
  return !origin.empty() && std::all_of(origin.begin(), origin.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains(".-:[]_", absl::string_view(&c, 1));
  });
}

std::optional<HttpRefusal> ReadTarget(absl::string_view target, UpgradeRequest& request) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(target, absl::MaxSplits('?', 1));
  absl::string_view token = parts.first;
  const auto path = std::find_if(kPaths.begin(), kPaths.end(), [&](const Path& candidate) {
    return absl::ConsumePrefix(&token, candidate.prefix);
  });
  const bool good = path != kPaths.end() && token.size() == wire::kTokenBytes &&
                    std::all_of(token.begin(), token.end(), [](char c) {
                      return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
                    });
  if (!good) return HttpRefusal{.status = 404, .message = "no such session"};
  request.kind = path->kind;
  request.token = std::string(token);
  for (const absl::string_view pair : absl::StrSplit(parts.second, '&', absl::SkipEmpty())) {
    absl::string_view list = pair;
    if (!absl::ConsumePrefix(&list, "port=")) continue;
    for (const absl::string_view text : absl::StrSplit(list, ',')) {
      uint32_t port = 0;
      if (!absl::SimpleAtoi(text, &port) || port == 0 || port > 65535 ||
          request.ports.size() == wire::kMaxSessionPorts) {
        return HttpRefusal{.status = 400, .message = "a port of the query is not one"};
      }
      request.ports.push_back(static_cast<uint16_t>(port));
    }
  }
  return std::nullopt;
}

std::optional<HttpRefusal> Choose(const std::vector<std::string>& offered,
                                  UpgradeRequest& request) {
  const bool port_forward = request.kind == SessionKind::kPortForward;
  const auto usable = [&](const Protocol& protocol) {
    return protocol.websocket == request.websocket && protocol.port_forward == port_forward;
  };
  for (const std::string& name : offered) {
    for (const Protocol& protocol : kProtocols) {
      if (!usable(protocol) || protocol.name != name) continue;
      request.protocol = name;
      request.command = protocol.command;
      request.base64 = protocol.base64;
      request.tunnel = protocol.tunnel;
      return std::nullopt;
    }
  }
  std::vector<absl::string_view> known;
  for (const Protocol& protocol : kProtocols) {
    if (usable(protocol)) known.push_back(protocol.name);
  }
  const std::string list = absl::StrJoin(known, ", ");
  return HttpRefusal{
      .status = 403,
      .message = absl::StrCat("none of the protocols is known here; these are: ", list),
      .headers = {{kAcceptedField, list}}};
}

std::optional<HttpRefusal> ReadWebSocket(const http::request<http::empty_body>& head,
                                         UpgradeRequest& request) {
  request.websocket = true;
  if (head.method() != http::verb::get)
    return HttpRefusal{.status = 400, .message = "a WebSocket begins with GET"};
  if (head[http::field::sec_websocket_version] != "13") {
    return HttpRefusal{.status = 426,
                       .message = "only version 13 of WebSocket is spoken here",
                       .headers = {{"Sec-WebSocket-Version", "13"}}};
  }
  if (head.count(http::field::sec_websocket_key) != 1)
    return HttpRefusal{.status = 400, .message = "one Sec-WebSocket-Key is needed"};
  const size_t origins = head.count(http::field::origin);
  if (origins > 1 || (origins == 1 && !IsOrigin(View(head[http::field::origin]))))
    return HttpRefusal{.status = 403, .message = "this origin is refused"};
  const std::vector<std::string> offered = ListOf(head, "Sec-WebSocket-Protocol");
  // Without a choice it is the oldest: binary, v1 of exec and attach, v4 of port-forward.
  return offered.empty() ? std::nullopt : Choose(offered, request);
}

HeadResult Read(const http::request<http::empty_body>& head) {
  UpgradeRequest request;
  if (head.version() != 11 || head.count(http::field::host) != 1)
    return HttpRefusal{.status = 400, .message = "HTTP/1.1 with one Host is spoken here"};
  if (head.method() != http::verb::get && head.method() != http::verb::post) {
    return HttpRefusal{
        .status = 405, .message = "only GET and POST", .headers = {{"Allow", "GET, POST"}}};
  }
  if (auto refusal = ReadTarget(View(head.target()), request)) return *std::move(refusal);
  const auto length = head[http::field::content_length];
  if ((!length.empty() && length != "0") || head.count(http::field::transfer_encoding) > 0)
    return HttpRefusal{.status = 400, .message = "an upgrade has no body"};
  const bool upgrade = Lists(head, "Connection", "upgrade");
  if (upgrade && Lists(head, "Upgrade", "websocket")) {
    if (auto refusal = ReadWebSocket(head, request)) return *std::move(refusal);
    return request;
  }
  if (!upgrade || !Lists(head, "Upgrade", kSpdyName)) {
    return HttpRefusal{.status = 400,
                       .message = "upgrade to SPDY/3.1 or to WebSocket",
                       .headers = {{"Connection", "Upgrade"}, {"Upgrade", "SPDY/3.1, websocket"}}};
  }
  const std::vector<std::string> offered = ListOf(head, kVersionField);
  if (offered.empty())
    return HttpRefusal{.status = 400, .message = absl::StrCat(kVersionField, " is needed")};
  if (auto refusal = Choose(offered, request)) return *std::move(refusal);
  return request;
}

}  // namespace

std::optional<HeadResult> RequestHead::Feed(absl::string_view bytes) {
  constexpr absl::string_view kEnd = "\r\n\r\n";
  const size_t searched = bytes_.size() < kEnd.size() ? 0 : bytes_.size() - kEnd.size();
  bytes_.append(bytes.data(), bytes.size());
  const size_t end = bytes_.find(kEnd.data(), searched, kEnd.size());
  if (std::min(end, bytes_.size()) > kMaxHeadBytes)
    return HttpRefusal{.status = 431, .message = "the request's head is too long"};
  if (end == std::string::npos) return std::nullopt;
  head_bytes_ = end + kEnd.size();

  http::request_parser<http::empty_body> parser;
  parser.header_limit(2 * kMaxHeadBytes);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(bytes_.data(), head_bytes_), error);
  const auto& fields = parser.get();
  if (error || !parser.is_header_done())
    return HttpRefusal{.status = 400, .message = "the request's head is malformed"};
  if (std::distance(fields.begin(), fields.end()) > static_cast<ptrdiff_t>(kMaxHeadFields))
    return HttpRefusal{.status = 431, .message = "the request's head has too many fields"};
  return Read(fields);
}

std::string SerializeRefusal(const HttpRefusal& refusal) {
  const boost::beast::string_view reason =
      http::obsolete_reason(static_cast<http::status>(refusal.status));
  std::string answer = absl::StrCat(
      "HTTP/1.1 ", refusal.status, " ", View(reason),
      "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ", refusal.message.size() + 1,
      "\r\n");
  bool connection = false;
  for (const auto& [name, value] : refusal.headers) {
    absl::StrAppend(&answer, name, ": ", value, "\r\n");
    connection = connection || name == "Connection";
  }
  absl::StrAppend(&answer, connection ? "" : "Connection: close\r\n", "\r\n", refusal.message,
                  "\n");
  return answer;
}

std::string SerializeSpdyUpgrade(const UpgradeRequest& request) {
  return absl::StrCat("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ",
                      kSpdyName, "\r\n", kVersionField, ": ", request.protocol, "\r\n\r\n");
}

}  // namespace berth
