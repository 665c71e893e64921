// The parts of create that run shares: what was made, while it is still this process's child.
#pragma once

#include "absl/status/statusor.h"
#include "src/oci/commands.h"
#include "src/oci/oci_config.h"

namespace berth::oci {

struct Created {
  ContainerState state;
  UniqueFd terminal;  // invalid without one, and when --console-socket took it
};

enum class Terminal { kToSocket, kKeep };

// On an error nothing is left of the container.
absl::StatusOr<Created> CreateContainer(const Runtime& runtime, const CreateOptions& options,
                                        Terminal terminal);

// What hooks read on stdin.
std::string HookState(const ContainerState& state, const char* status, bool with_pid);

// The config.json that the container was created from.
absl::StatusOr<OciConfig> StoredConfig(const Runtime& runtime, const ContainerState& state);

// pid_file, as runc(8) writes it: written whole, then renamed.
absl::Status WritePidFile(const std::string& path, pid_t pid);

}  // namespace berth::oci
