#include "src/runtime/hooks.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/kernel/file.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A directory of scripts and hook files that goes away with it.
class HooksTest : public ::testing::Test {
 protected:
  HooksTest() {
    char name[] = "/tmp/berth-hooks-XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~HooksTest() override { (void)RemoveTreeAt(AT_FDCWD, dir_); }

  std::string Path(const std::string& name) const { return absl::StrCat(dir_, "/", name); }

  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0644) const {
    EXPECT_TRUE(ReplaceFileAt(AT_FDCWD, Path(name), text, mode).ok());
    return Path(name);
  }
  std::string Script(const std::string& name, const std::string& body) const {
    return Write(name, absl::StrCat("#!/bin/sh\n", body, "\n"), 0755);
  }
  std::string Content(const std::string& name) const {
    return ReadFileAt(AT_FDCWD, Path(name)).value_or("(none)");
  }
  std::string Directory(const std::string& name) const {
    EXPECT_TRUE(MakeDirs(Path(name), 0755).ok());
    return Path(name);
  }
  // A file that asks for /bin/true with `arg` in poststart of every container.
  void WriteHookFile(const std::string& name, const std::string& arg) const {
    Write(name, absl::StrCat(R"({"version":"1.0.0","hook":{"path":"/bin/true","args":["true",")",
                             arg, R"("]},"when":{"always":true},"stages":["poststart"]})"));
  }

  std::string dir_;
};

std::string HookFile(const std::string& when, const std::string& stages = R"(["prestart"])") {
  return absl::StrCat(R"({"version":"1.0.0","hook":{"path":"/h"},"when":)", when, R"(,"stages":)",
                      stages, "}");
}

struct WhenCase {
  const char* when;
  bool matches;
};

TEST(AddMatchingHooks, MatchesWhenAllConditionsHold) {
  const HookCriteria criteria = {
      .annotations = {{"com.example.department", "fluid-dynamics"}, {"other", "x\ny"}},
      .command = "/usr/lib/systemd/systemd",
      .has_bind_mounts = true};
  const WhenCase kCases[] = {
      {R"({"always":true})", true},
      {R"({"always":false})", false},
      {R"({"hasBindMounts":true})", true},
      {R"({"hasBindMounts":false})", false},
      {R"({"commands":[".*/init$",".*/systemd$"]})", true},
      {R"({"commands":["lib"]})", true},
      {R"({"commands":["^lib"]})", false},
      {R"({"annotations":{"^com\\.example\\.department$":".*dynamics$"}})", true},
      {R"({"annotations":{"^com\\.example\\.department$":"^dynamics"}})", false},
      {R"({"annotations":{"^other$":"fluid"}})", false},
      {R"({"annotations":{"department":"fluid","other":"x"}})", true},
      {R"({"annotations":{"department":"fluid","none":"x"}})", false},
      {R"({"always":true,"commands":["nothing"]})", false},
      {R"({"always":false,"commands":["systemd"]})", false},
      {R"({"hasBindMounts":true,"annotations":{"other":""},"commands":["systemd"]})", true},
  };
  for (const WhenCase& each : kCases) {
    Hooks hooks;
    const absl::Status status = AddMatchingHooks(HookFile(each.when), criteria, &hooks);
    ASSERT_TRUE(status.ok()) << each.when << ": " << status;
    EXPECT_EQ(hooks.prestart.size(), each.matches ? 1u : 0u) << each.when;
  }
}

TEST(AddMatchingHooks, MatchesBytesThatAreNoUtf8) {
  Hooks hooks;
  ASSERT_TRUE(AddMatchingHooks(HookFile(R"({"annotations":{"^k$":"^.x$"}})"),
                               {.annotations = {{"k", "\xffx"}}}, &hooks)
                  .ok());
  EXPECT_EQ(hooks.prestart.size(), 1u);
}

TEST(AddMatchingHooks, DoesNotMatchBindMountsOfAContainerWithoutThem) {
  Hooks hooks;
  ASSERT_TRUE(AddMatchingHooks(HookFile(R"({"hasBindMounts":true})"), {}, &hooks).ok());
  EXPECT_TRUE(hooks.prestart.empty());
}

