#include "src/stream/port_connector.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/runtime/monitor_protocol.h"

namespace berth {

// False for what is no message of the monitor.
bool PortConnector::Take(Packet packet) {
  wire::Header head = {};
  if (packet.data.size() < sizeof(head)) return false;
  std::memcpy(&head, packet.data.data(), sizeof(head));
  absl::StatusOr<UniqueFd> answer = absl::InternalError("the monitor sent no connection");
  uint32_t request = 0;
  if (static_cast<wire::Type>(head.type) == wire::Type::kConnected) {
    const auto reply = ReadBody<wire::Header, wire::ConnectedReply>(packet.data);
    if (!reply.has_value()) return false;
    request = reply->request;
    if (!packet.fds.empty()) answer = std::move(packet.fds.front());
  } else if (static_cast<wire::Type>(head.type) == wire::Type::kError) {
    const auto reply = ReadBody<wire::Header, wire::ErrorReply>(packet.data);
    if (!reply.has_value()) return false;
    request = static_cast<uint32_t>(reply->step);
    answer = ErrnoStatus("connect", "localhost", reply->error);
  } else {
    return true;
  }
  const auto asked = underway_.find(request);
  if (asked != underway_.end()) asked->second.emplace(std::move(answer));
  answered_.Notify();
  return true;
}

asio::awaitable<void> PortConnector::Run() {
  while (true) {
    std::optional<Packet> packet = co_await monitor_.Receive();
    if (!packet.has_value() || !Take(*std::move(packet))) break;
  }
  gone_ = true;
  answered_.Notify();
  changed_.Notify();
}

asio::awaitable<absl::StatusOr<UniqueFd>> PortConnector::Connect(uint16_t port) {
  const wire::Header head = {wire::kProtocolMagic, wire::kProtocolVersion,
                             static_cast<uint16_t>(wire::Type::kConnect)};
  const uint32_t id = next_id_++;
  const auto asked = underway_.try_emplace(id).first;
  const bool sent =
      monitor_.Send(MakePacket(head, wire::ConnectRequest{.request = id, .port = port}));
  while (sent && !gone_ && !asked->second.has_value()) co_await answered_.Wait();
  absl::StatusOr<UniqueFd> answer = absl::UnavailableError("the pod has gone away");
  if (asked->second.has_value()) answer = *std::move(asked->second);
  underway_.erase(asked);
  if (!answer.ok()) co_return Annotate(answer.status(), absl::StrCat("port ", port));
  co_return answer;
}

}  // namespace berth
