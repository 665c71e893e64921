#include "src/nri/adjustment.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/runtime/hooks.h"
#include "src/runtime/rlimits.h"

namespace berth::nri {
namespace {

bool IsRemoval(absl::string_view key) { return absl::StartsWith(key, "-"); }

// A variable's name, and not a whole variable.
absl::Status CheckKey(absl::string_view what, absl::string_view key) {
  if (!key.empty() && key.find('\0') == key.npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, ": a name is empty, or has a NUL in it"));
}

absl::Status CheckPath(absl::string_view what, absl::string_view path) {
  RETURN_IF_ERROR(CheckKey(what, path));
  if (path[0] == '/') return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " \"", path, "\" is not absolute"));
}

const char* UnsupportedOf(const api::LinuxContainerAdjustment& wanted) {
  if (!wanted.cgroups_path().empty()) return "linux.cgroups_path";
  if (wanted.has_io_priority()) return "linux.io_priority";
  if (wanted.has_seccomp_policy()) return "linux.seccomp_policy";
  if (!wanted.namespaces().empty()) return "linux.namespaces";
  if (!wanted.sysctl().empty()) return "linux.sysctl";
  if (!wanted.net_devices().empty()) return "linux.net_devices";
  if (wanted.has_scheduler()) return "linux.scheduler";
  if (wanted.has_rdt()) return "linux.rdt";
  if (wanted.has_memory_policy()) return "linux.memory_policy";
  return nullptr;
}

const char* UnsupportedOf(const api::LinuxResources& wanted) {
  const api::LinuxMemory& memory = wanted.memory();
  if (memory.has_reservation()) return "resources.memory.reservation";
  if (memory.has_kernel()) return "resources.memory.kernel";
  if (memory.has_kernel_tcp()) return "resources.memory.kernel_tcp";
  if (memory.has_swappiness()) return "resources.memory.swappiness";
  if (memory.has_disable_oom_killer()) return "resources.memory.disable_oom_killer";
  if (memory.has_use_hierarchy()) return "resources.memory.use_hierarchy";
  if (wanted.cpu().has_realtime_runtime()) return "resources.cpu.realtime_runtime";
  if (wanted.cpu().has_realtime_period()) return "resources.cpu.realtime_period";
  if (wanted.has_blockio_class()) return "resources.blockio_class";
  if (wanted.has_rdt_class()) return "resources.rdt_class";
  if (!wanted.devices().empty()) return "resources.devices";
  return nullptr;
}

absl::Status CheckSupported(const char* unsupported) {
  if (unsupported == nullptr) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(unsupported, " is not supported"));
}

template <typename Entries, typename KeyOf>
auto FindKey(Entries* entries, KeyOf key_of, const std::string& key) {
  return std::find_if(entries->begin(), entries->end(),
                      [&](const auto& entry) { return key_of(entry) == key; });
}

constexpr auto kMountKey = [](const api::Mount& mount) { return mount.destination(); };
constexpr auto kEnvKey = [](const api::KeyValue& variable) { return variable.key(); };
constexpr auto kDeviceKey = [](const api::LinuxDevice& device) { return device.path(); };
constexpr auto kRlimitKey = [](const api::POSIXRlimit& limit) { return limit.type(); };
constexpr auto kPageKey = [](const api::HugepageLimit& limit) { return limit.page_size(); };
constexpr auto kNameKey = [](const api::CDIDevice& device) { return device.name(); };

void Append(const api::Hooks& from, api::Hooks* to) {
  to->MergeFrom(from);  // repeated fields are put behind each other
}

absl::StatusOr<Hook> ToHook(const api::Hook& from) {
  RETURN_IF_ERROR(CheckPath("hook", from.path()));
  if (from.has_timeout() && from.timeout().value() <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("hook ", from.path(), ": a timeout of ", from.timeout().value(), " s"));
  }
  return WithHookPath({.path = from.path(),
                       .args = {from.args().begin(), from.args().end()},
                       .env = {from.env().begin(), from.env().end()},
                       .timeout = absl::Seconds(from.timeout().value())});
}

absl::Status ToHooks(const google::protobuf::RepeatedPtrField<api::Hook>& from,
                     std::vector<Hook>* to) {
  for (const api::Hook& hook : from) {
    ASSIGN_OR_RETURN(Hook made, ToHook(hook));
    to->push_back(std::move(made));
  }
  return absl::OkStatus();
}

