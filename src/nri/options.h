// What a node's configuration says of NRI plugins.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "src/base/log.h"

namespace berth::nri {

struct PluginTimeouts {
  absl::Duration registration = absl::Seconds(5);  // of each step of the handshake
  absl::Duration request = absl::Seconds(2);       // of each call
};

struct Options {
  std::string socket;                 // absolute path; "": there is no NRI
  std::string plugin_dir;             // programs "NN-name" that are started; "" for none
  std::string config_dir;             // "NN-name.conf" or "name.conf" of each plugin
  std::vector<std::string> required;  // "name" of each plugin without which no container is made
  PluginTimeouts timeouts;
  std::string runtime_version;
  const Log* log = nullptr;
};

}  // namespace berth::nri
