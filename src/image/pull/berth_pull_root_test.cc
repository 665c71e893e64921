// The helper process itself: what it may and may not do, and when it ends.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/sanitized.h"
#include "src/base/unique_fd.h"
#include "src/image/digest.h"
#include "src/image/platform.h"
#include "src/image/pull_protocol.h"
#include "src/image/testing/registry_stub.h"
#include "src/image/testing/tar_writer.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;
using testing_image::MakeImage;
using testing_image::RegistryStub;

constexpr int64_t kMostKib = kSanitized ? INT64_MAX : 64 << 10;

class BerthPullTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: the helper makes a mount namespace";
    char name[] = "/tmp/berth-pull-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    base_ = name;
    ASSERT_TRUE(MakeDirs(base_ + "/work", 0700).ok());
    ASSERT_TRUE(MakeDirs(base_ + "/layers/1", 0700).ok());
  }

  void TearDown() override {
    if (child_.pidfd.valid()) {
      ::syscall(SYS_pidfd_send_signal, child_.pidfd.get(), SIGKILL, nullptr, 0);
      Reap();
    }
    if (!base_.empty()) {
      EXPECT_TRUE(RemoveTreeAt(AT_FDCWD, base_).ok());
    }
  }

  void Start(const std::string& job) {
    int in[2], out[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
    in_.reset(in[0]);
    out_.reset(out[0]);
    const UniqueFd in_child(in[1]), out_child(out[1]);
    const UniqueFd work(::open((base_ + "/work").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const UniqueFd layers(::open((base_ + "/layers").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    SpawnRequest request;
    request.path = BERTH_BIN_DIR "/berth-pull";
    request.argv = {"berth-pull"};
    request.fds = {in_child.get(), out_child.get(), 2, work.get(), layers.get()};
    auto child = Spawn(request);
    ASSERT_TRUE(child.ok()) << child.status();
    child_ = *std::move(child);
    ASSERT_EQ(::send(in_.get(), job.data(), job.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(job.size()));
  }

  // A helper in the middle of a layer: it has been fed, and waits for more.
  void StartHanging() {
    const std::string tar =
        testing_image::File("a", std::string(1000, 'x')) + testing_image::TarEnd();
    const std::string blob = testing_image::Gzip(tar),
                      path = "/v2/a/blobs/" + Digest::Sha256(blob).text();
    registry_.Publish("a", "v1", MakeImage({{tar}}));
    registry_.Serve(path, {.body = blob, .hang_after = 10});
    Start(EncodePullJob({.reference = registry_.host() + "/a:v1", .platform = HostPlatform()}));
    registry_.AwaitRequest(path);
  }

  std::string ReadAll() {
    std::string all;
    char buffer[4096];
    ssize_t n;
    while ((n = ::recv(out_.get(), buffer, sizeof(buffer), 0)) > 0)
      all.append(buffer, static_cast<size_t>(n));
    return all;
  }

  siginfo_t Reap() {
    siginfo_t info = {};
    EXPECT_EQ(::waitid(P_PIDFD, static_cast<id_t>(child_.pidfd.get()), &info, WEXITED), 0);
    child_.pidfd.reset();
    return info;
  }

  std::string Proc(const std::string& name) {
    return absl::StrCat("/proc/", child_.pid, "/", name);
  }

  static std::vector<std::string> List(const std::string& path) {
    auto names = ListDir(AT_FDCWD, path);
    EXPECT_TRUE(names.ok()) << names.status();
    return names.value_or(std::vector<std::string>());
  }

  std::string StatusField(const std::string& field) {
    const std::string status = ReadFileAt(AT_FDCWD, Proc("status")).value_or("");
    const size_t at = status.find("\n" + field + ":\t");
    if (at == std::string::npos) return "(none)";
    const size_t begin = at + field.size() + 3;
    return status.substr(begin, status.find('\n', begin) - begin);
  }

  std::string base_;
  RegistryStub registry_;
  UniqueFd in_, out_;
  SpawnedProcess child_;
};

TEST_F(BerthPullTest, KeepsOnlyTheCapabilitiesOfUnpacking) {
  StartHanging();
  // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, SYS_ADMIN 21, MKNOD 27, SETFCAP 31.
  for (const char* field : {"CapPrm", "CapEff", "CapBnd"})
    EXPECT_EQ(StatusField(field), "000000008820001b") << field;
  EXPECT_EQ(StatusField("CapInh"), "0000000000000000");
  EXPECT_EQ(StatusField("CapAmb"), "0000000000000000");
}

TEST_F(BerthPullTest, HasNoNewPrivilegesAndAFilter) {
  StartHanging();
  EXPECT_EQ(StatusField("NoNewPrivs"), "1");
  EXPECT_EQ(StatusField("Seccomp"), "2");
}

TEST_F(BerthPullTest, SeesItsDirectoriesAndTheResolversFilesOnly) {
  StartHanging();
  EXPECT_THAT(List(Proc("root/")), UnorderedElementsAre("etc", "work", "layers"));
  for (const std::string& name : List(Proc("root/etc"))) {
    EXPECT_THAT(name,
                testing::AnyOf("resolv.conf", "hosts", "nsswitch.conf", "host.conf", "gai.conf"));
  }
  EXPECT_THAT(List(Proc("root/layers")), UnorderedElementsAre("1"));
  const std::string mounts = ReadFileAt(AT_FDCWD, Proc("mounts")).value_or("");
  EXPECT_EQ(std::count(mounts.begin(), mounts.end(), '\n'), 3) << mounts;
}

TEST_F(BerthPullTest, FileDescriptorsLeadNowhereElse) {
  StartHanging();
  for (const std::string& fd : List(Proc("fd"))) {
    char target[256] = "";
    ASSERT_GT(::readlink(Proc("fd/" + fd).c_str(), target, sizeof(target) - 1), 0);
    const std::string where = target;
    const bool fine = fd == "2" || where == "/work" || where.rfind("/work/", 0) == 0 ||
                      where == "/layers" || where.rfind("socket:", 0) == 0 ||
                      where.rfind("anon_inode:", 0) == 0;
    EXPECT_TRUE(fine) << fd << " -> " << where;
  }
}

TEST_F(BerthPullTest, EndsWhenItsInputEnds) {
  StartHanging();
  in_.reset();
  const siginfo_t info = Reap();
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_status, 1);
}

TEST_F(BerthPullTest, SpeaksOfABadJob) {
  Start("{\"version\":99}\n");
  EXPECT_THAT(ReadAll(), HasSubstr("version 99"));
  EXPECT_EQ(Reap().si_status, 1);
}

TEST_F(BerthPullTest, EndsIfTheJobIsCutShort) {
  Start("{\"version\":");
  in_.reset();
  EXPECT_THAT(ReadAll(), HasSubstr("\"error\""));
  EXPECT_EQ(Reap().si_status, 1);
}

// Read from the living process: the maximum that wait4(2) tells begins with that of its parent.
TEST_F(BerthPullTest, MemoryIsBoundedWhateverTheLayersSize) {
  const std::string tar =
      testing_image::File("large", std::string(160 << 20, 'x')) + testing_image::TarEnd();
  const std::string path = "/v2/a/blobs/" + Digest::Sha256(tar).text();
  registry_.Publish("a", "v1", MakeImage({{.tar = tar, .compressed = tar}}));
  registry_.Serve(path, {.body = tar, .hang_after = tar.size() - 1});
  Start(EncodePullJob({.reference = registry_.host() + "/a:v1", .platform = HostPlatform()}));
  std::string said;
  int64_t bytes = 0;
  char buffer[4096];
  while (bytes < (80 << 20)) {
    const ssize_t n = ::recv(out_.get(), buffer, sizeof(buffer), 0);
    ASSERT_GT(n, 0) << said;
    said.append(buffer, static_cast<size_t>(n));
    const size_t at = said.rfind("\"bytes\":");
    if (at != std::string::npos) bytes = std::max<int64_t>(bytes, ::atoll(said.c_str() + at + 8));
  }
  const int64_t peak_kib = ::atoll(StatusField("VmHWM").c_str());
  EXPECT_GT(peak_kib, 0);
  EXPECT_LT(peak_kib, kMostKib);
  RecordProperty("peak_kib", static_cast<int>(peak_kib));
}

// Each window alone would fit; all of them at once would not.
TEST_F(BerthPullTest, MemoryIsBoundedWhateverTheWindowsOfItsLayers) {
  constexpr int kLarge = 3;
  const std::string hanging = testing_image::File("small", "x") + testing_image::TarEnd();
  std::vector<testing_image::StubLayer> layers = {{.tar = hanging, .compressed = hanging}};
  for (int i = 0; i < kLarge; ++i) {
    const std::string tar =
        testing_image::File(absl::StrCat("large", i), std::string(40 << 20, 'x')) +
        testing_image::TarEnd();
    layers.push_back({.tar = tar, .compressed = testing_image::Zstd(tar, /*window_log=*/25)});
  }
  registry_.Publish("a", "v1", MakeImage(layers));
  registry_.Serve("/v2/a/blobs/" + Digest::Sha256(hanging).text(),
                  {.body = hanging, .hang_after = hanging.size() - 1});
  Start(EncodePullJob({.reference = registry_.host() + "/a:v1", .platform = HostPlatform()}));
  std::string said;
  const auto done = [&said] {
    int count = 0;
    for (size_t at = 0; (at = said.find("\"done\"", at)) != std::string::npos; ++at) ++count;
    return count;
  };
  char buffer[4096];
  while (done() < kLarge) {
    const ssize_t n = ::recv(out_.get(), buffer, sizeof(buffer), 0);
    ASSERT_GT(n, 0) << said;
    said.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_LT(::atoll(StatusField("VmHWM").c_str()), kMostKib);
}

TEST_F(BerthPullTest, ReadOnlyLayersCannotBeWritten) {
  StartHanging();
  // Through the helper's own view, with all of root's power.
  const UniqueFd fd(
      ::open(Proc("root/layers/1/new").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_FALSE(fd.valid());
  EXPECT_EQ(errno, EROFS);
}

}  // namespace
}  // namespace berth
