#include "src/runtime/oci_mounts.h"

#include <linux/mount.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/runtime/plan_steps.h"
#include "src/runtime/standard_mounts.h"

namespace berth {
namespace {

using Json = nlohmann::ordered_json;
using Options = std::vector<std::string>;

struct AttributeOption {
  uint64_t attribute;
  const char* name;  // "r" in front of it: with all mounts below
};

constexpr AttributeOption kAttributes[] = {
    {MOUNT_ATTR_RDONLY, "ro"},
    {MOUNT_ATTR_NOSUID, "nosuid"},
    {MOUNT_ATTR_NODEV, "nodev"},
    {MOUNT_ATTR_NOEXEC, "noexec"},
    {MOUNT_ATTR_NOATIME, "noatime"},
    {MOUNT_ATTR_STRICTATIME, "strictatime"},
    {MOUNT_ATTR_NODIRATIME, "nodiratime"},
};

const char* PropagationOption(Propagation propagation) {
  switch (propagation) {
    case Propagation::kPrivate:
      return "rprivate";
    case Propagation::kSlave:
      return "rslave";
    case Propagation::kShared:
      return "rshared";
  }
  return "rprivate";
}

void AddAttributes(uint64_t attributes, bool recursive, Options* options) {
  for (const AttributeOption& option : kAttributes) {
    if ((attributes & option.attribute) == 0) continue;
    options->push_back(option.name);
    if (recursive) options->push_back(absl::StrCat("r", option.name));
  }
}

// Where the host has what a bind shows.
std::string HostSource(const MountSpec& mount, const OciContext& context) {
  if (!mount.source.empty()) return mount.source;
  if (IsAtOrBelow(mount.view_path, "/data"))
    return absl::StrCat(context.data_dir, mount.view_path.substr(5));
  return mount.view_path;
}

Json Bind(const MountSpec& mount, const std::string& source) {
  Options options = {"rbind", PropagationOption(mount.propagation)};
  AddAttributes(mount.attributes, mount.recursive_attributes, &options);
  if ((mount.attributes & MOUNT_ATTR_RDONLY) == 0) options.push_back("rw");
  return {
      {"destination", mount.target}, {"type", "bind"}, {"source", source}, {"options", options}};
}

Json Image(const MountSpec& mount, const OciContext& context) {
  std::vector<std::string> lower;
  for (auto layer = mount.layers.rbegin(); layer != mount.layers.rend(); ++layer)
    lower.push_back(absl::StrCat(context.data_dir, "/", *layer));
  Options options = {absl::StrCat("lowerdir=", absl::StrJoin(lower, ":"))};
  AddAttributes(mount.attributes | MOUNT_ATTR_RDONLY, false, &options);
  return {{"destination", mount.target},
          {"type", "overlay"},
          {"source", mount.sub_path.empty() ? "overlay" : mount.sub_path},
          {"options", options}};
}

Json FileSystem(const MountSpec& mount, const char* type) {
  Options options;
  AddAttributes(mount.attributes, false, &options);
  options.insert(options.end(), mount.options.begin(), mount.options.end());
  return {{"destination", mount.target}, {"type", type}, {"source", type}, {"options", options}};
}

Json MountOf(const ContainerSpec& spec, size_t index, const OciContext& context) {
  const MountSpec& mount = spec.mounts[index];
  switch (mount.kind) {
    case MountSpec::Kind::kFileSystem:
      return FileSystem(mount, mount.type.c_str());
    case MountSpec::Kind::kCgroup:
      return FileSystem(mount, "cgroup");
    case MountSpec::Kind::kImage:
      if (context.bundle.empty()) return Image(mount, context);
      break;
    case MountSpec::Kind::kBind: {
      if (!context.bundle.empty()) break;
      Json bind = Bind(mount, HostSource(mount, context));
      if (!mount.idmapped) return bind;
      bind["uidMappings"] = OciMappings(spec.namespaces.user.uids);
      bind["gidMappings"] = OciMappings(spec.namespaces.user.gids);
      return bind;
    }
  }
  // Attached by the plan, and mapped already.
  MountSpec attached = mount;
  if (mount.kind == MountSpec::Kind::kImage) attached.attributes |= MOUNT_ATTR_RDONLY;
  return Bind(attached, BundleMount(context.bundle, index));
}

}  // namespace

Json OciMounts(const ContainerSpec& spec, const OciContext& context) {
  Json mounts = Json::array();
  for (size_t i = 0; i < spec.mounts.size(); ++i) mounts.push_back(MountOf(spec, i, context));
  return mounts;
}

std::string OciRootPropagation(const ContainerSpec& spec) {
  Propagation most = spec.root_propagation;
  for (const MountSpec& mount : spec.mounts) most = std::max(most, mount.propagation);
  switch (most) {
    case Propagation::kPrivate:
      return "";
    case Propagation::kSlave:
      return "slave";
    case Propagation::kShared:
      return "shared";
  }
  return "";
}

Json OciMappings(const std::vector<IdMapping>& mappings) {
  Json list = Json::array();
  for (const IdMapping& mapping : mappings) {
    list.push_back({{"containerID", mapping.container_id},
                    {"hostID", mapping.host_id},
                    {"size", mapping.length}});
  }
  return list;
}

}  // namespace berth
