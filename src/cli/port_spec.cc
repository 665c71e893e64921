#include "src/cli/port_spec.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace berth::cli {
namespace {

absl::Status Malformed(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": ", why));
}

bool ParsePort(absl::string_view text, uint16_t* port) {
  uint32_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  if (!absl::SimpleAtoi(text, &number) || number == 0 || number > 65535) return false;
  *port = static_cast<uint16_t>(number);
  return true;
}

bool IsAddress(const std::string& text) {
  in6_addr address;
  return inet_pton(AF_INET, text.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

// Takes "ADDRESS:" off the front, if it is there.
absl::Status TakeAddress(absl::string_view whole, absl::string_view* rest, PortSpec* spec) {
  absl::string_view address = "localhost";
  if (absl::StartsWith(*rest, "[")) {
    const size_t bracket = rest->find("]:");
    if (bracket == absl::string_view::npos) return Malformed(whole, "no port after the address");
    address = rest->substr(1, bracket - 1);
    rest->remove_prefix(bracket + 2);
    if (!absl::StrContains(address, ":")) return Malformed(whole, "only IPv6 is in brackets");
  } else if (const size_t colon = rest->find(':');
             colon != absl::string_view::npos && colon != rest->rfind(':')) {
    address = rest->substr(0, colon);
    rest->remove_prefix(colon + 1);
  }
  if (address == "localhost") {
    spec->addresses = {"127.0.0.1", "::1"};
    return absl::OkStatus();
  }
  spec->addresses = {std::string(address)};
  if (IsAddress(spec->addresses[0])) return absl::OkStatus();
  return Malformed(whole, absl::StrCat("\"", address, "\" is no IP address"));
}

}  // namespace

absl::StatusOr<PortSpec> ParsePortSpec(absl::string_view text) {
  PortSpec spec;
  absl::string_view ports = text;
  if (const absl::Status status = TakeAddress(text, &ports, &spec); !status.ok()) return status;
  const std::vector<absl::string_view> words = absl::StrSplit(ports, ':');
  if (words.size() > 2) return Malformed(text, "more than [ADDRESS:]LOCAL:REMOTE");
  if (!ParsePort(words.back(), &spec.remote))
    return Malformed(text, absl::StrCat("\"", words.back(), "\" is no port from 1 to 65535"));
  if (words.size() == 1) {
    spec.local = spec.remote;
  } else if (!words[0].empty() && !ParsePort(words[0], &spec.local)) {
    return Malformed(text, absl::StrCat("\"", words[0], "\" is no port from 1 to 65535"));
  }
  return spec;
}

std::string FormatEndpoint(absl::string_view address, uint16_t port) {
  const bool v6 = absl::StrContains(address, ":");
  return absl::StrCat(v6 ? "[" : "", address, v6 ? "]" : "", ":", port);
}

}  // namespace berth::cli
