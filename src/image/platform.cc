#include "src/image/platform.h"

#include <sys/utsname.h>

#include <array>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace berth {
namespace {

struct Machine {
  absl::string_view uname, architecture, variant;
};
constexpr std::array kMachines = {
    Machine{"x86_64", "amd64", ""},    Machine{"aarch64", "arm64", "v8"},
    Machine{"armv7l", "arm", "v7"},    Machine{"armv8l", "arm", "v7"},
    Machine{"armv6l", "arm", "v6"},    Machine{"armv5tel", "arm", "v5"},
    Machine{"i686", "386", ""},        Machine{"i386", "386", ""},
    Machine{"ppc64le", "ppc64le", ""}, Machine{"s390x", "s390x", ""},
    Machine{"riscv64", "riscv64", ""}, Machine{"loongarch64", "loong64", ""},
};

// Each architecture's variant when none is written.
struct DefaultLevel {
  absl::string_view architecture;
  int level;
};
constexpr std::array kDefaultLevels = {DefaultLevel{"amd64", 1}, DefaultLevel{"arm64", 8},
                                       DefaultLevel{"arm", 7}};

// "v7" is 7; a variant of another form has no level.
std::optional<int> Level(const Platform& platform) {
  if (platform.variant.empty()) {
    for (const DefaultLevel& known : kDefaultLevels) {
      if (known.architecture == platform.architecture) return known.level;
    }
    return 0;
  }
  absl::string_view number = platform.variant;
  int level = 0;
  if (!absl::ConsumePrefix(&number, "v") || !absl::SimpleAtoi(number, &level)) return std::nullopt;
  return level;
}

}  // namespace

Platform PlatformOfMachine(absl::string_view uname_machine) {
  for (const Machine& machine : kMachines) {
    if (machine.uname == uname_machine) {
      return {.os = "linux",
              .architecture = std::string(machine.architecture),
              .variant = std::string(machine.variant)};
    }
  }
  return {.os = "linux", .architecture = std::string(uname_machine)};
}

Platform HostPlatform() {
  struct utsname name;
  if (::uname(&name) != 0) return {.os = "linux"};
  return PlatformOfMachine(name.machine);
}

std::optional<int> PlatformScore(const Platform& host, const Platform& image) {
  if (image.os != host.os || image.architecture != host.architecture) return std::nullopt;
  if (image.variant == host.variant) return 1000;
  const std::optional<int> have = Level(host), need = Level(image);
  if (!have.has_value() || !need.has_value() || *need > *have) return std::nullopt;
  return 1 + *need;
}

std::string PlatformName(const Platform& platform) {
  std::string name = absl::StrCat(platform.os, "/", platform.architecture);
  if (!platform.variant.empty()) absl::StrAppend(&name, "/", platform.variant);
  return name;
}

}  // namespace berth
