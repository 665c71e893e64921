#include "src/server/convert/requests.h"

#include <fstream>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/server/convert/request_makers.h"

namespace berth {
namespace {

namespace cri = runtime::v1;
using ::testing::ElementsAre;

// Each has a test of its own refusal in pod_request_test.cc.
TEST(Coverage, RefusesOnlyWhatBelongsToLaterWork) {
  std::ifstream table(std::string(BERTH_SOURCE_DIR) + "/api/cri/coverage.tsv");
  std::vector<std::string> refused;
  for (std::string line; std::getline(table, line);) {
    const std::vector<std::string> columns = absl::StrSplit(line, '\t');
    ASSERT_GE(columns.size(), 3u) << line;
    if (columns[2] == "refused" && !absl::StrContains(line, "UNIMPLEMENTED"))
      refused.push_back(absl::StrCat(columns[0], ".", columns[1]));
  }
  EXPECT_THAT(refused, ElementsAre());
}

TEST(Requests, EqualOnesGiveEqualBytesWhateverTheOrderOfMaps) {
  const auto bytes = [](const std::vector<std::string>& keys) {
    return ParsePodWith([&](auto& c) {
             for (const std::string& key : keys) (*c.mutable_labels())[key] = key;
           })
        ->bytes;
  };
  EXPECT_EQ(bytes({"a", "b", "c", "d"}), bytes({"d", "c", "b", "a"}));
  EXPECT_NE(bytes({"a"}), bytes({"b"}));
}

TEST(StoredRequestParsers, ReadBackWhatWasStoredAndRefuseDamage) {
  const RequestParsers parsers = StoredRequestParsers();
  const absl::StatusOr<ParsedPod> pod =
      parsers.pod(ParsePodRequest(MakePodRequest(), MakePolicy())->bytes);
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(pod->config.name, "web");
  const absl::StatusOr<ParsedContainer> container =
      parsers.container(ParseContainerRequest(MakeContainerRequest(), {}, MakePolicy())->bytes);
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(container->config.image, "busybox");
  EXPECT_EQ(parsers.pod("\xff\xff\xff").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(parsers.container("\xff\xff\xff").status().code(), absl::StatusCode::kDataLoss);
}

// What an older berthd took, or one with other handlers: its pods and containers still exist.
TEST(StoredRequestParsers, ReadAPodThatWouldBeRefusedToday) {
  cri::RunPodSandboxRequest request;
  request.set_runtime_handler("gone");
  cri::PodSandboxConfig& config = *request.mutable_config();
  config.mutable_metadata()->set_name("a\nb");
  config.set_hostname(std::string(300, 'h'));
  config.set_log_directory("relative");
  config.add_port_mappings()->set_host_port(80);
  config.mutable_linux()->set_cgroup_parent("/kubepods.slice");
  (*config.mutable_linux()->mutable_sysctls())["kernel.panic"] = "1";
  SecurityOf(config).mutable_namespace_options()->set_network(static_cast<cri::NamespaceMode>(9));
  SecurityOf(config).mutable_selinux_options()->set_level("nonsense");
  EXPECT_FALSE(ParsePodRequest(request, MakePolicy()).ok());
  const absl::StatusOr<ParsedPod> pod = StoredRequestParsers().pod(request.SerializeAsString());
  ASSERT_TRUE(pod.ok()) << pod.status();
  EXPECT_EQ(pod->config.name, "a\nb");
  EXPECT_EQ(pod->config.runtime_handler, "gone");
  EXPECT_EQ(pod->config.cgroup_parent, "/kubepods.slice");
}

TEST(StoredRequestParsers, ReadAContainerThatWouldBeRefusedToday) {
  cri::CreateContainerRequest request;
  cri::ContainerConfig& config = *request.mutable_config();
  config.mutable_metadata()->set_name("a\nb");
  config.set_stop_signal(static_cast<cri::Signal>(1000));
  config.set_log_path("../x");
  AddMount(config).add_mount_options("suid");
  config.mutable_mounts(0)->set_propagation(static_cast<cri::MountPropagation>(9));
  config.add_devices()->set_permissions("x");
  config.add_cdi_devices()->set_name("nonsense");
  SecurityOf(config).set_privileged(true);
  SecurityOf(config).mutable_seccomp()->set_profile_type(
      static_cast<cri::SecurityProfile::ProfileType>(9));
  config.mutable_linux()->mutable_resources()->set_oom_score_adj(5000);
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(-1);
  EXPECT_FALSE(ParseContainerRequest(request, {}, MakePolicy()).ok());
  const absl::StatusOr<ParsedContainer> container =
      StoredRequestParsers().container(request.SerializeAsString());
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_EQ(container->config.stop_signal, 0);
  EXPECT_EQ(container->config.oom_score_adj, 1000);
  EXPECT_EQ(container->config.limits.memory_bytes, std::nullopt);
  EXPECT_EQ(container->config.mounts.at(0).propagation, Propagation::kPrivate);
}

TEST(ParseContainerRequest, StoresNoSecondCopyOfThePodsConfiguration) {
  cri::CreateContainerRequest request = MakeContainerRequest();
  request.mutable_sandbox_config()->mutable_metadata()->set_name("web");
  EXPECT_EQ(ParseContainerRequest(request, {}, MakePolicy())->bytes,
            ParseContainerRequest(MakeContainerRequest(), {}, MakePolicy())->bytes);
}

TEST(ParseAuth, TakesPartsAsTheyAre) {
  cri::AuthConfig auth;
  auth.set_username("u");
  auth.set_password("p:w");
  auth.set_auth("bm90OnVzZWQ=");
  auth.set_identity_token("i");
  auth.set_registry_token("r");
  auth.set_server_address("s");
  const auto result = ParseAuth(auth);
  ASSERT_TRUE(result.ok()) << result.status();
  const RegistryAuth& parsed = *result;
  EXPECT_EQ(parsed.username, "u");
  EXPECT_EQ(parsed.password, "p:w");
  EXPECT_EQ(parsed.identity_token, "i");
  EXPECT_EQ(parsed.registry_token, "r");
  EXPECT_EQ(parsed.server_address, "s");
}

TEST(ParseAuth, DecodesTheCombinedForm) {
  const struct {
    std::string decoded, username, password;
  } cases[] = {
      {"u:p", "u", "p"}, {"u:p:q", "u", "p:q"},
      {"u:", "u", ""},   {":p", "", "p"},
      {"u", "u", ""},    {std::string("u:p\0\0", 5), "u", "p"}};  // some clients pad with NULs
  for (const auto& each : cases) {
    cri::AuthConfig auth;
    auth.set_auth(absl::Base64Escape(each.decoded));
    EXPECT_EQ(ParseAuth(auth)->username, each.username);
    EXPECT_EQ(ParseAuth(auth)->password, each.password);
  }
  cri::AuthConfig broken;
  broken.set_auth("%%%");
  EXPECT_EQ(ParseAuth(broken).status(),
            absl::InvalidArgumentError("auth.auth: is not user:password in base64"));
}

}  // namespace
}  // namespace berth