absl::StatusOr<CdiDeviceNode> ToDeviceNode(const api::LinuxDevice& from) {
  RETURN_IF_ERROR(CheckPath("device", from.path()));
  if (from.type() != "c" && from.type() != "b" && from.type() != "p") {
    return absl::InvalidArgumentError(
        absl::StrCat("device ", from.path(), ": type \"", from.type(), "\" is none of c, b and p"));
  }
  CdiDeviceNode node{.path = from.path(),
                     .type = from.type()[0],
                     .major = static_cast<uint32_t>(from.major()),
                     .minor = static_cast<uint32_t>(from.minor()),
                     .access = "rwm"};
  if (from.has_file_mode()) node.mode = from.file_mode().value() & 07777;
  if (from.has_uid()) node.uid = from.uid().value();
  if (from.has_gid()) node.gid = from.gid().value();
  return node;
}

}  // namespace

absl::Status AdjustmentMerge::Take(const std::string& plugin, api::Field field,
                                   const std::string& key) {
  const auto [claim, taken] = owners_.emplace(Claim(field, key), plugin);
  if (taken || claim->second == plugin) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("NRI plugins ", claim->second, " and ", plugin,
                                         " both set ", api::Field_Name(field),
                                         key.empty() ? "" : absl::StrCat(" ", key)));
}

template <typename Entries, typename KeyOf>
absl::Status AdjustmentMerge::MergeKeyed(const std::string& plugin, api::Field field,
                                         const Entries& wanted, KeyOf key_of, Entries* merged) {
  for (const auto& entry : wanted) {
    const std::string key = key_of(entry);
    if (!IsRemoval(key)) continue;
    if (const auto set = FindKey(merged, key_of, key.substr(1)); set != merged->end())
      merged->erase(set);
    owners_.erase(Claim(field, key.substr(1)));
    if (FindKey(merged, key_of, key) == merged->end()) *merged->Add() = entry;
  }
  for (const auto& entry : wanted) {
    const std::string key = key_of(entry);
    if (IsRemoval(key)) continue;
    RETURN_IF_ERROR(Take(plugin, field, key));
    if (const auto set = FindKey(merged, key_of, key); set != merged->end()) {
      *set = entry;
    } else {
      *merged->Add() = entry;
    }
  }
  return absl::OkStatus();
}

absl::Status AdjustmentMerge::MergeAnnotations(const std::string& plugin,
                                               const api::ContainerAdjustment& wanted) {
  auto& merged = *merged_.mutable_annotations();
  for (const auto& [key, value] : wanted.annotations()) {
    if (!IsRemoval(key)) continue;
    merged.erase(key.substr(1));
    owners_.erase(Claim(api::Annotations, key.substr(1)));
    merged[key] = "";
  }
  for (const auto& [key, value] : wanted.annotations()) {
    if (IsRemoval(key)) continue;
    RETURN_IF_ERROR(Take(plugin, api::Annotations, key));
    merged[key] = value;
  }
  return absl::OkStatus();
}

absl::Status AdjustmentMerge::MergeResources(const std::string& plugin,
                                             const api::LinuxResources& wanted) {
  api::LinuxResources& merged = *merged_.mutable_linux()->mutable_resources();
  const struct {
    bool set;
    api::Field field;
  } simple[] = {{wanted.memory().has_limit(), api::MemLimit},
                {wanted.memory().has_swap(), api::MemSwapLimit},
                {wanted.cpu().has_shares(), api::CPUShares},
                {wanted.cpu().has_quota(), api::CPUQuota},
                {wanted.cpu().has_period(), api::CPUPeriod},
                {!wanted.cpu().cpus().empty(), api::CPUSetCPUs},
                {!wanted.cpu().mems().empty(), api::CPUSetMems},
                {wanted.has_pids(), api::PidsLimit}};
  for (const auto& [set, field] : simple) {
    if (set) RETURN_IF_ERROR(Take(plugin, field, ""));
  }
  if (wanted.has_memory()) merged.mutable_memory()->MergeFrom(wanted.memory());
  if (wanted.has_cpu()) merged.mutable_cpu()->MergeFrom(wanted.cpu());
  if (wanted.has_pids()) merged.mutable_pids()->MergeFrom(wanted.pids());
  for (const auto& [file, value] : wanted.unified()) {
    RETURN_IF_ERROR(Take(plugin, api::CgroupsUnified, file));
    (*merged.mutable_unified())[file] = value;
  }
  return MergeKeyed(plugin, api::HugepageLimits, wanted.hugepage_limits(), kPageKey,
                    merged.mutable_hugepage_limits());
}

