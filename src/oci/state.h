// What berth-oci remembers of a container between two commands: <root>/<id>/ holds state.json, the
// bundle's config.json as it was at create, and the fifos of `start` (docs/formats/oci-state.md).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth::oci {

inline constexpr char kStartFifo[] = "start";
inline constexpr char kResultFifo[] = "result";

struct ContainerState {
  std::string oci_version, id, bundle, rootfs, cgroup_path;
  std::string created;        // RFC 3339
  std::string config_digest;  // "sha256:..." of config.json
  pid_t pid = 0;              // 0 while it is being created
  uint64_t start_time = 0;    // of that pid, in clock ticks since boot (proc_pid_stat(5))
  std::map<std::string, std::string> annotations;
};

enum class ContainerStatus { kCreating, kCreated, kRunning, kPaused, kStopped };
const char* StatusName(ContainerStatus status);

// The ids' alphabet is that of runc(8); InvalidArgument.
absl::Status CheckId(absl::string_view id);

std::string EncodeState(const ContainerState& state);
absl::StatusOr<ContainerState> DecodeState(absl::string_view json);

// A pidfd of the container's first process; NotFound if that has ended.
absl::StatusOr<UniqueFd> OpenProcess(const ContainerState& state);

// Start time of a process; NotFound if there is none, or only its remains.
absl::StatusOr<uint64_t> ProcessStartTime(pid_t pid);

// The directory of all containers.
class StateDirectory {
 public:
  explicit StateDirectory(std::string root) : root_(std::move(root)) {}
  const std::string& root() const { return root_; }
  std::string PathOf(const std::string& id) const { return root_ + "/" + id; }

  // AlreadyExists if there is such a container.
  absl::Status Create(const std::string& id) const;
  absl::Status Write(const ContainerState& state) const;
  absl::Status WriteConfig(const std::string& id, absl::string_view json) const;
  // NotFound: "container x does not exist".
  absl::StatusOr<ContainerState> Read(const std::string& id) const;
  absl::StatusOr<std::string> ReadConfig(const std::string& id) const;
  absl::StatusOr<std::vector<std::string>> Ids() const;
  absl::Status Remove(const std::string& id) const;

  ContainerStatus StatusOf(const ContainerState& state) const;

 private:
  const std::string root_;
};

}  // namespace berth::oci
