// GetContainerEvents, and the lists as streams.
#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "test/e2e/e2e_test.h"

namespace berth::e2e {
namespace {

// A stream of events that a thread reads; cancelled by the destructor.
class EventReader {
 public:
  explicit EventReader(const std::string& socket)
      : stub_(cri::RuntimeService::NewStub(
            grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()))) {
    stream_ = stub_->GetContainerEvents(&context_, cri::GetEventsRequest());
    stream_->WaitForInitialMetadata();  // subscribed
    thread_ = std::thread([this] {
      for (cri::ContainerEventResponse event; stream_->Read(&event);) {
        absl::MutexLock lock(&mu_);
        events_.push_back(event);
      }
      const grpc::Status end = stream_->Finish();
      absl::MutexLock lock(&mu_);
      end_ = end;
    });
  }
  ~EventReader() {
    context_.TryCancel();
    if (thread_.joinable()) thread_.join();
  }
  grpc::Status WaitForEnd() {
    thread_.join();
    absl::MutexLock lock(&mu_);
    return end_;
  }
  bool WasRefused() {
    absl::MutexLock lock(&mu_);
    return end_.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
  }

  std::vector<cri::ContainerEventResponse> Of(const std::set<std::string>& ids) {
    absl::MutexLock lock(&mu_);
    std::vector<cri::ContainerEventResponse> found;
    for (const auto& event : events_) {
      if (ids.contains(event.container_id())) found.push_back(event);
    }
    return found;
  }
  // "C"reated, "S"tarted, s"T"opped, "D"eleted.
  std::string LifeOf(const std::string& id) {
    std::string life;
    for (const auto& event : Of({id})) life += "CSTD"[event.container_event_type()];
    return life;
  }

 private:
  std::unique_ptr<Runtime> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<cri::ContainerEventResponse>> stream_;
  absl::Mutex mu_;
  std::vector<cri::ContainerEventResponse> events_ ABSL_GUARDED_BY(mu_);
  grpc::Status end_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

class EventTest : public E2eTest {
 protected:
  std::string socket() { return node().daemon().socket(); }
  bool Lived(EventReader& reader, const std::string& id, const std::string& life) {
    return Eventually(absl::Seconds(20), [&] { return reader.LifeOf(id) == life; });
  }
};

TEST_F(EventTest, TellALifeInOrderWithAllStatuses) {
  EventReader reader(socket());
  std::string pod_id, id;
  {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
    pod_id = pod.id();
    ASSERT_OK_AND_ASSIGN(id, pod.RunContainer(MakeProbe("c", {"exit", "7"})));
    ASSERT_OK(client().WaitExit(id));
    ASSERT_OK(client().StopPod(pod_id));
  }
  ASSERT_TRUE(Lived(reader, id, "CSTD")) << reader.LifeOf(id);
  ASSERT_TRUE(Lived(reader, pod_id, "CSTD")) << reader.LifeOf(pod_id);
  int64_t last = 0;
  for (const auto& event : reader.Of({pod_id, id})) {
    EXPECT_GT(event.created_at(), last);
    last = event.created_at();
    EXPECT_EQ(event.pod_sandbox_status().id(), pod_id) << event.DebugString();
    EXPECT_FALSE(event.pod_sandbox_status().metadata().name().empty());
    if (event.container_id() == id) {
      ASSERT_EQ(event.containers_statuses_size(), 1);
      EXPECT_EQ(event.containers_statuses(0).id(), id);
      EXPECT_FALSE(event.containers_statuses(0).image_ref().empty());
    }
  }
  const auto events = reader.Of({id});
  EXPECT_EQ(events[2].containers_statuses(0).exit_code(), 7);
  EXPECT_EQ(events[2].containers_statuses(0).state(), cri::CONTAINER_EXITED);
  EXPECT_EQ(reader.Of({pod_id}).back().pod_sandbox_status().state(), cri::SANDBOX_NOTREADY);
}

TEST_F(EventTest, AFailedStartIsToldAsAStop) {
  EventReader reader(socket());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  cri::ContainerConfig config = MakeProbe("c", {});
  config.clear_command();
  config.add_command("/no-such-program");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(config));
  EXPECT_FALSE(client().Start(id).ok());
  EXPECT_TRUE(Lived(reader, id, "CT")) << reader.LifeOf(id);
}

TEST_F(EventTest, EachSubscriberIsToldAndAnIdleOneHindersNobody) {
  // Three that read, and one that never does.
  EventReader first(socket()), second(socket()), third(socket());
  const auto stub = cri::RuntimeService::NewStub(
      grpc::CreateChannel("unix:" + socket(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto idle = stub->GetContainerEvents(&context, cri::GetEventsRequest());
  idle->WaitForInitialMetadata();
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name(absl::StrCat("-", i)))));
    ids.push_back(pod.id());
  }
  for (const std::string& id : ids) {
    for (EventReader* reader : {&first, &second, &third})
      EXPECT_TRUE(Lived(*reader, id, "CSTD")) << reader->LifeOf(id);
  }
  context.TryCancel();
}

