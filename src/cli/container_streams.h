// A container's stdin and terminal, and attaching to them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "src/cli/client.h"

namespace berth::cli {

struct ContainerStreams {
  bool stdin_open = false;
  bool tty = false;
};

// What its configuration asks for, as the verbose status tells it.
absl::StatusOr<ContainerStreams> GetContainerStreams(Client& client, const std::string& id);

cri::AttachRequest MakeAttachRequest(const std::string& id, bool stdin_open, bool tty);

// The exit code of a container that has ended or is about to.
absl::StatusOr<int> AwaitExitCode(Client& client, const std::string& id);

}  // namespace berth::cli
