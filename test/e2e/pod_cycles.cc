#include "test/e2e/pod_cycles.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "test/e2e/e2e_test.h"

namespace berth::e2e {
namespace {

constexpr int kOwnExitCode = 7;

cri::ContainerConfig ContainerOf(const std::string& image, const std::string& name,
                                 const std::vector<std::string>& command) {
  cri::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(image);
  for (const std::string& word : command) config.add_command(word);
  config.set_log_path(name + ".log");
  return config;
}

void ExpectEndedRightly(const cri::ContainerStatus& status) {
  if (status.state() == cri::CONTAINER_CREATED) return;
  EXPECT_EQ(status.state(), cri::CONTAINER_EXITED) << status.DebugString();
  const bool own_end = status.exit_code() == kOwnExitCode && status.metadata().name() == "ends";
  const bool with_the_boot = status.exit_code() == 255 && status.reason() == "Unknown" &&
                             status.message() == "the node was rebooted";
  const bool with_its_pod = status.exit_code() == 137 && status.metadata().name() == "runs";
  EXPECT_TRUE(own_end || with_the_boot || with_its_pod) << status.DebugString();
}

}  // namespace

void PodCycles::ExpectEndedAndRemoveAll() {
  Client client(options_.socket);
  ASSERT_OK_AND_ASSIGN(const auto containers, client.ListContainers());
  for (const cri::Container& container : containers) {
    ASSERT_OK_AND_ASSIGN(const auto status, client.ContainerStatus(container.id()));
    ExpectEndedRightly(status);
  }
  ASSERT_OK_AND_ASSIGN(const auto pods, client.ListPods());
  std::cout << pods.size() << " pods and " << containers.size() << " containers of before"
            << std::endl;
  for (const cri::PodSandbox& pod : pods) {
    EXPECT_EQ(pod.state(), cri::SANDBOX_NOTREADY) << pod.DebugString();
    EXPECT_OK(client.StopPod(pod.id()));
    EXPECT_OK(client.RemovePod(pod.id()));
  }
  ASSERT_OK_AND_ASSIGN(const auto left, client.ListContainers());
  EXPECT_TRUE(left.empty());
}

void PodCycles::Run(int worker) {
  Client client(options_.socket);
  std::mt19937_64 random(std::random_device{}());
  while (true) ASSERT_OK(LiveOnce(client, worker, random()));
}

absl::Status PodCycles::LiveOnce(Client& client, int worker, uint64_t number) {
  cri::PodSandboxConfig config;
  config.mutable_metadata()->set_name(absl::StrCat("cut-", worker));
  config.mutable_metadata()->set_uid(absl::StrCat("uid-", number));
  config.mutable_metadata()->set_namespace_("e2e");
  config.set_log_directory(absl::StrCat(options_.logs, "/", worker));
  ASSIGN_OR_RETURN(const std::string pod, client.RunPod(config));
  ASSIGN_OR_RETURN(
      const std::string runs,
      client.Create(pod, ContainerOf(options_.image, "runs", {"/probe", "sleep"}), config));
  RETURN_IF_ERROR(client.Start(runs));
  ASSIGN_OR_RETURN(
      const std::string ends,
      client.Create(
          pod, ContainerOf(options_.image, "ends", {"/probe", "exit", absl::StrCat(kOwnExitCode)}),
          config));
  RETURN_IF_ERROR(client.Start(ends));
  ASSIGN_OR_RETURN(const cri::ContainerStatus status, client.WaitExit(ends));
  EXPECT_EQ(status.exit_code(), kOwnExitCode);
  RETURN_IF_ERROR(client.StopPod(pod));
  return client.RemovePod(pod);
}

}  // namespace berth::e2e