absl::Status AdjustmentMerge::Add(const std::string& plugin,
                                  const api::ContainerAdjustment& wanted) {
  const auto named = [&](const absl::Status& status) {
    return status.ok() || absl::IsAborted(status)
               ? status
               : Annotate(status, absl::StrCat("NRI plugin ", plugin));
  };
  RETURN_IF_ERROR(named(CheckSupported(UnsupportedOf(wanted.linux()))));
  RETURN_IF_ERROR(named(CheckSupported(UnsupportedOf(wanted.linux().resources()))));
  RETURN_IF_ERROR(named(ToContainerAdjustment(wanted).status()));
  RETURN_IF_ERROR(MergeAnnotations(plugin, wanted));
  RETURN_IF_ERROR(
      MergeKeyed(plugin, api::Mounts, wanted.mounts(), kMountKey, merged_.mutable_mounts()));
  RETURN_IF_ERROR(MergeKeyed(plugin, api::Env, wanted.env(), kEnvKey, merged_.mutable_env()));
  RETURN_IF_ERROR(
      MergeKeyed(plugin, api::Rlimits, wanted.rlimits(), kRlimitKey, merged_.mutable_rlimits()));
  RETURN_IF_ERROR(MergeKeyed(plugin, api::CdiDevices, wanted.cdi_devices(), kNameKey,
                             merged_.mutable_cdi_devices()));
  Append(wanted.hooks(), merged_.mutable_hooks());
  if (!wanted.args().empty()) {
    const bool replaces = wanted.args(0).empty();
    if (replaces) owners_.erase(Claim(api::Args, ""));
    RETURN_IF_ERROR(Take(plugin, api::Args, ""));
    merged_.mutable_args()->Assign(wanted.args().begin() + (replaces ? 1 : 0), wanted.args().end());
  }
  const api::LinuxContainerAdjustment& linux = wanted.linux();
  RETURN_IF_ERROR(MergeKeyed(plugin, api::Devices, linux.devices(), kDeviceKey,
                             merged_.mutable_linux()->mutable_devices()));
  if (linux.has_oom_score_adj()) {
    RETURN_IF_ERROR(Take(plugin, api::OomScoreAdj, ""));
    *merged_.mutable_linux()->mutable_oom_score_adj() = linux.oom_score_adj();
  }
  return MergeResources(plugin, linux.resources());
}

api::FieldOwners AdjustmentMerge::Owners() const {
  api::FieldOwners owners;
  for (const auto& [claim, plugin] : owners_) {
    const auto& [field, key] = claim;
    if (key.empty()) {
      (*owners.mutable_simple())[field] = plugin;
    } else {
      (*(*owners.mutable_compound())[field].mutable_owners())[key] = plugin;
    }
  }
  return owners;
}

namespace {

// `entries` with `wanted` in them.
template <typename Entries, typename KeyOf>
void ShowKeyed(const Entries& wanted, KeyOf key_of, Entries* entries) {
  for (const auto& entry : wanted) {
    const std::string key = key_of(entry);
    const std::string name = IsRemoval(key) ? key.substr(1) : key;
    if (const auto old = FindKey(entries, key_of, name); old != entries->end()) entries->erase(old);
    if (!IsRemoval(key)) *entries->Add() = entry;
  }
}

void ShowEnv(const api::ContainerAdjustment& adjustment, api::Container* container) {
  ContainerAdjustment env;
  for (const api::KeyValue& variable : adjustment.env()) {
    if (IsRemoval(variable.key())) {
      env.removed_env.push_back(variable.key().substr(1));
    } else {
      env.edits.env.push_back(absl::StrCat(variable.key(), "=", variable.value()));
    }
  }
  std::vector<std::string> shown(container->env().begin(), container->env().end());
  AdjustEnvironment(env, &shown);
  container->mutable_env()->Assign(shown.begin(), shown.end());
}

}  // namespace

