#include "src/runtime/monitor/packet.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

namespace berth::monitor {
namespace {

// Of a message that has its plan with it, behind the header; -1: its type has none.
ssize_t PayloadBytes(wire::Type type) {
  if (type == wire::Type::kExecWithPlan) return sizeof(wire::ExecRequest);
  if (type == wire::Type::kStartWithPlan) return sizeof(wire::StartRequest);
  if (type == wire::Type::kPrepare) return 0;
  return type == wire::Type::kSetUp ? sizeof(wire::SetUpRequest) : -1;
}

}  // namespace

Packet::~Packet() {
  for (int i = 0; i < fd_count_; ++i) {
    if (fds_[i] >= 0) close(fds_[i]);
  }
}

int Packet::TakeFd(int index) {
  if (index < 0 || index >= fd_count_) return -1;
  const int fd = fds_[index];
  fds_[index] = -1;
  return fd;
}

Packet::Result Packet::Receive(int socket, char* plan_room) {
  iovec iov[] = {{data_, sizeof(data_)}, {plan_room, wire::kPlanInMessageMaxBytes}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::kMaxMessageFds)];
  msghdr message = {};
  message.msg_iov = iov;
  message.msg_iovlen = plan_room != nullptr ? 2 : 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Result::kNothing;
  for (cmsghdr* header = n < 0 ? nullptr : CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const int count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds_, CMSG_DATA(header), count * sizeof(int));
    fd_count_ = count;
  }
  if (n < static_cast<ssize_t>(sizeof(header_)) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
    return Result::kClosed;
  }
  bytes_ = n;
  memcpy(&header_, data_, sizeof(header_));
  if (header_.magic != wire::kProtocolMagic || header_.version != wire::kProtocolVersion)
    return Result::kClosed;
  if (bytes_ > sizeof(data_)) {
    const ssize_t payload = PayloadBytes(type());
    if (payload < 0) return Result::kClosed;
    plan_ = plan_room;
    plan_bytes_ = bytes_ - sizeof(data_);
    bytes_ = sizeof(wire::Header) + payload;
  } else if (type() == wire::Type::kExecWithPlan || type() == wire::Type::kStartWithPlan) {
    return Result::kClosed;
  }
  return Result::kMessage;
}

bool Send(int socket, wire::Type type, const void* payload, size_t bytes, const int* fds,
          int fd_count) {
  wire::Header header = {.magic = wire::kProtocolMagic,
                         .version = wire::kProtocolVersion,
                         .type = static_cast<uint16_t>(type)};
  iovec iov[2] = {{&header, sizeof(header)}, {const_cast<void*>(payload), bytes}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
  msghdr message = {};
  message.msg_iov = iov;
  message.msg_iovlen = 2;
  if (fd_count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
    memcpy(CMSG_DATA(rights), fds, sizeof(int) * fd_count);
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

void SendError(int socket, int step, int error, const char* call) {
  wire::ErrorReply reply = {.step = step, .error = error, .call = {}};
  strncpy(reply.call, call, sizeof(reply.call) - 1);
  Send(socket, wire::Type::kError, reply);
}

}  // namespace berth::monitor
