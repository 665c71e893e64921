#include "src/server/convert/session_request.h"

#include <gmock/gmock.h>

namespace berth {
namespace {

namespace cri = runtime::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

cri::ExecRequest MakeExec() {
  cri::ExecRequest request;
  request.set_container_id("c1");
  request.add_cmd("sh");
  request.add_cmd("-l");
  request.set_stdout(true);
  return request;
}

template <typename T>
void ExpectRefused(const absl::StatusOr<T>& parsed, const std::string& field) {
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << parsed.status();
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(field));
}

TEST(ParseExecRequest, TakesCommandAndStreams) {
  cri::ExecRequest request = MakeExec();
  request.set_stdin(true);
  request.set_tty(true);
  const auto session = ParseExecRequest(request);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(session->kind, wire::SessionKind::kExec);
  EXPECT_EQ(session->id, "c1");
  EXPECT_THAT(session->command, ElementsAre("sh", "-l"));
  EXPECT_TRUE(session->streams.input && session->streams.output && session->streams.terminal);
  EXPECT_FALSE(session->streams.error_output);
}

TEST(ParseExecRequest, RefusesWhatNamesNothing) {
  cri::ExecRequest request = MakeExec();
  request.clear_container_id();
  ExpectRefused(ParseExecRequest(request), "container_id");
  request = MakeExec();
  request.clear_cmd();
  ExpectRefused(ParseExecRequest(request), "cmd");
}

TEST(ParseExecRequest, RefusesStreamsThatCannotBe) {
  cri::ExecRequest request = MakeExec();
  request.set_tty(true);
  request.set_stderr(true);
  ExpectRefused(ParseExecRequest(request), "stderr");
  request = MakeExec();
  request.set_stdout(false);
  ExpectRefused(ParseExecRequest(request), "stdin, stdout, stderr");
}

TEST(ParseAttachRequest, TakesStreams) {
  cri::AttachRequest request;
  ExpectRefused(ParseAttachRequest(request), "container_id");
  request.set_container_id("c1");
  ExpectRefused(ParseAttachRequest(request), "stdin, stdout, stderr");
  request.set_stdout(true);
  request.set_stderr(true);
  const auto session = ParseAttachRequest(request);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(session->kind, wire::SessionKind::kAttach);
  EXPECT_TRUE(session->streams.output && session->streams.error_output);
  EXPECT_FALSE(session->streams.input || session->streams.terminal);
  request.set_tty(true);
  ExpectRefused(ParseAttachRequest(request), "stderr");
}

TEST(ParsePortForwardRequest, TakesAPodAndPortsThatThereAre) {
  cri::PortForwardRequest request;
  ExpectRefused(ParsePortForwardRequest(request), "pod_sandbox_id");
  request.set_pod_sandbox_id("p1");
  request.add_port(65535);
  const auto session = ParsePortForwardRequest(request);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(session->kind, wire::SessionKind::kPortForward);
  EXPECT_EQ(session->id, "p1");
  EXPECT_THAT(session->ports, ElementsAre(65535));
  for (const int32_t port : {0, -1, 65536}) {
    request.set_port(0, port);
    ExpectRefused(ParsePortForwardRequest(request), "port");
  }
}

}  // namespace
}  // namespace berth