void ShowAdjustment(const api::ContainerAdjustment& adjustment, api::Container* container) {
  for (const auto& [key, value] : adjustment.annotations()) {
    if (IsRemoval(key)) container->mutable_annotations()->erase(key.substr(1));
  }
  for (const auto& [key, value] : adjustment.annotations()) {
    if (!IsRemoval(key)) (*container->mutable_annotations())[key] = value;
  }
  ShowKeyed(adjustment.mounts(), kMountKey, container->mutable_mounts());
  ShowKeyed(adjustment.rlimits(), kRlimitKey, container->mutable_rlimits());
  ShowKeyed(adjustment.cdi_devices(), kNameKey, container->mutable_cdi_devices());
  ShowEnv(adjustment, container);
  if (!adjustment.args().empty()) *container->mutable_args() = adjustment.args();
  Append(adjustment.hooks(), container->mutable_hooks());
  api::LinuxContainer& linux = *container->mutable_linux();
  ShowKeyed(adjustment.linux().devices(), kDeviceKey, linux.mutable_devices());
  if (adjustment.linux().has_oom_score_adj())
    *linux.mutable_oom_score_adj() = adjustment.linux().oom_score_adj();
  const api::LinuxResources& resources = adjustment.linux().resources();
  if (resources.has_memory())
    linux.mutable_resources()->mutable_memory()->MergeFrom(resources.memory());
  if (resources.has_cpu()) linux.mutable_resources()->mutable_cpu()->MergeFrom(resources.cpu());
  if (resources.has_pids()) *linux.mutable_resources()->mutable_pids() = resources.pids();
  ShowKeyed(resources.hugepage_limits(), kPageKey,
            linux.mutable_resources()->mutable_hugepage_limits());
  for (const auto& [file, value] : resources.unified())
    (*linux.mutable_resources()->mutable_unified())[file] = value;
}

absl::StatusOr<ContainerAdjustment> ToContainerAdjustment(const api::ContainerAdjustment& from) {
  ContainerAdjustment to;
  for (const auto& [key, value] : from.annotations()) {
    RETURN_IF_ERROR(CheckKey("annotations", key));
    if (IsRemoval(key)) {
      to.removed_annotations.push_back(key.substr(1));
    } else {
      to.annotations[key] = value;
    }
  }
  for (const api::Mount& mount : from.mounts()) {
    if (IsRemoval(mount.destination())) {
      to.removed_mounts.push_back(mount.destination().substr(1));
      continue;
    }
    RETURN_IF_ERROR(CheckPath("mount", mount.destination()));
    to.edits.mounts.push_back({.host_path = mount.source(),
                               .container_path = mount.destination(),
                               .type = mount.type(),
                               .options = {mount.options().begin(), mount.options().end()}});
  }
  for (const api::KeyValue& variable : from.env()) {
    RETURN_IF_ERROR(CheckKey("env", variable.key()));
    if (IsRemoval(variable.key())) {
      to.removed_env.push_back(variable.key().substr(1));
    } else if (variable.key().find('=') != std::string::npos ||
               variable.value().find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("env ", variable.key(), ": a \"=\" in its name, or a NUL in its value"));
    } else {
      to.edits.env.push_back(absl::StrCat(variable.key(), "=", variable.value()));
    }
  }
  if (!from.args().empty()) {
    to.args.emplace(from.args().begin() + (from.args(0).empty() ? 1 : 0), from.args().end());
    if (to.args->empty() || to.args->front().empty())
      return absl::InvalidArgumentError("args: no command");
  }
  for (const api::CDIDevice& device : from.cdi_devices()) {
    RETURN_IF_ERROR(CheckCdiDeviceName(device.name()));
    to.cdi_devices.push_back(device.name());
  }
  for (const api::LinuxDevice& device : from.linux().devices()) {
    if (IsRemoval(device.path())) {
      to.removed_devices.push_back(device.path().substr(1));
      continue;
    }
    ASSIGN_OR_RETURN(CdiDeviceNode node, ToDeviceNode(device));
    to.edits.device_nodes.push_back(std::move(node));
  }
  for (const api::POSIXRlimit& limit : from.rlimits()) {
    ASSIGN_OR_RETURN(const int resource, RlimitByName(limit.type()));
    if (limit.soft() > limit.hard()) {
      return absl::InvalidArgumentError(
          absl::StrCat("rlimits ", limit.type(), ": the soft one is above the hard one"));
    }
    to.rlimits.push_back({.resource = resource, .soft = limit.soft(), .hard = limit.hard()});
  }
  if (from.linux().has_oom_score_adj()) {
    const int64_t score = from.linux().oom_score_adj().value();
    if (score < -1000 || score > 1000) {
      return absl::InvalidArgumentError(
          absl::StrCat("linux.oom_score_adj ", score, " is not from -1000 to 1000"));
    }
    to.oom_score_adj = static_cast<int>(score);
  }
  Hooks& hooks = to.edits.hooks;
  RETURN_IF_ERROR(ToHooks(from.hooks().prestart(), &hooks.prestart));
  RETURN_IF_ERROR(ToHooks(from.hooks().create_runtime(), &hooks.create_runtime));
  RETURN_IF_ERROR(ToHooks(from.hooks().create_container(), &hooks.create_container));
  RETURN_IF_ERROR(ToHooks(from.hooks().start_container(), &hooks.start_container));
  RETURN_IF_ERROR(ToHooks(from.hooks().poststart(), &hooks.poststart));
  RETURN_IF_ERROR(ToHooks(from.hooks().poststop(), &hooks.poststop));
  return to;
}

