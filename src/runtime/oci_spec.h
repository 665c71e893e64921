// A container as the config.json of the OCI runtime specification 1.1
// (https://github.com/opencontainers/runtime-spec): what an external runtime gets, and what
// ContainerStatus shows of the spec. Made of the same ContainerSpec as the launch plan. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "src/kernel/cgroup.h"
#include "src/runtime/container_plan.h"

namespace berth {

// What is known of a container beside its spec.
struct OciContext {
  // Of an external runtime: what BuildOciCreatePlan attaches is named below it. "": sources are
  // shown as the host has them.
  std::string bundle;
  std::string rootfs;    // "": the bundle's "rootfs"
  std::string data_dir;  // as the host has it
  std::string cgroups_path;
  CgroupLimits limits;
  std::vector<DeviceRule> device_rules;  // behind those of the usual devices, in order
  // "network", "ipc", "uts", "pid", "user" -> the file to join it by, "" for a new one. One that is
  // not here is the node's. The mount and the cgroup namespace follow from the spec.
  std::map<std::string, std::string> namespaces;
  std::string seccomp_json;  // a linux.seccomp object; "" unconfined
  std::map<std::string, std::string> annotations;
};

// Text in UTF-8; other bytes, which JSON has no form for, become U+FFFD. A seccomp_json that is no
// JSON stays a string, which no runtime takes.
std::string OciSpecJson(const ContainerSpec& spec, const OciContext& context);

}  // namespace berth
