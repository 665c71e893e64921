#include "src/server/convert/mount_request.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/server/convert/namespace_request.h"
#include "src/server/convert/text_check.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

struct MountOption {
  absl::string_view name;
  bool BindMount::*set;
};
constexpr std::array kMountOptions = {
    MountOption{"noexec", &BindMount::noexec},
    MountOption{"nodev", &BindMount::nodev},
    MountOption{"nosuid", &BindMount::nosuid},
};

const MountOption* FindOption(absl::string_view name) {
  for (const MountOption& option : kMountOptions) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

absl::Status CheckOptions(const std::string& field, const cri::Mount& mount) {
  for (const std::string& option : mount.mount_options()) {
    if (FindOption(option) == nullptr) {
      return Refused(field + ".mount_options",
                     absl::StrCat("\"", option, "\" is none of noexec, nodev, nosuid"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRecursiveReadOnly(const std::string& field, const cri::Mount& mount,
                                    const RequestHandler& handler) {
  if (!mount.recursive_read_only()) return absl::OkStatus();
  if (!mount.readonly()) return Refused(field + ".recursive_read_only", "needs readonly");
  if (mount.propagation() != cri::PROPAGATION_PRIVATE)
    return Refused(field + ".recursive_read_only", "needs propagation PRIVATE");
  if (handler.recursive_read_only_mounts) return absl::OkStatus();
  return Refused(absl::StrCat("RROUnsupported: ", field, ".recursive_read_only"),
                 absl::StrCat("runtime handler \"", handler.name, "\" does not have it"));
}

// The kubelet sends the pod's mapping with every mount of such a pod.
absl::Status CheckMappings(const std::string& field, const cri::Mount& mount,
                           const UserNamespace& pod) {
  if (mount.uidmappings_size() == 0 && mount.gidmappings_size() == 0) return absl::OkStatus();
  if (SameMappings(ParseMappings(mount.uidmappings()), pod.uids) &&
      SameMappings(ParseMappings(mount.gidmappings()), pod.gids))
    return absl::OkStatus();
  return Refused(field + ".uidMappings and gidMappings",
                 "are not those of the pod sandbox's user namespace");
}

absl::Status CheckImageMount(const std::string& mounts, const cri::Mount& mount) {
  const std::string field = absl::StrCat("ImageVolumeMountFailed: ", mounts);
  if (!mount.host_path().empty())
    return Refused(field + ".host_path", "an image is mounted instead of it");
  if (!mount.readonly()) return Refused(field + ".readonly", "an image is mounted read-only");
  if (mount.propagation() != cri::PROPAGATION_PRIVATE)
    return Refused(field + ".propagation", "an image has PRIVATE only");
  RETURN_IF_ERROR(CheckText(field + ".image", mount.image().image(), kMaxPath));
  const std::string& path = mount.image_sub_path();
  RETURN_IF_ERROR(CheckText(field + ".image_sub_path", path, kMaxPath));
  if (!path.empty() && path[0] == '/') return Refused(field + ".image_sub_path", "is not relative");
  if (LeadsUp(path)) return Refused(field + ".image_sub_path", "has \"..\" in it");
  return absl::OkStatus();
}

absl::Status CheckHostMount(const std::string& field, const cri::Mount& mount) {
  if (!mount.image_sub_path().empty())
    return Refused(field + ".image_sub_path", "is only for an image");
  return CheckPath(field + ".host_path", mount.host_path());
}

Propagation PropagationOf(cri::MountPropagation propagation) {
  switch (propagation) {
    case cri::PROPAGATION_HOST_TO_CONTAINER:
      return Propagation::kSlave;
    case cri::PROPAGATION_BIDIRECTIONAL:
      return Propagation::kShared;
    default:
      return Propagation::kPrivate;
  }
}

}  // namespace

BindMount ParseMount(const cri::Mount& mount) {
  BindMount parsed;
  parsed.host_path = mount.host_path();
  parsed.container_path = mount.container_path();
  parsed.readonly = mount.readonly();
  parsed.recursive_readonly = mount.recursive_read_only();
  parsed.propagation = PropagationOf(mount.propagation());
  for (const std::string& name : mount.mount_options()) {
    if (const MountOption* option = FindOption(name)) parsed.*(option->set) = true;
  }
  parsed.idmapped = mount.uidmappings_size() != 0;
  parsed.selinux_relabel = mount.selinux_relabel();
  parsed.image = mount.image().image();
  parsed.image_sub_path = mount.image_sub_path();
  return parsed;
}

absl::Status CheckMount(const cri::Mount& mount, const UserNamespace& pod,
                        const RequestHandler& handler) {
  RETURN_IF_ERROR(CheckText("mounts.container_path", mount.container_path(), kMaxPath));
  const std::string field = absl::StrCat("mounts[", mount.container_path(), "]");
  RETURN_IF_ERROR(CheckPath(field + ".container_path", mount.container_path()));
  if (LeadsUp(mount.container_path()))
    return Refused(field + ".container_path", "has \"..\" in it");
  if (!cri::MountPropagation_IsValid(mount.propagation()))
    return Refused(field + ".propagation", "is none that there is");
  RETURN_IF_ERROR(CheckOptions(field, mount));
  RETURN_IF_ERROR(CheckRecursiveReadOnly(field, mount, handler));
  RETURN_IF_ERROR(CheckMappings(field, mount, pod));
  // An image without a name is what some clients send for "no image".
  return mount.image().image().empty() ? CheckHostMount(field, mount)
                                       : CheckImageMount(field, mount);
}

}  // namespace berth
