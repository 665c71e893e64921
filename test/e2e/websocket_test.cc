// Sessions with a WebSocket client that is not ours (Debian's python3-websocket), in the clear and
// behind TLS, whose certificate is renewed under a running daemon.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <openssl/sha.h>

#include <filesystem>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/kernel/file.h"
#include "test/e2e/berth_command.h"
#include "test/e2e/certificates.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"

namespace berth::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kPython[] = "/usr/bin/python3";
constexpr char kV4[] = "v4.channel.k8s.io", kV5[] = "v5.channel.k8s.io";

struct Session {
  int code = -1;
  std::string protocol, certificate, error;
  Json channels;
  std::string Of(const char* channel) const {
    return channels.is_object() ? channels.value(channel, "") : "";
  }
  Json Status() const { return Json::parse(Of("3"), nullptr, false); }
};

std::string Sha256(const std::string& bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof(digest)));
}

class WebSocketTest : public E2eTest {
 protected:
  void SetUp() override {
    E2eTest::SetUp();
    const auto check = RunProgram({kPython, "-c", "import websocket"});
    if (!check.ok() || check->code != 0) GTEST_SKIP() << "needs Debian's python3-websocket";
  }
  void TearDown() override {
    Close();
    E2eTest::TearDown();
  }
  void Close() { pod_.reset(); }

  std::string RunContainer(Client& client, const cri::ContainerConfig& config) {
    auto pod = Pod::Run(client, MakePodConfig(Name()));
    EXPECT_OK(pod);
    if (!pod.ok()) return "";
    pod_.emplace(*std::move(pod));
    const auto id = pod_->RunContainer(config);
    EXPECT_OK(id);
    return id.value_or("");
  }
  std::string Url(Client& client, const std::string& id, const std::vector<std::string>& command,
                  bool terminal = false) {
    cri::ExecRequest request;
    request.set_container_id(id);
    for (const std::string& word : command) request.add_cmd(word);
    request.set_stdin(true);
    request.set_stdout(true);
    request.set_stderr(!terminal);
    request.set_tty(terminal);
    const auto response = client.Call(&Runtime::Exec, request);
    EXPECT_OK(response);
    return response.ok() ? response->url() : "";
  }
  Session Speak(const std::string& url, const std::string& protocol,
                const std::vector<std::string>& steps, const std::string& authority = "") {
    std::vector<std::string> argv = {kPython, BERTH_SOURCE_DIR "/test/e2e/websocket_session.py"};
    if (!authority.empty()) argv.insert(argv.end(), {"--ca", authority});
    argv.insert(argv.end(), {url, protocol});
    argv.insert(argv.end(), steps.begin(), steps.end());
    const auto result = RunProgram(argv);
    EXPECT_OK(result);
    if (!result.ok()) return {};
    Session run = {.code = result->code, .error = result->err};
    const Json said = Json::parse(result->out, nullptr, false);
    if (!said.is_object()) return run;
    run.protocol = said.value("protocol", "");
    run.certificate = said.value("certificate", "");
    run.channels = said["channels"];
    return run;
  }

 private:
  std::optional<Pod> pod_;
};

TEST_F(WebSocketTest, V5HalfClosesStdinAndTellsSuccess) {
  const std::string id = RunContainer(client(), MakeProbe("c", {"sleep"}));
  const Session run = Speak(Url(client(), id, {"/probe", "stdin"}), kV5,
                            {"send:0:there and back", "close:0", "end"});
  EXPECT_EQ(run.code, 0) << run.error;
  EXPECT_EQ(run.protocol, kV5);
  EXPECT_EQ(run.Of("1"), "there and backend\n");
  EXPECT_EQ(run.Of("2"), "");
  EXPECT_EQ(run.Status()["status"], "Success");
}

TEST_F(WebSocketTest, V4TellsTheExitCodeAsAStatus) {
  const std::string id = RunContainer(client(), MakeProbe("c", {"sleep"}));
  const Session run = Speak(Url(client(), id, {"/probe", "exit", "7"}), kV4, {"end"});
  EXPECT_EQ(run.code, 0) << run.error;
  EXPECT_EQ(run.protocol, kV4);
  const Json status = run.Status();
  EXPECT_EQ(status["status"], "Failure");
  EXPECT_EQ(status["reason"], "NonZeroExitCode");
  EXPECT_EQ(status["details"]["causes"],
            Json::parse(R"([{"reason": "ExitCode", "message": "7"}])"));
  const Session apart = Speak(Url(client(), id, {"/probe", "lines", "1"}), kV4, {"end"});
  EXPECT_EQ(apart.Of("1"), "stdout line 0\n");
  EXPECT_EQ(apart.Of("2"), "stderr line 0\n");
}

