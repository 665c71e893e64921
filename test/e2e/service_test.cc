// What the services say of themselves: Version, Status, RuntimeConfig, UpdateRuntimeConfig, and
// what is not built.
#include <gmock/gmock.h>

#include <set>

#include "test/e2e/e2e_test.h"

namespace berth::e2e {
namespace {

using ::testing::Contains;
using ::testing::MatchesRegex;

class ServiceTest : public E2eTest {};

TEST_F(ServiceTest, VersionHasAllFourFieldsThatAKubeletChecks) {
  ASSERT_OK_AND_ASSIGN(const auto version, client().Call(&Runtime::Version, cri::VersionRequest()));
  EXPECT_EQ(version.version(), "0.1.0");
  EXPECT_EQ(version.runtime_api_version(), "v1");
  EXPECT_FALSE(version.runtime_name().empty());
  EXPECT_THAT(version.runtime_version(), MatchesRegex("v?[0-9]+\\.[0-9]+\\.[0-9]+.*"));
}

TEST_F(ServiceTest, VersionIgnoresWhatTheClientAsksFor) {
  cri::VersionRequest request;
  request.set_version("99.0");
  ASSERT_OK_AND_ASSIGN(const auto version, client().Call(&Runtime::Version, request));
  EXPECT_EQ(version.version(), "0.1.0");
}

TEST_F(ServiceTest, StatusIsReadyForRuntimeAndNetwork) {
  ASSERT_OK_AND_ASSIGN(const auto response, client().Call(&Runtime::Status, cri::StatusRequest()));
  std::set<std::string> ready;
  for (const auto& condition : response.status().conditions()) {
    if (condition.status()) ready.insert(condition.type());
  }
  EXPECT_THAT(ready, Contains("RuntimeReady"));
  EXPECT_THAT(ready, Contains("NetworkReady"));
  EXPECT_TRUE(response.info().empty());
}

TEST_F(ServiceTest, StatusNamesTheDefaultHandlerByTheEmptyName) {
  ASSERT_OK_AND_ASSIGN(const auto response, client().Call(&Runtime::Status, cri::StatusRequest()));
  std::multiset<std::string> names;
  for (const auto& handler : response.runtime_handlers()) names.insert(handler.name());
  EXPECT_EQ(names.count(""), 1u);
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST_F(ServiceTest, VerboseStatusTellsMoreInJson) {
  cri::StatusRequest request;
  request.set_verbose(true);
  ASSERT_OK_AND_ASSIGN(const auto response, client().Call(&Runtime::Status, request));
  ASSERT_FALSE(response.info().empty());
  for (const auto& [key, value] : response.info())
    EXPECT_TRUE(Json::accept(value)) << key << ": " << value;
}

TEST_F(ServiceTest, RuntimeConfigNamesTheCgroupDriver) {
  ASSERT_OK_AND_ASSIGN(const auto response,
                       client().Call(&Runtime::RuntimeConfig, cri::RuntimeConfigRequest()));
  ASSERT_TRUE(response.has_linux());
  EXPECT_EQ(response.linux().cgroup_driver(), cri::CGROUPFS);
}

TEST_F(ServiceTest, UpdateRuntimeConfigAcceptsPodRanges) {
  cri::UpdateRuntimeConfigRequest request;
  request.mutable_runtime_config()->mutable_network_config()->set_pod_cidr("10.1.0.0/24,fd00::/64");
  EXPECT_OK(client().Call(&Runtime::UpdateRuntimeConfig, request));
  EXPECT_OK(client().Call(&Runtime::UpdateRuntimeConfig, cri::UpdateRuntimeConfigRequest()));
}

TEST_F(ServiceTest, ImageFsInfoIsCompleteForAKubelet) {
  ASSERT_OK_AND_ASSIGN(const auto info,
                       client().Call(&Images::ImageFsInfo, cri::ImageFsInfoRequest()));
  ASSERT_GE(info.image_filesystems_size(), 1);
  const auto& fs = info.image_filesystems(0);
  EXPECT_GT(fs.timestamp(), 0);
  EXPECT_EQ(access(fs.fs_id().mountpoint().c_str(), F_OK), 0) << fs.fs_id().mountpoint();
  ASSERT_TRUE(fs.has_used_bytes());
  EXPECT_GT(fs.used_bytes().value(), 0u);  // the probe image is there
  EXPECT_TRUE(fs.has_inodes_used());
}

}  // namespace
}  // namespace berth::e2e
