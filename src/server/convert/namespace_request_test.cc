#include "src/server/convert/namespace_request.h"

#include <functional>

#include "src/server/convert/request_makers.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

absl::Status PodWith(const std::function<void(cri::NamespaceOption&)>& edit,
                     const RequestPolicy& policy = MakePolicy()) {
  return ParsePodWith([&](auto& c) { edit(*SecurityOf(c).mutable_namespace_options()); }, policy)
      .status();
}
absl::Status ContainerWith(const std::function<void(cri::NamespaceOption&)>& edit,
                           const PodConfig& pod = {}) {
  return ParseContainerWith([&](auto& c) { edit(*SecurityOf(c).mutable_namespace_options()); }, pod)
      .status();
}

TEST(Namespaces, RefuseModesThatCannotBe) {
  for (const cri::NamespaceMode mode :
       {cri::CONTAINER, cri::TARGET, static_cast<cri::NamespaceMode>(9)}) {
    const auto network = [=](auto& o) { o.set_network(mode); };
    const auto ipc = [=](auto& o) { o.set_ipc(mode); };
    ExpectRefused(PodWith(network), "namespace_options.network");
    ExpectRefused(PodWith(ipc), "namespace_options.ipc");
    ExpectRefused(ContainerWith(network), "namespace_options.network");
    ExpectRefused(ContainerWith(ipc), "namespace_options.ipc");
  }
  const auto unknown = [](auto& o) { o.set_pid(static_cast<cri::NamespaceMode>(9)); };
  ExpectRefused(PodWith(unknown), "namespace_options.pid");
  ExpectRefused(ContainerWith(unknown), "namespace_options.pid");
  ExpectRefused(PodWith([](auto& o) { o.set_pid(cri::TARGET); }), "namespace_options.pid");
}

TEST(Namespaces, HaveATargetWithModeTargetOnly) {
  const absl::StatusOr<ParsedContainer> container = ParseContainerWith([](auto& c) {
    SecurityOf(c).mutable_namespace_options()->set_pid(cri::TARGET);
    SecurityOf(c).mutable_namespace_options()->set_target_id("abc");
  });
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(container->config.pid, NamespaceMode::kTarget);
  EXPECT_EQ(container->config.target_id, "abc");
  ExpectRefused(ContainerWith([](auto& o) { o.set_pid(cri::TARGET); }),
                "namespace_options.target_id");
  const auto lone = [](auto& o) { o.set_target_id("abc"); };
  ExpectRefused(ContainerWith(lone), "namespace_options.target_id");
  ExpectRefused(PodWith(lone), "namespace_options.target_id");
}

TEST(Namespaces, OfAContainerAreThoseOfItsPod) {
  PodConfig node;
  node.namespaces.network = node.namespaces.ipc = node.namespaces.pid = NamespaceMode::kNode;
  const std::pair<const char*, std::function<void(cri::NamespaceOption&)>> cases[] = {
      {"namespace_options.network", [](auto& o) { o.set_network(cri::NODE); }},
      {"namespace_options.ipc", [](auto& o) { o.set_ipc(cri::NODE); }},
      {"namespace_options.pid", [](auto& o) { o.set_pid(cri::NODE); }}};
  for (const auto& [field, edit] : cases) {
    ExpectRefused(ContainerWith(edit), field);
    EXPECT_TRUE(ContainerWith(edit, node).ok()) << field;
  }
  EXPECT_TRUE(ContainerWith([](auto&) {}, node).ok()) << "POD is whatever the pod has";
}

TEST(UserNamespaces, AreTakenWithTheirMappings) {
  const absl::StatusOr<ParsedPod> pod = ParsePodWith(
      [](auto& c) { SetUserNamespace(*SecurityOf(c).mutable_namespace_options(), 1000); });
  ASSERT_TRUE(pod.ok()) << pod.status();
  const UserNamespace& user = pod->config.namespaces.user;
  ASSERT_EQ(user.uids.size(), 1u);
  ASSERT_EQ(user.gids.size(), 1u);
  EXPECT_EQ(user.uids[0].container_id, 0u);
  EXPECT_EQ(user.uids[0].host_id, 65536u);
  EXPECT_EQ(user.gids[0].length, 1000u);
}