absl::StatusOr<ContainerAdjustment> ReadAdjustment(absl::string_view stored) {
  api::ContainerAdjustment message;
  if (!message.ParseFromArray(stored.data(), static_cast<int>(stored.size())))
    return absl::DataLossError("what plugins have changed in the container cannot be read");
  return ToContainerAdjustment(message);
}

absl::StatusOr<CgroupLimits> ToLimits(const api::LinuxResources& from) {
  RETURN_IF_ERROR(CheckSupported(UnsupportedOf(from)));
  CgroupLimits to;
  if (from.memory().has_limit()) to.memory_bytes = from.memory().limit().value();
  if (from.memory().has_swap()) to.memory_swap_bytes = from.memory().swap().value();
  if (from.cpu().has_shares()) to.cpu_shares = static_cast<int64_t>(from.cpu().shares().value());
  if (from.cpu().has_quota()) to.cpu_quota_us = from.cpu().quota().value();
  if (from.cpu().has_period()) to.cpu_period_us = static_cast<int64_t>(from.cpu().period().value());
  if (from.has_pids()) to.pids = from.pids().limit();
  to.cpuset_cpus = from.cpu().cpus();
  to.cpuset_mems = from.cpu().mems();
  for (const api::HugepageLimit& limit : from.hugepage_limits())
    to.hugepages[limit.page_size()] = limit.limit();
  to.unified.insert(from.unified().begin(), from.unified().end());
  return to;
}

api::LinuxResources ToResources(const CgroupLimits& from) {
  api::LinuxResources to;
  if (from.memory_bytes.has_value())
    to.mutable_memory()->mutable_limit()->set_value(*from.memory_bytes);
  if (from.memory_swap_bytes.has_value())
    to.mutable_memory()->mutable_swap()->set_value(*from.memory_swap_bytes);
  api::LinuxCPU& cpu = *to.mutable_cpu();
  if (from.cpu_shares.has_value())
    cpu.mutable_shares()->set_value(static_cast<uint64_t>(*from.cpu_shares));
  if (from.cpu_quota_us.has_value()) cpu.mutable_quota()->set_value(*from.cpu_quota_us);
  if (from.cpu_period_us.has_value())
    cpu.mutable_period()->set_value(static_cast<uint64_t>(*from.cpu_period_us));
  cpu.set_cpus(from.cpuset_cpus);
  cpu.set_mems(from.cpuset_mems);
  if (from.pids.has_value()) to.mutable_pids()->set_limit(*from.pids);
  for (const auto& [size, bytes] : from.hugepages) {
    api::HugepageLimit& limit = *to.add_hugepage_limits();
    limit.set_page_size(size);
    limit.set_limit(bytes);
  }
  to.mutable_unified()->insert(from.unified.begin(), from.unified.end());
  return to;
}

}  // namespace berth::nri
