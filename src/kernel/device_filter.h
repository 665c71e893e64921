// The device policy of a cgroup: ordered rules, as lines of devices.allow and devices.deny on
// cgroup v1 and as a BPF_PROG_TYPE_CGROUP_DEVICE program on v2 (kernel 5.6 for its replacement,
// bpf(2)). The rules of v1 are in the kernel's admin-guide/cgroup-v1/devices.rst.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth {

// A line of devices.allow or devices.deny (cgroup v1), with the same meaning on v2.
struct DeviceRule {
  bool allow = true;
  char type = 'a';                       // 'a' all, whatever else is set; 'b', 'c'
  std::optional<uint32_t> major, minor;  // absent: any
  std::string access = "rwm";            // of r (read), w (write), m (mknod)
};

// What an ordered list of rules comes to. Each bit of an access is decided for itself by the last
// of `rules` that speaks of the device and the bit; where none does, `allow_all` decides.
struct DevicePolicy {
  bool allow_all = false;
  std::vector<DeviceRule> rules;  // type 'b' or 'c'
};

// The pseudo devices that every container may use (null, zero, full, random, urandom, tty, console,
// ptmx, pts) and mknod of any.
std::vector<DeviceRule> UsualDeviceRules();

// Those, followed by `more`. There {allow, 'a'} lifts all that stands before it, {deny, 'a'} goes
// back to the pseudo devices. InvalidArgument for an unknown type or access.
absl::StatusOr<DevicePolicy> MakeDevicePolicy(const std::vector<DeviceRule>& more);

// cgroup v1: "c 1:3 rw" lines, the exceptions from denying (or from allowing) all. v1 cannot deny a
// part of what it allows by a wildcard, nor the reverse: InvalidArgument.
absl::StatusOr<std::vector<std::string>> DeviceLinesV1(const DevicePolicy& policy);

// cgroup v2: the program, for a struct bpf_cgroup_dev_ctx.
std::vector<bpf_insn> BuildDeviceProgram(const DevicePolicy& policy);

// Puts the program for `policy` on the cgroup2 directory `cgroup_fd` in place of the one that an
// earlier call put there, in one step; programs of others stay and go on counting. An `allow_all`
// without rules takes ours off. Unsettled while another call for the same cgroup runs.
absl::Status AttachDeviceFilter(int cgroup_fd, const DevicePolicy& policy);

}  // namespace berth
