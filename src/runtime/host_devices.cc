#include "src/runtime/host_devices.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/base/unique_fd.h"
#include "src/kernel/process.h"
#include "src/kernel/reap.h"
#include "src/kernel/socket.h"
#include "src/runtime/device_record.h"

namespace berth {
namespace {

using wire::DeviceRecord;
using wire::DeviceRecordKind;

constexpr char kDev[] = "/dev";

absl::Status Died(const std::string& path) {
  return absl::InternalError(absl::StrCat("describe device ", path, ": helper died"));
}

absl::StatusOr<HostDevice> DeviceOf(const DeviceRecord& record, absl::string_view texts) {
  const size_t path_end = texts.find('\0');
  if (path_end == absl::string_view::npos) return absl::InternalError("describe device: no path");
  absl::string_view relative = texts.substr(path_end + 1);
  relative = relative.substr(0, relative.find('\0'));
  return HostDevice{.path = std::string(texts.substr(0, path_end)),
                    .relative = std::string(relative),
                    .type = static_cast<char>(record.type),
                    .major = record.major,
                    .minor = record.minor,
                    .mode = record.mode,
                    .uid = record.uid,
                    .gid = record.gid};
}

absl::Status EndOf(const DeviceRecord& record, const std::string& path) {
  if (record.error == 0) return absl::OkStatus();
  if (record.error == ENODEV) {
    return absl::InvalidArgumentError(
        absl::StrCat("describe device ", path, ": neither a device nor a directory of devices"));
  }
  return ErrnoStatus("describe device", path, record.error);
}

// The devices of one path, as the helper sends them.
absl::Status ReceiveDevices(int socket, const std::string& path, absl::Time deadline,
                            std::vector<HostDevice>* devices) {
  while (true) {
    ASSIGN_OR_RETURN(const Packet packet, ReceivePacket(socket, deadline));
    DeviceRecord record;
    if (packet.data.size() < sizeof(record)) return Died(path);
    std::memcpy(&record, packet.data.data(), sizeof(record));
    if (record.kind == DeviceRecordKind::kEnd) return EndOf(record, path);
    ASSIGN_OR_RETURN(HostDevice device,
                     DeviceOf(record, absl::string_view(packet.data).substr(sizeof(record))));
    devices->push_back(std::move(device));
  }
}

absl::StatusOr<std::vector<HostDevice>> ReceiveAll(int socket,
                                                   const std::vector<std::string>& paths,
                                                   absl::Duration timeout) {
  const absl::Time deadline = SteadyNow() + timeout;
  std::vector<HostDevice> all;
  for (size_t i = 0; i < paths.size(); ++i) {
    std::vector<HostDevice> devices;
    const absl::Status status = ReceiveDevices(socket, paths[i], deadline, &devices);
    if (absl::IsDeadlineExceeded(status)) {
      return absl::DeadlineExceededError(absl::StrCat("describe device ", paths[i],
                                                      ": no answer from its file system within ",
                                                      absl::FormatDuration(timeout)));
    }
    if (absl::IsUnavailable(status)) return Died(paths[i]);
    RETURN_IF_ERROR(status);
    std::sort(devices.begin(), devices.end(),
              [](const HostDevice& a, const HostDevice& b) { return a.path < b.path; });
    for (HostDevice& device : devices) {
      device.request = i;
      all.push_back(std::move(device));
    }
  }
  return all;
}

}  // namespace

absl::StatusOr<std::vector<HostDevice>> DescribeHostDevices(int monitor,
                                                            const std::vector<std::string>& paths,
                                                            absl::Duration timeout) {
  if (paths.empty()) return std::vector<HostDevice>();
  for (const std::string& path : paths) {
    if (!absl::StartsWith(path, "/")) {
      return absl::InvalidArgumentError(
          absl::StrCat("describe device \"", EscapeForLog(path), "\": the path is not absolute"));
    }
  }
  ASSIGN_OR_RETURN(SocketPair pair, ConnectedPair());
  SpawnRequest request{.executable_fd = monitor,
                       .argv = {"berth-monitor", "--describe-devices"},
                       .fds = {-1, -1, -1, pair.theirs.get()}};
  request.argv.insert(request.argv.end(), paths.begin(), paths.end());
  ASSIGN_OR_RETURN(SpawnedProcess helper, Spawn(request));
  pair.theirs.reset();
  absl::StatusOr<std::vector<HostDevice>> devices = ReceiveAll(pair.ours.get(), paths, timeout);
  KillAndReap(std::move(helper.pidfd), absl::IsDeadlineExceeded(devices.status()));
  return devices;
}

absl::StatusOr<std::vector<HostDevice>> PrivilegedDevices(int monitor, absl::Duration timeout) {
  ASSIGN_OR_RETURN(std::vector<HostDevice> devices, DescribeHostDevices(monitor, {kDev}, timeout));
  devices.erase(std::remove_if(devices.begin(), devices.end(),
                               [](const HostDevice& device) { return device.relative == "ptmx"; }),
                devices.end());
  return devices;
}

absl::StatusOr<std::string> ParseDeviceAccess(absl::string_view access) {
  std::string ordered;
  for (const char letter : absl::string_view("rwm")) {
    if (absl::StrContains(access, letter)) ordered.push_back(letter);
  }
  if (access.empty() || ordered.size() != access.size()) {
    return absl::InvalidArgumentError(absl::StrCat("device permissions \"", EscapeForLog(access),
                                                   "\" are not of r, w and m, each once"));
  }
  return ordered;
}

DeviceSpec DeviceSpecOf(const HostDevice& device, absl::string_view container_path,
                        bool user_namespace) {
  while (container_path.size() > 1 && absl::EndsWith(container_path, "/"))
    container_path.remove_suffix(1);
  DeviceSpec spec{.path = std::string(container_path),
                  .type = device.type,
                  .major = device.major,
                  .minor = device.minor,
                  .mode = device.mode,
                  .uid = device.uid,
                  .gid = device.gid};
  if (!device.relative.empty())
    absl::StrAppend(&spec.path, spec.path == "/" ? "" : "/", device.relative);
  if (user_namespace) spec.source = device.path;
  return spec;
}

DeviceRule DeviceRuleOf(const HostDevice& device, absl::string_view access) {
  return {.allow = true,
          .type = device.type,
          .major = device.major,
          .minor = device.minor,
          .access = std::string(access)};
}

void PutDevice(DeviceSpec device, std::vector<DeviceSpec>* devices) {
  const auto same = std::find_if(devices->begin(), devices->end(),
                                 [&](const DeviceSpec& old) { return old.path == device.path; });
  if (same == devices->end()) {
    devices->push_back(std::move(device));
  } else {
    *same = std::move(device);
  }
}

}  // namespace berth
