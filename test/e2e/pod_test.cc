// RunPodSandbox, StopPodSandbox, RemovePodSandbox, PodSandboxStatus, ListPodSandbox as their
// callers see them.
#include <gmock/gmock.h>

#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"

namespace berth::e2e {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::UnorderedElementsAre;

constexpr char kUnknownId[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

class PodTest : public E2eTest {
 protected:
  std::vector<std::string> Ids(const cri::PodSandboxFilter& filter = {}) {
    const auto pods = client().ListPods(filter);
    EXPECT_OK(pods);
    std::vector<std::string> ids;
    for (const auto& pod : *pods) ids.push_back(pod.id());
    return ids;
  }
};

TEST_F(PodTest, IsReadyWithAnAddressWhenTheCallReturns) {
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  EXPECT_THAT(pod.id(), MatchesRegex("[0-9a-f]{64}"));
  ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod.id()));
  EXPECT_EQ(status.id(), pod.id());
  EXPECT_EQ(status.state(), cri::SANDBOX_READY);
  EXPECT_GT(status.created_at(), 0);
  EXPECT_THAT(status.network().ip(), HasSubstr("10.201.1."));
  ASSERT_EQ(status.network().additional_ips_size(), 1);
  EXPECT_THAT(status.network().additional_ips(0).ip(), HasSubstr("fd20:1::"));
}

TEST_F(PodTest, KeepsWhatTheKubeletSent) {
  const cri::PodSandboxConfig config = MakeKubeletPodConfig(Name());
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod.id()));
  EXPECT_EQ(status.metadata().SerializeAsString(), config.metadata().SerializeAsString());
  const std::map<std::string, std::string> labels(config.labels().begin(), config.labels().end());
  const std::map<std::string, std::string> annotations(config.annotations().begin(),
                                                       config.annotations().end());
  EXPECT_EQ((std::map<std::string, std::string>(status.labels().begin(), status.labels().end())),
            labels);
  EXPECT_EQ((std::map<std::string, std::string>(status.annotations().begin(),
                                                status.annotations().end())),
            annotations);
  EXPECT_EQ(status.linux().namespaces().options().pid(), cri::CONTAINER);
  EXPECT_EQ(status.linux().namespaces().options().network(), cri::POD);
  cri::PodSandboxFilter filter;
  filter.set_id(pod.id());
  ASSERT_OK_AND_ASSIGN(const auto listed, client().ListPods(filter));
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].metadata().SerializeAsString(), config.metadata().SerializeAsString());
  EXPECT_EQ((std::map<std::string, std::string>(listed[0].annotations().begin(),
                                                listed[0].annotations().end())),
            annotations);
  EXPECT_EQ(listed[0].created_at(), status.created_at());
}

TEST_F(PodTest, HostNetworkHasNoAddressAndIsEchoed) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  NamespaceOptions(config)->set_network(cri::NODE);
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod.id()));
  EXPECT_EQ(status.network().ip(), "");
  EXPECT_EQ(status.linux().namespaces().options().network(), cri::NODE);
}

TEST_F(PodTest, SparseConfigWithoutLogDirectoryRuns) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  config.clear_log_directory();
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("quiet", {"lines", "10"})));
  ASSERT_OK_AND_ASSIGN(const auto status, client().WaitExit(id));
  EXPECT_EQ(status.exit_code(), 0);
  EXPECT_EQ(status.log_path(), "");
}

TEST_F(PodTest, StopReleasesTheAddressAndKeepsThePodListed) {
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK(client().StopPod(pod.id()));
  ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod.id()));
  EXPECT_EQ(status.state(), cri::SANDBOX_NOTREADY);
  EXPECT_EQ(status.network().ip(), "");
  cri::PodSandboxFilter filter;
  filter.set_id(pod.id());
  EXPECT_THAT(Ids(filter), ElementsAre(pod.id()));
}

TEST_F(PodTest, StopEndsItsContainers) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string a, pod.RunContainer(MakeProbe("a", {"ignore-term"})));
  ASSERT_OK_AND_ASSIGN(const std::string b, pod.RunContainer(MakeProbe("b", {"sleep"})));
  ASSERT_OK(client().StopPod(pod.id()));
  for (const std::string& id : {a, b}) {
    ASSERT_OK_AND_ASSIGN(const auto status, client().ContainerStatus(id));
    EXPECT_EQ(status.state(), cri::CONTAINER_EXITED);
  }
}