TEST(AddMatchingHooks, PutsAHookIntoEachOfItsStagesOnce) {
  Hooks hooks;
  const std::string stages =
      R"(["prestart","createRuntime","createContainer","startContainer","poststart","poststop",)"
      R"("poststop"])";
  ASSERT_TRUE(AddMatchingHooks(HookFile(R"({"always":true})", stages), {}, &hooks).ok());
  for (const char* stage : {"prestart", "createRuntime", "createContainer", "startContainer",
                            "poststart", "poststop"}) {
    EXPECT_EQ(HooksOfStage(stage, &hooks)->size(), 1u) << stage;
  }
}

TEST(AddMatchingHooks, ReadsTheHook) {
  Hooks hooks;
  ASSERT_TRUE(AddMatchingHooks(R"({"version":"1.0.0","hook":{"path":"/usr/bin/h",
      "args":["h","--x"],"env":["A=1"],"timeout":7},"when":{"always":true},"stages":["poststop"]})",
                               {}, &hooks)
                  .ok());
  ASSERT_EQ(hooks.poststop.size(), 1u);
  EXPECT_EQ(hooks.poststop[0].path, "/usr/bin/h");
  EXPECT_THAT(hooks.poststop[0].args, ElementsAre("h", "--x"));
  EXPECT_THAT(hooks.poststop[0].env, ElementsAre(kHookPath, "A=1"));
  EXPECT_EQ(hooks.poststop[0].timeout, absl::Seconds(7));
}

TEST(WithHookPath, KeepsThePathOfAHook) {
  EXPECT_THAT(WithHookPath({.env = {"A=1", "PATH=/x"}}).env, ElementsAre("A=1", "PATH=/x"));
  EXPECT_THAT(WithHookPath({.env = {"XPATH=/x"}}).env, ElementsAre(kHookPath, "XPATH=/x"));
}

struct BadHookFile {
  const char* name;
  std::string text;
  const char* message;
};

