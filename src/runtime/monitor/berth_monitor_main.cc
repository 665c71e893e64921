// berth-monitor: one for each pod. See docs/formats/monitor-protocol.md for what it is told and
// what it answers.
//
//   berth-monitor ready ROOM   with the descriptors of monitor_protocol.h, StartFd; once it has its
//                              pod, that pod's id is where both words were
//
// Its short modes, which end once they are done:
//
//   --node-namespace DATA_DIR           makes the node's minimal mount namespace, and waits for the
//                                       end of stdin
//   --open-volumes PATH...              sends a detached bind of each path over fd 3
//   --describe-devices PATH...          sends what device nodes they are over fd 3
//   --park                              does nothing until stdin is closed
//   --oci ...                           starts the container of a bundle (oci.h)
//   --oci-user-namespace UID_MAP GID_MAP makes a user namespace and sends it over fd 3
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/sockios.h>

#include "src/base/failpoint.h"
#include "src/runtime/monitor/host_devices.h"
#include "src/runtime/monitor/node_namespace.h"
#include "src/runtime/monitor/oci.h"
#include "src/runtime/monitor/oci_user_namespace.h"
#include "src/runtime/monitor/pod.h"
#include "src/runtime/monitor/syscalls.h"

namespace berth::monitor {
namespace {

class Monitor {
 public:
  // `name` has room for an id.
  explicit Monitor(char* name) : name_(name), pod_(&loop_, wire::kStateDirFd) {}

  int Run();

 private:
  struct Connection {
    Monitor* monitor;
    int fd;
    wire::Type session;  // the request that made it one; else kHello
    Handler handler;
  };

  // False: berthd is gone, or says nothing of this protocol.
  bool AwaitPod();
  void Prepare(const Packet& packet);
  void SetUpPod(const wire::SetUpRequest& request, const Packet& packet);
  void AcceptReady();
  void AddConnection(int fd);
  void ChildReady();
  void ConnectionReady(Connection* connection);
  void Close(Connection* connection);
  void Dispatch(Connection* connection, Packet* packet);
  void DispatchSession(Connection* connection, Packet* packet);
  void Hello(int fd);

