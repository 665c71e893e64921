// The commands as a shell runs them, against a daemon in this process.
#include "src/cli/app.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <sstream>

#include "src/cli/commands.h"
#include "src/cli/fake_berthd.h"
#include "src/cli/interrupt.h"
#include "src/command_line/roff.h"

namespace berth::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

Result Berth(std::vector<std::string> arguments) {
  std::ostringstream out, err;
  Output output{.out = out, .err = err};
  const int code = RunBerth(arguments, output);
  return {.code = code, .out = out.str(), .err = err.str()};
}

constexpr char kRecordTime[] = "2026-01-02T03:04:05.000000000Z ";
std::string Record(const std::string& rest) { return kRecordTime + rest + "\n"; }

class AppTest : public testing::Test {
 protected:
  AppTest() : dir_(MakeDir()), berthd_(dir_) {}
  ~AppTest() override { std::filesystem::remove_all(dir_); }

  static std::string MakeDir() {
    std::string dir = "/tmp/berth-cli-test-XXXXXX";
    return mkdtemp(dir.data()) != nullptr ? dir : "";
  }

  Result Call(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", berthd_.socket()});
    return Berth(std::move(arguments));
  }

  // A pod as a kubelet makes it, with one running container.
  void AddClusterPod() {
    cri::PodSandboxConfig pod;
    pod.mutable_metadata()->set_name("web-0");
    pod.mutable_metadata()->set_namespace_("shop");
    pod.mutable_metadata()->set_uid("8a1f6f0e-8c1c-4a53-9f0e-6f1d0e6c2a11");
    (*pod.mutable_labels())["berth/run"] = "web-0";  // a label does not make it a run pod
    pod.set_log_directory(dir_);
    berthd_.AddPod("aaaa1", pod);
    FakeBerthd::Container container{.pod_id = "aaaa1", .state = cri::CONTAINER_RUNNING};
    container.config.mutable_metadata()->set_name("web");
    container.config.mutable_image()->set_image("shop/web:1");
    berthd_.AddContainer("cccc1", container);
  }

  const Interrupt guard_;  // before any thread of gRPC: none of them may take a test's SIGINT
  std::string dir_;
  FakeBerthd berthd_;
};

