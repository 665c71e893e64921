#include "src/cli/stream_url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace berth::cli {
namespace {

struct Scheme {
  absl::string_view prefix;
  bool tls;
  absl::string_view port;
};
constexpr std::array kSchemes = {Scheme{"http://", false, "80"}, Scheme{"https://", true, "443"},
                                 Scheme{"ws://", false, "80"}, Scheme{"wss://", true, "443"}};

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the session's URL: ", what));
}

// "[::1]:80", "127.0.0.1:80", "node"
absl::Status SplitAuthority(absl::string_view authority, StreamUrl* url) {
  if (absl::ConsumePrefix(&authority, "[")) {
    const size_t bracket = authority.find(']');
    if (bracket == absl::string_view::npos) return Malformed("a bracket is open");
    url->host = std::string(authority.substr(0, bracket));
    authority.remove_prefix(bracket + 1);
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    url->host = std::string(authority.substr(0, colon));
    authority.remove_prefix(colon);
  }
  if (url->host.empty()) return Malformed("no host");
  if (authority.empty()) return absl::OkStatus();
  uint32_t port = 0;
  if (!absl::ConsumePrefix(&authority, ":") || !absl::SimpleAtoi(authority, &port) || port == 0 ||
      port > 65535) {
    return Malformed("no port number");
  }
  url->port = absl::StrCat(port);
  return absl::OkStatus();
}

}  // namespace

std::string StreamUrl::Authority() const {
  const bool v6 = absl::StrContains(host, ":");
  return absl::StrCat(v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

bool StreamUrl::IsLoopback() const {
  in_addr v4;
  in6_addr v6;
  if (host == "localhost") return true;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

absl::StatusOr<StreamUrl> ParseStreamUrl(absl::string_view text) {
  const auto scheme = std::find_if(kSchemes.begin(), kSchemes.end(), [&](const Scheme& one) {
    return absl::StartsWithIgnoreCase(text, one.prefix);
  });
  if (scheme == kSchemes.end()) return Malformed("neither http nor https");
  text.remove_prefix(scheme->prefix.size());
  StreamUrl url{.tls = scheme->tls, .port = std::string(scheme->port)};
  const size_t path = std::min(text.find_first_of("/?#"), text.size());
  if (const absl::Status status = SplitAuthority(text.substr(0, path), &url); !status.ok())
    return status;
  text.remove_prefix(path);
  url.target = absl::StrCat(absl::StartsWith(text, "/") ? "" : "/", text.substr(0, text.find('#')));
  for (const char c : url.target) {
    if (c <= ' ' || c == '\x7f') return Malformed("a control character or a space");
  }
  return url;
}

}  // namespace berth::cli