TEST_F(EventTest, AStormOfConnectionsIsHarmless) {
  for (int i = 0; i < 300; ++i) EventReader reader(socket());
  // More at a time than a node has clients: some are refused, by their code. Mostly the last ones;
  // earlier ones while a connection of those before is not gone yet.
  std::vector<std::unique_ptr<EventReader>> many;
  for (int i = 0; i < 70; ++i) many.push_back(std::make_unique<EventReader>(socket()));
  EXPECT_TRUE(Eventually(absl::Seconds(20), [&] {
    return std::any_of(many.begin(), many.end(),
                       [](const auto& reader) { return reader->WasRefused(); });
  }));
  many.clear();
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    EventReader reader(socket());
    auto pod = Pod::Run(client(), MakePodConfig(Name()));
    return pod.ok() &&
           Eventually(absl::Seconds(2), [&] { return reader.LifeOf(pod->id()) == "CS"; });
  }));
}

TEST_F(EventTest, EndsWithTheDaemon) {
  EventReader reader(socket());
  ASSERT_OK(node().daemon().Terminate());
  EXPECT_EQ(reader.WaitForEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  ASSERT_OK(node().daemon().StartAgain());
  node().Reconnect();
  ASSERT_OK(client().ListPods());  // the next test finds the connection made
}

TEST_F(EventTest, PodStatusTellsItsContainersWithATime) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod.id());
  ASSERT_OK_AND_ASSIGN(const auto status, client().Call(&Runtime::PodSandboxStatus, request));
  EXPECT_GT(status.timestamp(), status.status().created_at());
  ASSERT_EQ(status.containers_statuses_size(), 1);
  EXPECT_EQ(status.containers_statuses(0).id(), id);
  EXPECT_EQ(status.containers_statuses(0).state(), cri::CONTAINER_RUNNING);
}

class StreamTest : public EventTest {
 protected:
  void SetUp() override {
    EventTest::SetUp();
    if (testing::Test::IsSkipped() || testing::Test::HasFatalFailure()) return;
    const auto channel =
        grpc::CreateChannel("unix:" + socket(), grpc::InsecureChannelCredentials());
    runtime_ = cri::RuntimeService::NewStub(channel);
    images_ = cri::ImageService::NewStub(channel);
  }
  void TearDown() override {
    runtime_.reset();  // their connection is not the daemon's leak
    images_.reset();
    EventTest::TearDown();
  }
  // All messages of a stream. One without an entry fails the test.
  template <typename Reply, typename Stub, typename Request>
  std::vector<Reply> All(Stub& stub,
                         std::unique_ptr<grpc::ClientReader<Reply>> (Stub::*method)(
                             grpc::ClientContext*, const Request&),
                         const Request& request) {
    grpc::ClientContext context;
    const auto reader = (stub.*method)(&context, request);
    std::vector<Reply> all;
    for (Reply reply; reader->Read(&reply);) {
      EXPECT_GT(reply.ByteSizeLong(), 0u);
      all.push_back(reply);
    }
    EXPECT_OK(ToAbsl(reader->Finish()));
    return all;
  }

  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Images> images_;
};

TEST_F(StreamTest, EachListIsServedAsAStream) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  const auto pods = All(*runtime_, &Runtime::StreamPodSandboxes, cri::StreamPodSandboxesRequest());
  ASSERT_EQ(pods.size(), 1u);
  EXPECT_EQ(pods[0].pod_sandboxes(0).id(), pod.id());
  const auto containers =
      All(*runtime_, &Runtime::StreamContainers, cri::StreamContainersRequest());
  ASSERT_EQ(containers.size(), 1u);
  EXPECT_EQ(containers[0].containers(0).id(), id);
  const auto stats =
      All(*runtime_, &Runtime::StreamContainerStats, cri::StreamContainerStatsRequest());
  ASSERT_EQ(stats.size(), 1u);
  EXPECT_EQ(stats[0].container_stats(0).attributes().id(), id);
  const auto pod_stats =
      All(*runtime_, &Runtime::StreamPodSandboxStats, cri::StreamPodSandboxStatsRequest());
  ASSERT_EQ(pod_stats.size(), 1u);
  EXPECT_EQ(pod_stats[0].pod_sandbox_stats(0).attributes().id(), pod.id());
  const auto metrics =
      All(*runtime_, &Runtime::StreamPodSandboxMetrics, cri::StreamPodSandboxMetricsRequest());
  ASSERT_EQ(metrics.size(), 1u);
  EXPECT_EQ(metrics[0].pod_sandbox_metrics(0).pod_sandbox_id(), pod.id());
  const auto images = All(*images_, &Images::StreamImages, cri::StreamImagesRequest());
  ASSERT_EQ(images.size(), 1u);
  EXPECT_GE(images[0].images_size(), 1);
}

TEST_F(StreamTest, FiltersAndSendsNothingOfNothing) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  cri::StreamContainersRequest request;
  request.mutable_filter()->set_pod_sandbox_id(pod.id());
  EXPECT_TRUE(All(*runtime_, &Runtime::StreamContainers, request).empty());
  ASSERT_OK(pod.RunContainer(MakeProbe("c", {"sleep"})));
  EXPECT_EQ(All(*runtime_, &Runtime::StreamContainers, request).size(), 1u);
}

}  // namespace
}  // namespace berth::e2e
