#include "src/image/trash.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr Trash::Pace kNoHurry = {.inodes_per_second = 1e-9, .burst = 64, .least_free = 0};

class TrashTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-trash-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    ASSERT_TRUE(MakeDirs(base_ + "/trash", 0700).ok());
    base_fd_ = *OpenDir(AT_FDCWD, base_);
  }
  void TearDown() override {
    trash_.reset();
    EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, base_).ok());
  }

  void Open(Trash::Pace pace) {
    auto trash = Trash::Open(*OpenDir(AT_FDCWD, base_ + "/trash"), nullptr, pace);
    ASSERT_TRUE(trash.ok()) << trash.status();
    trash_ = *std::move(trash);
  }

  void MakeTree(const std::string& name, int files) {
    ASSERT_TRUE(MakeDirs(absl::StrCat(base_, "/", name), 0755).ok());
    for (int i = 0; i < files; ++i) {
      const UniqueFd file(::open(absl::StrCat(base_, "/", name, "/", i).c_str(),
                                 O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
      ASSERT_TRUE(file.valid());
    }
  }

  std::vector<std::string> InTrash() { return *ListDir(AT_FDCWD, base_ + "/trash"); }

  // Returns when work that is queued now has run.
  void AwaitWork() {
    absl::Notification done;
    trash_->Run([&done] {
      done.Notify();
      return absl::OkStatus();
    });
    done.WaitForNotification();
  }

  std::string base_;
  UniqueFd base_fd_;
  std::unique_ptr<Trash> trash_;
};

TEST_F(TrashTest, DoesWorkThatFailsAgain) {
  Open({});
  int times = 0;
  trash_->Run([&times] {
    return ++times < 3 ? absl::ResourceExhaustedError("not yet") : absl::OkStatus();
  });
  AwaitWork();
  EXPECT_EQ(times, 3);
}

TEST_F(TrashTest, DeletesWhatIsThrown) {
  Open({});
  MakeTree("a", 100);
  ASSERT_TRUE(trash_->Throw(base_fd_.get(), "a").ok());
  EXPECT_NE(::access((base_ + "/a").c_str(), F_OK), 0);
  trash_->Flush();
  EXPECT_THAT(InTrash(), IsEmpty());
}

TEST_F(TrashTest, DeletesWhatAnEarlierRunLeft) {
  MakeTree("trash/old", 10);
  Open({});
  trash_->Flush();
  EXPECT_THAT(InTrash(), IsEmpty());
}

TEST_F(TrashTest, NothingToThrowIsFine) {
  Open({});
  EXPECT_TRUE(trash_->Throw(base_fd_.get(), "none").ok());
}

TEST_F(TrashTest, DeletesNothingDuringAPauseAndAllAfterIt) {
  Open({.least_free = 0});
  MakeTree("a", 10);
  {
    const Trash::Pause pause(*trash_);
    ASSERT_TRUE(trash_->Throw(base_fd_.get(), "a").ok());
    AwaitWork();
    ASSERT_THAT(InTrash(), SizeIs(1));
    EXPECT_THAT(*ListDir(AT_FDCWD, absl::StrCat(base_, "/trash/", InTrash()[0])), SizeIs(10));
  }
  trash_->Flush();
  EXPECT_THAT(InTrash(), IsEmpty());
}

TEST_F(TrashTest, TwoPausesEndWithTheSecond) {
  Open({.least_free = 0});
  MakeTree("a", 10);
  auto first = std::make_unique<Trash::Pause>(*trash_);
  const auto second = std::make_unique<Trash::Pause>(*trash_);
  first.reset();
  ASSERT_TRUE(trash_->Throw(base_fd_.get(), "a").ok());
  AwaitWork();
  EXPECT_THAT(InTrash(), SizeIs(1));
}

TEST_F(TrashTest, AFullDiskEndsPauseAndRate) {
  Open({.inodes_per_second = 1e-9, .burst = 1, .least_free = 2});
  const Trash::Pause pause(*trash_);
  MakeTree("a", 300);
  ASSERT_TRUE(trash_->Throw(base_fd_.get(), "a").ok());
  trash_->Flush();
  EXPECT_THAT(InTrash(), IsEmpty());
}

TEST_F(TrashTest, MoreThanTheBurstStaysAndDelaysNoOtherWork) {
  Open(kNoHurry);
  MakeTree("small", 60);
  ASSERT_TRUE(trash_->Throw(base_fd_.get(), "small").ok());
  trash_->Flush();
  MakeTree("large", 300);
  ASSERT_TRUE(trash_->Throw(base_fd_.get(), "large").ok());
  AwaitWork();
  ASSERT_THAT(InTrash(), SizeIs(1));
  trash_.reset();  // an end does not wait for the rate
  const auto left = ListDir(AT_FDCWD, absl::StrCat(base_, "/trash/", InTrash()[0]));
  EXPECT_GE(left->size(), 300u - 64u);
}

}  // namespace
}  // namespace berth
