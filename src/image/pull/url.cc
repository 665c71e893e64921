#include "src/image/pull/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <array>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Handle = std::unique_ptr<CURLU, FreeUrl>;

std::string Part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return "";
  std::string copy(text);
  curl_free(text);
  return copy;
}

// Without query and user name, whatever the text is.
std::string PrintableText(absl::string_view text) {
  const size_t query = text.find_first_of("?#");
  const size_t at = text.substr(0, query).find('@');
  if (at != absl::string_view::npos) return "(a URL with a user name)";
  return EscapeForLog(text.substr(0, query).substr(0, 256));
}

absl::StatusOr<Handle> ParseInto(Handle url, const std::string& text) {
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK) {
    return absl::InvalidArgumentError(
        absl::StrCat("parse URL ", PrintableText(text), ": malformed"));
  }
  const std::string scheme = Part(url.get(), CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return absl::InvalidArgumentError(
        absl::StrCat("parse URL ", PrintableText(text), ": neither http nor https"));
  }
  return url;
}

struct Range4 {
  uint32_t network, mask;
};
constexpr std::array kInternal4 = {
    Range4{0x00000000, 0xff000000},  // 0.0.0.0/8
    Range4{0x0a000000, 0xff000000},  // 10.0.0.0/8
    Range4{0x64400000, 0xffc00000},  // 100.64.0.0/10
    Range4{0x7f000000, 0xff000000},  // 127.0.0.0/8
    Range4{0xa9fe0000, 0xffff0000},  // 169.254.0.0/16
    Range4{0xac100000, 0xfff00000},  // 172.16.0.0/12
    Range4{0xc0a80000, 0xffff0000},  // 192.168.0.0/16
};

bool IsInternal4(uint32_t address) {
  for (const Range4& range : kInternal4) {
    if ((address & range.mask) == range.network) return true;
  }
  return false;
}

bool IsInternal6(const in6_addr& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    uint32_t v4;
    std::memcpy(&v4, address.s6_addr + 12, sizeof(v4));
    return IsInternal4(ntohl(v4));
  }
  const bool unique_local = (address.s6_addr[0] & 0xfe) == 0xfc;
  return unique_local || IN6_IS_ADDR_LOOPBACK(&address) || IN6_IS_ADDR_LINKLOCAL(&address) ||
         IN6_IS_ADDR_UNSPECIFIED(&address);
}

}  // namespace

absl::StatusOr<Url> Url::Parse(const std::string& text) {
  ASSIGN_OR_RETURN(const Handle handle, ParseInto(Handle(curl_url()), text));
  Url url;
  url.scheme_ = Part(handle.get(), CURLUPART_SCHEME);
  url.host_ = absl::AsciiStrToLower(Part(handle.get(), CURLUPART_HOST));
  if (absl::StartsWith(url.host_, "[")) url.host_ = url.host_.substr(1, url.host_.size() - 2);
  url.port_ = Part(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  url.path_ = Part(handle.get(), CURLUPART_PATH);
  url.text_ = Part(handle.get(), CURLUPART_URL);
  if (url.host_.empty() || url.text_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("parse URL ", PrintableText(text), ": no host"));
  }
  return url;
}

absl::StatusOr<Url> Url::Resolve(const std::string& location) const {
  Handle handle(curl_url());
  if (curl_url_set(handle.get(), CURLUPART_URL, text_.c_str(), 0) != CURLUE_OK) {
    return absl::InternalError("parse URL: it was parsed before");
  }
  ASSIGN_OR_RETURN(handle, ParseInto(std::move(handle), location));
  return Parse(Part(handle.get(), CURLUPART_URL));
}

std::string Url::Printable() const {
  const bool v6 = absl::StrContains(host_, ':');
  const bool usual_port = port_ == (scheme_ == "https" ? "443" : "80");
  return EscapeForLog(absl::StrCat(scheme_, "://", v6 ? "[" : "", host_, v6 ? "]" : "",
                                   usual_port ? "" : absl::StrCat(":", port_),
                                   path_.substr(0, 512)));
}

bool Url::SameOrigin(const Url& other) const {
  return scheme_ == other.scheme_ && host_ == other.host_ && port_ == other.port_;
}

bool IsInternalHost(absl::string_view host) {
  const std::string text = absl::AsciiStrToLower(host);
  in_addr v4;
  in6_addr v6;
  // inet_aton also reads 0177.1 and 2130706433, as the resolver will.
  if (::inet_aton(text.c_str(), &v4) == 1) return IsInternal4(ntohl(v4.s_addr));
  if (::inet_pton(AF_INET6, text.substr(0, text.find('%')).c_str(), &v6) == 1)
    return IsInternal6(v6);
  return text == "localhost" || absl::EndsWith(text, ".localhost") || text == "localhost.";
}

absl::Status CheckDestination(const Url& registry, const Url& target, absl::string_view what) {
  const auto refuse = [&](absl::string_view why) {
    return absl::PermissionDeniedError(
        absl::StrCat(what, " ", target.Printable(), " named by ", registry.host(), ": ", why));
  };
  if (registry.scheme() == "https" && target.scheme() == "http") return refuse("it is not https");
  if (target.host() == registry.host()) return absl::OkStatus();
  if (IsInternalHost(target.host())) return refuse("it is an internal address");
  if (target.scheme() == "http") return refuse("plain http is for the registry's own host only");
  return absl::OkStatus();
}

}  // namespace berth
