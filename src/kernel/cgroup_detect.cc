// Cgroups: which hierarchies this node has.
#include <fcntl.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/kernel/cgroup.h"
#include "src/kernel/file.h"

namespace berth {

namespace {

// Without those that every file system has.
std::string OwnOptions(absl::string_view super_options) {
  std::vector<absl::string_view> own;
  for (absl::string_view option : absl::StrSplit(super_options, ',', absl::SkipEmpty())) {
    if (option != "rw" && option != "ro" && option != "seclabel") own.push_back(option);
  }
  return absl::StrJoin(own, "\n");
}

}  // namespace

absl::StatusOr<Cgroups> Cgroups::Detect() {
  ASSIGN_OR_RETURN(const std::string mountinfo,
                   ReadFileAt(AT_FDCWD, "/proc/self/mountinfo", 64 << 20));
  Cgroups found;
  bool v1 = false;
  for (absl::string_view line : absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<absl::string_view> left = absl::StrSplit(halves.first, ' ');
    const std::vector<absl::string_view> right = absl::StrSplit(halves.second, ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    if (right[0] != "cgroup" && right[0] != "cgroup2") continue;
    absl::StatusOr<Hierarchy> opened = Hierarchy::Open(std::string(left[4]));
    if (!opened.ok()) continue;  // another mount hides it
    Hierarchy hierarchy = *std::move(opened);
    if (right[0] == "cgroup2") {
      hierarchy.unified = true;
      hierarchy.options = OwnOptions(right[2]);
    } else {
      for (absl::string_view option : absl::StrSplit(right[2], ',')) {
        const bool no_controller = option == "rw" || option == "ro" || option == "xattr" ||
                                   option == "clone_children" || option == "noprefix" ||
                                   option == "cpuset_v2_mode" ||
                                   absl::StartsWith(option, "release_agent=");
        if (!no_controller) hierarchy.controllers.emplace_back(option);
      }
      v1 = true;
    }
    const bool again = std::any_of(
        found.hierarchies_.begin(), found.hierarchies_.end(), [&](const Hierarchy& other) {
          return other.unified ? hierarchy.unified
                               : !hierarchy.unified && other.controllers == hierarchy.controllers;
        });
    if (again) continue;
    found.hierarchies_.push_back(std::move(hierarchy));
  }
  for (Hierarchy& hierarchy : found.hierarchies_) {
    if (!hierarchy.unified) continue;
    ASSIGN_OR_RETURN(const std::string list, hierarchy.Read("/cgroup.controllers"));
    hierarchy.controllers =
        absl::StrSplit(absl::StripAsciiWhitespace(list), ' ', absl::SkipEmpty());
  }
  const bool v2 = std::any_of(found.hierarchies_.begin(), found.hierarchies_.end(),
                              [](const Hierarchy& hierarchy) { return hierarchy.unified; });
  if (!v1 && !v2) return absl::FailedPreconditionError("cgroups: no cgroup file system is mounted");
  found.mode_ = !v1 ? Mode::kV2 : v2 ? Mode::kHybrid : Mode::kV1;
  return found;
}

const Cgroups::Hierarchy* Cgroups::Find(absl::string_view controller) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (mode_ == Mode::kV2 && hierarchy.unified) return &hierarchy;
    if (std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), controller) !=
        hierarchy.controllers.end()) {
      return &hierarchy;
    }
  }
  return nullptr;
}

bool Cgroups::HasController(absl::string_view controller) const {
  return std::any_of(hierarchies_.begin(), hierarchies_.end(), [&](const Hierarchy& hierarchy) {
    return std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), controller) !=
           hierarchy.controllers.end();
  });
}

std::vector<std::string> Cgroups::V1Hierarchies() const {
  std::vector<std::string> options;
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (!hierarchy.unified) options.push_back(absl::StrJoin(hierarchy.controllers, ","));
  }
  return options;
}

std::string Cgroups::UnifiedOptions() const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (hierarchy.unified) return hierarchy.options;
  }
  return "";
}

std::string Cgroups::PathOf(absl::string_view controller, const std::string& path) const {
  const Hierarchy* hierarchy = Find(controller);
  return hierarchy == nullptr ? "" : hierarchy->NameOf(path);
}

}  // namespace berth
