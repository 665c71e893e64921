// What the parts of berthd are opened with, as its configuration says. Pure.
#pragma once

#include <sys/resource.h>

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/image/image_store.h"
#include "src/image/pull_cgroup.h"
#include "src/nri/options.h"
#include "src/sandbox/network/bridge.h"
#include "src/sandbox/network/cni_network.h"
#include "src/sandbox/network/network_choice.h"
#include "src/sandbox/node.h"
#include "src/sandbox/stats_sampler.h"
#include "src/sandbox/streaming/stream_service.h"
#include "src/server/config.h"

namespace berth {

// What points to other parts is left to the caller, but for the log.
struct DaemonOptions {
  PullCgroups::Options pull_cgroups;
  ImageStore::Options images;
  BridgeNetwork::Options bridge;
  CniNetwork::Options cni;
  NetworkMode network_mode = NetworkMode::kAuto;
  Node::Options node;
  StatsSampler::Options sampler;
  nri::Options plugins;              // without `socket` there are none
  StreamService::Options streaming;  // without `listen` it is turned off
  size_t max_connections = 0;        // of the CRI socket
  absl::Duration keepalive;
};

// `helpers`: the directory of the programs that berthd starts. `descriptors`: RLIMIT_NOFILE as
// berthd found it. InvalidArgument names the key.
absl::StatusOr<DaemonOptions> OptionsOf(const Config& config, const std::string& helpers,
                                        const rlimit& descriptors, const Log& log);

}  // namespace berth
