// The network of a pod as a runtime without a network of its own makes it: one after the other the
// CNI plugins bridge (which runs host-local) and portmap are exec'ed. Nothing of a runtime is
// around them. Needs root; thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "src/base/unique_fd.h"

namespace berth::bench {

struct CniChain {
  std::string plugins;  // folder of the plugins
  std::string scratch;  // an existing folder for host-local's files

  // A namespace that has been given a network.
  struct Attachment {
    std::string id;
    UniqueFd netns;
    nlohmann::json result;
    int host_port = 0;  // 0: none
  };
  // The namespace is made before; `host_port` 0 publishes none.
  absl::Status Add(Attachment& attachment) const;
  absl::Status Delete(const Attachment& attachment) const;
};

// A namespace and an id for an attachment.
absl::StatusOr<CniChain::Attachment> NewAttachment(int host_port);

}  // namespace berth::bench
