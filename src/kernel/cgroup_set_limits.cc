// Cgroups: the writes that limits come to, made in an order that the kernel takes, and unmade.

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/cgroup.h"

namespace berth {
namespace {

using Writes = std::vector<CgroupWrite>;

bool operator==(const CgroupWrite& a, const CgroupWrite& b) {
  return a.file == b.file && a.value == b.value;
}

// Two files whose values the kernel checks against each other at each write. `first` goes first
// when the value of `decides` grows, else last.
struct OrderedPair {
  const char *first, *second, *decides;
  bool none_is_least = false;  // "no limit" counts as the smallest value, not as the largest
};
constexpr std::array kPairs = {
    // memory <= memory and swap, at each moment.
    OrderedPair{"memory.memsw.limit_in_bytes", "memory.limit_in_bytes", "memory.limit_in_bytes"},
    // quota/period may at no moment be above the parent's; no quota is the parent's.
    OrderedPair{"cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_quota_us", true},
    // Room for swap, which less memory may need, before there is less memory.
    OrderedPair{"memory.swap.max", "memory.max", "memory.swap.max"},
};

void OrderPair(const OrderedPair& pair, uint64_t now, Writes* writes) {
  const auto find = [&](absl::string_view file) {
    return std::find_if(writes->begin(), writes->end(),
                        [&](const CgroupWrite& write) { return write.file == file; });
  };
  const auto first = find(pair.first), second = find(pair.second);
  if (first == writes->end() || second == writes->end()) return;
  const auto size = [&](uint64_t value) {
    return pair.none_is_least && value == UINT64_MAX ? 0 : value;
  };
  const bool grows = size(CgroupNumber(find(pair.decides)->value)) > size(now);
  if ((first < second) != grows) std::iter_swap(first, second);
}

std::string FileOf(const CgroupWrite& write, const std::string& path) {
  return absl::StrCat(path, "/", write.file);
}

// As it is written back.
absl::StatusOr<std::string> ReadFrom(const CgroupHierarchy& hierarchy, const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, hierarchy.Read(file));
  const absl::string_view value = absl::StripAsciiWhitespace(text);
  return value.empty() ? std::string("\n") : std::string(value);  // an empty write writes nothing
}

// memory.max below what is in use makes the kernel kill. A memory.high of that size makes it
// reclaim instead, within the write, and lets nobody grow meanwhile.
absl::Status LowerMemoryMax(const CgroupHierarchy& memory, const std::string& path,
                            const std::string& value) {
  const std::string high_file = path + "/memory.high";
  const uint64_t limit = CgroupNumber(value);
  const auto in_use = [&]() -> absl::StatusOr<uint64_t> {
    ASSIGN_OR_RETURN(const std::string text, ReadFrom(memory, path + "/memory.current"));
    return CgroupNumber(text);
  };
  ASSIGN_OR_RETURN(const uint64_t before, in_use());
  if (before <= limit) return memory.Write(path + "/memory.max", value);
  ASSIGN_OR_RETURN(const std::string high, ReadFrom(memory, high_file));
  const bool squeeze = CgroupNumber(high) > limit;
  if (squeeze) RETURN_IF_ERROR(memory.Write(high_file, value));
  absl::Status result;
  if (absl::StatusOr<uint64_t> after = in_use(); !after.ok()) {
    result = after.status();
  } else if (*after > limit) {
    result = absl::FailedPreconditionError(
        absl::StrCat("write \"", value, "\" to ", memory.NameOf(path), "/memory.max: ", *after,
                     " bytes are in use and the kernel cannot reclaim enough of them"));
  } else {
    result = memory.Write(path + "/memory.max", value);
  }
  if (squeeze) result.Update(memory.Write(high_file, high));
  return result;
}

}  // namespace

