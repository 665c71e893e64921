#include "src/sandbox/network/host_ports.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"

namespace berth {
namespace {

constexpr absl::Duration kExecPatience = absl::Seconds(1);

struct Protocol {
  PortProtocol protocol;
  uint8_t number;
  const char* name;
  int socket_type;
};
constexpr Protocol kProtocols[] = {{PortProtocol::kTcp, IPPROTO_TCP, "tcp", SOCK_STREAM},
                                   {PortProtocol::kUdp, IPPROTO_UDP, "udp", SOCK_DGRAM},
                                   {PortProtocol::kSctp, IPPROTO_SCTP, "sctp", SOCK_STREAM}};

const Protocol* FindProtocol(uint8_t number) {
  for (const Protocol& protocol : kProtocols) {
    if (protocol.number == number) return &protocol;
  }
  return nullptr;
}

uint8_t NumberOf(PortProtocol wanted) {
  for (const Protocol& protocol : kProtocols) {
    if (protocol.protocol == wanted) return protocol.number;
  }
  return 0;
}

bool IsUnspecified(const IpAddress& address) {
  return std::all_of(address.bytes.begin(), address.bytes.end(),
                     [](uint8_t byte) { return byte == 0; });
}

bool IsLoopback6(const IpAddress& address) {
  return address.family == AF_INET6 && address.bytes[15] == 1 &&
         std::all_of(address.bytes.begin(), address.bytes.end() - 1,
                     [](uint8_t byte) { return byte == 0; });
}

std::pair<sockaddr_storage, socklen_t> SocketAddress(int family, const IpAddress& address,
                                                     uint16_t port) {
  sockaddr_storage storage = {};
  if (family == AF_INET) {
    auto* ipv4 = reinterpret_cast<sockaddr_in*>(&storage);
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(port);
    std::memcpy(&ipv4->sin_addr, address.bytes.data(), sizeof(ipv4->sin_addr));
    return {storage, sizeof(*ipv4)};
  }
  auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&storage);
  ipv6->sin6_family = AF_INET6;
  ipv6->sin6_port = htons(port);
  std::memcpy(&ipv6->sin6_addr, address.bytes.data(), sizeof(ipv6->sin6_addr));
  return {storage, sizeof(*ipv6)};
}

absl::Status Refuse(absl::string_view port, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("take host port ", port, ": ", why));
}

}  // namespace

bool HostPorts::Port::SamePlace(const Port& other) const {
  return family == other.family && protocol == other.protocol && host_port == other.host_port &&
         (address.family == 0 || other.address.family == 0 || address == other.address);
}

std::string HostPorts::Port::ToString() const {
  const Protocol* known = FindProtocol(protocol);
  const std::string where =
      address.family == 0 ? (family == AF_INET ? "0.0.0.0" : "::") : address.ToString();
  return absl::StrCat(family == AF_INET ? where : absl::StrCat("[", where, "]"), ":", host_port,
                      "/", known == nullptr ? "unknown" : known->name);
}

absl::StatusOr<std::vector<HostPorts::Port>> HostPorts::PortsOf(
    const std::vector<PortMapping>& mappings) const {
  std::vector<Port> ports;
  for (const PortMapping& mapping : mappings) {
    Port port = {.protocol = NumberOf(mapping.protocol),
                 .host_port = mapping.host_port,
                 .container_port = mapping.container_port};
    std::vector<int> families = {AF_INET};
    if (ipv6_) families.push_back(AF_INET6);
    if (!mapping.host_ip.empty()) {
      ASSIGN_OR_RETURN(const IpAddress address, ParseIpAddress(mapping.host_ip));
      families = {address.family};
      if (!IsUnspecified(address)) port.address = address;
      port.family = address.family;
      if (address.family == AF_INET6 && !ipv6_)
        return Refuse(port.ToString(), "pods have no IPv6 addresses here");
      if (IsLoopback6(address))
        return Refuse(port.ToString(), "the kernel does not forward what is sent to ::1");
    }
    for (const int family : families) {
      port.family = family;
      ports.push_back(port);
    }
  }
  return ports;
}

absl::Status HostPorts::CheckUnused(absl::string_view pod_id,
                                    const std::vector<Port>& ports) const {
  for (const Port& port : ports) {
    const bool twice = std::count_if(ports.begin(), ports.end(),
                                     [&](const Port& other) { return port.SamePlace(other); }) > 1;
    if (twice) return Refuse(port.ToString(), "the pod asks for it twice");
    for (const auto& [id, entry] : entries_) {
      if (id == pod_id) continue;
      for (const Port& held : entry.ports) {
        if (port.SamePlace(held))
          return Refuse(port.ToString(), absl::StrCat("pod ", id, " has it"));
      }
    }
  }
  return absl::OkStatus();
}