TEST(AddMatchingHooks, RefusesBadFilesAndSaysWhere) {
  const std::string always = R"("when":{"always":true})";
  const BadHookFile kCases[] = {
      {"no JSON", "version: 1.0.0", "no valid JSON"},
      {"no object", "[]", "expected an object"},
      {"schema 0.1.0", R"({"hook":"/h","stages":["prestart"]})", "hook: expected an object"},
      {"version",
       R"({"version":"2.0.0","hook":{"path":"/h"},)" + always + R"(,"stages":["prestart"]})",
       "version \"2.0.0\" is not 1.0.0"},
      {"no hook", R"({"version":"1.0.0",)" + always + R"(,"stages":["prestart"]})",
       "hook: there is none"},
      {"no when", R"({"version":"1.0.0","hook":{"path":"/h"},"stages":["prestart"]})",
       "when: there is none"},
      {"no condition", HookFile("{}"), "no condition"},
      {"empty commands", HookFile(R"({"commands":[]})"), "no condition"},
      {"no stages", HookFile(R"({"always":true})", "[]"), "stages: there is none"},
      {"unknown stage", HookFile(R"({"always":true})", R"(["precreate"])"),
       "\"precreate\" is no stage"},
      {"unknown condition", HookFile(R"({"always":true,"namespaces":["x"]})"), "unknown member"},
      {"unknown member",
       R"({"version":"1.0.0","x":1,"hook":{"path":"/h"},)" + always + R"(,"stages":["prestart"]})",
       "unknown member \"x\""},
      {"relative path",
       R"({"version":"1.0.0","hook":{"path":"h"},)" + always + R"(,"stages":["prestart"]})",
       "is not absolute"},
      {"env",
       R"({"version":"1.0.0","hook":{"path":"/h","env":["A"]},)" + always +
           R"(,"stages":["prestart"]})",
       "NAME=value"},
      {"timeout",
       R"({"version":"1.0.0","hook":{"path":"/h","timeout":0},)" + always +
           R"(,"stages":["prestart"]})",
       "greater than zero"},
      {"command pattern", HookFile(R"({"commands":["("]})"), "regular expression \"(\""},
      {"annotation pattern", HookFile(R"({"annotations":{"a":"["}})"), "regular expression"},
      {"huge pattern", HookFile(R"({"commands":["((a{100}){100}){100}"]})"), "regular expression"},
  };
  for (const BadHookFile& bad : kCases) {
    Hooks hooks;
    const absl::Status status = AddMatchingHooks(bad.text, {}, &hooks);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.name << ": " << status;
    EXPECT_THAT(status.message(), HasSubstr(bad.message)) << bad.name;
  }
}

TEST_F(HooksTest, LaterDirectoriesReplaceFilesOfTheSameName) {
  const std::string usr = Directory("usr"), etc = Directory("etc");
  WriteHookFile("usr/10-a.json", "usr");
  WriteHookFile("usr/05-B.json", "only-usr");
  WriteHookFile("etc/10-a.json", "etc");
  WriteHookFile("etc/20-c.json.off", "off");
  const auto hooks = SelectHooks({usr, etc, Path("absent")}, {});
  ASSERT_TRUE(hooks.ok()) << hooks.status();
  ASSERT_EQ(hooks->poststart.size(), 2u);
  EXPECT_THAT(hooks->poststart[0].args, ElementsAre("true", "only-usr"));
  EXPECT_THAT(hooks->poststart[1].args, ElementsAre("true", "etc"));
}

TEST_F(HooksTest, OrdersByTheNameInLowerCase) {
  for (const char* name : {"b", "A", "C"}) WriteHookFile(absl::StrCat(name, ".json"), name);
  const auto hooks = SelectHooks({dir_}, {});
  ASSERT_TRUE(hooks.ok()) << hooks.status();
  ASSERT_EQ(hooks->poststart.size(), 3u);
  EXPECT_EQ(hooks->poststart[0].args[1], "A");
  EXPECT_EQ(hooks->poststart[1].args[1], "b");
  EXPECT_EQ(hooks->poststart[2].args[1], "C");
}

TEST_F(HooksTest, ABrokenFileIsAnErrorThatNamesIt) {
  const std::string file = Write("x.json", "{");
  const absl::Status status = SelectHooks({dir_}, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(file));
}

TEST_F(HooksTest, AFileThatOthersMayWriteIsAnError) {
  WriteHookFile("x.json", "x");
  ASSERT_EQ(::chmod(Path("x.json").c_str(), 0664), 0);
  EXPECT_EQ(SelectHooks({dir_}, {}).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(HooksTest, ChecksTheFileOfAHook) {
  const std::string hook = Script("hook", "true");
  const auto check = [](const std::string& path) {
    Hooks hooks;
    hooks.create_runtime = {{.path = path}};
    return CheckHooks(hooks);
  };
  EXPECT_TRUE(check(hook).ok()) << check(hook);
  EXPECT_TRUE(check("/bin/sh").ok()) << check("/bin/sh");
  EXPECT_EQ(check(Path("absent")).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(check("bin/sh").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(check(dir_).code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(::chmod(hook.c_str(), 0644), 0);
  EXPECT_THAT(check(hook).message(), HasSubstr("is not executable"));
  ASSERT_EQ(::chmod(hook.c_str(), 0775), 0);
  EXPECT_THAT(check(hook).message(), HasSubstr("others than its owner may write it"));
}

TEST_F(HooksTest, ChecksTheDirectoriesAboveAHookAndBehindLinks) {
  Directory("open");
  Script("open/hook", "true");
  ASSERT_EQ(::symlink("open/hook", Path("link").c_str()), 0);
  Hooks hooks;
  hooks.poststop = {{.path = Path("link")}};
  EXPECT_TRUE(CheckHooks(hooks).ok()) << CheckHooks(hooks);
  ASSERT_EQ(::chmod(Path("open").c_str(), 0777), 0);
  EXPECT_EQ(CheckHooks(hooks).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(HooksTest, LeavesStartContainerHooksToTheContainer) {
  Hooks hooks;
  hooks.start_container = {{.path = "/only/in/the/image"}};
  EXPECT_TRUE(CheckHooks(hooks).ok());
}

TEST_F(HooksTest, RunsEachWithTheStateAndItsOwnEnvironmentOnly) {
  const std::string hook = Script(
      "hook", absl::StrCat("{ pwd; cat; echo; env | sort; echo \"$0 $1\"; } >", Path("out")));
  ASSERT_EQ(::setenv("LD_PRELOAD_TEST", "leaked", 1), 0);
  const absl::Status run =
      RunHooks({{.path = hook, .args = {"name", "arg"}, .env = {"A=1", "PATH=/bin"}}}, "{\"x\":1}",
               absl::Seconds(30));
  ASSERT_TRUE(run.ok()) << run;
  // The shell itself sets PWD.
  EXPECT_EQ(Content("out"), absl::StrCat("/\n{\"x\":1}\nA=1\nPATH=/bin\nPWD=/\n", hook, " arg\n"));
}

TEST_F(HooksTest, EndsAtTheFirstFailureAndTellsTheLastLineOfStderr) {
  const std::string bad = Script("bad", "echo first >&2; echo 'the cause' >&2; exit 3");
  const std::string next = Script("next", absl::StrCat("touch ", Path("ran")));
  const absl::Status run = RunHooks({{.path = bad}, {.path = next}}, "{}", absl::Seconds(30));
  EXPECT_EQ(run.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(run.message(), absl::StrCat("run hook ", bad, ": exit status 3: the cause"));
  EXPECT_EQ(Content("ran"), "(none)");
}

TEST_F(HooksTest, KeepsOnlyTheEndOfALongStderr) {
  const std::string hook =
      Script("hook",
             "i=0; while [ $i -lt 20000 ]; do echo 'line of noise'; i=$((i+1)); done >&2; "
             "printf 'last\\033line' >&2; exit 1");
  const absl::Status run = RunHooks({{.path = hook}}, "{}", absl::Minutes(2));
  EXPECT_THAT(std::string(run.message()), ::testing::EndsWith("exit status 1: last\\x1bline"));
}

TEST_F(HooksTest, TellsTheSignalThatKilledAHook) {
  const std::string hook = Script("hook", "kill -9 $$");
  EXPECT_THAT(RunHooks({{.path = hook}}, "{}", absl::Seconds(30)).message(),
              HasSubstr("killed by signal 9"));
}

TEST_F(HooksTest, RefusesToRunWhatOthersMayWrite) {
  const std::string hook = Script("hook", absl::StrCat("touch ", Path("ran")));
  ASSERT_EQ(::chmod(hook.c_str(), 0777), 0);
  EXPECT_EQ(RunHooks({{.path = hook}}, "{}", absl::Seconds(30)).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Content("ran"), "(none)");
}

TEST_F(HooksTest, ATimeoutKillsAllProcessesOfItsSession) {
  // A child in a process group of its own, which a signal to the hook's group does not reach.
  const std::string hook =
      Script("hook", absl::StrCat("set -m; exec 9>", Path("lock"), "; sleep 1000 & echo $! >",
                                  Path("child"), "; echo tired >&2; wait"));
  ASSERT_EQ(::mkfifo(Path("lock").c_str(), 0600), 0);
  const UniqueFd reader(::open(Path("lock").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(reader.valid());
  const absl::Status run =
      RunHooks({{.path = hook, .timeout = absl::Seconds(1)}}, "{}", absl::Minutes(5));
  EXPECT_EQ(run.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(run.message(), HasSubstr("no end within 1s, killed"));
  // The end of the fifo: nobody who inherited the writer lives on.
  ASSERT_EQ(::fcntl(reader.get(), F_SETFL, 0), 0);
  char byte;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0);
}

TEST_F(HooksTest, DoesNotWaitForWhatAHookLeavesBehind) {
  const std::string hook = Script("hook", absl::StrCat("sleep 1000 & echo $! >", Path("child")));
  const absl::Status run = RunHooks({{.path = hook}}, "{}", absl::Minutes(10));
  EXPECT_TRUE(run.ok()) << run;
  const int child = std::atoi(Content("child").c_str());
  ASSERT_GT(child, 1);
  EXPECT_EQ(::kill(child, SIGKILL), 0);
}

TEST(OciStateJson, HoldsWhatTheSpecificationAsksFor) {
  const auto json = nlohmann::json::parse(OciStateJson({.id = "c1",
                                                        .status = "created",
                                                        .pid = 42,
                                                        .bundle = "/b",
                                                        .annotations = {{"k", "v\"\n"}}}));
  EXPECT_EQ(json, (nlohmann::json{{"ociVersion", "1.1.0"},
                                  {"id", "c1"},
                                  {"status", "created"},
                                  {"pid", 42},
                                  {"bundle", "/b"},
                                  {"annotations", {{"k", "v\"\n"}}}}));
}

TEST(OciStateJson, LeavesOnePlaceForThePid) {
  std::string text =
      OciStateJson({.id = "%PID%", .status = "creating", .annotations = {{"%PID%", "x%PID%\xff"}}});
  const size_t place = text.find("%PID%");
  ASSERT_NE(place, std::string::npos);
  EXPECT_EQ(text.find("%PID%", place + 1), std::string::npos);
  text.replace(place, 5, "7");
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["pid"], 7);
  EXPECT_EQ(json["id"], "%PID%");
  EXPECT_EQ(json["annotations"]["%PID%"], "x%PID%\xef\xbf\xbd");
}

}  // namespace
}  // namespace berth
