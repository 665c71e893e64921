#include "src/server/convert/device_request.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/runtime/host_devices.h"
#include "src/server/convert/text_check.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

constexpr char kCdiPrefix[] = "cdi.k8s.io/";

// A name and the field that it is from.
struct CdiName {
  std::string field, name;
};

std::vector<CdiName> CdiNamesOf(const cri::ContainerConfig& config) {
  std::vector<CdiName> names;
  for (const cri::CDIDevice& device : config.cdi_devices())
    names.push_back({"CDI_devices", device.name()});
  const std::map<std::string, std::string> sorted(config.annotations().begin(),
                                                  config.annotations().end());
  for (const auto& [key, value] : sorted) {
    if (!absl::StartsWith(key, kCdiPrefix)) continue;
    for (absl::string_view name : absl::StrSplit(value, ','))
      names.push_back({absl::StrCat("annotations[", key, "]"), std::string(name)});
  }
  return names;
}

bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

// Begins and ends with a letter or digit; between also what `more` has.
bool IsWord(absl::string_view word, absl::string_view more) {
  return !word.empty() && IsAlnum(word.front()) && IsAlnum(word.back()) &&
         std::all_of(word.begin(), word.end(),
                     [&](char c) { return IsAlnum(c) || more.find(c) != absl::string_view::npos; });
}

// "vendor.com/class=name" (CDI specification, "Kind").
bool IsQualifiedName(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> kind_and_name =
      absl::StrSplit(text, absl::MaxSplits('=', 1));
  const std::pair<absl::string_view, absl::string_view> kind =
      absl::StrSplit(kind_and_name.first, absl::MaxSplits('/', 1));
  return text.size() <= 2 * kMaxName && IsWord(kind.first, "_-.") && IsWord(kind.second, "_-.") &&
         IsWord(kind_and_name.second, "_-.:");
}

absl::Status CheckDevice(const cri::Device& device) {
  const std::string field = absl::StrCat("devices[", device.container_path(), "]");
  RETURN_IF_ERROR(CheckPath("devices.container_path", device.container_path()));
  RETURN_IF_ERROR(CheckPath(field + ".host_path", device.host_path()));
  if (LeadsUp(device.container_path()))
    return Refused(field + ".container_path", "has \"..\" in it");
  // None is a node that may not be used.
  if (device.permissions().empty()) return absl::OkStatus();
  const absl::Status access = ParseDeviceAccess(device.permissions()).status();
  return access.ok() ? access : Refused(field + ".permissions", access.message());
}

}  // namespace

std::vector<DeviceRequest> ParseDevices(const cri::ContainerConfig& config) {
  std::vector<DeviceRequest> devices;
  for (const cri::Device& device : config.devices())
    devices.push_back({device.host_path(), device.container_path(), device.permissions()});
  return devices;
}

std::vector<std::string> ParseCdiNames(const cri::ContainerConfig& config) {
  std::vector<std::string> names;
  for (CdiName& each : CdiNamesOf(config)) {
    if (std::find(names.begin(), names.end(), each.name) == names.end())
      names.push_back(std::move(each.name));
  }
  return names;
}

absl::Status CheckDevices(const cri::ContainerConfig& config) {
  for (const cri::Device& device : config.devices()) RETURN_IF_ERROR(CheckDevice(device));
  for (const CdiName& each : CdiNamesOf(config)) {
    RETURN_IF_ERROR(CheckText(each.field, each.name, 2 * kMaxName));
    if (!IsQualifiedName(each.name)) {
      return Refused(each.field,
                     absl::StrCat("\"", each.name, "\" is not of the form vendor/class=name"));
    }
  }
  return absl::OkStatus();
}

}  // namespace berth
