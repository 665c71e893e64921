// A container of runc's with conmon as its monitor, as CRI-O and Podman start one. Removed by
// Remove, not by the destructor.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace berth::bench {

class ConmonContainer {
 public:
  struct Options {
    std::string directory;  // made here, for the bundle and runc's state
    std::string root;       // root file system, read-only
    std::string log;        // in CRI format
    std::vector<std::string> args;
  };
  // Created, not started.
  static absl::StatusOr<ConmonContainer> Create(const Options& options);

  pid_t conmon() const { return conmon_; }
  absl::Status Start() const;
  absl::Status Remove() const;

 private:
  explicit ConmonContainer(std::string directory) : directory_(std::move(directory)) {}
  absl::Status Runc(const std::vector<std::string>& arguments) const;

  std::string directory_;
  pid_t conmon_ = -1;
};

}  // namespace berth::bench