TEST(App, ExplainsThatNobodyListens) {
  const Result result = Berth({"--socket", "/nonexistent/berth.sock", "ps"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("berth: ps: connect /nonexistent/berth.sock: No such file"));
  EXPECT_THAT(result.err, HasSubstr("hint: berthd does not listen there"));
}

struct UsageCase {
  const char* name;
  std::vector<std::string> arguments;
  const char* said;
};
class UsageTest : public testing::TestWithParam<UsageCase> {};

TEST_P(UsageTest, ExitsWithTwoAndSaysWhy) {
  const Result result = Berth(GetParam().arguments);
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr(GetParam().said));
  EXPECT_THAT(result.out, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Lines, UsageTest,
    testing::Values(
        UsageCase{"UnknownCommand", {"frob"}, "no command \"frob\""},
        UsageCase{"UnknownOption", {"ps", "--frob"}, "--frob"},
        UsageCase{"MissingImage", {"run"}, "IMAGE"},
        UsageCase{"MissingAction", {"image"}, "image: no action given"},
        UsageCase{"UnknownAction", {"image", "frob"}, "frob"},
        UsageCase{"MissingCommand", {"exec", "web"}, "no command given"},
        UsageCase{"BadFormat", {"ps", "-o", "yaml"}, "yaml"},
        UsageCase{"BadMemory", {"run", "--memory", "5q", "a"}, "5q"},
        UsageCase{
            "BadDetachKeys", {"attach", "--detach-keys", "ctrl-", "a"}, "--detach-keys: \"ctrl-\""},
        UsageCase{"BadPort", {"port-forward", "a", "x"}, "\"x\" is no port"},
        UsageCase{"NoPort", {"port-forward", "a"}, "PORT"},
        UsageCase{"TwoLocalSides", {"cp", "/a", "./b:c"}, "neither SOURCE nor DESTINATION"},
        UsageCase{"TwoContainers", {"cp", "a:/x", "b:/x"}, "not between two containers"},
        UsageCase{"NoPathOfTheContainer", {"cp", "a:", "/x"}, "no path"},
        UsageCase{"DeadlineOfASession", {"exec", "-i", "--timeout", "3", "a", "b"}, "--timeout"},
        UsageCase{"FollowingThePast", {"logs", "-f", "-p", "a"}, "-f with -p"},
        UsageCase{"BadUntil", {"logs", "--until", "noon", "a"}, "--until"},
        UsageCase{"BadSince", {"logs", "--since", "noon", "a"}, "noon"},
        UsageCase{"BadCredentials", {"pull", "--creds", "me", "a"}, "USER:PASSWORD"}),
    [](const auto& info) { return info.param.name; });

TEST(App, HelpNamesEveryCommand) {
  const Result result = Berth({"--help"});
  EXPECT_EQ(result.code, 0);
  for (const char* name :
       {"run", "ps", "pods", "logs", "exec", "attach", "port-forward", "cp", "stats", "inspect",
        "pull", "images", "rmi", "image", "stop", "rm", "info", "version"}) {
    EXPECT_THAT(result.out, HasSubstr(std::string("\n  ") + name + " "));
  }
}

TEST_F(AppTest, CompletesNamesOfWhatRuns) {
  AddClusterPod();
  berthd_.AddImage("shop/web:1", "sha256:feed");
  const auto words = [&](std::vector<std::string> typed) {
    typed.insert(typed.begin(), {"completion", "words", "--"});
    return Call(std::move(typed)).out;
  };
  EXPECT_EQ(words({"exec", "-i", "w"}), "web\tcontainer cccc1\n");
  EXPECT_EQ(words({"exec", "web", "w"}), "") << "what follows is the container's";
  EXPECT_EQ(words({"port-forward", ""}), "web-0\tpod aaaa1\n");
  EXPECT_EQ(words({"stop", "web", ""}), "web-0\tpod aaaa1\nweb\tcontainer cccc1\n");
  EXPECT_EQ(words({"cp", "w"}), "web:\tcontainer cccc1\n");
  EXPECT_EQ(words({"rmi", "shop/"}), "shop/web:1\timage feed\n");
  EXPECT_EQ(words({"ps", "-o", ""}), "table\t\njson\t\n");
  EXPECT_EQ(words({"exec", "zzz"}), "");
  EXPECT_EQ(words({"--socket", "/nonexistent", "exec", "w"}), "") << "a silent failure";
}

TEST_F(AppTest, CompletionKnowsItsShells) {
  for (const char* shell : {"bash", "zsh", "fish"})
    EXPECT_THAT(Call({"completion", shell}).out, HasSubstr("completion words -- "));
  EXPECT_EQ(Call({"completion", "tcsh"}).code, 2);
  EXPECT_EQ(Call({"completion", "words", "--", "completion", "z"}).out, "zsh\t\n");
}

TEST(App, TheManualKnowsEveryCommand) {
  const std::string page = Berth({"man"}).out;
  for (const CommandEntry& entry : Commands()) {
    const std::string heading = RoffMacro("SS", std::string("berth ") + entry.name);
    if (*entry.group == '\0') {
      EXPECT_THAT(page, Not(HasSubstr(heading)));
    } else {
      EXPECT_THAT(page, HasSubstr(heading));
      EXPECT_THAT(page, HasSubstr(Roff(entry.about)));
    }
  }
}

TEST_F(AppTest, ImageInspectNestsTheDocuments) {
  berthd_.AddImage("shop/web:1", "sha256:feed");
  const Result result = Call({"image", "inspect", "shop/web:1"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"id\": \"sha256:feed\""));
  EXPECT_THAT(result.out, HasSubstr("\"created_by\": \"ADD rootfs /\""));
  EXPECT_THAT(result.out, HasSubstr("\"schemaVersion\": 2"));
}

TEST_F(AppTest, ImageFailuresNameTheAction) {
  const Result result = Call({"image", "inspect", "absent"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("berth: image: inspect: not found"));
}

TEST_F(AppTest, ImageHistoryIsNewestFirstAndSaysWhichLayerIsWhose) {
  berthd_.AddImage("shop/web:1", "sha256:feed");
  const Result result = Call({"image", "history", "shop/web:1"});
  EXPECT_EQ(result.code, 0) << result.err;
  const size_t environment = result.out.find("ENV A=1");
  const size_t added = result.out.find("ADD rootfs /");
  ASSERT_NE(environment, std::string::npos);
  ASSERT_NE(added, std::string::npos);
  EXPECT_LT(environment, added);
  EXPECT_THAT(result.out.substr(environment), HasSubstr("0123456789ab"));
}

TEST_F(AppTest, ImageTagAndUntagChangeNames) {
  berthd_.AddImage("shop/web:1", "sha256:feed");
  EXPECT_EQ(Call({"image", "tag", "shop/web:1", "shop/web:2"}).code, 0);
  EXPECT_EQ(Call({"image", "untag", "shop/web:1"}).code, 0);
  EXPECT_EQ(Call({"image", "inspect", "shop/web:2"}).code, 0);
  EXPECT_EQ(Call({"image", "untag", "shop/web:1"}).code, 1);
}

TEST_F(AppTest, ImageVerifyFailsForDamageThatIsNotRepaired) {
  const Result found = Call({"image", "verify"});
  EXPECT_EQ(found.code, 1);
  EXPECT_THAT(found.out, HasSubstr("etc/passwd: size 0, not 12"));
  const Result repaired = Call({"image", "verify", "--repair"});
  EXPECT_EQ(repaired.code, 0);
  EXPECT_THAT(repaired.out, HasSubstr("repaired"));
}

TEST_F(AppTest, ImageGcTellsWhatAndWhy) {
  const Result result = Call({"image", "gc", "--dry-run"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("a pull uses it"));
  EXPECT_THAT(result.err, HasSubstr("would remove 1 layer: 12.3MB to free; 1 kept"));
  EXPECT_THAT(Call({"image", "gc"}).err, HasSubstr("removed 1 layer: 12.3MB freed; 1 kept"));
}

TEST_F(AppTest, ImagePullsShowsWhatRuns) {
  const Result result = Call({"image", "pulls"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("shop/web:1"));
  EXPECT_THAT(result.out, HasSubstr("1 of 2 done"));
}

TEST_F(AppTest, ImageActionsOfOtherCommandsAreTheSame) {
  berthd_.AddImage("shop/web:1", "sha256:feed");
  EXPECT_EQ(Call({"image", "ls"}).out, Call({"images"}).out);
  EXPECT_EQ(Call({"image", "rm", "shop/web:1"}).code, 0);
}

TEST_F(AppTest, ReachesASocketWhosePathIsTooLongForTheKernel) {
  const std::string deep = dir_ + "/" + std::string(120, 'd');
  std::filesystem::create_directory(deep);
  std::filesystem::rename(berthd_.socket(), deep + "/berth.sock");
  EXPECT_EQ(Berth({"--socket", deep + "/berth.sock", "ps"}).code, 0);
}

TEST_F(AppTest, NamesItsLogsAbsolutelyForARelativeSocket) {
  const std::string relative = std::filesystem::relative(berthd_.socket()).string();
  ASSERT_EQ(Berth({"--socket", relative, "run", "a"}).code, 0);
  const std::string dir = berthd_.pods().begin()->second.config.log_directory();
  EXPECT_EQ(dir.substr(0, dir.rfind('/')), dir_ + "/logs");
  EXPECT_EQ(Berth({"--socket", "unix://" + berthd_.socket(), "ps"}).code, 0);
}

TEST_F(AppTest, VersionNamesBothSides) {
  const Result result = Call({"version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, HasSubstr("Server    berthd 9.9.9"));
  EXPECT_THAT(result.out, HasSubstr("Client    berth "));
}

TEST_F(AppTest, PsListsRunningContainersWithTheirPods) {
  AddClusterPod();
  const Result result = Call({"ps"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("cccc1"));
  EXPECT_THAT(result.out, HasSubstr("shop/web:1   web    web-0"));
  EXPECT_EQ(Call({"ps", "-q"}).out, "cccc1\n");
  EXPECT_THAT(Call({"ps", "-o", "json"}).out, HasSubstr("\"podSandboxId\": \"aaaa1\""));
}

TEST_F(AppTest, PodsShowTheirAddress) {
  AddClusterPod();
  EXPECT_THAT(Call({"pods"}).out, HasSubstr("web-0   shop        Ready    10.88.0.2"));
}

TEST_F(AppTest, PullPrintsProgressAndTheId) {
  const Result result = Call({"pull", "localhost:5000/a"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "sha256:feed\n");
  EXPECT_EQ(result.err,
            "abc: downloading 1kB\nabc: done 1kB\npulled localhost:5000/a (1 layer, 1 new, 1kB)\n");
}

TEST_F(AppTest, PullOfAMissingImageSaysWhatFailed) {
  const Result result = Call({"pull", "absent:1"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("berth: pull: absent:1: not found: no such image[2J\nhint: "));
}

TEST_F(AppTest, CtrlCCancelsAPull) {
  const Result result = Call({"pull", "endless"});
  EXPECT_EQ(result.code, 130);
  EXPECT_THAT(result.err, HasSubstr("endless: interrupted"));
}

TEST_F(AppTest, RunShowsTheLogAndReturnsTheExitCode) {
  berthd_.SetScript(
      {.log = Record("stdout P hel") + Record("stderr F oops") + Record("stdout F lo"),
       .exit_code = 7});
  const Result result =
      Call({"run", "--name", "web", "-e", "A=1", "localhost:5000/a", "sh", "-c", "x"});
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out, "hello\n");
  EXPECT_THAT(result.err, HasSubstr("oops\n"));
  ASSERT_THAT(berthd_.containers(), SizeIs(1));
  const cri::ContainerConfig config = berthd_.containers().begin()->second.config;
  EXPECT_THAT(config.args(), testing::ElementsAre("sh", "-c", "x"));
  EXPECT_EQ(config.envs(0).key(), "A");
  EXPECT_FALSE(berthd_.pods().begin()->second.ready);
}

TEST_F(AppTest, RunWithRmLeavesNothing) {
  const Result result = Call({"run", "--rm", "a"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(berthd_.pods(), IsEmpty());
  EXPECT_THAT(berthd_.containers(), IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(dir_ + "/logs"));
}

TEST_F(AppTest, RunReturnsTheExitCodeEvenIfThePodCannotBeRemoved) {
  berthd_.SetScript(
      {.exit_code = 5, .remove_status = {grpc::FAILED_PRECONDITION, "rmdir x: busy"}});
  const Result result = Call({"run", "--rm", "--name", "web", "a"});
  EXPECT_EQ(result.code, 5);
  EXPECT_THAT(result.err,
              HasSubstr("berth: run: the pod web is left behind: rmdir x: busy\nhint: "));
}

TEST_F(AppTest, RunOfAMissingCommandLeavesNothing) {
  berthd_.SetScript({.start_status = {grpc::UNKNOWN, "exec /nope: No such file or directory"}});
  const Result result = Call({"run", "a", "/nope"});
  EXPECT_EQ(result.code, 127);
  EXPECT_THAT(result.err, HasSubstr("berth: run: a: exec /nope: No such file or directory\n"));
  EXPECT_THAT(berthd_.pods(), IsEmpty());
}

TEST_F(AppTest, RunOfAMissingImageIsRefused) {
  EXPECT_EQ(Call({"run", "absent"}).code, 125);
  EXPECT_THAT(berthd_.pods(), IsEmpty());
}

TEST_F(AppTest, RunOfASessionThatIsNotServedLeavesNothing) {
  berthd_.AddImage("a", "sha256:a");
  const Result result = Call({"run", "-i", "a"});
  EXPECT_EQ(result.code, 125);
  EXPECT_THAT(result.err, HasSubstr("not supported by this berthd"));
  EXPECT_THAT(berthd_.pods(), IsEmpty());
}

TEST_F(AppTest, RunRefusesANameInUse) {
  berthd_.SetScript({.stays = true});
  const Result first = Call({"run", "-d", "--name", "web", "a"});
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, SizeIs(65));
  const Result second = Call({"run", "-d", "--name", "web", "a"});
  EXPECT_EQ(second.code, 125);
  EXPECT_THAT(second.err, HasSubstr("the name web is in use"));
}

TEST_F(AppTest, CtrlCStopsARunContainer) {
  berthd_.SetScript({.stays = true});
  kill(getpid(), SIGINT);  // pending until the command takes it
  const Result result = Call({"run", "a"});
  EXPECT_EQ(result.code, 130);  // it came while the image was pulled
  EXPECT_THAT(berthd_.pods(), IsEmpty());
  berthd_.AddImage("b", "sha256:b");
  kill(getpid(), SIGINT);
  EXPECT_EQ(Call({"run", "b"}).code, 143);
}

TEST_F(AppTest, StopAndRmOfARunContainerTakeItsPodAlong) {
  berthd_.SetScript({.stays = true});
  ASSERT_EQ(Call({"run", "-d", "--name", "web", "a"}).code, 0);
  const Result refused = Call({"rm", "web"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("berth: rm web: it still runs\nhint: berth stop web first"));
  EXPECT_EQ(Call({"stop", "-t", "0", "web"}).code, 0);
  EXPECT_FALSE(berthd_.pods().begin()->second.ready);
  EXPECT_EQ(Call({"rm", "web"}).out, "web\n");
  EXPECT_THAT(berthd_.pods(), IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(dir_ + "/logs"));
}

TEST_F(AppTest, RmOfAClusterContainerLeavesItsPod) {
  AddClusterPod();
  EXPECT_EQ(Call({"rm", "-f", "web"}).code, 0);
  EXPECT_THAT(berthd_.containers(), IsEmpty());
  EXPECT_THAT(berthd_.pods(), SizeIs(1));
  EXPECT_TRUE(berthd_.pods().begin()->second.ready);
}

TEST_F(AppTest, RmGoesOnAfterAFailure) {
  AddClusterPod();
  const Result result = Call({"rm", "-f", "nobody", "aaaa"});
  EXPECT_EQ(result.code, 1);
  EXPECT_EQ(result.out, "aaaa\n");
  EXPECT_THAT(result.err,
              HasSubstr("rm nobody: no container or pod has the id or name \"nobody\""));
  EXPECT_THAT(berthd_.pods(), IsEmpty());
}

TEST_F(AppTest, ExecPassesOutputAndExitCode) {
  AddClusterPod();
  const Result result = Call({"exec", "web-0/web", "sh", "-c", "", "[x,y]", "--socket", "ps"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "<sh><-c><><[x,y]><--socket><ps>");
  EXPECT_EQ(result.err, "to stderr");
}

TEST_F(AppTest, ExecOfAMissingCommandIs127) {
  AddClusterPod();
  EXPECT_EQ(Call({"exec", "web", "missing"}).code, 127);
  EXPECT_EQ(Call({"exec", "nobody", "ls"}).code, 125);
}

TEST_F(AppTest, LogsShowsTheTail) {
  berthd_.SetScript({.log = Record("stdout F one") + Record("stdout F two")});
  ASSERT_EQ(Call({"run", "--name", "web", "a"}).code, 0);
  EXPECT_EQ(Call({"logs", "web"}).out, "one\ntwo\n");
  EXPECT_EQ(Call({"logs", "-f", "--tail", "1", "-t", "web"}).out,
            kRecordTime + std::string("two\n"));
  EXPECT_EQ(Call({"logs", "--tail", "0", "web"}).out, "");
}

TEST_F(AppTest, LogsSaysThatThereIsNone) {
  AddClusterPod();
  const Result result = Call({"logs", "web"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("web: the container keeps no log"));
}

TEST_F(AppTest, RmiTakesNamesAndShortIds) {
  berthd_.AddImage("a:1", "sha256:1111");
  berthd_.AddImage("b:1", "sha256:2222");
  EXPECT_EQ(Call({"rmi", "a:1", "22"}).code, 0);
  EXPECT_THAT(berthd_.images(), IsEmpty());
  EXPECT_THAT(Call({"rmi", "a:1"}).err, HasSubstr("berth: rmi a:1: no such image"));
}

TEST_F(AppTest, InspectPrintsThePlan) {
  AddClusterPod();
  EXPECT_EQ(Call({"inspect", "--plan", "web"}).out, "mount proc\nexec /bin/true\n");
  EXPECT_THAT(Call({"inspect", "aaaa"}).out, HasSubstr("\"ip\": \"10.88.0.2\""));
}

}  // namespace
}  // namespace berth::cli
