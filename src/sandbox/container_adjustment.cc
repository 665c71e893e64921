#include "src/sandbox/container_adjustment.h"

#include <algorithm>

#include "src/base/status_macros.h"

namespace berth {
namespace {

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void PutRlimit(const Rlimit& limit, std::vector<Rlimit>* limits) {
  limits->erase(std::remove_if(limits->begin(), limits->end(),
                               [&](const Rlimit& old) { return old.resource == limit.resource; }),
                limits->end());
  limits->push_back(limit);
}

}  // namespace

void AdjustEnvironment(const ContainerAdjustment& adjustment, std::vector<std::string>* env) {
  env->erase(std::remove_if(env->begin(), env->end(),
                            [&](const std::string& variable) {
                              return Has(adjustment.removed_env,
                                         variable.substr(0, variable.find('=')));
                            }),
             env->end());
  for (const std::string& variable : adjustment.edits.env) PutVariable(variable, env);
}

void AdjustIdentity(const ContainerAdjustment& adjustment, ProcessIdentity* identity) {
  for (const Rlimit& limit : adjustment.rlimits) PutRlimit(limit, &identity->rlimits);
  if (adjustment.oom_score_adj.has_value()) identity->oom_score_adj = adjustment.oom_score_adj;
}

absl::StatusOr<std::vector<DeviceRule>> AdjustSpec(const ContainerAdjustment& adjustment,
                                                   const CdiTarget& target, ContainerSpec* spec) {
  if (adjustment.args.has_value()) spec->args = *adjustment.args;
  std::vector<MountSpec>& mounts = spec->mounts;
  mounts.erase(std::remove_if(mounts.begin(), mounts.end(),
                              [&](const MountSpec& mount) {
                                return Has(adjustment.removed_mounts, mount.target);
                              }),
               mounts.end());
  // A node that is gone is not to be made again by who may make nodes.
  std::vector<DeviceRule> rules;
  std::vector<DeviceSpec>& devices = spec->devices;
  for (auto device = devices.begin(); device != devices.end();) {
    if (!Has(adjustment.removed_devices, device->path)) {
      ++device;
      continue;
    }
    rules.push_back({.allow = false,
                     .type = device->type,
                     .major = device->major,
                     .minor = device->minor,
                     .access = "rwm"});
    device = devices.erase(device);
  }
  CdiEdits edits = adjustment.edits;
  edits.env.clear();
  ASSIGN_OR_RETURN(const std::vector<DeviceRule> added, ApplyCdiEdits(edits, target, spec));
  rules.insert(rules.end(), added.begin(), added.end());
  return rules;
}

}  // namespace berth
