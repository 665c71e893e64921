#include "src/image/reference.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/id.h"
#include "src/base/log.h"

namespace berth {
namespace {

constexpr size_t kMaxName = 255;
constexpr size_t kMaxTag = 128;
constexpr size_t kMaxText = 1024;

bool IsLowerAlnum(char c) { return absl::ascii_isdigit(c) || absl::ascii_islower(c); }

// One path component: lower-case letters and digits, joined by ".", "_", "__" or any number of "-".
bool IsPathComponent(absl::string_view text) {
  size_t i = 0;
  while (true) {
    const size_t word = i;
    while (i < text.size() && IsLowerAlnum(text[i])) ++i;
    if (i == word) return false;
    if (i == text.size()) return true;
    const size_t separator = i;
    while (i < text.size() && text[i] == text[separator]) ++i;
    const size_t length = i - separator;
    switch (text[separator]) {
      case '.':
        if (length > 1) return false;
        break;
      case '_':
        if (length > 2) return false;
        break;
      case '-':
        break;
      default:
        return false;
    }
  }
}

bool IsTag(absl::string_view text) {
  if (text.empty() || text.size() > kMaxTag) return false;
  if (text[0] == '.' || text[0] == '-') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  });
}

bool IsDomainName(absl::string_view text) {
  for (absl::string_view label : absl::StrSplit(text, '.')) {
    if (label.empty() || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-'; })) {
      return false;
    }
  }
  return true;
}

bool IsIpv6Literal(absl::string_view text) {
  in6_addr ignored;
  return inet_pton(AF_INET6, std::string(text).c_str(), &ignored) == 1;
}

bool IsHost(absl::string_view host_and_port) {
  absl::string_view host = host_and_port;
  absl::string_view port;
  const size_t end_of_host = absl::StartsWith(host, "[") ? host.find(']') : 0;
  if (end_of_host == absl::string_view::npos) return false;
  if (const size_t colon = host.find(':', end_of_host); colon != absl::string_view::npos) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
    int number = 0;
    if (port.empty() || port.size() > 5 ||
        !std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
        !absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) {
      return false;
    }
  }
  if (absl::StartsWith(host, "[")) {
    return absl::EndsWith(host, "]") && IsIpv6Literal(host.substr(1, host.size() - 2));
  }
  return IsDomainName(host);
}

bool LooksLikeHost(absl::string_view first_component) {
  return absl::StrContains(first_component, '.') || absl::StrContains(first_component, ':') ||
         first_component == "localhost";
}

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("parse image reference \"", EscapeForLog(text.substr(0, 300)), "\": ", why));
}

}  // namespace

std::string Reference::Repository() const { return absl::StrCat(host, "/", path); }

std::string Reference::Name() const {
  if (!digest.empty()) return absl::StrCat(Repository(), "@", digest.text());
  return absl::StrCat(Repository(), ":", tag);
}

absl::StatusOr<Reference> ParseReference(absl::string_view text) {
  if (text.empty()) return Bad(text, "it is empty");
  if (text.size() > kMaxText) return Bad(text, "it is too long");
  if (IsFullId(text)) return Bad(text, "64 hex characters are an image id, not a name");
  Reference reference;
  absl::string_view name = text;
  if (const size_t at = name.find('@'); at != absl::string_view::npos) {
    absl::StatusOr<Digest> digest = Digest::Parse(name.substr(at + 1));
    if (!digest.ok()) return Bad(text, digest.status().message());
    reference.digest = *std::move(digest);
    name = name.substr(0, at);
  }
  // A colon after the last slash begins the tag; one before it belongs to the host.
  const size_t last_slash = name.rfind('/');
  const size_t tag_colon = name.find(':', last_slash == absl::string_view::npos ? 0 : last_slash);
  if (tag_colon != absl::string_view::npos) {
    reference.tag = std::string(name.substr(tag_colon + 1));
    if (!IsTag(reference.tag)) {
      return Bad(text, "a tag is 1 to 128 of A-Z a-z 0-9 _ . - and does not begin with . or -");
    }
    name = name.substr(0, tag_colon);
  }
  const size_t slash = name.find('/');
  if (slash != absl::string_view::npos && LooksLikeHost(name.substr(0, slash))) {
    reference.host = std::string(name.substr(0, slash));
    name = name.substr(slash + 1);
    if (!IsHost(reference.host)) return Bad(text, "the registry host is malformed");
  } else {
    reference.host = "docker.io";
  }
  if (reference.host == "index.docker.io") reference.host = "docker.io";
  reference.path = std::string(name);
  if (reference.host == "docker.io" && !absl::StrContains(name, '/')) {
    reference.path = absl::StrCat("library/", name);
  }
  for (absl::string_view component : absl::StrSplit(reference.path, '/')) {
    if (!IsPathComponent(component)) {
      return Bad(text,
                 "a repository is lower-case letters and digits, joined by / . _ __ or dashes");
    }
  }
  if (reference.Repository().size() > kMaxName) {
    return Bad(text, "host and repository are longer than 255 characters");
  }
  if (!reference.digest.empty()) {
    reference.tag.clear();
  } else if (reference.tag.empty()) {
    reference.tag = "latest";
  }
  return reference;
}

absl::string_view HostWithoutPort(absl::string_view host_and_port) {
  if (absl::StartsWith(host_and_port, "[")) {
    return host_and_port.substr(1, host_and_port.find(']') - 1);
  }
  // More than one colon is an IPv6 address without brackets.
  const size_t colon = host_and_port.find(':');
  if (colon != host_and_port.rfind(':')) return host_and_port;
  return host_and_port.substr(0, colon);
}

bool IsLoopbackHost(absl::string_view host_and_port) {
  const std::string host(HostWithoutPort(host_and_port));
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  in_addr v4;
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  return inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace berth
