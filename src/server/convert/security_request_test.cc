#include "src/server/convert/security_request.h"

#include <functional>

#include "src/server/convert/request_makers.h"

// The strings are deprecated in the proto, which kubelets of old still fill.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace berth {
namespace {

namespace cri = runtime::v1;
using ::testing::ElementsAre;
using Type = cri::SecurityProfile;

using Edit = std::function<void(cri::LinuxContainerSecurityContext&)>;

absl::StatusOr<ParsedContainer> With(const Edit& edit, const PodConfig& pod = {},
                                     const RequestPolicy& policy = MakePolicy()) {
  return ParseContainerWith([&](auto& c) { edit(SecurityOf(c)); }, pod, policy);
}
ContainerConfig ConfigWith(const Edit& edit) {
  absl::StatusOr<ParsedContainer> container = With(edit);
  EXPECT_TRUE(container.ok()) << container.status();
  return container.ok() ? std::move(container->config) : ContainerConfig{};
}
RequestPolicy WithApparmor() {
  return MakePolicy([](auto& policy) { policy.apparmor = true; });
}
RequestPolicy WithSelinux() {
  return MakePolicy([](auto& policy) { policy.selinux = true; });
}
PodConfig PrivilegedPod() {
  PodConfig pod;
  pod.privileged = true;
  return pod;
}

TEST(Security, TakesWhoAndWhatAContainerIs) {
  const ContainerConfig config = ConfigWith([](auto& s) {
    s.mutable_run_as_user()->set_value(0);
    s.mutable_run_as_group()->set_value(7);
    s.set_run_as_username("ignored");
    s.add_supplemental_groups(9);
    s.set_supplemental_groups_policy(cri::Strict);
    s.mutable_capabilities()->add_add_capabilities("NET_ADMIN");
    s.mutable_capabilities()->add_drop_capabilities("ALL");
    s.mutable_capabilities()->add_add_ambient_capabilities("KILL");
    s.set_readonly_rootfs(true);
    s.set_no_new_privs(true);
    s.add_masked_paths("/proc/kcore");
    s.add_readonly_paths("/proc/sys");
  });
  EXPECT_EQ(config.user.run_as_user, 0) << "root that was asked for is not the same as nothing";
  EXPECT_EQ(config.user.run_as_group, 7);
  EXPECT_EQ(config.user.run_as_username, "ignored");
  EXPECT_THAT(config.user.supplemental_groups, ElementsAre(9));
  EXPECT_TRUE(config.user.strict_groups);
  EXPECT_THAT(config.add_capabilities, ElementsAre("NET_ADMIN"));
  EXPECT_THAT(config.drop_capabilities, ElementsAre("ALL"));
  EXPECT_THAT(config.ambient_capabilities, ElementsAre("KILL"));
  EXPECT_TRUE(config.readonly_rootfs);
  EXPECT_TRUE(config.no_new_privs);
  EXPECT_THAT(config.masked_paths, ElementsAre("/proc/kcore"));
  EXPECT_THAT(config.readonly_paths, ElementsAre("/proc/sys"));
}

TEST(Security, HasAGroupWithAUserOnly) {
  const Edit group = [](auto& s) { s.mutable_run_as_group()->set_value(5); };
  ExpectRefused(With(group).status(), "security_context.run_as_group");
  EXPECT_EQ(ConfigWith([&](auto& s) {
              group(s);
              s.set_run_as_username("www");
            }).user.run_as_group,
            5);
  ExpectRefused(With([](auto& s) {
                  s.set_supplemental_groups_policy(static_cast<cri::SupplementalGroupsPolicy>(7));
                }).status(),
                "supplemental_groups_policy");
}

TEST(Security, IsPrivilegedInAPrivilegedPodOnly) {
  const Edit privileged = [](auto& s) { s.set_privileged(true); };
  ExpectRefused(With(privileged).status(), "security_context.privileged");
  EXPECT_TRUE(With(privileged, PrivilegedPod())->config.privileged);
  EXPECT_FALSE(With([](auto&) {}, PrivilegedPod())->config.privileged);
}

TEST(Security, HasNoFilterWhenPrivilegedWhateverWasAskedFor) {
  for (const Type::ProfileType type : {Type::RuntimeDefault, Type::Localhost}) {
    const absl::StatusOr<ParsedContainer> container = With(
        [&](auto& s) {
          s.set_privileged(true);
          s.mutable_seccomp()->set_profile_type(type);
          if (type == Type::Localhost) s.mutable_seccomp()->set_localhost_ref("/p.json");
        },
        PrivilegedPod());
    ASSERT_TRUE(container.ok()) << container.status();
    EXPECT_EQ(container->config.seccomp, SeccompMode::kUnconfined);
  }
}

struct SeccompCase {
  const char* name;
  Edit edit;
  SeccompMode mode;
  const char* path;
};

TEST(Seccomp, IsTheMessageOrElseTheString) {
  const SeccompCase cases[] = {
      {"nothing", [](auto&) {}, SeccompMode::kUnconfined, ""},
      {"empty message", [](auto& s) { s.mutable_seccomp(); }, SeccompMode::kRuntimeDefault, ""},
      {"unconfined", [](auto& s) { s.mutable_seccomp()->set_profile_type(Type::Unconfined); },
       SeccompMode::kUnconfined, ""},
      {"localhost",
       [](auto& s) {
         s.mutable_seccomp()->set_profile_type(Type::Localhost);
         s.mutable_seccomp()->set_localhost_ref("/p/a.json");
       },
       SeccompMode::kLocalhost, "/p/a.json"},
      {"runtime/default", [](auto& s) { s.set_seccomp_profile_path("runtime/default"); },
       SeccompMode::kRuntimeDefault, ""},
      {"docker/default", [](auto& s) { s.set_seccomp_profile_path("docker/default"); },
       SeccompMode::kRuntimeDefault, ""},
      {"unconfined string", [](auto& s) { s.set_seccomp_profile_path("unconfined"); },
       SeccompMode::kUnconfined, ""},
      {"localhost string", [](auto& s) { s.set_seccomp_profile_path("localhost//p/b.json"); },
       SeccompMode::kLocalhost, "/p/b.json"},
      {"message before string",
       [](auto& s) {
         s.mutable_seccomp()->set_profile_type(Type::Unconfined);
         s.set_seccomp_profile_path("runtime/default");
       },
       SeccompMode::kUnconfined, ""},
  };
  for (const SeccompCase& each : cases) {
    const ContainerConfig config = ConfigWith(each.edit);
    EXPECT_EQ(config.seccomp, each.mode) << each.name;
    EXPECT_EQ(config.seccomp_path, each.path) << each.name;
  }
}

TEST(Seccomp, RefusesAProfileThatIsNone) {
  const Edit edits[] = {
      [](auto& s) { s.mutable_seccomp()->set_localhost_ref("/x"); },
      [](auto& s) { s.mutable_seccomp()->set_profile_type(Type::Localhost); },
      [](auto& s) { s.mutable_seccomp()->set_profile_type(static_cast<Type::ProfileType>(7)); },
      [](auto& s) {
        s.mutable_seccomp()->set_profile_type(Type::Localhost);
        s.mutable_seccomp()->set_localhost_ref("relative.json");
      },
      [](auto& s) {
        s.mutable_seccomp()->set_profile_type(Type::Localhost);
        s.mutable_seccomp()->set_localhost_ref("/profiles/../../etc/shadow");
      },
      [](auto& s) { s.set_seccomp_profile_path("default"); },
      [](auto& s) { s.set_seccomp_profile_path("localhost/"); },
      [](auto& s) { s.set_seccomp_profile_path("localhost/relative"); },
      [](auto& s) { s.set_seccomp_profile_path("/p.json"); },
  };
  for (const Edit& edit : edits) ExpectRefused(With(edit).status(), "security_context.seccomp");
}

TEST(Apparmor, IsTheMessageOrElseTheString) {
  const auto mode = [](const Edit& edit) {
    return With(edit, {}, WithApparmor())->config.apparmor;
  };
  EXPECT_EQ(mode([](auto&) {}), ApparmorMode::kUnset);
  EXPECT_EQ(mode([](auto& s) { s.mutable_apparmor(); }), ApparmorMode::kRuntimeDefault);
  EXPECT_EQ(mode([](auto& s) { s.set_apparmor_profile("unconfined"); }), ApparmorMode::kUnconfined);
  EXPECT_EQ(mode([](auto& s) {
              s.mutable_apparmor()->set_profile_type(Type::Unconfined);
              s.set_apparmor_profile("localhost/x");
            }),
            ApparmorMode::kUnconfined);
  const absl::StatusOr<ParsedContainer> local =
      With([](auto& s) { s.set_apparmor_profile("localhost/my-profile"); }, {}, WithApparmor());
  ASSERT_TRUE(local.ok()) << local.status();
  EXPECT_EQ(local->config.apparmor, ApparmorMode::kLocalhost);
  EXPECT_EQ(local->config.apparmor_profile, "my-profile");
}

TEST(Apparmor, IsRefusedWhereItCannotBe) {
  const Edit local = [](auto& s) { s.set_apparmor_profile("localhost/p"); };
  const Edit standard = [](auto& s) { s.mutable_apparmor(); };
  ExpectRefused(With(local).status(), "this node's kernel has no AppArmor");
  ExpectRefused(With(standard).status(), "this node's kernel has no AppArmor");
  EXPECT_TRUE(With([](auto& s) { s.set_apparmor_profile("unconfined"); }).ok());
  EXPECT_TRUE(With(
                  [&](auto& s) {
                    standard(s);
                    s.set_privileged(true);
                  },
                  PrivilegedPod())
                  .ok());
  ExpectRefused(
      With([](auto& s) { s.mutable_apparmor()->set_localhost_ref("x"); }, {}, WithApparmor())
          .status(),
      "security_context.apparmor.localhost_ref");
  ExpectRefused(With([](auto& s) { s.set_apparmor_profile("x"); }, {}, WithApparmor()).status(),
                "security_context.apparmor");
}

TEST(Selinux, IsTakenWhereTheKernelHasItAndRefusedElsewhere) {
  const Edit edit = [](auto& s) {
    s.mutable_selinux_options()->set_user("u");
    s.mutable_selinux_options()->set_role("r");
    s.mutable_selinux_options()->set_type("t_1");
    s.mutable_selinux_options()->set_level("s0:c1,c2");
  };
  const absl::StatusOr<ParsedContainer> container = With(edit, {}, WithSelinux());
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(container->config.selinux.user, "u");
  EXPECT_EQ(container->config.selinux.role, "r");
  EXPECT_EQ(container->config.selinux.type, "t_1");
  EXPECT_EQ(container->config.selinux.level, "s0:c1,c2");
  const std::function<void(cri::SELinuxOption&)> parts[] = {
      [](auto& o) { o.set_user("u"); }, [](auto& o) { o.set_role("r"); },
      [](auto& o) { o.set_type("t"); }, [](auto& o) { o.set_level("s0"); }};
  for (const auto& part : parts) {
    ExpectRefused(With([&](auto& s) { part(*s.mutable_selinux_options()); }).status(),
                  "this node's kernel has no SELinux");
    ExpectRefused(
        ParsePodWith([&](auto& c) { part(*SecurityOf(c).mutable_selinux_options()); }).status(),
        "this node's kernel has no SELinux");
  }
  EXPECT_TRUE(With([](auto& s) { s.mutable_selinux_options(); }).ok());
}

TEST(Selinux, RefusesLabelsThatAreMalformed) {
  for (const char* level : {"x", "s", "s0:", "s0:c", "0", "s0,c1", "s0:c1,", "s0 "}) {
    ExpectRefused(
        With([&](auto& s) { s.mutable_selinux_options()->set_level(level); }, {}, WithSelinux())
            .status(),
        "selinux_options.level");
  }
  for (const char* type : {"a:b", "a b", "a\nb", "a,b"}) {
    ExpectRefused(
        With([&](auto& s) { s.mutable_selinux_options()->set_type(type); }, {}, WithSelinux())
            .status(),
        "selinux_options.type");
  }
}

TEST(Security, RefusesMaskedAndReadOnlyPathsThatAreNone) {
  for (const char* path : {"", "relative", "/a/../b", "/a\nb"}) {
    ExpectRefused(With([&](auto& s) { s.add_masked_paths(path); }).status(), "masked_paths");
    ExpectRefused(With([&](auto& s) { s.add_readonly_paths(path); }).status(), "readonly_paths");
  }
}

}  // namespace
}  // namespace berth
