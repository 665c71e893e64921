// What `berth run` asks for, and the pod and container configuration that it becomes. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri/runtime/v1/api.pb.h"

namespace berth::cli {

namespace cri = ::runtime::v1;

struct RunOptions {
  std::string image;
  std::vector<std::string> command;  // replaces the image's CMD, its ENTRYPOINT stays
  std::string name;
  bool host_network = false;
  std::vector<std::string> env;  // KEY=value, or KEY for the value berth itself has
  std::string working_dir;
  std::string user;  // UID, UID:GID, NAME or NAME:GID
  bool read_only = false;
  bool tty = false;
  bool stdin_open = false;
  bool stdin_once = false;  // the end of the first session's input is that of the container's
  std::string memory;       // "" for no limit
  std::string cpus;         // "" for no limit
};

struct RunConfig {
  cri::PodSandboxConfig pod;
  cri::ContainerConfig container;
};

// `uid` is a new id (NewId) and `log_root` the directory of RunLogRoot; `own_env` answers for "-e
// KEY" and returns nullptr for a variable that is not set. InvalidArgument names the option that is
// wrong.
absl::StatusOr<RunConfig> MakeRunConfig(const RunOptions& options, const std::string& uid,
                                        const std::string& log_root,
                                        const char* (*own_env)(const char* key));

// "busybox-3f9a" for localhost:5000/busybox:1.35.
std::string DefaultRunName(absl::string_view image, absl::string_view uid);

// Whether a pod was made by `berth run`. The uid tells as well as the label: a cluster's pods have
// UUIDs, so a pod of the kubelet cannot pass for one with a label.
bool IsRunPod(const cri::PodSandbox& pod);

// Where the logs of run pods are: /var/log/berth for the standard socket, else "logs" beside the
// socket, so that daemons with directories of their own stay apart. Not /var/log/pods, which the
// kubelet cleans up.
std::string RunLogRoot(const std::string& socket);

inline constexpr absl::string_view kDefaultSocket = "/run/berth/berth.sock";

}  // namespace berth::cli
