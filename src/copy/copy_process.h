// berthd's side of one berth-copy: starts it, passes packets, ends it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"
#include "src/copy/copy_protocol.h"
#include "src/kernel/process.h"

namespace berth {

// One owner thread, but for Kill.
class CopyProcess {
 public:
  struct Options {
    int executable = -1;      // sealed copy of berth-copy
    int node_namespace = -1;  // the node's minimal mount namespace
    int pidfd = -1;           // of the container's first process; -1 if it does not run
    CopyJob job;
  };
  static absl::StatusOr<std::unique_ptr<CopyProcess>> Start(const Options& options);
  CopyProcess(const CopyProcess&) = delete;
  CopyProcess& operator=(const CopyProcess&) = delete;
  // Kills it, and waits a moment until its mounts are gone.
  ~CopyProcess();

  using Cancelled = std::function<bool()>;
  struct Packet {
    CopyPacket type;
    std::string payload;
  };
  // The next kStat, kData or kEnd; a failure of the helper is the returned error. Cancelled;
  // DeadlineExceeded where it has given no sign for long (a dead network file system).
  absl::StatusOr<Packet> Next(const Cancelled& cancelled);
  // Of an archive for a copy in: at most kMaxCopyData. Unavailable: the helper has ended, and Next
  // says why.
  absl::Status SendData(absl::string_view bytes, const Cancelled& cancelled);
  absl::Status SendEnd(const Cancelled& cancelled);

  // From any thread: the copy ends with an error. Returns when the process is gone, or after some
  // seconds.
  void Kill() const;

 private:
  CopyProcess(UniqueFd channel, SpawnedProcess process)
      : channel_(std::move(channel)), process_(std::move(process)) {}
  absl::Status Wait(short events, const Cancelled& cancelled) const;
  absl::Status Send(const std::string& packet, const Cancelled& cancelled);

  const UniqueFd channel_;
  const SpawnedProcess process_;
};

}  // namespace berth
