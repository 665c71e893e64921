// What a container's end must not cost the node's disk.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/cleanup/cleanup.h"
#include "src/base/unique_fd.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/subprocess.h"

namespace berth::e2e {
namespace {

constexpr size_t kDirtyBytes = 4 << 20;

// cachestat(2), Linux 6.5; the C library has no name for it yet.
struct CachedRange {
  uint64_t offset, length;
};
struct CachedPages {
  uint64_t cached, dirty, writeback, evicted, recently_evicted;
};
constexpr long kCachestat = 451;

std::optional<uint64_t> DirtyPagesOf(int fd) {
  CachedRange range = {.offset = 0, .length = 0};
  CachedPages pages = {};
  if (syscall(kCachestat, fd, &range, &pages, 0) != 0) return std::nullopt;
  return pages.dirty;
}

int RunToEnd(const std::vector<std::string>& argv) {
  auto program = Subprocess::Start({.argv = argv, .output_path = ""});
  return program.ok() ? program->Wait(absl::Seconds(60)).value_or(-1) : -1;
}

class FlushTest : public E2eTest {};

// An overlay writes back all of the file system that it lies on when it is unmounted
// (ovl_sync_fs, fs/overlayfs/super.c): for as long as a busy disk takes. Berth's are `volatile`.
TEST_F(FlushTest, I_07_TheEndOfAContainerWritesNothingBackThatIsNotItsOwn) {
  const Daemon::Options options = Node::OptionsFor("flush", 3);
  const std::string disk = options.dir + ".ext4";
  std::filesystem::create_directories(options.dir);
  const auto forget = absl::MakeCleanup([&] {
    umount2(options.dir.c_str(), MNT_DETACH);
    std::filesystem::remove(disk);
  });
  {
    const UniqueFd made(open(disk.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (!DirtyPagesOf(made.get()).has_value() && errno == ENOSYS) GTEST_SKIP() << "no cachestat(2)";
  }
  ASSERT_EQ(truncate(disk.c_str(), 256 << 20), 0);
  ASSERT_EQ(RunToEnd({"/usr/sbin/mkfs.ext4", "-q", "-F", disk}), 0);
  if (RunToEnd({"/usr/bin/mount", "-o", "loop", disk, options.dir}) != 0)
    GTEST_SKIP() << "no loop devices here";
  ASSERT_OK_AND_ASSIGN(Daemon daemon, Daemon::Start(options));
  {
    Client client(daemon.socket());
    ASSERT_OK(client.Pull(node().probe_image()));
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client, MakePodConfig(Name())));
    ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
    const UniqueFd file(
        open((options.dir + "/of-another").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    const std::string bytes(kDirtyBytes, 'd');
    ASSERT_EQ(write(file.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    const std::optional<uint64_t> before = DirtyPagesOf(file.get());
    ASSERT_GT(before.value_or(0), 0u);
    EXPECT_OK(client.Stop(id, 0));
    EXPECT_OK(client.Remove(id));
    EXPECT_OK(client.StopPod(pod.id()));
    EXPECT_OK(client.RemovePod(pod.id()));
    EXPECT_EQ(DirtyPagesOf(file.get()), before);
    // It would have been seen.
    ASSERT_EQ(syncfs(file.get()), 0);
    EXPECT_EQ(DirtyPagesOf(file.get()), 0u);
  }
  EXPECT_OK(daemon.Terminate());
  ASSERT_EQ(umount2(options.dir.c_str(), 0), 0);
  RemoveTraces(daemon);
}

}  // namespace
}  // namespace berth::e2e