  char* const name_;
  bool has_pod_ = false;
  Loop loop_;
  Pod pod_;
  bool set_up_ = false;
  bool has_network_ = false;
  wire::ErrorReply failure_ = {};
  int signals_ = -1;
  Handler accept_handler_, signal_handler_;
};

bool Monitor::AwaitPod() {
  pollfd wait = {.fd = wire::kFirstConnectionFd, .events = POLLIN, .revents = 0};
  while (!has_pod_) {
    if (poll(&wait, 1, -1) < 0) continue;
    Packet packet;
    wire::SetUpRequest request;
    if (packet.Receive(wire::kFirstConnectionFd, pod_.PlanRoom()) != Packet::Result::kMessage)
      return false;
    if (packet.type() == wire::Type::kPrepare) {
      Prepare(packet);
      continue;
    }
    if (packet.type() != wire::Type::kSetUp || !packet.Read(&request)) return false;
    SetUpPod(request, packet);
    has_pod_ = true;
  }
  return true;
}

void Monitor::Prepare(const Packet& packet) {
  Plan plan;
  if (!plan.View(packet.plan(), packet.plan_bytes())) {
    failure_ = {.step = -1, .error = EBADMSG, .call = "read common plan"};
  } else {
    pod_.Prepare(plan, &failure_);
  }
}

void Monitor::SetUpPod(const wire::SetUpRequest& request, const Packet& packet) {
  memcpy(name_, request.pod_id, sizeof(request.pod_id));
  if (FAULT("monitor.setup")) {
    failure_ = {.step = -1, .error = errno, .call = "set up"};
    return;
  }
  if (failure_.error != 0) return;
  const bool in_file = (request.flags & wire::kPlanInFile) != 0;
  const uint32_t tasks = request.task_count;
  const int named = static_cast<int>(tasks) + (in_file ? 1 : 0);
  Plan plan;
  if (tasks > static_cast<uint32_t>(wire::kMaxMessageFds) || named > packet.fd_count() ||
      !(in_file ? plan.Map(packet.fds()[tasks]) : plan.View(packet.plan(), packet.plan_bytes()))) {
    failure_ = {.step = -1, .error = EBADMSG, .call = "read pod plan"};
    return;
  }
  // Of a single thread that joins by itself the kernel asks for no lock of the whole node.
  for (uint32_t i = 0; i < tasks; ++i) {
    if (write(packet.fds()[i], "0", 1) == 1) continue;
    failure_ = {.step = -1, .error = errno, .call = "join cgroup"};
    return;
  }
  // The pod has a network of its own exactly if its plan makes or joins one.
  const char* at = plan.begin();
  for (uint32_t i = 0; i < plan.step_count(); ++i) {
    const Step step(at);
    if (step.op() == wire::Op::kUnshare && (step.a() & CLONE_NEWNET)) has_network_ = true;
    if (step.op() == wire::Op::kSetNs && step.b() == CLONE_NEWNET) has_network_ = true;
    if (step.op() == wire::Op::kCreateUserNamespace && (step.a() & CLONE_NEWNET))
      has_network_ = true;
    at += step.bytes();
  }
  set_up_ = pod_.SetUp(plan, packet.fds() + named, packet.fd_count() - named,
                       (request.flags & wire::kOwnPidNamespace) != 0, &failure_);
}

// What does not depend on the pod comes before it is there.
int Monitor::Run() {
  if (!loop_.Open()) return 1;
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigprocmask(SIG_SETMASK, &watched, nullptr);
  signals_ = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  signal_handler_ = {[](void* owner, int) { static_cast<Monitor*>(owner)->ChildReady(); }, this, 0};
  accept_handler_ = {[](void* owner, int) { static_cast<Monitor*>(owner)->AcceptReady(); }, this,
                     0};
  if (FAULT("monitor.begin") || signals_ < 0 || !loop_.Add(signals_, &signal_handler_) ||
      sys::SetNs(wire::kMountNsFd, CLONE_NEWNS) != 0) {
    return 1;
  }
  close(wire::kMountNsFd);
  pod_.Open();
  if (!loop_.Add(wire::kListenerFd, &accept_handler_)) return 1;
  AddConnection(wire::kFirstConnectionFd);
  AddConnection(wire::kSecondConnectionFd);
  if (!AwaitPod()) return 1;
  Hello(wire::kFirstConnectionFd);
  loop_.Run();
  return 0;
}

void Monitor::AcceptReady() {
  const int fd = accept4(wire::kListenerFd, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) return;
  ucred peer;
  socklen_t length = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.uid != 0) {
    close(fd);
    return;
  }
  AddConnection(fd);
}

void Monitor::AddConnection(int fd) {
  auto* connection = static_cast<Connection*>(calloc(1, sizeof(Connection)));
  if (connection == nullptr) {
    close(fd);
    return;
  }
  connection->monitor = this;
  connection->fd = fd;
  connection->session = wire::Type::kHello;
  connection->handler = {[](void* owner, int) {
                           auto* self = static_cast<Connection*>(owner);
                           self->monitor->ConnectionReady(self);
                         },
                         connection, 0};
  loop_.Add(fd, &connection->handler);
}

void Monitor::ChildReady() {
  signalfd_siginfo info;
  while (read(signals_, &info, sizeof(info)) == sizeof(info)) {
  }
  pod_.Reap();
}

void Monitor::ConnectionReady(Connection* connection) {
  Packet packet;
  const bool session = connection->session != wire::Type::kHello;
  switch (packet.Receive(connection->fd, session ? nullptr : pod_.PlanRoom())) {
    case Packet::Result::kNothing:
      return;
    case Packet::Result::kMessage:
      return session ? DispatchSession(connection, &packet) : Dispatch(connection, &packet);
    case Packet::Result::kClosed:
      return Close(connection);
  }
}

void Monitor::Close(Connection* connection) {
  loop_.Remove(connection->fd);
  pod_.ConnectionClosed(connection->fd);
  close(connection->fd);
  free(connection);
}

// The other end may be an unprivileged process by now: anything that it may not send ends it.
void Monitor::DispatchSession(Connection* connection, Packet* packet) {
  const wire::Type session = connection->session, type = packet->type();
  if (session == wire::Type::kExecSession && type == wire::Type::kHooksDone)
    return pod_.HooksDone(connection->fd, *packet);
  if (session == wire::Type::kAttach && type == wire::Type::kResize)
    return pod_.ResizeAttached(connection->fd, *packet);
  if (session == wire::Type::kPortForward && type == wire::Type::kConnect)
    return pod_.Connect(connection->fd, *packet);
  Close(connection);
}

void Monitor::Hello(int fd) {
  if (!set_up_) return SendError(fd, failure_.step, failure_.error, failure_.call);
  if (FAULT("monitor.ready")) return SendError(fd, -1, errno, "ready");
  const int user_namespace = pod_.user_namespace();
  const wire::HelloReply reply = {.pid = getpid(),
                                  .pod_init_pid = pod_.pod_init_pid(),
                                  .has_network = has_network_ ? 1u : 0u,
                                  .has_user_namespace = user_namespace >= 0 ? 1u : 0u};
  int fds[3] = {-1, -1, -1};
  int count = 0;
  if (has_network_) {
    fds[1] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fds[1] >= 0) fds[0] = ioctl(fds[1], SIOCGSKNS);  // the namespace of a socket (kernel 4.10)
    count = 2;
  }
  if (has_network_ && (fds[0] < 0 || fds[1] < 0)) {
    SendError(fd, -1, errno, "open pod network");
  } else {
    if (user_namespace >= 0) fds[count++] = user_namespace;
    Send(fd, wire::Type::kHelloReply, &reply, sizeof(reply), fds, count);
  }
  for (int i = 0; has_network_ && i < 2; ++i) {
    if (fds[i] >= 0) close(fds[i]);
  }
}

