#include "src/runtime/monitor/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "src/runtime/monitor_protocol.h"

namespace berth::monitor {

static_assert(sizeof(wire::ErrorReply) <= sizeof(ChannelEvent::failure));

bool SendChannel(int channel, ChannelMessage message, const int* fds, int fd_count) {
  iovec iov = {&message, sizeof(message)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::kMaxMessageFds)];
  msghdr packet = {};
  packet.msg_iov = &iov;
  packet.msg_iovlen = 1;
  if (fd_count > 0) {
    packet.msg_control = control;
    packet.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
    cmsghdr* header = CMSG_FIRSTHDR(&packet);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
  }
  return sendmsg(channel, &packet, MSG_NOSIGNAL) == sizeof(message);
}

int AskChannel(int channel, ChannelTag tag, int fd) {
  if (!SendChannel(channel, {.tag = tag, .value = 0}, &fd, fd >= 0 ? 1 : 0)) return -1;
  ChannelMessage answer;
  ssize_t n;
  do {
    n = recv(channel, &answer, sizeof(answer), 0);
  } while (n < 0 && errno == EINTR);
  if (n == sizeof(answer) && answer.tag == ChannelTag::kAnswer) return answer.value;
  if (n >= 0) errno = ECONNRESET;
  return -1;
}

bool ReceiveCgroups(int channel, ChannelMessage* message, int* fds, int* fd_count) {
  iovec iov = {message, sizeof(*message)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::kMaxMessageFds)];
  msghdr packet = {};
  packet.msg_iov = &iov;
  packet.msg_iovlen = 1;
  packet.msg_control = control;
  packet.msg_controllen = sizeof(control);
  ssize_t n;
  do {
    n = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return false;
  *fd_count = 0;
  const cmsghdr* header = CMSG_FIRSTHDR(&packet);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
    *fd_count = static_cast<int>((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds, CMSG_DATA(header), sizeof(int) * *fd_count);
  }
  if (n == sizeof(*message) && message->tag == ChannelTag::kCgroups) return true;
  errno = ECONNRESET;
  return false;
}

void ReceiveChannel(int channel, ChannelEvent* event) {
  char data[sizeof(wire::Header) + sizeof(wire::ErrorReply)];
  iovec iov = {data, sizeof(data)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  msghdr packet = {};
  packet.msg_iov = &iov;
  packet.msg_iovlen = 1;
  packet.msg_control = control;
  packet.msg_controllen = sizeof(control);
  const ssize_t n = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  for (cmsghdr* header = n < 0 ? nullptr : CMSG_FIRSTHDR(&packet); header != nullptr;
       header = CMSG_NXTHDR(&packet, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_RIGHTS) memcpy(&event->fd, CMSG_DATA(header), sizeof(int));
    if (header->cmsg_type == SCM_CREDENTIALS) {
      ucred sender;
      memcpy(&sender, CMSG_DATA(header), sizeof(sender));
      event->sender = sender.pid;
    }
  }
  if (n == static_cast<ssize_t>(sizeof(ChannelMessage))) {
    event->kind = ChannelEvent::Kind::kMessage;
    memcpy(&event->message, data, sizeof(event->message));
  } else if (n == static_cast<ssize_t>(sizeof(data))) {
    event->kind = ChannelEvent::Kind::kFailure;
    memcpy(event->failure, data + sizeof(wire::Header), sizeof(wire::ErrorReply));
  } else {
    event->kind = ChannelEvent::Kind::kEnd;
  }
}

}  // namespace berth::monitor
