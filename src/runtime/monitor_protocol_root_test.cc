// What a monitor answers to messages that MonitorClient never sends.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

#include "src/base/steady_time.h"
#include "src/kernel/socket.h"
#include "src/runtime/monitor_client.h"
#include "src/runtime/testing/monitor_fixture.h"

namespace berth {
namespace {

// A message as bytes, for what MonitorClient never sends.
std::string RawMessage(uint32_t magic, uint16_t version, uint16_t type,
                       const std::string& payload) {
  const wire::Header header = {.magic = magic, .version = version, .type = type};
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + payload;
}

wire::ErrorReply ErrorIn(const Packet& answer) {
  wire::ErrorReply reply = {};
  EXPECT_EQ(answer.data.size(), sizeof(wire::Header) + sizeof(reply));
  if (answer.data.size() == sizeof(wire::Header) + sizeof(reply))
    std::memcpy(&reply, answer.data.data() + sizeof(wire::Header), sizeof(reply));
  return reply;
}

TEST_F(MonitorTest, HangsUpOnWhatIsNotItsProtocol) {
  StartMonitor();
  for (const std::string& message : {std::string("x"), RawMessage(1, wire::kProtocolVersion, 1, ""),
                                     RawMessage(wire::kProtocolMagic, 99, 1, ""),
                                     RawMessage(wire::kProtocolMagic, wire::kProtocolVersion, 1,
                                                std::string(wire::kMaxMessageBytes, 'x'))}) {
    const absl::StatusOr<UniqueFd> socket = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
    ASSERT_TRUE(socket.ok());
    ASSERT_TRUE(SendPacket(socket->get(), message, {}).ok());
    EXPECT_EQ(ReceivePacket(socket->get(), SteadyNow() + kPatience).status().code(),
              absl::StatusCode::kUnavailable);
  }
  EXPECT_TRUE(client_->Hello(pod_plan_).ok());
}

TEST_F(MonitorTest, RefusesAMessageWhosePlanIsNone) {
  StartMonitor();
  Container& container = StartSleeper();
  wire::ExecRequest request = {};
  std::memcpy(request.container_id, container.id.data(), wire::kIdBytes);
  std::string payload(reinterpret_cast<const char*>(&request), sizeof(request));
  payload.resize(wire::kPlanOffset - sizeof(wire::Header));
  const auto type = static_cast<uint16_t>(wire::Type::kExecWithPlan);
  const std::string empty = RawMessage(wire::kProtocolMagic, wire::kProtocolVersion, type, payload);
  for (const std::string& plan : {std::string("x"), std::string(10000, 'x')}) {
    const absl::StatusOr<UniqueFd> socket = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
    ASSERT_TRUE(socket.ok());
    ASSERT_TRUE(SendPacket(socket->get(), empty + plan, {}).ok());
    const absl::StatusOr<Packet> answer = ReceivePacket(socket->get(), SteadyNow() + kPatience);
    ASSERT_TRUE(answer.ok()) << answer.status();
    const wire::ErrorReply reply = ErrorIn(*answer);
    EXPECT_STREQ(reply.call, "read plan");
    EXPECT_EQ(reply.error, EBADMSG);
  }
  for (const std::string& message :
       {empty, empty + std::string(wire::kPlanInMessageMaxBytes + 1, 'x')}) {
    const absl::StatusOr<UniqueFd> socket = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
    ASSERT_TRUE(socket.ok());
    ASSERT_TRUE(SendPacket(socket->get(), message, {}).ok());
    EXPECT_EQ(ReceivePacket(socket->get(), SteadyNow() + kPatience).status().code(),
              absl::StatusCode::kUnavailable);
  }
}

TEST_F(MonitorTest, TakesNoSecondPod) {
  StartMonitor();
  const wire::SetUpRequest request = {};
  std::string payload(reinterpret_cast<const char*>(&request), sizeof(request));
  payload.resize(wire::kPlanOffset - sizeof(wire::Header));
  payload += EncodePlan(pod_plan_);
  const absl::StatusOr<UniqueFd> socket = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
  ASSERT_TRUE(socket.ok());
  const auto type = static_cast<uint16_t>(wire::Type::kSetUp);
  ASSERT_TRUE(SendPacket(socket->get(),
                         RawMessage(wire::kProtocolMagic, wire::kProtocolVersion, type, payload),
                         {})
                  .ok());
  const absl::StatusOr<Packet> answer = ReceivePacket(socket->get(), SteadyNow() + kPatience);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const wire::ErrorReply reply = ErrorIn(*answer);
  EXPECT_EQ(reply.error, ENOSYS);
  EXPECT_TRUE(client_->Hello(pod_plan_).ok());
}

TEST_F(MonitorTest, AnswersAnErrorToMessagesOfTheWrongKindOrLength) {
  StartMonitor();
  const size_t before = OpenFds();
  for (int type = 0; type < 12; ++type) {
    // Watch, hello and shutdown have no payload to be wrong.
    for (const std::string& payload :
         {std::string(), std::string(1, '\0'), std::string(500, '\xff')}) {
      const auto known = static_cast<wire::Type>(type);
      if (known == wire::Type::kHello || known == wire::Type::kWatch ||
          known == wire::Type::kShutdown)
        continue;
      const absl::StatusOr<UniqueFd> socket = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
      ASSERT_TRUE(socket.ok());
      ASSERT_TRUE(
          SendPacket(socket->get(),
                     RawMessage(wire::kProtocolMagic, wire::kProtocolVersion, type, payload),
                     {0, 1})
              .ok());
      const absl::StatusOr<Packet> answer = ReceivePacket(socket->get(), SteadyNow() + kPatience);
      ASSERT_TRUE(answer.ok()) << type << " " << answer.status();
      wire::Header header;
      ASSERT_GE(answer->data.size(), sizeof(header));
      std::memcpy(&header, answer->data.data(), sizeof(header));
      EXPECT_EQ(header.type, static_cast<uint16_t>(wire::Type::kError)) << type;
    }
  }
  EXPECT_EQ(OpenFds(), before);
}

TEST_F(MonitorTest, RefusesDescriptorsThatDidNotCome) {
  StartMonitor();
  Container& container = MakeContainer();
  const absl::StatusOr<UniqueFd> plan = PlanFd(PlanOf(container, MakeSpec(container, {"true"})));
  ASSERT_TRUE(plan.ok());
  for (const int32_t index : {0, 1, 63, 64, 1 << 20, -2, -(1 << 20)}) {
    for (int field = 0; field < 3; ++field) {
      wire::StartRequest request = {};
      std::memcpy(request.container_id, container.id.data(), wire::kIdBytes);
      request.flags = wire::kCgroupIsUnified;
      request.cgroup_dir_fd = field == 0 ? index : -1;
      request.memory_dir_fd = field == 1 ? index : -1;
      request.log_fd = field == 2 ? index : -1;
      const absl::StatusOr<UniqueFd> socket = ConnectUnix(state_ + "/monitor.sock", SOCK_SEQPACKET);
      ASSERT_TRUE(socket.ok());
      const std::string payload(reinterpret_cast<const char*>(&request), sizeof(request));
      const auto type = static_cast<uint16_t>(wire::Type::kStart);
      ASSERT_TRUE(
          SendPacket(socket->get(),
                     RawMessage(wire::kProtocolMagic, wire::kProtocolVersion, type, payload),
                     {plan->get()})
              .ok());
      const absl::StatusOr<Packet> answer = ReceivePacket(socket->get(), SteadyNow() + kPatience);
      ASSERT_TRUE(answer.ok()) << answer.status();
      const wire::ErrorReply reply = ErrorIn(*answer);
      EXPECT_STREQ(reply.call, "start request") << index << " field " << field;
      EXPECT_EQ(reply.error, EBADMSG);
    }
  }
}

}  // namespace
}  // namespace berth