void Monitor::Dispatch(Connection* connection, Packet* packet) {
  const int fd = connection->fd;
  if (!set_up_ && packet->type() != wire::Type::kHello && packet->type() != wire::Type::kShutdown) {
    return SendError(fd, failure_.step, failure_.error, failure_.call);
  }
  switch (packet->type()) {
    case wire::Type::kHello:
      return Hello(fd);
    case wire::Type::kStart:
    case wire::Type::kStartWithPlan:
      return pod_.Start(fd, packet);
    case wire::Type::kStartRest:
      return pod_.TakeStartRest(fd, packet);
    case wire::Type::kStop:
      return pod_.Stop(fd, *packet);
    case wire::Type::kExec:
    case wire::Type::kExecWithPlan:
      return pod_.StartExec(fd, packet);
    case wire::Type::kExecSession:
      connection->session = packet->type();
      return pod_.StartExec(fd, packet);
    case wire::Type::kAttach:
      connection->session = packet->type();
      return pod_.Attach(fd, *packet);
    case wire::Type::kPortForward:
      connection->session = packet->type();
      return SendOk(fd);
    case wire::Type::kLimitLogs:
      return pod_.LimitLogs(fd, *packet);
    case wire::Type::kReopenLog:
      return pod_.ReopenLog(fd, packet);
    case wire::Type::kResize:
      return pod_.Resize(fd, *packet);
    case wire::Type::kForget:
      return pod_.Forget(fd, *packet);
    case wire::Type::kHooksDone:
      return pod_.HooksDone(fd, *packet);
    case wire::Type::kWatch:
      return pod_.Watch(fd);
    case wire::Type::kShutdown:
      return pod_.Shutdown(fd);
    default:
      return SendError(fd, -1, ENOSYS, "message type");
  }
}

}  // namespace
}  // namespace berth::monitor

int main(int argc, char** argv) {
  using namespace berth::monitor;
  namespace wire = berth::wire;
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_NAME, "berth-monitor");  // exec'ed from a memfd, it would be named after that
  if (argc == 3 && strcmp(argv[1], "--node-namespace") == 0) return MakeNodeNamespace(argv[2]);
  if (argc >= 3 && strcmp(argv[1], "--open-volumes") == 0) return OpenVolumes(argv + 2, argc - 2);
  if (argc >= 3 && strcmp(argv[1], "--describe-devices") == 0)
    return DescribeDevices(argv + 2, argc - 2);
  if (argc == 2 && strcmp(argv[1], "--park") == 0) return Park();
  if (argc == 10 && strcmp(argv[1], "--oci") == 0) return RunOciLauncher(argv + 2);
  if (argc == 4 && strcmp(argv[1], "--oci-user-namespace") == 0)
    return SendUserNamespace(argv[2], argv[3]);
  if (argc != 3 || strcmp(argv[1], "ready") != 0 ||
      strlen(argv[1]) + 1 + strlen(argv[2]) < wire::kIdBytes) {
    fprintf(stderr, "berth-monitor is started by berthd\n");
    return 2;
  }
  // Containers that an OCI runtime made are children of this process once the runtime has ended.
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return 1;
  signal(SIGPIPE, SIG_IGN);
  Monitor monitor(argv[1]);
  return monitor.Run();
}
