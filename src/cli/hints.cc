#include "src/cli/hints.h"

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace berth::cli {
namespace {

struct Hint {
  absl::string_view operation;  // "" any
  absl::string_view stage;      // "" any
  absl::string_view text;       // part of the message, without regard to case; "" any
  absl::string_view hint;
};
// The first that fits counts.
constexpr std::array kHints = {
    Hint{"", "", "no space left",
         "a disk is full: `berth image gc` frees images, `df -h` shows where"},
    Hint{"", "", "too many open files",
         "berthd is out of file descriptors: raise LimitNOFILE of its unit"},
    Hint{
        "PullImage", "", "unauthorized",
        "the registry wants credentials: an imagePullSecret, or registry.auth_files of berth.toml"},
    Hint{
        "PullImage", "", "denied",
        "the registry wants credentials: an imagePullSecret, or registry.auth_files of berth.toml"},
    Hint{"PullImage", "", "signature", "a verifier of this node refuses the image"},
    Hint{"PullImage", "", "not found",
         "is the name right? The registry knows no such image or tag"},
    Hint{"PullImage", "", "certificate",
         "the registry's certificate is not trusted: put its CA into hosts.toml (`berth doctor`)"},
    Hint{"PullImage", "", "",
         "is the registry reachable from this node? `berth doctor` reads hosts.toml; a mirror is "
         "set there"},
    Hint{"CreateContainer", "image", "",
         "pull it first: `berth pull IMAGE`; `berth images` lists what is here"},
    Hint{"CreateContainer", "", "is not ready", "the pod was stopped: a new one is needed"},
    Hint{"", "", "apparmor", "load the profile on this node, or name another one"},
    Hint{"", "", "seccomp", "is the profile on this node, and valid?"},
    Hint{"", "", "selinux", "is the label allowed by the policy of this node?"},
    Hint{"StartContainer", "launch", "no such file",
         "the image has no such program: `berth image inspect IMAGE` shows its command; a script "
         "also needs its interpreter"},
    Hint{"StartContainer", "launch", "not found",
         "the image has no such program: `berth image inspect IMAGE` shows its command"},
    Hint{"StartContainer", "launch", "permission denied",
         "may the container's user execute it? `berth inspect --plan CONTAINER` shows user and "
         "mounts"},
    Hint{"StartContainer", "launch", "exec format", "the image is for another architecture"},
    Hint{"StartContainer", "volumes and log", "",
         "is the volume's source there? A dead NFS or FUSE mount is given up after 10 s"},
    Hint{"StartContainer", "cgroup", "",
         "the kernel does not take a limit: `berth doctor` shows the controllers of this node"},
    Hint{"RunPodSandbox", "network", "",
         "the pod's network could not be set up: `berth doctor` looks at it"},
    Hint{"RunPodSandbox", "claim", "port",
         "another pod, or a process of this node, has that host port: `ss -lntup` shows who"},
    Hint{"RunPodSandbox", "claim", "",
         "no address is free, or the network could not be made: `berth doctor` looks at it"},
    Hint{"RunPodSandbox", "monitor", "",
         "berth-monitor did not start: `berth doctor` looks at kernel and cgroups"},
    Hint{"RunPodSandbox", "monitor ready", "",
         "berth-monitor could not make the pod: `berth doctor` looks at kernel and cgroups"},
    Hint{"StopContainer", "exit", "",
         "a process does not die; is it in an uninterruptible wait (state D in ps)?"},
};

}  // namespace

std::string HintFor(absl::string_view operation, absl::string_view stage,
                    absl::string_view message) {
  const std::string said = absl::AsciiStrToLower(message);
  for (const Hint& hint : kHints) {
    if ((hint.operation.empty() || hint.operation == operation) &&
        (hint.stage.empty() || hint.stage == stage) && absl::StrContains(said, hint.text))
      return std::string(hint.hint);
  }
  return "";
}

std::string HintForEnd(absl::string_view reason, int exit_code) {
  if (reason == "OOMKilled")
    return "it came to its memory limit: raise the limit, or see `berth stats` for what it takes";
  if (exit_code == 126) return "its command could not be executed";
  if (exit_code == 127) return "its command was not found";
  if (exit_code == 137)
    return "it was killed (SIGKILL): by a stop after its grace, or from outside";
  if (exit_code == 139) return "it crashed (SIGSEGV)";
  if (exit_code != 0) return "`berth logs` shows what it wrote";
  return "";
}

}  // namespace berth::cli
