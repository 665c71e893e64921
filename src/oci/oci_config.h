// An OCI config.json (runtime specification 1.x, https://github.com/opencontainers/runtime-spec) as
// the values that Berth's own containers are made of. Pure: no file is opened, no namespace looked
// at.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/kernel/cgroup.h"
#include "src/oci/field_reader.h"
#include "src/runtime/container_plan.h"

namespace berth::oci {

inline constexpr char kOciVersion[] = "1.2.0";
inline constexpr size_t kConfigMaxBytes = 4 << 20;

struct ConsoleSize {
  uint16_t rows = 0, columns = 0;  // 0: left as it is
};

// A process of a container: the first one, or that of an exec.
struct ProcessConfig {
  std::vector<std::string> args, env;
  std::string cwd = "/";
  ProcessIdentity identity;  // without the seccomp program
  bool terminal = false;
  ConsoleSize console_size;
};

struct JoinedNamespace {
  int type = 0;  // CLONE_NEW*
  std::string path;
};

struct OciConfig {
  std::string version;
  // Nothing is open: a bind mount has its `source`, absolute, and no fd_index; identity has no
  // seccomp program.
  ContainerSpec spec;
  ConsoleSize console_size;
  bool has_process = false;
  std::set<size_t> plain_binds;  // of spec.mounts: "bind", not "rbind"
  bool new_pid = false;
  std::vector<JoinedNamespace> joined;  // by path; the pid namespace, too
  std::string cgroup_path;              // absolute below each hierarchy
  CgroupLimits limits;
  std::vector<DeviceRule> device_rules;
  bool limits_devices = false;  // linux.resources.devices is there
  std::string seccomp_json;     // linux.seccomp; "" unconfined
  std::map<std::string, std::string> annotations;
  std::vector<std::string> unknown_fields;  // passed over, as the specification wants it
};

// `bundle` is absolute: relative paths are below it; `id` names the cgroup when the config does
// not. InvalidArgument names the field that is wrong, Unimplemented one that is not supported.
// `read`, if given, gets the path of every field that was looked at.
absl::StatusOr<OciConfig> ParseOciConfig(absl::string_view json, const std::string& bundle,
                                         const std::string& id,
                                         std::set<std::string>* read = nullptr);

// The `process` object alone, as exec --process has it.
absl::StatusOr<ProcessConfig> ParseOciProcess(absl::string_view json);

// The `linux.resources` object alone, as update --resources has it.
absl::StatusOr<CgroupLimits> ParseOciResources(absl::string_view json);

// "CAP_CHOWN" and the like as a mask; InvalidArgument.
absl::StatusOr<uint64_t> CapabilityMask(const std::vector<std::string>& names);

// The parts of the parser; what is wrong goes to the reader's log.
ProcessConfig ReadProcess(const FieldReader& process);
void ReadMounts(const FieldReader& root, const std::string& bundle, OciConfig* config);
void ReadHooks(const FieldReader& root, Hooks* hooks);
void ReadLinux(const FieldReader& root, const std::string& id, OciConfig* config);
CgroupLimits ReadLimits(const FieldReader& resources);
std::vector<DeviceRule> ReadDeviceRules(const FieldReader& resources);
std::vector<IdMapping> ReadMappings(const FieldReader& parent, const char* name);

// `path` without "//", "/./" and a slash at its end; "" if it is not absolute or has a "..".
std::string CleanPath(absl::string_view path);

}  // namespace berth::oci
