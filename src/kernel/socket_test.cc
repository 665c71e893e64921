#include "src/kernel/socket.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "src/kernel/file.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

class SocketTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/berth-socket-XXXXXX";
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    path_ = directory_ + "/s";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_, path_;
};

struct Pair {
  Pair() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    a.reset(ends[0]);
    b.reset(ends[1]);
  }
  UniqueFd a, b;
};

absl::StatusOr<Packet> Receive(const UniqueFd& socket) {
  return ReceivePacket(socket.get(), absl::InfiniteFuture());
}

TEST(Packets, CarryDataAndDescriptors) {
  Pair pair;
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  const UniqueFd read_end(pipe_ends[0]), write_end(pipe_ends[1]);
  const std::string data("a\0b", 3);
  ASSERT_TRUE(SendPacket(pair.a.get(), data, {write_end.get(), read_end.get()}).ok());
  const absl::StatusOr<Packet> packet = Receive(pair.b);
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(packet->data, data);
  ASSERT_EQ(packet->fds.size(), 2u);
  EXPECT_EQ(fcntl(packet->fds[0].get(), F_GETFD), FD_CLOEXEC);
  ASSERT_EQ(write(packet->fds[0].get(), "x", 1), 1);
  char byte;
  EXPECT_EQ(read(read_end.get(), &byte, 1), 1);
}

TEST(Packets, KeepTheirBorders) {
  Pair pair;
  ASSERT_TRUE(SendPacket(pair.a.get(), "one", {}).ok());
  ASSERT_TRUE(SendPacket(pair.a.get(), "two", {}).ok());
  EXPECT_EQ(Receive(pair.b)->data, "one");
  EXPECT_EQ(Receive(pair.b)->data, "two");
}

