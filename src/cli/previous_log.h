// The log of a container's predecessor: the kubelet makes a new container, with the next attempt,
// each time one has to be restarted.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "src/cli/client.h"

namespace berth::cli {

// "DIR/<attempt>.log" with the attempt before; "" for a path of another form, or before the first.
std::string PreviousLogName(const std::string& path, uint32_t attempt);

// Of the container of the same name and pod with the latest earlier attempt; if that has been
// removed, its log may still be there under the kubelet's name for it. NotFound.
absl::StatusOr<std::string> PreviousLogPath(Client& client, const std::string& pod_id,
                                            const cri::ContainerStatus& status);

}  // namespace berth::cli
