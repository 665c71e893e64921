#include "src/server/convert/verbose_info.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "src/server/convert/requests.h"

namespace berth {
namespace {

namespace cri = runtime::v1;
using nlohmann::json;

ContainerRecord MakeContainer() {
  cri::CreateContainerRequest request;
  request.mutable_config()->mutable_metadata()->set_name("app");
  const absl::StatusOr<ParsedContainer> parsed =
      StoredRequestParsers().container(request.SerializeAsString());
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  ContainerRecord container{
      .id = "c", .pod_id = "p", .config = parsed->config, .request = parsed->request};
  container.status.pid = 42;
  return container;
}

PodRecord MakePod() {
  cri::RunPodSandboxRequest request;
  request.mutable_config()->mutable_metadata()->set_name("web");
  request.mutable_config()->mutable_linux()->mutable_overhead()->set_cpu_shares(2);
  const absl::StatusOr<ParsedPod> parsed = StoredRequestParsers().pod(request.SerializeAsString());
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return {.id = "p", .config = parsed->config, .request = parsed->request};
}

TEST(ContainerInfoJson, HasWhatToolsRead) {
  const json info =
      json::parse(ContainerInfoJson(MakeContainer(), {"pivot_root"}, R"({"ociVersion":"1.1.0"})"));
  EXPECT_EQ(info["pid"], 42);
  EXPECT_EQ(info["sandboxID"], "p");
  EXPECT_EQ(info["runtimeSpec"]["ociVersion"], "1.1.0");
  EXPECT_EQ(info["plan"][0], "pivot_root");
  EXPECT_EQ(info["config"]["metadata"]["name"], "app");
}

TEST(ContainerInfoJson, LeavesOutWhatIsNotKnown) {
  const json info = json::parse(ContainerInfoJson(MakeContainer(), {}, ""));
  EXPECT_FALSE(info.contains("runtimeSpec"));
  EXPECT_FALSE(info.contains("plan"));
}

TEST(ContainerInfoJson, TellsTheLimitsOfNow) {
  ContainerRecord container = MakeContainer();
  container.status.limits = CgroupLimits{.cpu_shares = 512};
  const json info = json::parse(ContainerInfoJson(container, {}, ""));
  EXPECT_EQ(info["resources"]["cpuShares"], "512");
}

TEST(PodInfoJson, TellsWhatWasAskedForUntilItIsChanged) {
  PodRecord pod = MakePod();
  EXPECT_EQ(json::parse(PodInfoJson(pod))["overhead"]["cpuShares"], "2");
  EXPECT_EQ(json::parse(PodInfoJson(pod))["config"]["metadata"]["name"], "web");
  pod.status.overhead = CgroupLimits{.cpu_shares = 100};
  pod.status.resources = CgroupLimits{.memory_bytes = 4096};
  EXPECT_EQ(json::parse(PodInfoJson(pod))["overhead"]["cpuShares"], "100");
  EXPECT_EQ(json::parse(PodInfoJson(pod))["resources"]["memoryLimitInBytes"], "4096");
}

}  // namespace
}  // namespace berth