TEST_F(WebSocketTest, WhatIsNotThereIs127AndWhatCannotRunIs126) {
  const std::string id = RunContainer(client(), MakeProbe("c", {"sleep"}));
  for (const auto& [file, code] : {std::pair("/nope", "127"), std::pair("/etc", "126")}) {
    const Session run = Speak(Url(client(), id, {file}), kV5, {"end"});
    EXPECT_EQ(run.Status()["reason"], "NonZeroExitCode");
    EXPECT_EQ(run.Status()["details"]["causes"][0]["message"], code);
    EXPECT_THAT(run.Of("2"), StartsWith(absl::StrCat("exec: \"", file, "\": ")));
  }
}

TEST_F(WebSocketTest, ATerminalHasASizeFromTheStartAndFollowsTheClients) {
  const std::string image = node().registry().Add("busybox", "websocket", Build(BusyboxRecipe()));
  ASSERT_OK(client().Pull(image));
  cri::ContainerConfig config = MakeProbe("c", {});
  config.mutable_image()->set_image(image);
  config.clear_command();
  config.clear_args();
  for (const char* word : {"sleep", "1000"}) config.add_command(word);
  const std::string id = RunContainer(client(), config);
  const Session plain = Speak(Url(client(), id, {"busybox", "stty", "size"}, true), kV5, {"end"});
  EXPECT_EQ(plain.Of("1"), "24 80\r\n");
  const Session sized = Speak(
      Url(client(), id, {"sh"}, true), kV5,
      {R"(send:4:{"Width":121,"Height":41})", "await:1:#", "send:0:busybox stty size; echo on\n",
       "await:1:\non", R"(send:4:{"Width":63,"Height":17})",
       "send:0:until busybox stty size | grep '17 63'; do :; done; exit 5\n", "end"});
  EXPECT_EQ(sized.code, 0) << sized.error;
  EXPECT_THAT(sized.Of("1"), AllOf(HasSubstr("41 121"), HasSubstr("17 63")));
  EXPECT_EQ(sized.Status()["details"]["causes"][0]["message"], "5");
  Close();
  EXPECT_OK(client().RemoveImage(image));
}

TEST_F(WebSocketTest, BehindTlsWithACertificateThatIsRenewedWithoutARestart) {
  const std::string directory = absl::StrCat(NodeDir(), "/stream-tls");
  std::filesystem::create_directories(directory);
  const auto write = [&](const std::string& name, const std::string& text) {
    ASSERT_OK(ReplaceFileAt(AT_FDCWD, absl::StrCat(directory, "/", name), text, 0600));
  };
  ASSERT_OK_AND_ASSIGN(const Certificate authority, Certificate::Authority("stream"));
  ASSERT_OK_AND_ASSIGN(const Certificate first, authority.Sign("first"));
  ASSERT_OK_AND_ASSIGN(const Certificate second, authority.Sign("second"));
  write("ca.pem", authority.Pem());
  write("cert.pem", first.Pem());
  write("key.pem", first.KeyPem());
  ASSERT_OK_AND_ASSIGN(
      OwnNode own,
      OwnNode::Start(Name(), absl::StrCat("[stream]\ntls_certificate = \"", directory,
                                          "/cert.pem\"\ntls_key = \"", directory, "/key.pem\"\n")));
  const std::string id = RunContainer(own.client(), MakeProbe("c", {"sleep"}));
  for (const Certificate* certificate : {&first, &second}) {
    write("cert.pem", certificate->Pem());
    write("key.pem", certificate->KeyPem());
    const std::string url = Url(own.client(), id, {"/probe", "stdin"});
    EXPECT_THAT(url, StartsWith("https://127.0.0.1:"));
    const Session run = Speak(url, kV5, {"send:0:secret", "close:0", "end"}, directory + "/ca.pem");
    EXPECT_EQ(run.code, 0) << run.error;
    EXPECT_EQ(run.certificate, Sha256(certificate->Der()));
    EXPECT_EQ(run.Of("1"), "secretend\n");
    EXPECT_EQ(run.Status()["status"], "Success");
  }
  // Half of a renewal is a connection that fails, not one in the clear; the next one is fine again.
  write("key.pem", first.KeyPem());
  EXPECT_NE(
      Speak(Url(own.client(), id, {"/probe", "exit", "0"}), kV5, {"end"}, directory + "/ca.pem")
          .code,
      0);
  write("cert.pem", first.Pem());
  EXPECT_EQ(
      Speak(Url(own.client(), id, {"/probe", "exit", "0"}), kV5, {"end"}, directory + "/ca.pem")
          .code,
      0);
  Close();
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace berth::e2e
