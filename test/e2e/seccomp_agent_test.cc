// SCMP_ACT_NOTIFY: an agent on the node decides over a container's system calls.
#include <gmock/gmock.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "absl/strings/str_cat.h"
#include "src/base/unique_fd.h"
#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;

constexpr int kPatienceMs = 20'000;

bool Readable(int fd) {
  pollfd waiting = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&waiting, 1, kPatienceMs) == 1;
}

// Takes one container's filter and answers its first notified call with `answer`.
class Agent {
 public:
  Agent(const std::string& path, int answer) : answer_(answer) {
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    EXPECT_LT(path.size(), sizeof(address.sun_path));
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    thread_ = std::thread([this] { error_ = Serve(); });
  }
  // The state of the process that came with the filter.
  Json Finish() {
    thread_.join();
    EXPECT_EQ(error_, "");
    return Json::parse(state_, nullptr, false);
  }
  int call() const { return call_; }

 private:
  std::string Serve() {
    if (!Readable(listener_.get())) return "nobody connected";
    const UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const UniqueFd filter(TakeFilter(connection.get()));
    if (!filter.valid()) return "no descriptor came";
    if (!Readable(filter.get())) return "no call was notified";
    seccomp_notif call = {};
    if (ioctl(filter.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
      return "SECCOMP_IOCTL_NOTIF_RECV";
    call_ = call.data.nr;
    seccomp_notif_resp answer = {.id = call.id, .val = 0, .error = -answer_, .flags = 0};
    if (ioctl(filter.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer) != 0)
      return "SECCOMP_IOCTL_NOTIF_SEND";
    return "";
  }
  int TakeFilter(int connection) {
    int filter = -1;
    char text[16384];
    for (;;) {
      if (!Readable(connection)) return filter;
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
      iovec part = {.iov_base = text, .iov_len = sizeof(text)};
      msghdr message = {};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      const ssize_t size = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
      if (size <= 0) return filter;
      state_.append(text, static_cast<size_t>(size));
      const cmsghdr* header = CMSG_FIRSTHDR(&message);
      if (header != nullptr && header->cmsg_type == SCM_RIGHTS)
        filter = *reinterpret_cast<const int*>(CMSG_DATA(header));
    }
  }

  int answer_;
  UniqueFd listener_;
  std::string state_, error_;
  int call_ = -1;
  std::thread thread_;
};

class SeccompAgentTest : public ProbedTest {};

TEST_F(SeccompAgentTest, AnswersTheCallsOfAContainer) {
  HostDir dir(Name("-agent"));
  Agent agent(dir / "agent.sock", EXFULL);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"mount", "/tmp"});
  auto* seccomp = Security(config)->mutable_seccomp();
  seccomp->set_profile_type(cri::SecurityProfile::Localhost);
  seccomp->set_localhost_ref(dir.Write("profile.json", absl::StrCat(R"({
    "defaultAction": "SCMP_ACT_ALLOW",
    "listenerPath": ")",
                                                                    dir / "agent.sock", R"(",
    "listenerMetadata": "of the test",
    "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]})")));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  const auto finished = pod.RunToEnd(config);
  const Json state = agent.Finish();
  ASSERT_OK(finished);
  EXPECT_EQ(finished->status.exit_code(), EXFULL) << "what the agent said of mount(2)";
  EXPECT_EQ(agent.call(), SYS_mount);
  ASSERT_TRUE(state.is_object());
  EXPECT_EQ(state["metadata"], "of the test");
  EXPECT_EQ(state["state"]["id"], finished->id);
  EXPECT_GT(state.value("pid", 0), 0);
  EXPECT_EQ(state["fds"], Json({"seccompFd"}));
}

TEST_F(SeccompAgentTest, WithoutAnAgentNothingStarts) {
  HostDir dir(Name("-agent"));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"exit", "0"});
  auto* seccomp = Security(config)->mutable_seccomp();
  seccomp->set_profile_type(cri::SecurityProfile::Localhost);
  seccomp->set_localhost_ref(dir.Write("profile.json", absl::StrCat(R"({
    "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": ")",
                                                                    dir / "nobody.sock", R"(",
    "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}]})")));
  EXPECT_THAT(std::string(Refusal(config).message()), HasSubstr("nobody.sock"));
}

}  // namespace
}  // namespace berth::e2e
