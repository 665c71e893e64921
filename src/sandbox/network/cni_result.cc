#include "src/sandbox/network/cni_result.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/json_fields.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/base/strict_json.h"
#include "src/kernel/ip_address.h"
#include "src/sandbox/network/cni_config.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr JsonLimits kLimits = {.bytes = kMaxCniOutput, .depth = 32, .values = 50'000};
constexpr size_t kMaxAddresses = 64;
constexpr size_t kMaxText = 512;  // of a message

// Codes of the specification, section "Error".
constexpr int64_t kUnknownContainer = 3, kTryAgain = 11, kNotAvailable = 50, kLimited = 51;

absl::Status Wrong(absl::string_view why) {
  return absl::DataLossError(absl::StrCat("CNI result: ", why));
}

// "10.1.2.3/24"; the address alone.
absl::StatusOr<std::string> AddressOf(const Json& entry, const char* member) {
  absl::StatusOr<std::string> text = StringMember(entry, member);
  if (!text.ok()) return Wrong(text.status().message());
  const std::vector<std::string> parts = absl::StrSplit(*text, '/');
  const absl::StatusOr<IpAddress> address = ParseIpAddress(parts[0]);
  int length = -1;
  if (parts.size() != 2 || !address.ok() || !absl::SimpleAtoi(parts[1], &length) || length < 0 ||
      length > address->size() * 8) {
    return Wrong(absl::StrCat("\"", EscapeForLog(text->substr(0, kMaxText)),
                              "\" is no address with a prefix length"));
  }
  return address->ToString();
}

// Whether an entry of `ips` belongs to the pod's interface. One that names no interface does.
absl::StatusOr<bool> IsOfPod(const Json& entry, const Json& interfaces,
                             absl::string_view interface) {
  const Json* index = FindMember(entry, "interface");
  if (index == nullptr || interfaces.empty()) return true;
  if (!index->is_number_integer()) return Wrong("an interface's index is no number");
  const auto number = index->get<int64_t>();
  if (index->is_number_unsigned() && index->get<uint64_t>() >= interfaces.size())
    return Wrong("an interface's index is beyond the list");
  if (number < 0) return Wrong("an interface's index is negative");
  const Json& named = interfaces[static_cast<size_t>(number)];
  if (!named.is_object()) return Wrong("an interface is not an object");
  const absl::StatusOr<std::string> name = StringMember(named, "name"),
                                    sandbox = StringMember(named, "sandbox");
  if (!name.ok()) return Wrong(name.status().message());
  if (!sandbox.ok()) return Wrong(sandbox.status().message());
  return !sandbox->empty() && *name == interface;
}

void AddOnce(std::string address, std::vector<std::string>* addresses) {
  if (std::find(addresses->begin(), addresses->end(), address) == addresses->end())
    addresses->push_back(std::move(address));
}

// Since 0.3.0.
absl::Status ReadList(const Json& document, absl::string_view interface,
                      std::vector<std::string>* addresses) {
  const Json none = Json::array();
  const Json* interfaces = FindMember(document, "interfaces");
  const Json* ips = FindMember(document, "ips");
  if (interfaces == nullptr) interfaces = &none;
  if (ips == nullptr) ips = &none;
  if (!interfaces->is_array() || !ips->is_array())
    return Wrong("\"interfaces\" or \"ips\" is not a list");
  if (ips->size() > kMaxAddresses)
    return Wrong(absl::StrCat("more than ", kMaxAddresses, " addresses"));
  for (const Json& entry : *ips) {
    if (!entry.is_object()) return Wrong("an entry of \"ips\" is not an object");
    ASSIGN_OR_RETURN(const bool of_pod, IsOfPod(entry, *interfaces, interface));
    ASSIGN_OR_RETURN(std::string address, AddressOf(entry, "address"));
    if (of_pod) AddOnce(std::move(address), addresses);
  }
  return absl::OkStatus();
}

