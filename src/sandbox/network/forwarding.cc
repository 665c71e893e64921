#include "src/sandbox/network/forwarding.h"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr char kIpv6Interfaces[] = "/proc/sys/net/ipv6/conf";

absl::StatusOr<std::string> ReadSetting(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFileAt(AT_FDCWD, path));
  return std::string(absl::StripAsciiWhitespace(text));
}

// Writes only what differs: /proc/sys may be read-only where all is set already.
absl::Status EnsureSetting(const std::string& path, absl::string_view value) {
  ASSIGN_OR_RETURN(const std::string current, ReadSetting(path));
  return current == value ? absl::OkStatus() : WriteFileAt(AT_FDCWD, path, value);
}

absl::Status KeepRouterAdvertisements(const std::string& except) {
  ASSIGN_OR_RETURN(const std::vector<std::string> interfaces, ListDir(AT_FDCWD, kIpv6Interfaces));
  for (const std::string& interface : interfaces) {
    if (interface == "all" || interface == "default" || interface == "lo" || interface == except)
      continue;
    const std::string path = absl::StrCat(kIpv6Interfaces, "/", interface, "/accept_ra");
    const auto accepts = ReadSetting(path);
    if (!accepts.ok() || *accepts != "1") continue;  // gone meanwhile, or it never listened
    absl::Status kept = WriteFileAt(AT_FDCWD, path, "2");
    if (!kept.ok() && !absl::IsNotFound(kept)) return kept;
  }
  return absl::OkStatus();
}

}  // namespace

bool HasIpv6() { return ::access(kIpv6Interfaces, F_OK) == 0; }

absl::Status PrepareIpv6(const std::string& interface) {
  const std::string directory = absl::StrCat(kIpv6Interfaces, "/", interface);
  RETURN_IF_ERROR(EnsureSetting(directory + "/disable_ipv6", "0"));
  RETURN_IF_ERROR(EnsureSetting(directory + "/accept_ra", "0"));
  return EnsureSetting(directory + "/accept_dad", "0");
}

absl::Status SetRouteLocalnet(const std::string& interface, bool on) {
  return EnsureSetting(absl::StrCat("/proc/sys/net/ipv4/conf/", interface, "/route_localnet"),
                       on ? "1" : "0");
}

absl::Status EnableForwarding(const ForwardingOptions& options) {
  RETURN_IF_ERROR(EnsureSetting("/proc/sys/net/ipv4/ip_forward", "1"));
  if (!options.ipv6) return absl::OkStatus();
  const std::string all = absl::StrCat(kIpv6Interfaces, "/all/forwarding");
  ASSIGN_OR_RETURN(const std::string current, ReadSetting(all));
  if (current == "1") return absl::OkStatus();
  RETURN_IF_ERROR(KeepRouterAdvertisements(options.except));
  return WriteFileAt(AT_FDCWD, all, "1");
}

}  // namespace berth
