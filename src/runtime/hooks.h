// OCI hooks: which ones a node's administrator wants for a container (oci-hooks(5), schema 1.0.0),
// and running them. A hook is a program of the host that runs as root: it gets a fixed environment,
// never the container's, and only files that root alone may change are run.
// https://github.com/opencontainers/runtime-spec/blob/main/config.md#posix-platform-hooks
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "src/runtime/spec.h"

namespace berth {

// What a hook that names no PATH gets in front of its own variables.
inline constexpr char kHookPath[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct HookCriteria {
  std::map<std::string, std::string> annotations;
  std::string command;  // args[0]
  bool has_bind_mounts = false;
};

// The hooks of the files DIR/*.json that `criteria` fit, in the order of the file names in lower
// case; a file of a later directory replaces those of the same name before it. Absent directories
// are fine. A file that is broken is an error that names it: a hook that an administrator asked for
// is never left out silently. CheckHooks has passed for all that is returned.
absl::StatusOr<Hooks> SelectHooks(const std::vector<std::string>& directories,
                                  const HookCriteria& criteria);

// Appends the hooks of one file to `hooks` if `criteria` fit. InvalidArgument. Pure.
absl::Status AddMatchingHooks(absl::string_view json, const HookCriteria& criteria, Hooks* hooks);

// The list of `stage` ("createRuntime"), or nullptr.
std::vector<Hook>* HooksOfStage(absl::string_view stage, Hooks* hooks);

// `hook` with kHookPath unless it has a PATH.
Hook WithHookPath(Hook hook);

// FailedPrecondition names a hook that is not an absolute path of an executable file that, like all
// directories above it, only root (or the caller's own user) may write; NotFound. startContainer
// hooks are left out: theirs are paths in the container.
absl::Status CheckHooks(const Hooks& hooks);

// Runs `hooks` one after the other, with `state_json` on stdin, "/" as working directory and a
// session of their own. The first that fails ends it: Aborted with its exit status and the last
// line it wrote to stderr; DeadlineExceeded after its own or `default_timeout` (then every process
// of its session is killed); what CheckHooks says of its file. Blocks.
absl::Status RunHooks(const std::vector<Hook>& hooks, absl::string_view state_json,
                      absl::Duration default_timeout);

struct OciState {
  std::string id;
  std::string status;        // "creating", "created", "running", "stopped"
  std::optional<pid_t> pid;  // absent: the text %PID% stands for it, once (wire::Op::kHook)
  std::string bundle;        // absolute
  std::map<std::string, std::string> annotations;
};

// The state that hooks read on stdin (runtime.md, "State"). Pure.
std::string OciStateJson(const OciState& state);

}  // namespace berth
