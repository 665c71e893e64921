#include "src/kernel/sealed_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <thread>

namespace berth {
namespace {

TEST(SealedMemory, HasItsContentsAndKeepsThem) {
  absl::StatusOr<UniqueFd> file = SealedMemory("test", "contents");
  ASSERT_TRUE(file.ok()) << file.status();
  char read[16] = {};
  EXPECT_EQ(::read(file->get(), read, sizeof read), 8);
  EXPECT_STREQ(read, "contents");
  EXPECT_EQ(::pwrite(file->get(), "x", 1, 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(file->get(), 0), -1);
  EXPECT_EQ(::fcntl(file->get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
}

TEST(SealMemory, WaitsForWhoHoldsAPage) {
  const UniqueFd file(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::write(file.get(), "contents", 8), 8);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd output(ends[0]), input(ends[1]);
  off64_t begin = 0;
  ASSERT_EQ(::splice(file.get(), &begin, input.get(), nullptr, 8, 0), 8);  // the page itself
  std::thread holder([&] {
    for (int i = 0; i < 3; ++i) {  // until the kernel has refused it for a while
      EXPECT_EQ(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
      EXPECT_EQ(errno, EBUSY);
    }
    char read[8];
    EXPECT_EQ(::read(output.get(), read, sizeof read), 8);
  });
  const absl::Status sealed = SealMemory(file.get(), "test");
  holder.join();
  EXPECT_TRUE(sealed.ok()) << sealed;
}

TEST(SealMemory, SaysWhatCannotBeSealed) {
  const UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
  const absl::Status sealed = SealMemory(file.get(), "the plan");
  EXPECT_TRUE(absl::IsPermissionDenied(sealed)) << sealed;
  EXPECT_NE(sealed.message().find("the plan"), std::string::npos) << sealed;
}

}  // namespace
}  // namespace berth
