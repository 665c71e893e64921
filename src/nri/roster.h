// The NRI plugins of a node from their connection to their end: they connect to a socket, or are
// started from a directory, register themselves, are configured and told what there is. From then
// on they take part (containerd/nri, README, "Plugin Registration"). Thread-safe.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "nri/v1alpha1/nri.pb.h"
#include "src/base/log.h"
#include "src/base/unique_fd.h"
#include "src/kernel/process.h"
#include "src/nri/options.h"
#include "src/nri/plugin.h"

namespace berth::nri {

using PluginPtr = std::shared_ptr<Plugin>;

class Roster {
 public:
  struct Callbacks {
    // What one that comes is told that there is.
    std::function<api::SynchronizeRequest()> what_there_is;
    // What one that takes part wants: first of what there is, then unasked.
    std::function<void(const Plugin&, const api::SynchronizeResponse&)> came;
    std::function<api::UpdateContainersResponse(const Plugin&, const api::UpdateContainersRequest&)>
        update;
  };

  explicit Roster(const Options& options) : options_(options), log_(*options.log) {}
  ~Roster() { Stop(); }

  // Starts those that are installed, and accepts others. AlreadyExists: another runtime serves the
  // socket.
  absl::Status Serve(Callbacks callbacks);
  // Tells them that it ends. None of Callbacks is called after.
  void Stop();

  // While a reader holds it none begins to take part.
  absl::Mutex& admission() { return admission_; }

  // Those that take part and want to be told of the event, in the order of their indices.
  std::vector<PluginPtr> Wanting(api::Event event) const;
  // Unavailable, with its name: one of Options::required does not take part.
  absl::Status CheckRequired() const;

 private:
  struct Member {
    PluginPtr plugin;
    std::thread handshake;
    bool takes_part = false, ended = false;
  };

  void Accept();
  absl::Status Add(UniqueFd socket, std::optional<PluginName> name);
  void ShakeHands(const PluginPtr& plugin);
  absl::Status Admit(const PluginPtr& plugin);
  absl::StatusOr<std::string> ConfigOf(const std::string& name) const;
  void StartInstalled();
  absl::Status StartProgram(const std::string& file);
  // Whether it took part until now.
  bool MarkEnded(const Plugin& plugin);
  // Drops those that have ended, and their programs.
  void Reap();

  const Options options_;
  const Log& log_;
  Callbacks callbacks_;
  absl::Mutex admission_;

  mutable absl::Mutex mu_;
  std::list<Member> members_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<SpawnedProcess> programs_;  // of the thread that accepts, while there is one
  UniqueFd listener_, wake_;
  std::thread acceptor_;
};

}  // namespace berth::nri
