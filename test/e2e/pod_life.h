// A whole life of a pod with a container, as a kubelet brings it about whatever fails meanwhile:
// each call is made again, with the same request, until it succeeds; a pod or a container that was
// lost is replaced by its next attempt. What must never be is noted: a container that ended and
// nobody asked it to, an exit code that is not its own. Not thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "test/e2e/pod.h"

namespace berth::e2e {

class PodLife {
 public:
  struct Options {
    std::string name;   // of the pod
    std::string image;  // the probe; pulled, and not removed
    int host_port = 0;  // of the pod, if not 0
    // How long a call may go on failing, from its first failure or the last return of `revive` that
    // said true.
    absl::Duration patience;
    // Called when a call has failed: starts the daemon again if it has died, and says so.
    std::function<bool(const absl::Status& failure)> revive;
    std::function<Client&()> client;
    // Whether the containers of a pod may have been lost, and their exit codes with them, because
    // their monitor was killed.
    std::function<bool(const std::string& pod)> may_be_lost = [](const std::string&) {
      return false;
    };
    // Called in the middle, with the container running; may be empty.
    std::function<absl::Status()> interlude;
  };
  explicit PodLife(Options options) : options_(std::move(options)) {}

  // From the pull to the removal of the pod.
  absl::Status Run();
  // Makes `call` until it succeeds; its last error if `patience` ends.
  absl::Status Persist(const char* what, absl::FunctionRef<absl::Status()> call);

  // Containers that ended before they were asked to and may not have been lost, as "exit code N,
  // reason, message". Starts that failed are none.
  const std::vector<std::string>& lost() const { return lost_; }
  // Exit codes that were told and are not the container's, though its monitor lived.
  const std::vector<std::string>& wrong_exits() const { return wrong_exits_; }

 private:
  cri::PodSandboxConfig PodConfig() const;
  cri::ContainerConfig ContainerConfig() const;
  // Aborted: the pod or the container was lost, and the next attempt is due.
  absl::Status LiveOnce();
  absl::Status Use();
  absl::Status End();
  absl::Status RemovePod();
  // Aborted as soon as a call fails and `is_lost`.
  absl::Status Repeat(const char* what, absl::FunctionRef<absl::Status()> call,
                      absl::FunctionRef<bool()> is_lost);
  absl::Status PersistWhileAlive(const char* what, absl::FunctionRef<absl::Status()> call);
  bool IsLost();
  absl::Status StartContainer();
  absl::Status ExpectRunning();
  void NoteLoss(const cri::ContainerStatus& status);

  const Options options_;
  uint32_t attempt_ = 0;
  std::string pod_, container_;
  bool may_have_failed_to_start_ = false;
  std::vector<std::string> lost_, wrong_exits_;
};

}  // namespace berth::e2e
