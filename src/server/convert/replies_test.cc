#include "src/server/convert/replies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <map>
#include <string>

#include "src/server/convert/requests.h"

namespace berth {
namespace {

namespace cri = runtime::v1;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Labels = std::map<std::string, std::string>;

PodRecord MakePod(const std::string& id, PodState state = PodState::kReady,
                  const Labels& labels = {}) {
  cri::RunPodSandboxRequest request;
  request.mutable_config()->mutable_metadata()->set_name("web");
  request.mutable_config()->mutable_metadata()->set_attempt(3);
  for (const auto& [key, value] : labels)
    (*request.mutable_config()->mutable_labels())[key] = value;
  (*request.mutable_config()->mutable_annotations())["note"] = "kept";
  absl::StatusOr<ParsedPod> parsed = ParsePodRequest(request, {});
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  PodRecord pod{.id = id, .created_at = 5, .config = parsed->config, .request = parsed->request};
  pod.status.state = state;
  return pod;
}

ContainerRecord MakeContainer(const std::string& id, const std::string& pod_id = "pod",
                              ContainerState state = ContainerState::kRunning,
                              const Labels& labels = {}) {
  cri::CreateContainerRequest request;
  request.mutable_config()->mutable_metadata()->set_name("app");
  request.mutable_config()->mutable_image()->set_image("busybox:latest");
  request.mutable_config()->mutable_image()->set_user_specified_image("busybox");
  for (const auto& [key, value] : labels)
    (*request.mutable_config()->mutable_labels())[key] = value;
  absl::StatusOr<ParsedContainer> parsed = ParseContainerRequest(request, {}, {});
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  ContainerRecord container{.id = id,
                            .pod_id = pod_id,
                            .created_at = 6,
                            .config = parsed->config,
                            .request = parsed->request};
  container.status.state = state;
  container.image = {.id = "sha256:1",
                     .name = "docker.io/library/busybox:latest",
                     .reference = "busybox@sha256:2"};
  return container;
}

TEST(FillPodSandboxStatus, TellsWhatWasAskedAndWhatIs) {
  PodRecord pod = MakePod("p1", PodState::kReady, {{"a", "b"}});
  pod.status.ips = {"10.0.0.2", "fd00::2", "fd00::3"};
  cri::PodSandboxStatus status;
  FillPodSandboxStatus(pod, &status);
  EXPECT_EQ(status.id(), "p1");
  EXPECT_EQ(status.state(), cri::SANDBOX_READY);
  EXPECT_EQ(status.metadata().attempt(), 3u);
  EXPECT_EQ(status.labels().at("a"), "b");
  EXPECT_EQ(status.annotations().at("note"), "kept");
  EXPECT_EQ(status.network().ip(), "10.0.0.2");
  ASSERT_EQ(status.network().additional_ips_size(), 2);
  EXPECT_EQ(status.network().additional_ips(1).ip(), "fd00::3");
}

TEST(FillPodSandboxStatus, HasANetworkWithoutAddressesOnTheNodesNetwork) {
  cri::PodSandboxStatus status;
  FillPodSandboxStatus(MakePod("p1", PodState::kNotReady), &status);
  EXPECT_EQ(status.state(), cri::SANDBOX_NOTREADY);
  EXPECT_TRUE(status.has_network());
  EXPECT_EQ(status.network().ip(), "");
}

TEST(FillPodSandbox, IsReadyOnlyOnceItIs) {
  for (const PodState state : {PodState::kCreating, PodState::kReady, PodState::kNotReady}) {
    cri::PodSandbox sandbox;
    FillPodSandbox(MakePod("p1", state), &sandbox);
    EXPECT_EQ(sandbox.state() == cri::SANDBOX_READY, state == PodState::kReady);
  }
}

TEST(FillContainerStatus, TellsTheEffectiveUserAndTheImage) {
  ContainerRecord container = MakeContainer("c1");
  container.image.uid = 4294967294;
  container.image.gid = 100;
  container.image.groups = {7, 100};
  container.status.exit_code = 137;
  container.status.reason = "OOMKilled";
  container.status.message = "m";
  container.status.started_at = 7;
  container.status.finished_at = 8;
  container.log_path = "/logs/app/0.log";
  cri::ContainerStatus status;
  FillContainerStatus(container, &status);
  EXPECT_EQ(status.user().linux().uid(), 4294967294);
  EXPECT_EQ(status.user().linux().gid(), 100);
  EXPECT_THAT(status.user().linux().supplemental_groups(), ElementsAre(7, 100));
  EXPECT_EQ(status.image().image(), "docker.io/library/busybox:latest");
  EXPECT_EQ(status.image().user_specified_image(), "busybox");
  EXPECT_EQ(status.image_ref(), "busybox@sha256:2");
  EXPECT_EQ(status.image_id(), "sha256:1");
  EXPECT_EQ(status.exit_code(), 137);
  EXPECT_EQ(status.reason(), "OOMKilled");
  EXPECT_EQ(status.message(), "m");
  EXPECT_EQ(status.created_at(), 6);
  EXPECT_EQ(status.started_at(), 7);
  EXPECT_EQ(status.finished_at(), 8);
  EXPECT_EQ(status.log_path(), "/logs/app/0.log");
}

// The kubelet makes a pod anew whose network mode is not what it wants.
TEST(FillPodSandboxStatus, EchoesTheNamespaceOptionsAndTheHandler) {
  cri::RunPodSandboxRequest request;
  request.set_runtime_handler("runc");
  cri::NamespaceOption& options = *request.mutable_config()
                                       ->mutable_linux()
                                       ->mutable_security_context()
                                       ->mutable_namespace_options();
  options.set_network(cri::NODE);
  options.set_pid(cri::CONTAINER);
  options.mutable_userns_options()->set_mode(cri::POD);
  options.mutable_userns_options()->add_uids()->set_length(65536);
  const PodRecord pod{.id = "p",
                      .request = StoredRequestParsers().pod(request.SerializeAsString())->request};
  cri::PodSandboxStatus status;
  FillPodSandboxStatus(pod, &status);
  EXPECT_EQ(status.runtime_handler(), "runc");
  EXPECT_EQ(status.linux().namespaces().options().SerializeAsString(), options.SerializeAsString());
}

ContainerRecord MakeContainerOf(const cri::CreateContainerRequest& request) {
  const absl::StatusOr<ParsedContainer> parsed =
      StoredRequestParsers().container(request.SerializeAsString());
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return {.id = "c", .config = parsed->config, .request = parsed->request};
}

TEST(FillContainerStatus, EchoesMountsAsAskedForAndTheImagesThatWereFound) {
  cri::CreateContainerRequest request;
  cri::Mount& bind = *request.mutable_config()->add_mounts();
  bind.set_host_path("/h/../x");
  bind.set_container_path("/v/");
  bind.set_selinux_relabel(true);
  bind.set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  bind.add_mount_options("noexec");
  bind.add_uidmappings()->set_length(3);
  cri::Mount& image = *request.mutable_config()->add_mounts();
  image.set_container_path("/i");
  image.mutable_image()->set_image("busybox");
  image.set_image_sub_path("bin");
  ContainerRecord container = MakeContainerOf(request);
  container.image.mounted = {{"sha256:9", "busybox@sha256:8", {}}};
  cri::ContainerStatus status;
  FillContainerStatus(container, &status);
  ASSERT_EQ(status.mounts_size(), 2);
  EXPECT_EQ(status.mounts(0).SerializeAsString(), bind.SerializeAsString());
  EXPECT_EQ(status.mounts(1).image().image_ref(), "sha256:9");
  EXPECT_EQ(status.mounts(1).image().image(), "busybox");
  EXPECT_EQ(status.mounts(1).image_sub_path(), "bin");
}

TEST(FillContainerStatus, TellsResourcesAsAskedForUntilTheyAreChanged) {
  cri::CreateContainerRequest request;
  cri::LinuxContainerResources& asked =
      *request.mutable_config()->mutable_linux()->mutable_resources();
  asked.set_cpu_shares(1);
  asked.set_oom_score_adj(7);
  ContainerRecord container = MakeContainerOf(request);
  cri::ContainerStatus before, after;
  FillContainerStatus(container, &before);
  EXPECT_EQ(before.resources().linux().SerializeAsString(), asked.SerializeAsString());
  container.status.limits = CgroupLimits{.memory_bytes = 4096, .cpu_shares = 512};
  FillContainerStatus(container, &after);
  EXPECT_EQ(after.resources().linux().cpu_shares(), 512);
  EXPECT_EQ(after.resources().linux().memory_limit_in_bytes(), 4096);
  EXPECT_EQ(after.resources().linux().oom_score_adj(), 7);
}

TEST(FillContainer, NamesEachState) {
  const struct {
    ContainerState state;
    cri::ContainerState told;
  } states[] = {{ContainerState::kCreated, cri::CONTAINER_CREATED},
                {ContainerState::kRunning, cri::CONTAINER_RUNNING},
                {ContainerState::kExited, cri::CONTAINER_EXITED}};
  for (const auto& each : states) {
    cri::Container container;
    FillContainer(MakeContainer("c1", "p1", each.state), &container);
    EXPECT_EQ(container.state(), each.told);
    EXPECT_EQ(container.pod_sandbox_id(), "p1");
    EXPECT_EQ(container.image_ref(), "busybox@sha256:2");
  }
}

TEST(FillContainer, ToldByNoMonitorYetIsUnknownUnlessItHasExited) {
  for (const ContainerState state :
       {ContainerState::kCreated, ContainerState::kRunning, ContainerState::kExited}) {
    ContainerRecord record = MakeContainer("c1", "p1", state);
    record.status.unread = true;
    cri::Container listed;
    FillContainer(record, &listed);
    cri::ContainerStatus status;
    FillContainerStatus(record, &status);
    const bool exited = state == ContainerState::kExited;
    EXPECT_EQ(listed.state(), exited ? cri::CONTAINER_EXITED : cri::CONTAINER_UNKNOWN);
    EXPECT_EQ(status.state(), listed.state());
  }
}

cri::Signal ToldSignal(int number) {
  ContainerRecord container = MakeContainer("c1");
  container.stop_signal = number;
  cri::ContainerStatus status;
  FillContainerStatus(container, &status);
  return status.stop_signal();
}

absl::StatusOr<int> ParsedSignal(cri::Signal signal) {
  cri::CreateContainerRequest request;
  request.mutable_config()->mutable_metadata()->set_name("app");
  request.mutable_config()->mutable_image()->set_image("i");
  request.mutable_config()->set_stop_signal(signal);
  const absl::StatusOr<ParsedContainer> parsed = ParseContainerRequest(request, {}, {});
  if (!parsed.ok()) return parsed.status();
  return parsed->config.stop_signal;
}

TEST(StopSignal, OfEachNumberHasANameThatMeansItAgain) {
  for (int number = 1; number <= 64; ++number) {
    const cri::Signal told = ToldSignal(number);
    if (number == 32 || number == 33) {  // the C library's own
      EXPECT_EQ(told, cri::SIGNAL_RUNTIME_DEFAULT);
      continue;
    }
    ASSERT_NE(told, cri::SIGNAL_RUNTIME_DEFAULT) << number;
    const absl::StatusOr<int> again = ParsedSignal(told);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, number) << cri::Signal_Name(told);
  }
}

TEST(StopSignal, OfEachNameOfTheApiIsOneNumberThatIsToldAgain) {
  const std::map<cri::Signal, cri::Signal> synonyms = {{cri::SIGNAL_SIGCLD, cri::SIGNAL_SIGCHLD},
                                                       {cri::SIGNAL_SIGIO, cri::SIGNAL_SIGPOLL},
                                                       {cri::SIGNAL_SIGIOT, cri::SIGNAL_SIGABRT}};
  for (int value = cri::SIGNAL_RUNTIME_DEFAULT + 1; value <= cri::Signal_MAX; ++value) {
    const auto signal = static_cast<cri::Signal>(value);
    const absl::StatusOr<int> number = ParsedSignal(signal);
    ASSERT_TRUE(number.ok()) << cri::Signal_Name(signal) << ": " << number.status();
    const auto synonym = synonyms.find(signal);
    EXPECT_EQ(ToldSignal(*number), synonym == synonyms.end() ? signal : synonym->second)
        << cri::Signal_Name(signal);
  }
}

TEST(FillImage, TellsTheUserAsANumberOrAName) {
  const struct {
    const char* user;
    bool number;
    int64_t uid;
    const char* name;
  } users[] = {{"", false, 0, ""}, {"1000", true, 1000, ""}, {"1000:100", true, 1000, ""},
               {"0", true, 0, ""}, {"app", false, 0, "app"}, {"app:grp", false, 0, "app"}};
  for (const auto& each : users) {
    Image image;
    image.id = "sha256:1";
    image.repo_tags = {"a:1"};
    image.repo_digests = {"a@sha256:2"};
    image.size_bytes = 9;
    image.config.user = each.user;
    cri::Image told;
    FillImage(image, &told);
    EXPECT_EQ(told.has_uid(), each.number) << each.user;
    EXPECT_EQ(told.uid().value(), each.uid) << each.user;
    EXPECT_EQ(told.username(), each.name) << each.user;
    EXPECT_THAT(told.repo_tags(), ElementsAre("a:1"));
    EXPECT_THAT(told.repo_digests(), ElementsAre("a@sha256:2"));
    EXPECT_EQ(told.size(), 9u);
  }
}

TEST(PodFilter, TakesAllThatMatchInEachPart) {
  const PodRecord pod = MakePod("abc", PodState::kReady, {{"app", "web"}, {"tier", "1"}});
  cri::PodSandboxFilter filter;
  EXPECT_TRUE(Matches(filter, pod)) << "an empty filter matches all";
  filter.set_id("ab");
  EXPECT_TRUE(Matches(filter, pod)) << "ids match by prefix";
  filter.mutable_state()->set_state(cri::SANDBOX_READY);
  (*filter.mutable_label_selector())["app"] = "web";
  EXPECT_TRUE(Matches(filter, pod));
  (*filter.mutable_label_selector())["tier"] = "2";
  EXPECT_FALSE(Matches(filter, pod)) << "every label must match";
  filter.clear_label_selector();
  (*filter.mutable_label_selector())["none"] = "";
  EXPECT_FALSE(Matches(filter, pod)) << "an absent label is not an empty one";
  filter.clear_label_selector();
  filter.mutable_state()->set_state(cri::SANDBOX_NOTREADY);
  EXPECT_FALSE(Matches(filter, pod));
  filter.clear_state();
  filter.set_id("b");
  EXPECT_FALSE(Matches(filter, pod));
}

// CREATED is the zero of its enum: a filter for it is not no filter.
TEST(ContainerFilter, TellsAnUnsetStateFromTheFirstOne) {
  cri::ContainerFilter filter;
  filter.mutable_state();
  EXPECT_TRUE(Matches(filter, MakeContainer("c", "p", ContainerState::kCreated)));
  EXPECT_FALSE(Matches(filter, MakeContainer("c", "p", ContainerState::kRunning)));
}

TEST(ContainerFilter, TakesAllThatMatchInEachPart) {
  const ContainerRecord container =
      MakeContainer("abc", "pod1", ContainerState::kRunning, {{"app", "web"}});
  cri::ContainerFilter filter;
  filter.set_id("abc");
  filter.set_pod_sandbox_id("pod1");
  filter.mutable_state()->set_state(cri::CONTAINER_RUNNING);
  (*filter.mutable_label_selector())["app"] = "web";
  EXPECT_TRUE(Matches(filter, container));
  filter.set_pod_sandbox_id("pod2");
  EXPECT_FALSE(Matches(filter, container));
  cri::ContainerStatsFilter stats;
  EXPECT_TRUE(Matches(stats, container));
  stats.set_id("abcd");
  EXPECT_FALSE(Matches(stats, container));
  stats.clear_id();
  (*stats.mutable_label_selector())["app"] = "db";
  EXPECT_FALSE(Matches(stats, container));
}

}  // namespace
}  // namespace berth
