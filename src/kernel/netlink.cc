#include "src/kernel/netlink.h"

#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <sys/socket.h>
#include <time.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

// A dump comes in parts of at most 32 KiB (netlink_recvmsg).
constexpr size_t kReceiveBytes = 32 << 10;

// The kernel's explanation that follows an error (extended ack), "" when there is none.
absl::string_view ExtendedAck(const nlmsghdr& header) {
  if (!(header.nlmsg_flags & NLM_F_ACK_TLVS)) return "";
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&header));
  size_t offset = sizeof(*error);
  if (!(header.nlmsg_flags & NLM_F_CAPPED))
    offset += MNL_ALIGN(error->msg.nlmsg_len - sizeof(nlmsghdr));
  absl::string_view text;
  ForEachAttribute(header, offset, [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) == NLMSGERR_ATTR_MSG &&
        mnl_attr_validate(&attribute, MNL_TYPE_NUL_STRING) == 0) {
      text = mnl_attr_get_str(&attribute);
    }
  });
  return text;
}

absl::Status AnswerStatus(const nlmsghdr& header, const std::string& call,
                          const std::string& object) {
  if (mnl_nlmsg_get_payload_len(&header) < sizeof(nlmsgerr)) {
    return absl::InternalError(absl::StrCat(call, " ", object, ": short netlink answer"));
  }
  const int error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&header))->error;
  if (error == 0) return absl::OkStatus();
  absl::Status status = ErrnoStatus(call, object, error);
  const absl::string_view text = ExtendedAck(header);
  if (text.empty()) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(), " (", text, ")"));
}

// Both options exist since Linux 4.12; errors are merely poorer without them.
void AskForExplanations(int fd) {
  const int on = 1;
  ::setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
  ::setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
}

// libmnl's own loops (mnl_attr_for_each) are C only.
void ForEachIn(const char* at, const char* end, absl::FunctionRef<void(const nlattr&)> visit) {
  for (auto* attribute = reinterpret_cast<const nlattr*>(at);
       mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    visit(*attribute);
  }
}

}  // namespace

void ForEachAttribute(const nlmsghdr& message, size_t header_bytes,
                      absl::FunctionRef<void(const nlattr&)> visit) {
  ForEachIn(static_cast<const char*>(mnl_nlmsg_get_payload_offset(&message, header_bytes)),
            static_cast<const char*>(mnl_nlmsg_get_payload_tail(&message)), visit);
}

void ForEachNested(const nlattr& nest, absl::FunctionRef<void(const nlattr&)> visit) {
  const auto* payload = static_cast<const char*>(mnl_attr_get_payload(&nest));
  ForEachIn(payload, payload + mnl_attr_get_payload_len(&nest), visit);
}

nlmsghdr* NetlinkBatch::Begin(uint16_t type, uint16_t flags, absl::string_view call,
                              absl::string_view object) {
  Close();
  const size_t offset = bytes_.size();
  requests_.push_back({.offset = offset,
                       .wants_ack = (flags & NLM_F_ACK) != 0,
                       .call = std::string(call),
                       .object = std::string(object)});
  bytes_.resize(offset + kMaxRequest);
  nlmsghdr* header = mnl_nlmsg_put_header(bytes_.data() + offset);
  header->nlmsg_type = type;
  header->nlmsg_flags = NLM_F_REQUEST | flags;
  return header;
}

void NetlinkBatch::Close() {
  if (requests_.empty()) return;
  const Request& last = requests_.back();
  bytes_.resize(last.offset + MNL_ALIGN(At(last)->nlmsg_len));
}

absl::StatusOr<NetlinkSocket> NetlinkSocket::Open(int protocol) {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.valid()) return ErrnoStatus("open", absl::StrCat("netlink socket ", protocol));
  AskForExplanations(fd.get());
  sockaddr_nl own = {.nl_family = AF_NETLINK};  // the kernel chooses the port
  socklen_t length = sizeof(own);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&own), length) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own), &length) != 0) {
    return ErrnoStatus("bind", absl::StrCat("netlink socket ", protocol));
  }
  NetlinkSocket socket(std::move(fd));
  socket.port_ = own.nl_pid;
  return socket;
}