// 0.1.0 and 0.2.0: one address of each family.
absl::Status ReadPair(const Json& document, std::vector<std::string>* addresses) {
  for (const char* family : {"ip4", "ip6"}) {
    const Json* entry = FindMember(document, family);
    if (entry == nullptr) continue;
    if (!entry->is_object()) return Wrong(absl::StrCat("\"", family, "\" is not an object"));
    ASSIGN_OR_RETURN(std::string address, AddressOf(*entry, "ip"));
    AddOnce(std::move(address), addresses);
  }
  return absl::OkStatus();
}

std::string Bounded(absl::string_view text) {
  const absl::string_view stripped = absl::StripAsciiWhitespace(text);
  return EscapeForLog(stripped.substr(0, kMaxText));
}

}  // namespace

absl::StatusOr<CniResult> CniResultOf(Json document, absl::string_view interface) {
  if (!document.is_object()) return Wrong("not a JSON object");
  CniResult result;
  absl::StatusOr<std::string> version = StringMember(document, "cniVersion");
  if (!version.ok()) return Wrong(version.status().message());
  if (version->empty()) version = "0.1.0";
  const std::vector<std::string>& known = KnownCniVersions();
  if (std::find(known.begin(), known.end(), *version) == known.end()) {
    return Wrong(
        absl::StrCat("unknown version \"", EscapeForLog(version->substr(0, kMaxText)), "\""));
  }
  RETURN_IF_ERROR(CompareCniVersions(*version, "0.3.0") < 0
                      ? ReadPair(document, &result.addresses)
                      : ReadList(document, interface, &result.addresses));
  result.document = std::move(document);
  return result;
}

absl::StatusOr<CniResult> ParseCniResult(absl::string_view output, absl::string_view interface) {
  absl::StatusOr<Json> document = ParseStrictJson(output, kLimits, "CNI result");
  if (!document.ok()) return absl::DataLossError(document.status().message());
  return CniResultOf(*std::move(document), interface);
}

std::vector<std::string> OrderAddresses(std::vector<std::string> addresses,
                                        AddressPreference preference) {
  if (preference == AddressPreference::kAsGiven) return addresses;
  const bool ipv6 = preference == AddressPreference::kIpv6;
  std::stable_partition(addresses.begin(), addresses.end(), [&](const std::string& address) {
    return (address.find(':') != std::string::npos) == ipv6;
  });
  return addresses;
}

absl::Status CniErrorOf(absl::string_view plugin, int exit_code, absl::string_view output,
                        absl::string_view error_output) {
  const absl::StatusOr<Json> document = ParseStrictJson(output, kLimits, "CNI error");
  const Json* code = document.ok() ? FindMember(*document, "code") : nullptr;
  if (code == nullptr || !code->is_number_integer()) {
    const std::string said = Bounded(error_output.empty() ? output : error_output);
    return absl::UnknownError(absl::StrCat("CNI plugin ", plugin, " ended with ", exit_code,
                                           said.empty() ? " and said nothing" : ": ", said));
  }
  const std::string message = StringMember(*document, "msg").value_or(""),
                    details = StringMember(*document, "details").value_or("");
  std::string text = absl::StrCat("CNI plugin ", plugin, ": ", Bounded(message));
  if (!details.empty()) absl::StrAppend(&text, "; ", Bounded(details));
  if (message.empty() && details.empty()) absl::StrAppend(&text, "code ", code->dump());
  switch (code->get<int64_t>()) {
    case kUnknownContainer:
      return absl::NotFoundError(text);
    case kTryAgain:
    case kNotAvailable:
    case kLimited:
      return absl::UnavailableError(text);
  }
  return absl::UnknownError(text);
}

absl::StatusOr<std::vector<std::string>> ParseCniVersions(absl::string_view output) {
  ASSIGN_OR_RETURN(const Json document, ParseStrictJson(output, kLimits, "CNI versions"));
  return StringListMember(document, "supportedVersions");
}

}  // namespace berth
