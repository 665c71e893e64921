// Netlink sockets (rtnetlink, nfnetlink): several requests in one send, the kernel's own words in
// errors. Not thread-safe; one owner at a time.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth {

// Requests that travel in one sendmsg(2), in order.
class NetlinkBatch {
 public:
  // Starts a request; libmnl's mnl_* calls fill it until the next Begin. The pointer is valid until
  // then. A request holds at most kMaxRequest bytes. `call` and `object` name it in errors: "<call>
  // <object>: <cause>".
  nlmsghdr* Begin(uint16_t type, uint16_t flags, absl::string_view call, absl::string_view object);
  bool empty() const { return requests_.empty(); }

  static constexpr size_t kMaxRequest = 2048;

 private:
  friend class NetlinkSocket;
  struct Request {
    size_t offset;
    bool wants_ack;
    std::string call, object;
  };
  void Close();
  nlmsghdr* At(const Request& request) {
    return reinterpret_cast<nlmsghdr*>(bytes_.data() + request.offset);
  }

  std::vector<char> bytes_;
  std::vector<Request> requests_;
};

// Shows each attribute of a message that follows its `header_bytes` of family header, or of a
// nested attribute.
void ForEachAttribute(const nlmsghdr& message, size_t header_bytes,
                      absl::FunctionRef<void(const nlattr&)> visit);
void ForEachNested(const nlattr& nest, absl::FunctionRef<void(const nlattr&)> visit);

class NetlinkSocket {
 public:
  // A socket in the network namespace of the calling thread; it stays there. `protocol`:
  // NETLINK_ROUTE, ...
  static absl::StatusOr<NetlinkSocket> Open(int protocol);
  // A socket of another namespace, through a duplicate of `fd` (which stays the caller's).
  static absl::StatusOr<NetlinkSocket> Wrap(int fd);

  // Its number in the namespace: what notifications name as who made a change (netlink(7)).
  uint32_t port() const { return port_; }

  int fd() const { return fd_.get(); }

  // Sends the batch and waits for every answer. rtnetlink carries out each request whatever became
  // of the ones before it; the first failure is returned. NLM_F_ACK is asked for by the request's
  // flags.
  absl::Status Run(NetlinkBatch batch);

  // Sends one request and shows each message of the answer. Aborted: the kernel's table changed
  // during the dump.
  absl::Status Query(NetlinkBatch request, absl::FunctionRef<void(const nlmsghdr&)> visit);

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  absl::Status Send(NetlinkBatch& batch);
  absl::Status Receive(absl::FunctionRef<void(const nlmsghdr&)> visit);

  UniqueFd fd_;
  uint32_t port_ = 0;
  uint32_t first_sequence_ = 0;
  uint32_t next_sequence_ = 1;
};

}  // namespace berth
