// The mounts of a container, all of them and in order: the standard ones, those asked for, and the
// VOLUMEs of its image. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "src/sandbox/records.h"

namespace berth {

// Fills `mounts` and `directories`. Volumes of an image are directories of the root; where the
// root is read-only they are writable binds of directories below CONTAINER/volumes, which opening
// them makes. InvalidArgument: a target that is no path, is taken twice, or is the kernel's.
absl::Status FillMounts(const ContainerRecord& container, const PodRecord& pod,
                        const std::string& data_dir, ContainerSpec* spec);

// InvalidArgument: one of them has a NUL byte, which a C string would hide.
absl::Status CheckStrings(absl::string_view what, const std::vector<std::string>& strings);

}  // namespace berth
