// mounts of config.json, and what their options mean. mount(8), config.md "Linux mount options"
#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/oci/oci_config.h"
#include "src/runtime/mount_options.h"

namespace berth::oci {
namespace {

bool Same(const std::vector<IdMapping>& a, const std::vector<IdMapping>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](const IdMapping& x, const IdMapping& y) {
        return x.container_id == y.container_id && x.host_id == y.host_id && x.length == y.length;
      });
}

// Only the container's own mapping can be given to a mount.
void ReadIdmap(const FieldReader& mount, const UserNamespace& user, MountSpec* spec) {
  const std::vector<IdMapping> uids = ReadMappings(mount, "uidMappings");
  const std::vector<IdMapping> gids = ReadMappings(mount, "gidMappings");
  if (!uids.empty() || !gids.empty()) {
    spec->idmapped = true;
    if (!Same(uids, user.uids) || !Same(gids, user.gids))
      mount.Fail("its mappings are not those of the container's user namespace");
  }
  if (spec->idmapped && user.IsNode()) mount.Fail("idmap needs a user namespace with mappings");
}

// A mount that the config's author puts on a path of procfs or sysfs is meant to be there; one that
// only a symlink of the image brings there is not.
bool NamesKernelFs(const std::string& target) {
  return target == "/proc" || target == "/sys" || absl::StartsWith(target, "/proc/") ||
         absl::StartsWith(target, "/sys/");
}

}  // namespace

void ReadMounts(const FieldReader& root, const std::string& bundle, OciConfig* config) {
  for (const FieldReader& mount : root.List("mounts")) {
    MountSpec spec;
    spec.target = CleanPath(mount.String("destination"));
    if (spec.target.empty() || spec.target == "/")
      mount.Fail("destination is not an absolute path below the root");
    const absl::StatusOr<MountOptions> options = ParseMountOptions(mount.Strings("options"));
    if (!options.ok()) {
      mount.Fail(std::string(options.status().message()));
      continue;
    }
    spec.attributes = options->attributes;
    spec.recursive_attributes = options->recursive;
    spec.propagation = options->propagation;
    spec.idmapped = options->idmapped;
    spec.over_kernel_fs = NamesKernelFs(spec.target);
    spec.type = mount.String("type");
    spec.source = mount.String("source");
    ReadIdmap(mount, config->spec.namespaces.user, &spec);
    if (options->bind != BindOption::kNone || spec.type == "bind") {
      spec.kind = MountSpec::Kind::kBind;
      if (spec.source.empty()) mount.Fail("a bind without a source");
      if (!absl::StartsWith(spec.source, "/")) spec.source = absl::StrCat(bundle, "/", spec.source);
      if (!options->data.empty())
        mount.Fail(absl::StrCat("option \"", options->data[0], "\" means nothing to a bind"));
      spec.type.clear();
      if (options->bind != BindOption::kRecursive)
        config->plain_binds.insert(config->spec.mounts.size());
    } else if (spec.type == "cgroup" || spec.type == "cgroup2") {
      spec.kind = MountSpec::Kind::kCgroup;
    } else if (spec.type.empty()) {
      mount.Fail("neither a type nor a bind");
    } else {
      spec.options = options->data;
      if (spec.source.find('/') != std::string::npos && spec.type != "tmpfs" &&
          spec.type != "proc" && spec.type != "sysfs") {
        spec.options.push_back(absl::StrCat("source=", spec.source));
      }
    }
    config->spec.mounts.push_back(std::move(spec));
  }
}

}  // namespace berth::oci