TEST_F(PodTest, StopAndRemoveAreIdempotent) {
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  EXPECT_OK(client().StopPod(pod.id()));
  EXPECT_OK(client().StopPod(pod.id()));
  EXPECT_OK(client().RemovePod(pod.id()));
  EXPECT_OK(client().RemovePod(pod.id()));
  EXPECT_OK(client().StopPod(pod.id()));
  EXPECT_CODE(client().PodStatus(pod.id()), kNotFound);
}

TEST_F(PodTest, StopAndRemoveOfUnknownIdsSucceed) {
  EXPECT_OK(client().StopPod(kUnknownId));
  EXPECT_OK(client().StopPod("sb-none"));
  EXPECT_OK(client().RemovePod(kUnknownId));
  EXPECT_OK(client().RemovePod("sb-none"));
}

TEST_F(PodTest, ConcurrentStopsAllSucceed) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeProbe("a", {"sleep"})));
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(4);
  for (absl::Status& result : results)
    threads.emplace_back([&] { result = client().StopPod(pod.id()); });
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) EXPECT_OK(result);
}

TEST_F(PodTest, RemoveTakesARunningPodWithItsContainers) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("a", {"ignore-term"})));
  ASSERT_OK(client().RemovePod(pod.id()));
  EXPECT_CODE(client().ContainerStatus(id), kNotFound);
  cri::PodSandboxFilter filter;
  filter.set_id(pod.id());
  EXPECT_THAT(Ids(filter), IsEmpty());
  EXPECT_EQ(access(pod.LogPath("a").c_str(), F_OK), 0) << "log files belong to the kubelet";
}

TEST_F(PodTest, FiltersAreAndedAndAnEmptyOneListsAll) {
  cri::PodSandboxConfig first = MakePodConfig(Name("-1")), second = MakePodConfig(Name("-2"));
  (*first.mutable_labels())["app"] = "one";
  (*first.mutable_labels())["tier"] = "front";
  (*second.mutable_labels())["app"] = "two";
  ASSERT_OK_AND_ASSIGN(const Pod a, Pod::Run(client(), first));
  ASSERT_OK_AND_ASSIGN(const Pod b, Pod::Run(client(), second));
  ASSERT_OK(client().StopPod(b.id()));

  EXPECT_THAT(Ids(), UnorderedElementsAre(a.id(), b.id()));
  ASSERT_OK_AND_ASSIGN(const auto unfiltered,
                       client().Call(&Runtime::ListPodSandbox, cri::ListPodSandboxRequest()));
  EXPECT_EQ(unfiltered.items_size(), 2);
  cri::PodSandboxFilter filter;
  filter.mutable_state()->set_state(cri::SANDBOX_READY);
  EXPECT_THAT(Ids(filter), ElementsAre(a.id()));
  filter.mutable_state()->set_state(cri::SANDBOX_NOTREADY);
  EXPECT_THAT(Ids(filter), ElementsAre(b.id()));
  filter.set_id(a.id());
  EXPECT_THAT(Ids(filter), IsEmpty()) << "id and state both apply";
  filter.Clear();
  (*filter.mutable_label_selector())["app"] = "one";
  EXPECT_THAT(Ids(filter), ElementsAre(a.id()));
  (*filter.mutable_label_selector())["tier"] = "back";
  EXPECT_THAT(Ids(filter), IsEmpty());
  filter.Clear();
  filter.set_id(a.id().substr(0, 13));
  EXPECT_THAT(Ids(filter), ElementsAre(a.id()));
  filter.set_id("ffff-no-such-id");
  EXPECT_THAT(Ids(filter), IsEmpty());
}

TEST_F(PodTest, StatusAcceptsAnUnambiguousPrefix) {
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(pod.id().substr(0, 13)));
  EXPECT_EQ(status.id(), pod.id());
}

TEST_F(PodTest, VerboseStatusHasInfoAndPlainHasNone) {
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod.id());
  ASSERT_OK_AND_ASSIGN(const auto plain, client().Call(&Runtime::PodSandboxStatus, request));
  EXPECT_TRUE(plain.info().empty());
  request.set_verbose(true);
  ASSERT_OK_AND_ASSIGN(const auto verbose, client().Call(&Runtime::PodSandboxStatus, request));
  ASSERT_FALSE(verbose.info().empty());
  for (const auto& [key, value] : verbose.info())
    EXPECT_TRUE(Json::accept(value)) << key << ": " << value;
}

