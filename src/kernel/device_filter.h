// The device policy of a cgroup2 directory as a BPF_PROG_TYPE_CGROUP_DEVICE program (kernel 4.15,
// bpf(2)).
#pragma once

#include "absl/status/status.h"

namespace berth {

struct DeviceRule {
  char type;         // 'c' or 'b'
  int major, minor;  // -1: any
};

// The devices that every container may use; mknod is allowed for all.
inline constexpr DeviceRule kDefaultDevices[] = {
    {'c', 1, 3},     // null
    {'c', 1, 5},     // zero
    {'c', 1, 7},     // full
    {'c', 1, 8},     // random
    {'c', 1, 9},     // urandom
    {'c', 5, 0},     // tty
    {'c', 5, 1},     // console
    {'c', 5, 2},     // ptmx
    {'c', 136, -1},  // pts
};

// Attaches a program that allows kDefaultDevices (and mknod) to the cgroup2 directory `cgroup_fd`.
absl::Status AttachDefaultDeviceFilter(int cgroup_fd);

}  // namespace berth
