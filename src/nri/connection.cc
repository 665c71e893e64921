#include "src/nri/connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nri/v1alpha1/ttrpc.pb.h"
#include "src/base/start_thread.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"

namespace berth::nri {
namespace {

constexpr size_t kReadSize = 64 << 10;
constexpr size_t kMaxAsked = 64;  // calls that wait for their answers

absl::Status FromTtrpc(const ttrpc::Status& status) {
  if (status.code() == 0) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.code()), status.message());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Start(UniqueFd socket,
                                                              const Service& called,
                                                              const Service& served,
                                                              absl::Duration send_timeout,
                                                              Serve serve, Ended ended) {
  const timeval timeout = absl::ToTimeval(send_timeout);
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0)
    return ErrnoStatus("setsockopt", "NRI connection");
  std::unique_ptr<Connection> connection(
      new Connection(std::move(socket), called, served, std::move(serve), std::move(ended)));
  ASSIGN_OR_RETURN(connection->answerer_,
                   StartThread("of NRI answers", [raw = connection.get()] { raw->Answer(); }));
  ASSIGN_OR_RETURN(connection->reader_,
                   StartThread("that reads of NRI", [raw = connection.get()] { raw->Read(); }));
  return connection;
}

Connection::Connection(UniqueFd socket, const Service& called, const Service& served, Serve serve,
                       Ended ended)
    : socket_(std::move(socket)),
      called_(called),
      served_(served),
      serve_(std::move(serve)),
      ended_(std::move(ended)) {}

Connection::~Connection() {
  Close();
  if (reader_.joinable()) reader_.join();
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;  // also where no reader was started
  }
  if (answerer_.joinable()) answerer_.join();
}

void Connection::Close() { ::shutdown(socket_.get(), SHUT_RDWR); }

void Connection::Read() {
  const absl::Status why = ReadAll();
  Close();
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    for (const auto& [stream, waiting] : waiting_)
      waiting->reply = absl::UnavailableError("the connection has ended");
    waiting_.clear();
  }
  ended_(why);
}

absl::Status Connection::ReadAll() {
  WireReader reader;
  std::string buffer(kReadSize, '\0');
  while (true) {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("recv", "NRI connection");
    if (got == 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::vector<WireMessage> messages,
                     reader.Read(absl::string_view(buffer.data(), static_cast<size_t>(got))));
    for (WireMessage& message : messages) RETURN_IF_ERROR(Take(std::move(message)));
  }
}

absl::Status Connection::Take(WireMessage message) {
  absl::MutexLock lock(&mu_);
  if (message.connection == served_.connection) {
    if (message.type != WireMessage::Type::kRequest)
      return absl::InvalidArgumentError("an answer where calls are expected");
    if (asked_.size() >= kMaxAsked)
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", kMaxAsked, " calls that wait for their answers"));
    asked_.push_back(std::move(message));
    return absl::OkStatus();
  }
  if (message.type != WireMessage::Type::kResponse)
    return absl::InvalidArgumentError("a call where answers are expected");
  const auto waiting = waiting_.find(message.stream);
  if (waiting == waiting_.end()) return absl::OkStatus();
  ttrpc::Response response;
  if (!response.ParseFromString(message.payload))
    return absl::InvalidArgumentError("an answer that is no ttrpc.Response");
  const absl::Status status = FromTtrpc(response.status());
  if (status.ok()) {
    waiting->second->reply = std::move(*response.mutable_payload());
  } else {
    waiting->second->reply = status;
  }
  waiting_.erase(waiting);
  return absl::OkStatus();
}

void Connection::Answer() {
  while (true) {
    WireMessage asked;
    {
      absl::MutexLock lock(&mu_);
      const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return closed_ || !asked_.empty();
      };
      mu_.Await(absl::Condition(&ready));
      if (closed_) return;
      asked = std::move(asked_.front());
      asked_.erase(asked_.begin());
    }
    ttrpc::Request request;
    absl::StatusOr<std::string> reply = absl::InvalidArgumentError("no ttrpc.Request");
    if (request.ParseFromString(asked.payload)) {
      reply = request.service() == served_.name
                  ? serve_(request.method(), request.payload())
                  : absl::UnimplementedError(absl::StrCat("service ", request.service()));
    }
    ttrpc::Response response;
    if (reply.ok()) {
      response.set_payload(*std::move(reply));
    } else {
      response.mutable_status()->set_code(static_cast<int>(reply.status().code()));
      response.mutable_status()->set_message(std::string(reply.status().message()));
    }
    if (!Send({.connection = served_.connection,
               .stream = asked.stream,
               .type = WireMessage::Type::kResponse,
               .payload = response.SerializeAsString()})
             .ok())
      Close();
  }
}

absl::Status Connection::Send(const WireMessage& message) {
  if (message.payload.size() > kMaxPayload)
    return absl::OutOfRangeError(absl::StrCat("a message of ", message.payload.size(), " bytes"));
  const std::string bytes = EncodeWireMessage(message);
  absl::MutexLock lock(&sending_);
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t count =
        ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      Close();  // half a message may be out
      return absl::UnavailableError(ErrnoStatus("send", "NRI connection").message());
    }
    sent += static_cast<size_t>(count);
  }
  return absl::OkStatus();
}

absl::Status Connection::Call(const char* method, const google::protobuf::MessageLite& request,
                              absl::Duration timeout, google::protobuf::MessageLite* reply) {
  ttrpc::Request call;
  call.set_service(called_.name);
  call.set_method(method);
  request.SerializeToString(call.mutable_payload());
  call.set_timeout_nano(absl::ToInt64Nanoseconds(timeout));
  Waiting waiting;
  uint32_t stream = 0;
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return absl::UnavailableError("the connection has ended");
    stream = next_stream_;
    next_stream_ += 2;
    waiting_[stream] = &waiting;
  }
  const absl::Status sent = Send({.connection = called_.connection,
                                  .stream = stream,
                                  .type = WireMessage::Type::kRequest,
                                  .payload = call.SerializeAsString()});
  absl::MutexLock lock(&mu_);
  if (!sent.ok()) {
    waiting_.erase(stream);
    return sent;
  }
  const auto replied = [&waiting] { return waiting.reply.has_value(); };
  if (!AwaitFor(mu_, absl::Condition(&replied), timeout)) {
    waiting_.erase(stream);
    Close();
    return absl::DeadlineExceededError(
        absl::StrCat(method, " not answered within ", absl::FormatDuration(timeout)));
  }
  RETURN_IF_ERROR(waiting.reply->status());
  if (!reply->ParseFromString(**waiting.reply))
    return absl::InternalError(absl::StrCat(method, ": the answer cannot be read"));
  return absl::OkStatus();
}

}  // namespace berth::nri