TEST(UserNamespaces, RefuseMappingsThatAreWrong) {
  const auto with = [](const std::function<void(cri::UserNamespace&)>& edit) {
    return PodWith([&](auto& o) {
      SetUserNamespace(o);
      edit(*o.mutable_userns_options());
    });
  };
  EXPECT_TRUE(with([](auto&) {}).ok());
  const std::function<void(cri::UserNamespace&)> edits[] = {
      [](auto& u) { u.clear_uids(); },
      [](auto& u) { u.clear_gids(); },
      [](auto& u) { *u.add_uids() = u.uids(0); },
      [](auto& u) { *u.add_gids() = u.gids(0); },
      [](auto& u) { u.mutable_uids(0)->set_length(0); },
      [](auto& u) { u.mutable_uids(0)->set_container_id(1); },
      [](auto& u) { u.mutable_gids(0)->set_host_id(0); },
      [](auto& u) { u.mutable_uids(0)->set_host_id(0); },
      [](auto& u) { u.mutable_uids(0)->set_length(UINT32_MAX); },
      [](auto& u) { u.mutable_gids(0)->set_length(7); },
      [](auto& u) { u.set_mode(cri::NODE); },
      [](auto& u) { u.set_mode(cri::CONTAINER); },
      [](auto& u) { u.set_mode(cri::TARGET); },
      [](auto& u) { u.set_mode(static_cast<cri::NamespaceMode>(9)); },
  };
  for (const auto& edit : edits) ExpectRefused(with(edit), "userns_options");
}

TEST(UserNamespaces, OwnTheOtherNamespacesOfThePod) {
  const auto with = [](const std::function<void(cri::NamespaceOption&)>& edit,
                       const RequestPolicy& policy = MakePolicy()) {
    return PodWith(
        [&](auto& o) {
          SetUserNamespace(o);
          edit(o);
        },
        policy);
  };
  const auto network = [](auto& o) { o.set_network(cri::NODE); };
  ExpectRefused(with([](auto& o) { o.set_pid(cri::NODE); }), "namespace_options.pid");
  ExpectRefused(with([](auto& o) { o.set_ipc(cri::NODE); }), "namespace_options.ipc");
  ExpectRefused(with(network), "namespace_options.network");
  EXPECT_TRUE(
      with(network, MakePolicy([](auto& p) { p.user_namespaces_host_network = true; })).ok());
}

TEST(UserNamespaces, NeedAHandlerThatHasThem) {
  cri::RunPodSandboxRequest request = MakePodRequest();
  SetUserNamespace(*SecurityOf(*request.mutable_config()).mutable_namespace_options());
  request.set_runtime_handler("plain");
  ExpectRefused(ParsePodRequest(request, MakePolicy()).status(),
                "runtime handler \"plain\" has no user namespaces");
}

TEST(UserNamespaces, OfAContainerAreThoseOfItsPod) {
  const auto own = [](auto& o) { SetUserNamespace(o); };
  const auto nodes = [](auto& o) { o.mutable_userns_options()->set_mode(cri::NODE); };
  EXPECT_TRUE(ContainerWith(own, MakeUserNamespacePod()).ok());
  EXPECT_TRUE(ContainerWith([](auto&) {}, MakeUserNamespacePod()).ok());
  EXPECT_TRUE(ContainerWith(nodes).ok());
  ExpectRefused(ContainerWith(own), "userns_options");
  ExpectRefused(ContainerWith(own, MakeUserNamespacePod(1000)), "userns_options");
  ExpectRefused(ContainerWith(nodes, MakeUserNamespacePod()), "userns_options");
}

}  // namespace
}  // namespace berth
