// What `berth-monitor --describe-devices` answers (runtime/monitor/host_devices.h, its reader is
// runtime/host_devices.cc): one packet for each device. Freestanding: shared by both sides.
#pragma once

#include <cstdint>

namespace berth::wire {

enum class DeviceRecordKind : uint32_t {
  kDevice = 1,
  kEnd = 2,  // of a path: `error` says what became of it
};

// Behind a device's record: its path without links, NUL, its path below the directory that was
// asked for, NUL.
struct DeviceRecord {
  DeviceRecordKind kind;
  int32_t error;  // errno; ENODEV: neither a device nor a directory
  uint32_t type;  // 'c' or 'b'
  uint32_t major, minor;
  uint32_t mode, uid, gid;
};

// Deeper directories are not walked, and what does not fit is an error (ELOOP, E2BIG).
inline constexpr int kDeviceMaxDepth = 16;
inline constexpr int kMaxDevices = 1 << 16;

}  // namespace berth::wire