TEST_F(PodTest, SameRequestAgainGetsTheSamePod) {
  const cri::PodSandboxConfig config = MakePodConfig(Name());
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), config));
  ASSERT_OK_AND_ASSIGN(const std::string again, client().RunPod(config));
  EXPECT_EQ(again, pod.id());
}

TEST_F(PodTest, ConcurrentSameRequestsGetOnePod) {
  const cri::PodSandboxConfig config = MakePodConfig(Name());
  std::vector<std::thread> threads;
  std::vector<absl::StatusOr<std::string>> results(6, absl::UnknownError("not run"));
  for (auto& result : results) threads.emplace_back([&] { result = client().RunPod(config); });
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK(results[0]);
  for (const auto& result : results) {
    ASSERT_OK(result);
    EXPECT_EQ(*result, *results[0]);
  }
  EXPECT_OK(client().RemovePod(*results[0]));
}

TEST_F(PodTest, SameNameWithAnotherConfigIsRefusedAndNamesTheOwner) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), config));
  config.set_hostname("other");
  const auto other = client().RunPod(config);
  EXPECT_CODE(other, kAlreadyExists);
  EXPECT_THAT(std::string(other.status().message()), HasSubstr(pod.id().substr(0, 12)));
}

TEST_F(PodTest, NextAttemptIsAnotherPod) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  ASSERT_OK_AND_ASSIGN(const Pod first, Pod::Run(client(), config));
  config.mutable_metadata()->set_attempt(1);
  ASSERT_OK_AND_ASSIGN(const Pod second, Pod::Run(client(), config));
  EXPECT_NE(first.id(), second.id());
}

TEST_F(PodTest, NameIsFreeAgainAfterRemoval) {
  const cri::PodSandboxConfig config = MakePodConfig(Name());
  std::string first;
  {
    ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), config));
    first = pod.id();
  }
  ASSERT_OK_AND_ASSIGN(const Pod pod, Pod::Run(client(), config));
  EXPECT_NE(pod.id(), first);
}

TEST_F(PodTest, BadConfigsAreInvalidArguments) {
  EXPECT_CODE(client().RunPod({}), kInvalidArgument);
  cri::PodSandboxConfig no_name = MakePodConfig("");
  EXPECT_CODE(client().RunPod(no_name), kInvalidArgument);
  cri::PodSandboxConfig long_host = MakePodConfig(Name());
  long_host.set_hostname(std::string(65, 'h'));
  EXPECT_CODE(client().RunPod(long_host), kInvalidArgument);
  cri::PodSandboxConfig relative_log = MakePodConfig(Name());
  relative_log.set_log_directory("logs/here");
  EXPECT_CODE(client().RunPod(relative_log), kInvalidArgument);
}

TEST_F(PodTest, UnknownRuntimeHandlerIsRefused) {
  const auto id = client().RunPod(MakePodConfig(Name()), "no-such-handler");
  EXPECT_CODE(id, kInvalidArgument, kNotFound, kUnknown, kFailedPrecondition);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("no-such-handler"));
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(PodTest, ManyAtOnce) {
  constexpr int kPods = 12;
  std::vector<std::thread> threads;
  std::vector<absl::StatusOr<std::string>> ids(kPods, absl::UnknownError("not run"));
  for (int i = 0; i < kPods; ++i) {
    threads.emplace_back(
        [&, i] { ids[i] = client().RunPod(MakePodConfig(Name(absl::StrCat("-", i)))); });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> addresses;
  for (const auto& id : ids) {
    ASSERT_OK(id);
    ASSERT_OK_AND_ASSIGN(const auto status, client().PodStatus(*id));
    addresses.insert(status.network().ip());
  }
  EXPECT_EQ(addresses.size(), static_cast<size_t>(kPods));
  for (const auto& id : ids) EXPECT_OK(client().RemovePod(*id));
}

TEST_F(PodTest, I_12_NeedsNoImage) {
  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("imageless", ""));
  ASSERT_OK_AND_ASSIGN(const auto images, own.client().ListImages());
  for (const cri::Image& image : images) ASSERT_OK(own.client().RemoveImage(image.id()));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const auto status, own.client().PodStatus(pod.id()));
  EXPECT_EQ(status.state(), cri::SANDBOX_READY);
  ASSERT_OK_AND_ASSIGN(const auto left, own.client().ListImages());
  EXPECT_TRUE(left.empty());
}

}  // namespace
}  // namespace berth::e2e