TEST(Packets, CarryAsManyDescriptorsAsTheKernelTakesAndNoMore) {
  Pair pair;
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(SendPacket(pair.a.get(), "x", std::vector<int>(253, null.get())).ok());
  EXPECT_EQ(Receive(pair.b)->fds.size(), 253u);
  EXPECT_EQ(SendPacket(pair.a.get(), "x", std::vector<int>(254, null.get())).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Packets, OfTooManyBytesAreAnErrorAndTheirDescriptorsAreClosed) {
  Pair pair;
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  const UniqueFd read_end(pipe_ends[0]);
  UniqueFd write_end(pipe_ends[1]);
  ASSERT_TRUE(SendPacket(pair.a.get(), std::string(11, 'x'), {write_end.get()}).ok());
  write_end.reset();
  EXPECT_EQ(ReceivePacket(pair.b.get(), absl::InfiniteFuture(), 10).status().code(),
            absl::StatusCode::kDataLoss);
  char byte;
  EXPECT_EQ(read(read_end.get(), &byte, 1), 0) << "no copy of the write end is left";
}

TEST(Packets, AClosedPeerIsUnavailable) {
  Pair pair;
  pair.a.reset();
  EXPECT_EQ(Receive(pair.b).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(SendPacket(pair.b.get(), "x", {}).code(), absl::StatusCode::kUnavailable);
}

// recvmsg(2) fails then, and leaves the room for descriptors as an earlier message has filled it.
TEST(Packets, APeerThatClosedBeforeItReadAllTakesNoDescriptorOfAnEarlierMessage) {
  Pair earlier, pair;
  ASSERT_TRUE(SendPacket(earlier.a.get(), "x", {earlier.a.get()}).ok());
  ASSERT_TRUE(SendPacket(pair.b.get(), "unread", {}).ok());
  pair.a.reset();
  const absl::StatusOr<Packet> packet = Receive(earlier.b);
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_EQ(Receive(pair.b).status().code(), absl::StatusCode::kUnavailable);
  ASSERT_EQ(packet->fds.size(), 1u);
  EXPECT_EQ(fcntl(packet->fds[0].get(), F_GETFD), FD_CLOEXEC) << "it is open";
}

TEST(Packets, WhatWasSentBeforeTheCloseStillArrives) {
  Pair pair;
  ASSERT_TRUE(SendPacket(pair.a.get(), "last", {}).ok());
  pair.a.reset();
  EXPECT_EQ(Receive(pair.b)->data, "last");
  EXPECT_EQ(Receive(pair.b).status().code(), absl::StatusCode::kUnavailable);
}

TEST(Packets, ADeadlineThatHasPassedTakesWhatIsThere) {
  Pair pair;
  EXPECT_EQ(ReceivePacket(pair.b.get(), absl::InfinitePast()).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  ASSERT_TRUE(SendPacket(pair.a.get(), "x", {}).ok());
  EXPECT_TRUE(ReceivePacket(pair.b.get(), absl::InfinitePast()).ok());
}

TEST_F(SocketTest, ListensWithTheModeGivenWhateverTheUmask) {
  const mode_t old = umask(0);
  const absl::StatusOr<UniqueFd> listener = ListenUnix(path_, SOCK_STREAM, 0660);
  umask(old);
  ASSERT_TRUE(listener.ok()) << listener.status();
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode, S_IFSOCK | 0660u);
  EXPECT_EQ(fcntl(listener->get(), F_GETFD), FD_CLOEXEC);
}

TEST_F(SocketTest, ConnectsAndTalks) {
  const absl::StatusOr<UniqueFd> listener = ListenUnix(path_, SOCK_SEQPACKET, 0600);
  ASSERT_TRUE(listener.ok());
  const absl::StatusOr<UniqueFd> client = ConnectUnix(path_, SOCK_SEQPACKET);
  ASSERT_TRUE(client.ok()) << client.status();
  const UniqueFd server(accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC));
  ASSERT_TRUE(SendPacket(client->get(), "hello", {}).ok());
  EXPECT_EQ(Receive(server)->data, "hello");
}

TEST_F(SocketTest, ReplacesAStaleSocket) {
  { const absl::StatusOr<UniqueFd> dead = ListenUnix(path_, SOCK_SEQPACKET, 0600); }
  ASSERT_EQ(access(path_.c_str(), F_OK), 0) << "the file is left of it";
  EXPECT_TRUE(ListenUnix(path_, SOCK_SEQPACKET, 0600).ok());
}

TEST_F(SocketTest, LeavesALiveSocketAlone) {
  const absl::StatusOr<UniqueFd> live = ListenUnix(path_, SOCK_SEQPACKET, 0600);
  ASSERT_TRUE(live.ok());
  for (const int type : {SOCK_SEQPACKET, SOCK_STREAM}) {
    const absl::Status refused = ListenUnix(path_, type, 0600).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
    EXPECT_THAT(std::string(refused.message()), HasSubstr(path_));
  }
  EXPECT_TRUE(ConnectUnix(path_, SOCK_SEQPACKET).ok());
}

TEST_F(SocketTest, LeavesAFileThatIsNoSocketAlone) {
  std::ofstream(path_) << "data";
  EXPECT_FALSE(ListenUnix(path_, SOCK_SEQPACKET, 0600).ok());
  EXPECT_EQ(ReadFileAt(AT_FDCWD, path_).value_or(""), "data");
}

TEST_F(SocketTest, NamesWhatCannotBeReached) {
  const absl::Status missing = ConnectUnix(path_, SOCK_STREAM).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(missing.message(), "connect " + path_ + ": No such file or directory");
}

TEST_F(SocketTest, TakesPathsLongerThanASocketAddress) {
  std::string deep = directory_;
  while (deep.size() < 300) deep += "/" + std::string(60, 'd');
  std::filesystem::create_directories(deep);
  const std::string path = deep + "/monitor.sock";
  const absl::StatusOr<UniqueFd> listener = ListenUnix(path, SOCK_SEQPACKET, 0600);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_TRUE(std::filesystem::is_socket(path));
  EXPECT_TRUE(ConnectUnix(path, SOCK_SEQPACKET).ok());
  EXPECT_EQ(ListenUnix(path, SOCK_SEQPACKET, 0600).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ListenUnix(deep + "/" + std::string(120, 'n'), SOCK_SEQPACKET, 0600).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(SocketTest, RefusesALongNameWithoutADirectory) {
  EXPECT_EQ(ConnectUnix(std::string(200, 'n'), SOCK_STREAM).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth
