#include "src/server/convert/container_request.h"

#include "src/server/convert/request_makers.h"

namespace berth {
namespace {

namespace cri = runtime::v1;
using ::testing::ElementsAre;

TEST(ParseContainerRequest, NeedsANameAndAnImage) {
  ExpectRefused(ParseContainerRequest({}, {}, MakePolicy()).status(), "metadata.name");
  ExpectRefused(ParseContainerWith([](auto& c) { c.clear_image(); }).status(), "image.image");
}

TEST(ParseContainerRequest, NeedsTheHandlerOfItsPodStill) {
  PodConfig pod;
  pod.runtime_handler = "gone";
  ExpectRefused(ParseContainerWith([](auto&) {}, pod).status(), "runtime_handler: \"gone\"");
}

// Empty messages inside of messages are what some clients send for "nothing".
TEST(ParseContainerRequest, AcceptsEmptyMessagesInsideOfMessages) {
  EXPECT_TRUE(ParseContainerWith([](auto& c) {
                SecurityOf(c).mutable_selinux_options();
                SecurityOf(c).mutable_seccomp();
                SecurityOf(c).mutable_capabilities();
                SecurityOf(c).mutable_namespace_options();
                c.mutable_linux()->mutable_resources();
                c.mutable_windows();
              }).ok());
}

TEST(ParseContainerRequest, TakesWhatWasAskedFor) {
  const absl::StatusOr<ParsedContainer> container = ParseContainerWith([](auto& c) {
    c.mutable_metadata()->set_attempt(3);
    c.add_command("sh");
    c.add_args("-c");
    c.set_working_dir("/w");
    cri::KeyValue* env = c.add_envs();
    env->set_key("A");
    env->set_value("b=\xff\n");
    c.set_log_path("app/0.log");
    c.set_tty(true);
    c.set_stdin(true);
    c.set_stdin_once(true);
    c.set_stop_signal(cri::SIGNAL_SIGQUIT);
    (*c.mutable_labels())["l"] = "1";
    (*c.mutable_annotations())["a"] = "two\nlines";
    c.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(4096);
    c.mutable_linux()->mutable_resources()->set_oom_score_adj(1000);
  });
  ASSERT_TRUE(container.ok()) << container.status();
  const ContainerConfig& config = container->config;
  EXPECT_EQ(config.name, "app");
  EXPECT_EQ(config.attempt, 3u);
  EXPECT_EQ(config.image, "busybox");
  EXPECT_THAT(config.command, ElementsAre("sh"));
  EXPECT_THAT(config.args, ElementsAre("-c"));
  EXPECT_EQ(config.working_dir, "/w");
  EXPECT_THAT(config.envs, ElementsAre("A=b=\xff\n")) << "values are bytes";
  EXPECT_EQ(config.log_path, "app/0.log");
  EXPECT_TRUE(config.tty && config.stdin_open && config.stdin_once);
  EXPECT_EQ(config.stop_signal, 3);
  EXPECT_EQ(config.labels.at("l"), "1");
  EXPECT_EQ(config.annotations.at("a"), "two\nlines");
  EXPECT_EQ(config.limits.memory_bytes, 4096);
  EXPECT_EQ(config.oom_score_adj, 1000);
}

TEST(ParseContainerRequest, RefusesNulBytesThatACStringWouldHide) {
  const std::string nul("a\0b", 3);
  ExpectRefused(ParseContainerWith([&](auto& c) { c.add_command(nul); }).status(), "command");
  ExpectRefused(ParseContainerWith([&](auto& c) { c.add_args(nul); }).status(), "args");
  ExpectRefused(ParseContainerWith([&](auto& c) { c.set_working_dir("/" + nul); }).status(),
                "working_dir");
  ExpectRefused(ParseContainerWith([&](auto& c) {
                  c.add_envs()->set_key("A");
                  c.mutable_envs(0)->set_value(nul);
                }).status(),
                "envs[A]");
}

TEST(ParseContainerRequest, RefusesHostileText) {
  for (const std::string& text : {std::string("a\nb"), std::string("a\0b", 3),
                                  std::string("\x1b[2J"), std::string("\xc2\x9b[2J")}) {
    ExpectRefused(
        ParseContainerWith([&](auto& c) { c.mutable_metadata()->set_name(text); }).status(),
        "metadata.name");
    ExpectRefused(ParseContainerWith([&](auto& c) { c.set_log_path(text); }).status(), "log_path");
    ExpectRefused(ParseContainerWith([&](auto& c) { c.mutable_image()->set_image(text); }).status(),
                  "image.image");
  }
  for (const char* path : {"..", "../x", "a/../../x"})
    ExpectRefused(ParseContainerWith([&](auto& c) { c.set_log_path(path); }).status(), "log_path");
  for (const char* key : {"", "A=B", "="})
    ExpectRefused(ParseContainerWith([&](auto& c) { c.add_envs()->set_key(key); }).status(),
                  "envs");
}

TEST(ParseContainerRequest, KnowsEverySignalOfTheApi) {
  for (int value = cri::Signal_MIN; value <= cri::Signal_MAX; ++value) {
    if (!cri::Signal_IsValid(value)) continue;
    const absl::StatusOr<ParsedContainer> container =
        ParseContainerWith([&](auto& c) { c.set_stop_signal(static_cast<cri::Signal>(value)); });
    ASSERT_TRUE(container.ok()) << cri::Signal_Name(static_cast<cri::Signal>(value)) << ": "
                                << container.status();
    EXPECT_EQ(container->config.stop_signal == 0, value == cri::SIGNAL_RUNTIME_DEFAULT);
  }
  ExpectRefused(ParseContainerWith([](auto& c) {
                  c.set_stop_signal(static_cast<cri::Signal>(1000));
                }).status(),
                "stop_signal");
}

}  // namespace
}  // namespace berth
