#include "src/stream/control_channel.h"

#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

using wire::StreamHeader;
using wire::StreamType;

constexpr char kExitCode[] = "berth/exit-code";

constexpr StreamHeader Head(StreamType type) {
  return {wire::kStreamMagic, wire::kStreamVersion, static_cast<uint16_t>(type)};
}

// Of a packet whose head is right. What berthd refuses is the error.
absl::StatusOr<StreamType> TypeOf(const Packet& packet) {
  StreamHeader head = {};
  if (packet.data.size() < sizeof(head))
    return absl::InternalError("berthd: a packet is too short");
  std::memcpy(&head, packet.data.data(), sizeof(head));
  if (head.magic != wire::kStreamMagic || head.version != wire::kStreamVersion)
    return absl::InternalError("berthd: it speaks another version of the protocol");
  const auto type = static_cast<StreamType>(head.type);
  if (type != StreamType::kRefused) return type;
  const auto refused = ReadBody<StreamHeader, wire::RefusedReply>(packet.data);
  if (!refused.has_value() || refused->code == 0)
    return absl::InternalError("berthd: a refusal is malformed");
  absl::Status status(
      static_cast<absl::StatusCode>(refused->code),
      absl::string_view(refused->message, ::strnlen(refused->message, sizeof(refused->message))));
  if (refused->exit_code > 0)
    status.SetPayload(kExitCode, absl::Cord(absl::StrCat(refused->exit_code)));
  return status;
}

absl::Status Gone() { return absl::UnavailableError("berthd has gone away"); }

}  // namespace

int ExitCodeOf(const absl::Status& refused) {
  const auto payload = refused.GetPayload(kExitCode);
  int code = 0;
  if (payload.has_value() && absl::SimpleAtoi(std::string(*payload), &code)) return code;
  return 0;
}

absl::StatusOr<RedeemedSession> ReadRedeemed(const Packet& packet) {
  ASSIGN_OR_RETURN(const StreamType type, TypeOf(packet));
  const auto reply = ReadBody<StreamHeader, wire::RedeemedReply>(packet.data);
  if (type != StreamType::kRedeemed || !reply.has_value() ||
      reply->port_count > wire::kMaxSessionPorts) {
    return absl::InternalError("berthd: a malformed answer to redeem");
  }
  return RedeemedSession{.kind = reply->kind,
                         .flags = reply->flags,
                         .ports = {reply->ports, reply->ports + reply->port_count}};
}

absl::StatusOr<BegunSession> ReadBegun(Packet packet) {
  ASSIGN_OR_RETURN(const StreamType type, TypeOf(packet));
  const auto reply = ReadBody<StreamHeader, wire::BegunReply>(packet.data);
  if (type != StreamType::kBegun || !reply.has_value() || packet.fds.empty())
    return absl::InternalError("berthd: a malformed answer to begin");
  BegunSession session;
  auto next = packet.fds.begin();
  session.monitor = std::move(*next++);
  struct Place {
    bool wanted;
    UniqueFd* fd;
  };
  const auto has = [&](uint32_t flag) { return (reply->flags & flag) != 0; };
  const bool terminal = session.terminal = has(wire::kSessionTerminal);
  const Place places[] = {
      {!terminal && has(wire::kSessionStdin), &session.in},
      {terminal || has(wire::kSessionStdout), &session.out},
      {!terminal && has(wire::kSessionStderr), &session.err},
  };
  for (const Place& place : places) {
    if (!place.wanted) continue;
    if (next == packet.fds.end()) return absl::InternalError("berthd: a descriptor is missing");
    *place.fd = std::move(*next++);
  }
  return session;
}

asio::awaitable<absl::StatusOr<RedeemedSession>> ControlChannel::Redeem(wire::SessionKind kind,
                                                                        absl::string_view token) {
  wire::RedeemRequest request = {.kind = kind};
  token.copy(request.token, sizeof(request.token));
  if (!socket_.Send(MakePacket(Head(StreamType::kRedeem), request))) co_return Gone();
  const std::optional<Packet> packet = co_await socket_.Receive();
  if (!packet.has_value()) co_return Gone();
  co_return ReadRedeemed(*packet);
}

asio::awaitable<absl::StatusOr<BegunSession>> ControlChannel::Begin(uint16_t rows,
                                                                    uint16_t columns) {
  const wire::BeginRequest request = {.rows = rows, .columns = columns};
  if (!socket_.Send(MakePacket(Head(StreamType::kBegin), request))) co_return Gone();
  std::optional<Packet> packet = co_await socket_.Receive();
  if (!packet.has_value()) co_return Gone();
  co_return ReadBegun(*std::move(packet));
}

}  // namespace berth
