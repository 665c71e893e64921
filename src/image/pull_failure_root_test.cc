// What the end of a berth-pull costs: that pull, and nothing else.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/image/digest.h"
#include "src/image/image_store.h"
#include "src/image/testing/registry_stub.h"
#include "src/image/testing/tar_writer.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing_image::File;
using testing_image::MakeImage;
using testing_image::RegistryStub;
using testing_image::StubImage;
using testing_image::TarEnd;

class PullFailureTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: makes cgroups";
    char name[] = "/tmp/berth-pull-failure-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    data_ = name;
    auto database = Database::Open(data_ + "/state.db");
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
  }
  void TearDown() override {
    store_.reset();
    database_.reset();
    if (!data_.empty()) {
      EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, data_).ok());
    }
  }

  void Open(int64_t memory_bytes) {
    store_.reset();
    auto pulls = PullCgroups::Open(
        {.parent = absl::StrCat("/berth-pull-failure-", ::getpid()), .memory_bytes = memory_bytes});
    ASSERT_TRUE(pulls.ok()) << pulls.status();
    pulls_ = *std::move(pulls);
    auto store = ImageStore::Open({.data_dir = data_,
                                   .pull_helper = BERTH_BIN_DIR "/berth-pull",
                                   .pull_cgroups = pulls_.get()},
                                  *database_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  static StubImage Image(const std::string& content) {
    return MakeImage({{File("file", content) + TarEnd()}});
  }
  absl::StatusOr<std::string> Pull(const std::string& name) {
    return store_->Pull({.reference = absl::StrCat(registry_.host(), "/", name, ":v1")});
  }
  void ExpectWorks() {
    registry_.Publish("good", "v1", Image("good"));
    const auto id = Pull("good");
    EXPECT_TRUE(id.ok()) << id.status();
  }
  void ExpectNothingLeft() {
    EXPECT_THAT(*ListDir(AT_FDCWD, data_ + "/pull"), IsEmpty());
    for (const std::string& hierarchy :
         {std::string("/sys/fs/cgroup"), std::string("/sys/fs/cgroup/memory")}) {
      EXPECT_NE(::access(absl::StrCat(hierarchy, "/berth-pull-failure-", ::getpid()).c_str(), F_OK),
                0);
    }
  }

  // The pids of this process's helpers.
  static std::vector<pid_t> Helpers() {
    std::vector<pid_t> helpers;
    const absl::StatusOr<std::vector<std::string>> names = ListDir(AT_FDCWD, "/proc");
    for (const std::string& name : *names) {
      pid_t pid = 0;
      if (!absl::SimpleAtoi(name, &pid)) continue;
      const std::string status =
          ReadFileAt(AT_FDCWD, absl::StrCat("/proc/", pid, "/status")).value_or("");
      if (absl::StartsWith(status, "Name:\tberth-pull\n") &&
          absl::StrContains(status, absl::StrCat("\nPPid:\t", ::getpid(), "\n")))
        helpers.push_back(pid);
    }
    return helpers;
  }

  std::string data_;
  RegistryStub registry_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<PullCgroups> pulls_;
  std::unique_ptr<ImageStore> store_;
};

TEST_F(PullFailureTest, AKilledHelperFailsItsPullAndNoOther) {
  Open(int64_t{1} << 30);
  const StubImage image = Image("hangs");
  registry_.Publish("hangs", "v1", image);
  std::string path;
  for (const auto& [digest, bytes] : image.blobs) {
    if (digest == image.id()) continue;
    path = "/v2/hangs/blobs/" + digest;
    registry_.Serve(path, {.body = bytes, .hang_after = 10});
  }
  absl::StatusOr<std::string> id;
  std::thread puller([&] { id = Pull("hangs"); });
  registry_.AwaitRequest(path);
  const std::vector<pid_t> helpers = Helpers();
  ASSERT_THAT(helpers, SizeIs(1));
  ExpectWorks();
  ASSERT_EQ(::kill(helpers[0], SIGKILL), 0);
  puller.join();
  EXPECT_EQ(id.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(id.status().message()), HasSubstr("signal 9"));
  EXPECT_THAT(store_->List(), SizeIs(1));
  ExpectNothingLeft();

  registry_.Publish("hangs", "v1", image);  // now whole
  EXPECT_TRUE(Pull("hangs").ok());
}

TEST_F(PullFailureTest, AHelperThatReachesTheMemoryLimitIsNamedAndCostsNoOther) {
  Open(2 << 20);
  registry_.Publish("any", "v1", Image("any"));
  const absl::Status status = Pull("any").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("memory limit"));
  ExpectNothingLeft();
  Open(int64_t{1} << 30);
  ExpectWorks();
}

// 192 MiB of zeros in as many KiB of gzip, with half of that as memory: page cache is taken back
// and nothing else grows with what comes out. Whether the ratio is still allowed is the unpacker's.
TEST_F(PullFailureTest, ALayerThatUnpacksToMuchMoreThanTheMemoryLimitFits) {
  constexpr int64_t kLimit = 96 << 20, kContent = 192 << 20;
  Open(kLimit);
  registry_.Publish("large", "v1", Image(std::string(kContent, '\0')));
  const auto id = Pull("large");
  EXPECT_TRUE(id.ok() || absl::IsResourceExhausted(id.status())) << id.status();
  EXPECT_THAT(std::string(id.status().message()), testing::Not(HasSubstr("memory limit")));
  ExpectWorks();
  ExpectNothingLeft();
}

}  // namespace
}  // namespace berth