absl::StatusOr<NetlinkSocket> NetlinkSocket::Wrap(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return ErrnoStatus("dup", absl::StrCat("netlink socket ", fd));
  AskForExplanations(copy.get());
  NetlinkSocket socket(std::move(copy));
  // Another owner of the same socket counts too: answers to its requests must not be taken for
  // ours.
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  socket.next_sequence_ = static_cast<uint32_t>(now.tv_nsec) | 1;
  return socket;
}

absl::Status NetlinkSocket::Send(NetlinkBatch& batch) {
  batch.Close();
  first_sequence_ = next_sequence_;
  for (const NetlinkBatch::Request& request : batch.requests_)
    batch.At(request)->nlmsg_seq = next_sequence_++;
  const sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  const ssize_t sent = ::sendto(fd_.get(), batch.bytes_.data(), batch.bytes_.size(), 0,
                                reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel));
  if (sent < 0) return ErrnoStatus(batch.requests_[0].call, batch.requests_[0].object);
  return absl::OkStatus();
}

absl::Status NetlinkSocket::Receive(absl::FunctionRef<void(const nlmsghdr&)> visit) {
  alignas(nlmsghdr) char buffer[kReceiveBytes];
  while (true) {
    sockaddr_nl sender = {};
    socklen_t length = sizeof(sender);
    // The kernel has answered by the time sendmsg(2) returns (netlink_unicast_kernel), so nothing
    // is waited for.
    const ssize_t n = ::recvfrom(fd_.get(), buffer, sizeof(buffer), MSG_DONTWAIT,
                                 reinterpret_cast<sockaddr*>(&sender), &length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("receive", "netlink answer");
    if (sender.nl_pid != 0) continue;
    int left = static_cast<int>(n);
    for (auto* header = reinterpret_cast<const nlmsghdr*>(buffer); mnl_nlmsg_ok(header, left);
         header = mnl_nlmsg_next(header, &left))
      visit(*header);
    return absl::OkStatus();
  }
}

absl::Status NetlinkSocket::Run(NetlinkBatch batch) {
  if (batch.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Send(batch));
  size_t outstanding = 0;
  for (const NetlinkBatch::Request& request : batch.requests_) outstanding += request.wants_ack;
  absl::Status first_error, refused;
  while (outstanding > 0 && refused.ok()) {
    RETURN_IF_ERROR(Receive([&](const nlmsghdr& header) {
      const uint32_t index = header.nlmsg_seq - first_sequence_;
      if (header.nlmsg_type != NLMSG_ERROR || index >= batch.requests_.size()) return;
      const NetlinkBatch::Request& request = batch.requests_[index];
      absl::Status answer = AnswerStatus(header, request.call, request.object);
      // A batch marker asks for no ack: its error means that the whole batch was refused.
      if (!request.wants_ack) {
        refused.Update(answer);
        return;
      }
      first_error.Update(answer);
      --outstanding;
    }));
  }
  return refused.ok() ? first_error : refused;
}

absl::Status NetlinkSocket::Query(NetlinkBatch request,
                                  absl::FunctionRef<void(const nlmsghdr&)> visit) {
  RETURN_IF_ERROR(Send(request));
  const NetlinkBatch::Request& asked = request.requests_[0];
  bool changed = false;
  std::optional<absl::Status> end;
  while (!end) {
    RETURN_IF_ERROR(Receive([&](const nlmsghdr& header) {
      if (header.nlmsg_seq != first_sequence_ || end) return;
      changed |= (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (header.nlmsg_type == NLMSG_ERROR) {
        end = AnswerStatus(header, asked.call, asked.object);
      } else if (header.nlmsg_type != NLMSG_DONE) {
        visit(header);
      } else if (changed) {
        end =
            absl::AbortedError(absl::StrCat(asked.call, " ", asked.object, ": changed meanwhile"));
      } else {
        end = absl::OkStatus();
      }
    }));
  }
  return *end;
}

}  // namespace berth
