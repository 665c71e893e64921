#include "src/server/convert/namespace_request.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/server/convert/text_check.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

using Mappings = google::protobuf::RepeatedPtrField<cri::IDMapping>;

constexpr char kUserNamespace[] = "namespace_options.userns_options";

absl::Status CheckMode(absl::string_view field, cri::NamespaceMode mode) {
  if (cri::NamespaceMode_IsValid(mode)) return absl::OkStatus();
  return Refused(field, absl::StrCat("unknown mode ", static_cast<int>(mode)));
}

// Network and IPC: shared by all of a pod, or the node's.
absl::Status CheckSharedMode(absl::string_view field, cri::NamespaceMode mode) {
  RETURN_IF_ERROR(CheckMode(field, mode));
  if (mode == cri::POD || mode == cri::NODE) return absl::OkStatus();
  return Refused(field, absl::StrCat(cri::NamespaceMode_Name(mode),
                                     " is not possible: it is the pod's or the node's"));
}

absl::Status CheckModes(const cri::NamespaceOption& options) {
  RETURN_IF_ERROR(CheckSharedMode("namespace_options.network", options.network()));
  RETURN_IF_ERROR(CheckSharedMode("namespace_options.ipc", options.ipc()));
  RETURN_IF_ERROR(CheckMode("namespace_options.pid", options.pid()));
  return CheckText("namespace_options.target_id", options.target_id(), kMaxName);
}

// Exactly one, from the container's root on, and the node's root is not among its ids.
absl::Status CheckMapping(absl::string_view which, const Mappings& mappings) {
  const std::string field = absl::StrCat(kUserNamespace, ".", which);
  if (mappings.size() != 1)
    return Refused(field, absl::StrCat("has ", mappings.size(), " mappings, not one"));
  const cri::IDMapping& only = mappings[0];
  if (only.length() == 0) return Refused(field, "length is 0");
  if (only.container_id() != 0) return Refused(field, "does not map the container's id 0");
  if (only.host_id() == 0) return Refused(field, "maps the node's id 0");
  // (uid_t)-1 is no id; user_namespaces(7).
  if (uint64_t{only.host_id()} + only.length() > UINT32_MAX)
    return Refused(field, "goes beyond the last id");
  return absl::OkStatus();
}

absl::Status CheckUserNamespace(const cri::UserNamespace& user) {
  switch (user.mode()) {
    case cri::NODE:
      if (user.uids_size() == 0 && user.gids_size() == 0) return absl::OkStatus();
      return Refused(kUserNamespace, "mode NODE takes no mappings");
    case cri::POD:
      RETURN_IF_ERROR(CheckMapping("uids", user.uids()));
      RETURN_IF_ERROR(CheckMapping("gids", user.gids()));
      if (user.uids(0).length() == user.gids(0).length()) return absl::OkStatus();
      return Refused(kUserNamespace, "uids and gids are not equally long");
    default:
      return Refused(absl::StrCat(kUserNamespace, ".mode"), "is neither POD nor NODE");
  }
}

// The kernel lets root of a user namespace mount /proc and POSIX queues of namespaces that it owns
// only, and sysfs of its network namespace only. mount_namespaces(7)
absl::Status CheckOwnedNamespaces(const cri::NamespaceOption& options,
                                  const RequestPolicy& policy) {
  const char* shared = options.pid() == cri::NODE   ? "pid"
                       : options.ipc() == cri::NODE ? "ipc"
                       : options.network() == cri::NODE && !policy.user_namespaces_host_network
                           ? "network"
                           : nullptr;
  if (shared == nullptr) return absl::OkStatus();
  return Refused(absl::StrCat("namespace_options.", shared),
                 "NODE is not possible in a pod with a user namespace");
}

absl::string_view NodeOrPod(bool node) { return node ? "NODE" : "POD"; }

absl::Status CheckAgrees(absl::string_view field, cri::NamespaceMode wanted, NamespaceMode pod) {
  if (wanted != cri::NODE || pod == NamespaceMode::kNode) return absl::OkStatus();
  return Refused(field, "NODE needs a pod sandbox that was made with NODE");
}

}  // namespace

NamespaceMode ParseMode(cri::NamespaceMode mode) {
  switch (mode) {
    case cri::CONTAINER:
      return NamespaceMode::kContainer;
    case cri::NODE:
      return NamespaceMode::kNode;
    case cri::TARGET:
      return NamespaceMode::kTarget;
    default:
      return NamespaceMode::kPod;
  }
}

std::vector<IdMapping> ParseMappings(const Mappings& mappings) {
  std::vector<IdMapping> parsed;
  for (const cri::IDMapping& each : mappings)
    parsed.push_back({each.container_id(), each.host_id(), each.length()});
  return parsed;
}

UserNamespace ParseUserNamespace(const cri::NamespaceOption& options) {
  if (!options.has_userns_options() || options.userns_options().mode() != cri::POD) return {};
  return {ParseMappings(options.userns_options().uids()),
          ParseMappings(options.userns_options().gids())};
}

bool SameMappings(const std::vector<IdMapping>& a, const std::vector<IdMapping>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](const IdMapping& x, const IdMapping& y) {
        return x.container_id == y.container_id && x.host_id == y.host_id && x.length == y.length;
      });
}

absl::Status CheckPodNamespaces(const cri::NamespaceOption& options, const RequestPolicy& policy,
                                const RequestHandler& handler) {
  RETURN_IF_ERROR(CheckModes(options));
  if (options.pid() == cri::TARGET)
    return Refused("namespace_options.pid", "TARGET is for containers, not for pods");
  if (!options.target_id().empty())
    return Refused("namespace_options.target_id", "is only for mode TARGET");
  if (!options.has_userns_options()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckUserNamespace(options.userns_options()));
  if (options.userns_options().mode() == cri::NODE) return absl::OkStatus();
  if (!handler.user_namespaces) {
    return Refused(kUserNamespace,
                   absl::StrCat("runtime handler \"", handler.name, "\" has no user namespaces"));
  }
  return CheckOwnedNamespaces(options, policy);
}

absl::Status CheckContainerNamespaces(const cri::NamespaceOption& options, const PodSpec& pod) {
  RETURN_IF_ERROR(CheckModes(options));
  const bool target = options.pid() == cri::TARGET;
  if (target && options.target_id().empty())
    return Refused("namespace_options.target_id", "is empty, but pid is TARGET");
  if (!target && !options.target_id().empty())
    return Refused("namespace_options.target_id", "is only for mode TARGET");
  RETURN_IF_ERROR(CheckAgrees("namespace_options.network", options.network(), pod.network));
  RETURN_IF_ERROR(CheckAgrees("namespace_options.ipc", options.ipc(), pod.ipc));
  RETURN_IF_ERROR(CheckAgrees("namespace_options.pid", options.pid(), pod.pid));
  if (!options.has_userns_options()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckUserNamespace(options.userns_options()));
  const UserNamespace wanted = ParseUserNamespace(options);
  if (SameMappings(wanted.uids, pod.user.uids) && SameMappings(wanted.gids, pod.user.gids))
    return absl::OkStatus();
  return Refused(kUserNamespace, absl::StrCat("is not that of the pod sandbox, which is ",
                                              NodeOrPod(pod.user.IsNode()),
                                              pod.user.IsNode() ? "" : " with other mappings"));
}

}  // namespace berth
