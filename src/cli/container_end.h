// How a container is doing, as `logs -f` and `run` ask again and again.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/cli/client.h"

namespace berth::cli {

absl::StatusOr<cri::ContainerStatus> GetContainerStatus(Client& client, const std::string& id);

// Asks whether a container will write nothing more: it has exited, or is gone. A daemon that is
// being restarted is waited for: only after kPatience without an answer is Unavailable passed on.
class EndWatch {
 public:
  static constexpr absl::Duration kPatience = absl::Seconds(30);

  EndWatch(Client& client, std::string container_id);
  absl::StatusOr<bool> Ended();

 private:
  Client& client_;
  const std::string id_;
  absl::Time answered_;
};

}  // namespace berth::cli
