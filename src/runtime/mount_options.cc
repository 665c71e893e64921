#include "src/runtime/mount_options.h"

#include <linux/mount.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace berth {
namespace {

// Options of a mount (mount_setattr(2)): one sets the bits, its contrary takes them away. With an
// "r" in front they are recursive.
struct AttributeOption {
  const char* name;
  uint64_t set, clear;
};

constexpr AttributeOption kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"atime", 0, MOUNT_ATTR_NOATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

struct PropagationOption {
  const char* name;
  Propagation propagation;
};

constexpr PropagationOption kPropagations[] = {
    {"private", Propagation::kPrivate}, {"rprivate", Propagation::kPrivate},
    {"slave", Propagation::kSlave},     {"rslave", Propagation::kSlave},
    {"shared", Propagation::kShared},   {"rshared", Propagation::kShared},
};

constexpr const char* kRefused[] = {"tmpcopyup",   "remount",      "unbindable",
                                    "runbindable", "copy-symlink", "move"};
constexpr const char* kNothing[] = {"defaults", "loud", "norelatime", "nostrictatime"};

template <typename List>
bool Holds(const List& list, const std::string& name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

bool TakeAttribute(const std::string& name, MountOptions* options) {
  for (const AttributeOption& option : kAttributes) {
    const bool recursive = name == absl::StrCat("r", option.name);
    if (!recursive && name != option.name) continue;
    options->attributes = (options->attributes & ~option.clear) | option.set;
    if (recursive) options->recursive = true;
    return true;
  }
  return false;
}

bool TakePropagation(const std::string& name, MountOptions* options) {
  for (const PropagationOption& option : kPropagations) {
    if (name != option.name) continue;
    options->propagation = option.propagation;
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& names) {
  MountOptions options;
  for (const std::string& name : names) {
    if (Holds(kRefused, name))
      return absl::UnimplementedError(absl::StrCat("option \"", name, "\" is not supported"));
    if (name.empty() || name.find('\n') != std::string::npos)
      return absl::InvalidArgumentError("an option that is empty or has a newline in it");
    if (Holds(kNothing, name) || TakeAttribute(name, &options) || TakePropagation(name, &options))
      continue;
    if (name == "bind") {
      if (options.bind == BindOption::kNone) options.bind = BindOption::kPlain;
    } else if (name == "rbind") {
      options.bind = BindOption::kRecursive;
    } else if (name == "idmap" || name == "ridmap") {
      options.idmapped = true;
    } else {
      options.data.push_back(name);
    }
  }
  return options;
}

std::vector<std::string> MountOptionNames() {
  std::vector<std::string> names = {"bind", "rbind", "idmap", "ridmap"};
  for (const AttributeOption& option : kAttributes) {
    names.push_back(option.name);
    names.push_back(absl::StrCat("r", option.name));
  }
  for (const PropagationOption& option : kPropagations) names.push_back(option.name);
  names.insert(names.end(), std::begin(kNothing), std::end(kNothing));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace berth