// Invalid where the kernel has no sockets of the protocol: nobody can have the port then.
absl::StatusOr<UniqueFd> HostPorts::Hold(const Port& port) {
  const Protocol* protocol = FindProtocol(port.protocol);
  if (protocol == nullptr) return Refuse(port.ToString(), "not a protocol with ports");
  UniqueFd fd(::socket(port.family, protocol->socket_type | SOCK_CLOEXEC, protocol->number));
  if (!fd.valid() && errno == EPROTONOSUPPORT) return UniqueFd();
  if (!fd.valid()) return ErrnoStatus("make socket for host port", port.ToString());
  const int on = 1;
  if (port.family == AF_INET6) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  const auto [address, length] = SocketAddress(port.family, port.address, port.host_port);
  const auto bind = [&, where = &address, size = length] {
    return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(where), size) == 0;
  };
  if (bind()) return fd;
  // Connections of an earlier owner that are about to end keep a port, too; only a listener counts.
  if (errno == EADDRINUSE && port.protocol == IPPROTO_TCP) {
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind()) return fd;
  }
  if (errno == EADDRINUSE) return Refuse(port.ToString(), "a process of the node has it");
  if (errno == EADDRNOTAVAIL) return Refuse(port.ToString(), "not an address of this node");
  return ErrnoStatus("take host port", port.ToString());
}

absl::StatusOr<UniqueFd> HostPorts::HoldPatiently(const Port& port) {
  const absl::Time until = SteadyNow() + kExecPatience;
  absl::StatusOr<UniqueFd> socket = Hold(port);
  while (absl::IsFailedPrecondition(socket.status()) && SteadyNow() < until) {
    absl::SleepFor(absl::Milliseconds(5));
    socket = Hold(port);
  }
  return socket;
}

absl::Status HostPorts::Reserve(absl::string_view pod_id,
                                const std::vector<PortMapping>& mappings) {
  if (mappings.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<Port> ports, PortsOf(mappings));
  bool patient = false;
  {
    absl::MutexLock lock(&mu_);
    RETURN_IF_ERROR(CheckUnused(pod_id, ports));
    entries_[pod_id] = {.ports = ports};
    patient = SteadyNow() - last_release_ < kExecPatience;
  }
  std::vector<UniqueFd> sockets;
  for (const Port& port : ports) {
    absl::StatusOr<UniqueFd> socket = patient ? HoldPatiently(port) : Hold(port);
    if (!socket.ok()) {
      absl::MutexLock lock(&mu_);
      entries_.erase(pod_id);
      return socket.status();
    }
    if (socket->valid()) sockets.push_back(*std::move(socket));
  }
  absl::MutexLock lock(&mu_);
  entries_[pod_id].sockets = std::move(sockets);
  return absl::OkStatus();
}

absl::Status HostPorts::Restore(absl::string_view pod_id,
                                const std::vector<PortMapping>& mappings) {
  if (mappings.empty()) return absl::OkStatus();
  Entry entry;
  ASSIGN_OR_RETURN(entry.ports, PortsOf(mappings));
  absl::Status first;
  for (const Port& port : entry.ports) {
    absl::StatusOr<UniqueFd> socket = HoldPatiently(port);
    first.Update(socket.status());
    if (socket.ok() && socket->valid()) entry.sockets.push_back(*std::move(socket));
  }
  absl::MutexLock lock(&mu_);
  entries_[pod_id] = std::move(entry);
  return first;
}

std::vector<PublishedPort> HostPorts::Publish(absl::string_view pod_id,
                                              const std::vector<IpAddress>& addresses) {
  absl::MutexLock lock(&mu_);
  const auto found = entries_.find(pod_id);
  if (found == entries_.end()) return {};
  Entry& entry = found->second;
  entry.published.clear();
  for (const Port& port : entry.ports) {
    for (const IpAddress& address : addresses) {
      if (address.family != port.family) continue;
      entry.published.push_back({.address = port.address,
                                 .protocol = port.protocol,
                                 .port = port.host_port,
                                 .to = address,
                                 .to_port = port.container_port});
    }
  }
  return entry.published;
}

std::vector<PublishedPort> HostPorts::Release(absl::string_view pod_id) {
  absl::MutexLock lock(&mu_);
  const auto found = entries_.find(pod_id);
  if (found == entries_.end()) return {};
  std::vector<PublishedPort> published = std::move(found->second.published);
  entries_.erase(found);
  last_release_ = SteadyNow();
  return published;
}

std::vector<PublishedPort> HostPorts::Published() const {
  absl::MutexLock lock(&mu_);
  std::vector<PublishedPort> all;
  for (const auto& [id, entry] : entries_)
    all.insert(all.end(), entry.published.begin(), entry.published.end());
  return all;
}

bool HostPorts::AnyOnLoopback() const {
  const std::vector<PublishedPort> all = Published();
  return std::any_of(all.begin(), all.end(), [](const PublishedPort& port) {
    return port.to.family == AF_INET && (port.address.family == 0 || port.address.bytes[0] == 127);
  });
}

bool HostPorts::Has(absl::string_view pod_id) const {
  absl::MutexLock lock(&mu_);
  return entries_.contains(pod_id);
}

size_t HostPorts::count() const { return Published().size(); }

}  // namespace berth
