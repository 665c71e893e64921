// The executables of CNI plugins: found in the search path, run with a deadline, bounded output and
// a cgroup that ends with them. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/sandbox/network/plugin_cgroups.h"

namespace berth {

// One run of a plugin.
struct CniCall {
  std::vector<std::string> environment;
  std::string input;
  std::function<void()> meanwhile;  // may be empty; called once while it runs, if it starts
  std::function<bool()> outdated;   // may be empty; ends it with Cancelled
};

class CniPlugins {
 public:
  struct Options {
    std::vector<std::string> directories;  // searched in order
    absl::Duration timeout;                // of one plugin
    const Log* log = nullptr;              // may be null
  };
  CniPlugins(Options options, std::unique_ptr<PluginCgroups> cgroups)
      : options_(std::move(options)), cgroups_(std::move(cgroups)) {}

  // NotFound names the type and where it was looked for.
  absl::StatusOr<std::string> Find(const std::string& type) const;
  // CNI_PATH.
  std::string SearchPath() const;

  // Runs one plugin to its end and returns its standard output. Its error is the status
  // (CniErrorOf); DeadlineExceeded and ResourceExhausted (output): it has been killed.
  absl::StatusOr<std::string> Run(const std::string& type, const CniCall& call);

  // Whether the plugin says that it knows `version`; asked once for each executable.
  bool Supports(const std::string& type, const std::string& version,
                const std::function<bool()>& outdated);

  // Ends those that run now and those to come with Cancelled.
  void Stop() { stopping_ = true; }
  absl::Status RemoveCgroups() { return cgroups_->RemoveUnused(); }

 private:
  absl::StatusOr<std::string> RunPath(const std::string& type, const std::string& path,
                                      const CniCall& call);

  const Options options_;
  const std::unique_ptr<PluginCgroups> cgroups_;
  std::atomic<bool> stopping_ = false;
  absl::Mutex mu_;
  std::map<std::string, std::vector<std::string>> versions_ ABSL_GUARDED_BY(mu_);  // by executable
};

}  // namespace berth
