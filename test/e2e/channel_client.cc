#include "test/e2e/channel_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"

namespace berth::e2e {
namespace {

constexpr int kPatienceMs = 60000;
constexpr int kBinary = 2, kClose = 8, kPing = 9, kPong = 10;

absl::StatusOr<UniqueFd> ConnectTo(absl::string_view authority) {
  const size_t colon = authority.rfind(':');
  uint32_t port = 0;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(authority.substr(colon + 1), &port) ||
      ::inet_pton(AF_INET, std::string(authority.substr(0, colon)).c_str(), &address.sin_addr) != 1)
    return absl::InvalidArgumentError(absl::StrCat("authority of an URL: ", authority));
  address.sin_port = htons(static_cast<uint16_t>(port));
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return ErrnoStatus("connect", std::string(authority));
  return socket;
}

absl::Status WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return ErrnoStatus("send", "session");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ChannelClient> ChannelClient::Connect(const std::string& url,
                                                     const std::string& protocol) {
  absl::string_view rest = url;
  if (!absl::ConsumePrefix(&rest, "http://"))
    return absl::InvalidArgumentError(absl::StrCat("not http: ", url));
  const size_t slash = rest.find('/');
  ASSIGN_OR_RETURN(UniqueFd socket, ConnectTo(rest.substr(0, slash)));
  RETURN_IF_ERROR(WriteAll(
      socket.get(),
      absl::StrCat("GET ", std::string(rest.substr(slash)),
                   " HTTP/1.1\r\nHost: ", std::string(rest.substr(0, slash)),
                   "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ",
                   protocol, "\r\n\r\n")));
  ChannelClient client(std::move(socket));
  size_t end;
  while ((end = client.buffer_.find("\r\n\r\n")) == std::string::npos) {
    const absl::Status read = client.ReadSome();
    if (!read.ok()) return read;
  }
  const std::string head = client.buffer_.substr(0, end);
  client.buffer_.erase(0, end + 4);
  if (absl::StartsWith(head, "HTTP/1.1 101")) return client;
  return absl::FailedPreconditionError(
      absl::StripPrefix(head.substr(0, head.find('\r')), "HTTP/1.1 "));
}

absl::Status ChannelClient::SendFrame(int opcode, absl::string_view payload) {
  std::string frame(1, static_cast<char>(0x80 | opcode));
  if (payload.size() < 126) {
    frame += static_cast<char>(0x80 | payload.size());
  } else {
    frame += static_cast<char>(0x80 | 126);
    frame += static_cast<char>(payload.size() >> 8);
    frame += static_cast<char>(payload.size());
  }
  frame.append(4, '\0');  // the mask: what is masked with zeros stays as it is
  frame.append(payload.data(), payload.size());
  return WriteAll(socket_.get(), frame);
}

absl::Status ChannelClient::Send(int channel, absl::string_view bytes) {
  while (!bytes.empty()) {
    const absl::string_view piece = bytes.substr(0, 4096);
    RETURN_IF_ERROR(
        SendFrame(kBinary, absl::StrCat(std::string(1, static_cast<char>(channel)), piece)));
    bytes.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

absl::Status ChannelClient::CloseChannel(int channel) {
  return SendFrame(kBinary, std::string{'\xff', static_cast<char>(channel)});
}

absl::Status ChannelClient::ReadSome() {
  pollfd wait = {.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, kPatienceMs) != 1) return absl::DeadlineExceededError("nothing comes");
  char bytes[64 << 10];
  const ssize_t n = ::recv(socket_.get(), bytes, sizeof(bytes), 0);
  if (n <= 0) return absl::UnavailableError("the server has closed");
  buffer_.append(bytes, static_cast<size_t>(n));
  return absl::OkStatus();
}

absl::StatusOr<bool> ChannelClient::TakeFrame() {
  if (buffer_.size() < 2) return false;
  const auto byte = [this](size_t at) { return static_cast<unsigned char>(buffer_[at]); };
  const int opcode = byte(0) & 15;
  size_t head = 2, length = byte(1) & 127;
  const size_t more = length == 126 ? 2 : length == 127 ? 8 : 0;
  if (buffer_.size() < head + more) return false;
  if (more != 0) length = 0;
  for (size_t i = 0; i < more; ++i) length = length << 8 | byte(head++);
  if (buffer_.size() < head + length) return false;
  const std::string payload = buffer_.substr(head, length);
  buffer_.erase(0, head + length);
  if (opcode == kPing) RETURN_IF_ERROR(SendFrame(kPong, payload));
  if (opcode == kClose) return absl::UnavailableError("the server has closed");
  if (opcode == kBinary && !payload.empty())
    received_[static_cast<unsigned char>(payload[0])] += payload.substr(1);
  return true;
}

absl::StatusOr<std::string> ChannelClient::Await(int channel, absl::string_view text) {
  while (true) {
    if (absl::StrContains(received_[channel], text)) return received_[channel];
    ASSIGN_OR_RETURN(const bool taken, TakeFrame());
    if (!taken) RETURN_IF_ERROR(ReadSome());
  }
}

absl::Status ChannelClient::AwaitEnd() {
  while (true) {
    const absl::StatusOr<bool> taken = TakeFrame();
    absl::Status status = taken.status();
    if (taken.ok() && !*taken) status = ReadSome();
    if (absl::IsUnavailable(status)) return absl::OkStatus();
    RETURN_IF_ERROR(status);
  }
}

int ChannelClient::ExitCode() {
  const nlohmann::json status = nlohmann::json::parse(received_[3], nullptr, false);
  if (!status.is_object()) return -1;
  if (status.value("status", "") == "Success") return 0;
  if (status.value("reason", "") != "NonZeroExitCode") return -1;
  int code = -1;
  for (const nlohmann::json& cause : status["details"]["causes"]) {
    if (cause.value("reason", "") == "ExitCode" &&
        !absl::SimpleAtoi(cause.value("message", ""), &code))
      return -1;
  }
  return code;
}

}  // namespace berth::e2e
