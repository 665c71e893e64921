#include "src/server/convert/security_request.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/sandbox/pod_config.h"
#include "src/server/convert/text_check.h"

namespace berth {

namespace cri = runtime::v1;
namespace {

constexpr char kLocalhost[] = "localhost/";
constexpr int kMaxGroups = 65536;  // setgroups(2)

// One profile, from its message or from the string that messages replaced.
struct Profile {
  bool given = false;
  cri::SecurityProfile::ProfileType type = cri::SecurityProfile::Unconfined;
  std::string localhost;
  bool known = true;  // false: a string that names no profile
};

Profile ProfileOf(const cri::SecurityProfile& message) {
  return {.given = true,
          .type = message.profile_type(),
          .localhost = std::string(absl::StripPrefix(message.localhost_ref(), kLocalhost)),
          .known = cri::SecurityProfile::ProfileType_IsValid(message.profile_type())};
}

Profile ProfileOf(const std::string& text) {
  if (text.empty()) return {};
  if (text == "runtime/default" || text == "docker/default")
    return {.given = true, .type = cri::SecurityProfile::RuntimeDefault};
  if (text == "unconfined") return {.given = true};
  return {.given = true,
          .type = cri::SecurityProfile::Localhost,
          .localhost = std::string(absl::StripPrefix(text, kLocalhost)),
          .known = absl::StartsWith(text, kLocalhost)};
}

// The strings are deprecated in the proto, which kubelets of old still fill.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
Profile SeccompOf(const cri::LinuxContainerSecurityContext& security) {
  return security.has_seccomp() ? ProfileOf(security.seccomp())
                                : ProfileOf(security.seccomp_profile_path());
}

Profile ApparmorOf(const cri::LinuxContainerSecurityContext& security) {
  return security.has_apparmor() ? ProfileOf(security.apparmor())
                                 : ProfileOf(security.apparmor_profile());
}
#pragma GCC diagnostic pop

absl::Status CheckProfile(const std::string& field, const Profile& profile) {
  if (!profile.known) return Refused(field, "is no profile type that there is");
  const bool localhost = profile.type == cri::SecurityProfile::Localhost;
  if (localhost && profile.localhost.empty())
    return Refused(field + ".localhost_ref", "is empty, but profile_type is Localhost");
  if (!localhost && !profile.localhost.empty())
    return Refused(field + ".localhost_ref", "is only for profile_type Localhost");
  return CheckText(field + ".localhost_ref", profile.localhost, kMaxPath);
}

absl::Status CheckSeccomp(const Profile& profile) {
  RETURN_IF_ERROR(CheckProfile("security_context.seccomp", profile));
  if (profile.type != cri::SecurityProfile::Localhost) return absl::OkStatus();
  RETURN_IF_ERROR(CheckPath("security_context.seccomp.localhost_ref", profile.localhost));
  if (!LeadsUp(profile.localhost)) return absl::OkStatus();
  return Refused("security_context.seccomp.localhost_ref", "has \"..\" in it");
}

absl::Status CheckApparmor(const Profile& profile, bool privileged, const RequestPolicy& policy) {
  RETURN_IF_ERROR(CheckProfile("security_context.apparmor", profile));
  if (policy.apparmor || !profile.given || profile.type == cri::SecurityProfile::Unconfined)
    return absl::OkStatus();
  if (privileged && profile.type == cri::SecurityProfile::RuntimeDefault) return absl::OkStatus();
  return Refused("security_context.apparmor", "this node's kernel has no AppArmor");
}

absl::Status CheckSelinuxWord(absl::string_view part, absl::string_view text) {
  const bool clean = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-';
  });
  if (clean && text.size() <= kMaxName) return absl::OkStatus();
  return Refused(absl::StrCat("security_context.selinux_options.", part),
                 "is no part of an SELinux label");
}

absl::Status CheckSelinux(const cri::SELinuxOption& label, const RequestPolicy& policy) {
  RETURN_IF_ERROR(CheckSelinuxWord("user", label.user()));
  RETURN_IF_ERROR(CheckSelinuxWord("role", label.role()));
  RETURN_IF_ERROR(CheckSelinuxWord("type", label.type()));
  if (!label.level().empty()) {
    const absl::Status level = CheckSelinuxLevel(label.level());
    if (!level.ok()) return Refused("security_context.selinux_options.level", level.message());
  }
  if (policy.selinux || ParseSelinux(label).IsEmpty()) return absl::OkStatus();
  return Refused("security_context.selinux_options", "this node's kernel has no SELinux");
}

absl::Status CheckPaths(absl::string_view field,
                        const google::protobuf::RepeatedPtrField<std::string>& paths) {
  for (const std::string& path : paths) {
    RETURN_IF_ERROR(CheckPath(field, path));
    if (LeadsUp(path)) return Refused(field, absl::StrCat(path, " has \"..\" in it"));
  }
  return absl::OkStatus();
}

