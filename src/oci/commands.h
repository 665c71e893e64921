// What the commands of berth-oci do (runc(8) has the same ones). Each is one function that returns
// when its command is done.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/kernel/cgroup.h"
#include "src/oci/state.h"

namespace berth::oci {

// What all commands share.
struct Runtime {
  StateDirectory states;
  std::string monitor;  // path of berth-monitor
  std::ostream* out = nullptr;
  // Warnings: what went wrong without ending the command.
  std::ostream* err = nullptr;
};

struct CreateOptions {
  std::string id;
  std::string bundle = ".";
  std::string pid_file, console_socket;
  bool no_new_keyring = false;
};

// As create; then start. Without `detach` it stays until the container ends, removes it (unless
// `keep`), and returns its exit code.
struct RunOptions {
  CreateOptions create;
  bool detach = false, keep = false;
};

struct ExecOptions {
  std::string id;
  std::string process_file;  // process.json; "" takes the fields below
  std::vector<std::string> args;
  std::string pid_file, console_socket, cwd, user;
  std::vector<std::string> env, capabilities;
  bool detach = false, tty = false, no_new_privs = false;
};

struct KillOptions {
  std::string id;
  std::string signal = "SIGTERM";  // as ParseSignal takes it
  bool all = false;
};

struct UpdateOptions {
  std::string id;
  std::string resources_file;  // "-" is stdin
  CgroupLimits limits;         // from the flags; they win
};

absl::Status Create(const Runtime& runtime, const CreateOptions& options);
absl::Status Start(const Runtime& runtime, const std::string& id);
absl::StatusOr<int> Run(const Runtime& runtime, const RunOptions& options);
absl::StatusOr<int> Exec(const Runtime& runtime, const ExecOptions& options);
absl::Status Kill(const Runtime& runtime, const KillOptions& options);
// Forced: kills what runs, and is content with a container that does not exist.
absl::Status Delete(const Runtime& runtime, const std::string& id, bool force);
absl::Status PrintState(const Runtime& runtime, const std::string& id);
enum class Format { kTable, kJson };
absl::Status List(const Runtime& runtime, Format format, bool quiet);
absl::Status Processes(const Runtime& runtime, const std::string& id, Format format);
absl::Status Freeze(const Runtime& runtime, const std::string& id, bool frozen);
absl::Status Update(const Runtime& runtime, const UpdateOptions& options);
absl::Status PrintFeatures(const Runtime& runtime);
// Writes config.json into `bundle`; AlreadyExists.
absl::Status WriteDefaultSpec(const std::string& bundle);

// With the status of a frozen cgroup, which StateDirectory cannot see.
ContainerStatus FullStatus(const Runtime& runtime, const ContainerState& state);
std::string FeaturesJson();
std::string DefaultSpecJson();

}  // namespace berth::oci