absl::StatusOr<Writes> Cgroups::LimitWrites(const std::string& path,
                                            const CgroupLimits& limits) const {
  Writes writes;
  if (mode_ == Mode::kV2) {
    ASSIGN_OR_RETURN(writes, CgroupWritesV2(limits));
  } else {
    ASSIGN_OR_RETURN(writes, CgroupWritesV1(limits));
    // A controller that no v1 hierarchy has may be the cgroup2 mount's.
    const auto in_unified = [&](const CgroupWrite& write) {
      const Hierarchy* hierarchy = Find(write.controller);
      return hierarchy != nullptr && hierarchy->unified;
    };
    if (std::any_of(writes.begin(), writes.end(), in_unified)) {
      std::erase_if(writes, in_unified);
      ASSIGN_OR_RETURN(Writes v2, CgroupWritesV2(limits));
      std::copy_if(v2.begin(), v2.end(), std::back_inserter(writes), in_unified);
    }
  }
  Writes possible;
  for (CgroupWrite& write : writes) {
    const Hierarchy* hierarchy = Find(write.controller);
    if (hierarchy == nullptr) {
      if (write.optional) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("set ", write.file, ": no cgroup controller ", write.controller));
    }
    if (!hierarchy->Exists(FileOf(write, path))) {
      if (!hierarchy->Exists(path))
        return absl::NotFoundError(absl::StrCat("cgroup ", path, ": does not exist"));
      if (write.optional) continue;
      return absl::FailedPreconditionError(absl::StrCat("set ", write.file, " in ",
                                                        hierarchy->NameOf(path),
                                                        ": the kernel has no such file there"));
    }
    possible.push_back(std::move(write));
  }
  return possible;
}

absl::StatusOr<std::string> Cgroups::ReadValue(const CgroupWrite& file,
                                               const std::string& path) const {
  const Hierarchy* hierarchy = Find(file.controller);
  if (hierarchy == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("read ", file.file, ": no cgroup controller ", file.controller));
  }
  return ReadFrom(*hierarchy, FileOf(file, path));
}

absl::Status Cgroups::WriteValue(const CgroupWrite& write, const std::string& path) const {
  return Find(write.controller)->Write(FileOf(write, path), write.value);
}

void Cgroups::OrderWrites(const std::string& path, Writes* writes) const {
  for (const OrderedPair& pair : kPairs) {
    for (const CgroupWrite& write : *writes) {
      if (write.file != pair.decides) continue;
      // The kernel compares a new memory limit with that of memory and swap, not with the old one.
      const CgroupWrite compared = {write.controller,
                                    absl::string_view(pair.first) == "memory.memsw.limit_in_bytes"
                                        ? pair.first
                                        : pair.decides};
      const absl::StatusOr<std::string> now = ReadValue(compared, path);
      if (now.ok()) OrderPair(pair, CgroupNumber(*now), writes);
      break;
    }
  }
}

absl::Status Cgroups::SetLimits(const std::string& path, const CgroupLimits& limits) const {
  ASSIGN_OR_RETURN(Writes writes, LimitWrites(path, limits));
  OrderWrites(path, &writes);
  for (const CgroupWrite& write : writes) RETURN_IF_ERROR(WriteValue(write, path));
  return absl::OkStatus();
}

absl::Status Cgroups::UpdateLimits(const std::string& path, const CgroupLimits& from,
                                   const CgroupLimits& to) const {
  CgroupLimits target = LiftedLimits(from, to);
  if (!from.cpuset_cpus.empty() && to.cpuset_cpus.empty()) {
    ASSIGN_OR_RETURN(target.cpuset_cpus, InheritedCpuset(path, "cpuset.cpus"));
  }
  if (!from.cpuset_mems.empty() && to.cpuset_mems.empty()) {
    ASSIGN_OR_RETURN(target.cpuset_mems, InheritedCpuset(path, "cpuset.mems"));
  }
  ASSIGN_OR_RETURN(Writes writes, LimitWrites(path, target));
  if (const absl::StatusOr<Writes> before = LimitWrites(path, from); before.ok()) {
    std::erase_if(writes, [&](const CgroupWrite& write) {
      return std::find_if(before->begin(), before->end(),
                          [&](const CgroupWrite& old) { return old == write; }) != before->end();
    });
  }
  OrderWrites(path, &writes);

  Writes undo;
  for (const CgroupWrite& write : writes) {
    absl::StatusOr<std::string> old = ReadValue(write, path);
    const absl::Status written = !old.ok() ? old.status()
                                 : write.file == "memory.max"
                                     ? LowerMemoryMax(*Find(write.controller), path, write.value)
                                     : WriteValue(write, path);
    if (written.ok()) {
      undo.push_back({write.controller, write.file, *std::move(old)});
      continue;
    }
    std::string also;
    for (auto done = undo.rbegin(); done != undo.rend(); ++done) {
      const absl::Status back = WriteValue(*done, path);
      if (!back.ok()) absl::StrAppend(&also, "; not put back: ", back.message());
    }
    return absl::Status(written.code(), absl::StrCat(written.message(), also));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Cgroups::InheritedCpuset(const std::string& path,
                                                     const char* file) const {
  if (mode_ == Mode::kV2) return std::string("\n");
  return ReadValue({.controller = "cpuset", .file = file}, path.substr(0, path.rfind('/')));
}

}  // namespace berth