absl::Status CheckCapabilityNames(const cri::Capability& capabilities) {
  for (const auto* list : {&capabilities.add_capabilities(), &capabilities.drop_capabilities(),
                           &capabilities.add_ambient_capabilities()}) {
    for (const std::string& name : *list)
      RETURN_IF_ERROR(CheckText("security_context.capabilities", name, kMaxName));
  }
  return absl::OkStatus();
}

absl::Status CheckUser(const cri::LinuxContainerSecurityContext& security) {
  if (security.has_run_as_group() && !security.has_run_as_user() &&
      security.run_as_username().empty()) {
    return Refused("security_context.run_as_group", "needs run_as_user or run_as_username");
  }
  if (!cri::SupplementalGroupsPolicy_IsValid(security.supplemental_groups_policy()))
    return Refused("security_context.supplemental_groups_policy", "is neither Merge nor Strict");
  if (security.supplemental_groups_size() > kMaxGroups)
    return Refused("security_context.supplemental_groups",
                   absl::StrCat("more than ", kMaxGroups, " of them"));
  return CheckText("security_context.run_as_username", security.run_as_username(), kMaxName);
}

SeccompMode SeccompModeOf(const Profile& profile) {
  switch (profile.type) {
    case cri::SecurityProfile::RuntimeDefault:
      return SeccompMode::kRuntimeDefault;
    case cri::SecurityProfile::Localhost:
      return SeccompMode::kLocalhost;
    default:
      return SeccompMode::kUnconfined;
  }
}

ApparmorMode ApparmorModeOf(const Profile& profile) {
  if (!profile.given) return ApparmorMode::kUnset;
  switch (profile.type) {
    case cri::SecurityProfile::RuntimeDefault:
      return ApparmorMode::kRuntimeDefault;
    case cri::SecurityProfile::Localhost:
      return ApparmorMode::kLocalhost;
    default:
      return ApparmorMode::kUnconfined;
  }
}

}  // namespace

SelinuxLabel ParseSelinux(const cri::SELinuxOption& label) {
  return {.user = label.user(), .role = label.role(), .type = label.type(), .level = label.level()};
}

void ParseSecurity(const cri::LinuxContainerSecurityContext& security, ContainerConfig* config) {
  config->privileged = security.privileged();
  config->selinux = ParseSelinux(security.selinux_options());
  config->add_capabilities = Strings(security.capabilities().add_capabilities());
  config->drop_capabilities = Strings(security.capabilities().drop_capabilities());
  config->ambient_capabilities = Strings(security.capabilities().add_ambient_capabilities());
  if (security.has_run_as_user()) config->user.run_as_user = security.run_as_user().value();
  if (security.has_run_as_group()) config->user.run_as_group = security.run_as_group().value();
  config->user.run_as_username = security.run_as_username();
  config->user.supplemental_groups = {security.supplemental_groups().begin(),
                                      security.supplemental_groups().end()};
  config->user.strict_groups = security.supplemental_groups_policy() == cri::Strict;
  config->readonly_rootfs = security.readonly_rootfs();
  config->no_new_privs = security.no_new_privs();
  config->masked_paths = Strings(security.masked_paths());
  config->readonly_paths = Strings(security.readonly_paths());
  const Profile seccomp = SeccompOf(security), apparmor = ApparmorOf(security);
  // Privileged containers have no filter, whatever was asked for.
  config->seccomp = config->privileged ? SeccompMode::kUnconfined : SeccompModeOf(seccomp);
  if (config->seccomp == SeccompMode::kLocalhost) config->seccomp_path = seccomp.localhost;
  config->apparmor = ApparmorModeOf(apparmor);
  if (config->apparmor == ApparmorMode::kLocalhost) config->apparmor_profile = apparmor.localhost;
}

absl::Status CheckPodSecurity(const cri::LinuxSandboxSecurityContext& security,
                              const RequestPolicy& policy) {
  RETURN_IF_ERROR(CheckSelinux(security.selinux_options(), policy));
  RETURN_IF_ERROR(CheckProfile("security_context.seccomp", ProfileOf(security.seccomp())));
  RETURN_IF_ERROR(CheckProfile("security_context.apparmor", ProfileOf(security.apparmor())));
  if (security.has_run_as_group() && !security.has_run_as_user())
    return Refused("security_context.run_as_group", "needs run_as_user");
  return absl::OkStatus();
}

absl::Status CheckContainerSecurity(const cri::LinuxContainerSecurityContext& security,
                                    const PodConfig& pod, const RequestPolicy& policy) {
  if (security.privileged() && !pod.privileged) {
    return Refused("security_context.privileged",
                   "needs a pod sandbox that was made with privileged");
  }
  RETURN_IF_ERROR(CheckUser(security));
  RETURN_IF_ERROR(CheckCapabilityNames(security.capabilities()));
  RETURN_IF_ERROR(CheckSelinux(security.selinux_options(), policy));
  RETURN_IF_ERROR(CheckSeccomp(SeccompOf(security)));
  RETURN_IF_ERROR(CheckApparmor(ApparmorOf(security), security.privileged(), policy));
  RETURN_IF_ERROR(CheckPaths("security_context.masked_paths", security.masked_paths()));
  return CheckPaths("security_context.readonly_paths", security.readonly_paths());
}

}  // namespace berth
