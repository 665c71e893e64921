// Requests as the node knows them: parsed when they come, and once more after a restart.
#pragma once

#include <any>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/sandbox/container_adjustment.h"
#include "src/sandbox/pod_config.h"

namespace berth {

// A request, parsed: the plain values, the server's own form, and the bytes that are stored.
struct ParsedPod {
  PodConfig config;
  std::any request;
  std::string bytes;  // deterministic: equal bytes are an equal request
};
struct ParsedContainer {
  ContainerConfig config;
  std::any request;
  std::string bytes;
};

struct PodName {
  std::string name, pod_namespace, uid;
  uint32_t attempt = 0;
};
struct ContainerName {
  std::string name;
  uint32_t attempt = 0;
};

// How stored requests become plain values again after a restart.
struct RequestParsers {
  std::function<absl::StatusOr<ParsedPod>(absl::string_view bytes)> pod;
  std::function<absl::StatusOr<ParsedContainer>(absl::string_view bytes)> container;
  // Likewise what plugins have changed; may be empty where there are none.
  std::function<absl::StatusOr<ContainerAdjustment>(absl::string_view bytes)> adjustment = {};
  // What can be said of an object whose request cannot be read: its name.
  std::function<ParsedPod(const PodName& name)> unreadable_pod;
  std::function<ParsedContainer(const ContainerName& name)> unreadable_container;
};

}  // namespace berth
