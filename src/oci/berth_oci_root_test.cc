// berth-oci as engines use it: a program with a command line, on real bundles.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "src/kernel/cgroup.h"
#include "src/kernel/file.h"
#include "src/kernel/process.h"
#include "src/kernel/socket.h"
#include "src/oci/commands.h"

namespace berth::oci {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kBusybox[] = "/bin/busybox";

std::string ReadText(const std::string& path) { return ReadFileAt(AT_FDCWD, path).value_or(""); }

struct Result {
  int code = -1;
  std::string out, err;
};

class BerthOci : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    if (::access(kBusybox, X_OK) != 0) GTEST_SKIP() << "needs " << kBusybox << " (busybox-static)";
    // What create leaves behind becomes a child of this process.
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    std::string path = testing::TempDir() + "berth-oci-test-XXXXXX";
    ASSERT_NE(::mkdtemp(path.data()), nullptr) << path;
    directory_ = path;
    ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
    for (const char* name : {"bin", "proc", "dev", "sys", "tmp", "etc"})
      std::filesystem::create_directories(directory_ / "bundle/rootfs" / name);
    std::filesystem::copy_file(kBusybox, directory_ / "bundle/rootfs/bin/busybox");
    for (const char* name : {"sh", "cat", "id", "sleep", "hostname", "ls", "tty", "grep", "stat"})
      std::filesystem::create_symlink("busybox", directory_ / "bundle/rootfs/bin" / name);
    id_ = directory_.filename();
    config_ = json::parse(DefaultSpecJson());
    config_["process"]["terminal"] = false;
    config_["linux"]["cgroupsPath"] = "/" + id_;
  }

  void TearDown() override {
    if (directory_.empty()) return;
    Oci({"delete", "--force", id_});
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    std::filesystem::remove_all(directory_);
    const absl::StatusOr<Cgroups> cgroups = Cgroups::Detect();
    ASSERT_TRUE(cgroups.ok());
    EXPECT_FALSE(cgroups->Open("/" + id_).ok()) << "the cgroup is left";
  }

  void Args(std::vector<std::string> args) { config_["process"]["args"] = std::move(args); }
  void Script(const std::string& text) { Args({"sh", "-c", text}); }

  std::string Bundle() const { return directory_ / "bundle"; }
  std::string Path(const char* name) const { return directory_ / name; }

  Result Oci(std::vector<std::string> arguments) {
    std::ofstream(Bundle() + "/config.json") << config_.dump();
    SpawnRequest request = {.path = BERTH_BIN_DIR "/berth-oci",
                            .argv = {"berth-oci", "--root", Path("root"), "--log", Path("log"),
                                     "--log-format", "json"}};
    request.argv.insert(request.argv.end(), arguments.begin(), arguments.end());
    const absl::StatusOr<UniqueFd> out =
        OpenFile(AT_FDCWD, Path("out"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    const absl::StatusOr<UniqueFd> err =
        OpenFile(AT_FDCWD, Path("err"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    request.fds = {-1, out->get(), err->get()};
    absl::StatusOr<SpawnedProcess> process = Spawn(request);
    Result result;
    if (!process.ok()) {
      ADD_FAILURE() << process.status();
      return result;
    }
    int status = 0;
    EXPECT_EQ(::waitpid(process->pid, &status, 0), process->pid);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    result.out = ReadText(Path("out"));
    result.err = ReadText(Path("err"));
    return result;
  }

  Result Run() { return Oci({"run", "--bundle", Bundle(), id_}); }
  Result Create() { return Oci({"create", "--bundle", Bundle(), "--pid-file", Path("pid"), id_}); }

  void StartIt() {
    const Result started = Oci({"start", id_});
    ASSERT_EQ(started.code, 0) << started.err;
  }

  std::string Status() {
    const json state = json::parse(Oci({"state", id_}).out, nullptr, false);
    return state.is_object() ? state.value("status", "") : "none";
  }

  // Waits for the end of the container's process, which is a child of this one by now.
  int WaitForEnd() {
    pid_t pid = 0;
    EXPECT_TRUE(absl::SimpleAtoi(ReadText(Path("pid")), &pid));
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  json Hook(const std::string& script) {
    return json::array({{{"path", "/bin/sh"}, {"args", {"sh", "-c", script}}}});
  }

  std::filesystem::path directory_;
  std::string id_;
  json config_;
};

TEST_F(BerthOci, RunReturnsTheProcessesCodeAndLeavesNothing) {
  Script("echo out; echo err >&2; exit 7");
  const Result result = Run();
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(Oci({"list", "--quiet"}).out, "");
}

TEST_F(BerthOci, GoesThroughTheStatesOfTheSpecification) {
  Args({"sleep", "1000"});
  config_["annotations"] = {{"k", "v"}};
  ASSERT_EQ(Create().code, 0);
  const json state = json::parse(Oci({"state", id_}).out);
  EXPECT_EQ(state["status"], "created");
  EXPECT_EQ(state["id"], id_);
  EXPECT_EQ(state["bundle"], Bundle());
  EXPECT_EQ(state["annotations"]["k"], "v");
  EXPECT_EQ(absl::StrCat(state["pid"].get<int>()), ReadText(Path("pid")));
  EXPECT_THAT(Create().err, HasSubstr("already exists"));
  ASSERT_NO_FATAL_FAILURE(StartIt());
  EXPECT_EQ(Status(), "running");
  EXPECT_THAT(Oci({"start", id_}).err, HasSubstr("it is running, not created"));
  EXPECT_THAT(Oci({"delete", id_}).err, HasSubstr("it is running, not stopped"));
  EXPECT_EQ(Oci({"kill", id_, "KILL"}).code, 0);
  EXPECT_EQ(WaitForEnd(), 128 + SIGKILL);
  EXPECT_EQ(Status(), "stopped");
  EXPECT_THAT(Oci({"kill", id_, "KILL"}).err, HasSubstr("is not running"));
  EXPECT_EQ(Oci({"delete", id_}).code, 0);
  EXPECT_THAT(Oci({"state", id_}).err, HasSubstr("does not exist"));
}

TEST_F(BerthOci, RunsNothingOfTheContainerBeforeStart) {
  config_["root"]["readonly"] = false;
  Script("echo x >/made");
  ASSERT_EQ(Create().code, 0);
  EXPECT_FALSE(std::filesystem::exists(Bundle() + "/rootfs/made"));
  ASSERT_NO_FATAL_FAILURE(StartIt());
  EXPECT_EQ(WaitForEnd(), 0);
  EXPECT_TRUE(std::filesystem::exists(Bundle() + "/rootfs/made"));
}

TEST_F(BerthOci, StartTellsWhyThereIsNoProcess) {
  Args({"nope"});
  ASSERT_EQ(Create().code, 0);
  const Result started = Oci({"start", id_});
  EXPECT_EQ(started.code, 1);
  EXPECT_THAT(started.err, HasSubstr("\"nope\": executable file not found in $PATH"));
  EXPECT_EQ(WaitForEnd(), 127);
  EXPECT_THAT(ReadText(Path("log")), HasSubstr("\"level\":\"error\""));
}

TEST_F(BerthOci, DeletesACreatedContainer) {
  ASSERT_EQ(Create().code, 0);
  EXPECT_EQ(Oci({"delete", id_}).code, 0);
}

TEST_F(BerthOci, ForcedDeleteIsContentWithNothing) {
  EXPECT_EQ(Oci({"delete", "--force", "nobody"}).code, 0);
  EXPECT_EQ(Oci({"delete", "nobody"}).code, 1);
}

TEST_F(BerthOci, ExecsInTheContainer) {
  Args({"sleep", "1000"});
  ASSERT_EQ(Create().code, 0);
  ASSERT_NO_FATAL_FAILURE(StartIt());
  const Result result = Oci({"exec", "--user", "5:6", "--cwd", "/tmp", "--env", "A=b", id_, "sh",
                             "-c", "id -u; id -g; hostname; pwd; echo $A; exit 3"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "5\n6\nberth\n/tmp\nb\n");
  EXPECT_THAT(Oci({"exec", id_, "nope"}).err, HasSubstr("executable file not found"));
  const json process = {{"args", {"sh", "-c", "exit 9"}}, {"cwd", "/"}};
  std::ofstream(Path("process.json")) << process.dump();
  EXPECT_EQ(Oci({"exec", "--process", Path("process.json"), id_}).code, 9);
  // Detached, it outlives the command.
  EXPECT_EQ(Oci({"exec", "--detach", "--pid-file", Path("exec"), id_, "sleep", "1000"}).code, 0);
  EXPECT_THAT(Oci({"ps", id_}).out, HasSubstr("sleep 1000"));
  EXPECT_THAT(json::parse(Oci({"ps", "--format", "json", id_}).out), testing::SizeIs(2));
  // A pid namespace ends when its last process has been reaped, and this one's parent is the test.
  pid_t pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(ReadText(Path("exec")), &pid));
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST_F(BerthOci, KillsAllProcesses) {
  Script("sleep 1000 & sleep 1000");
  ASSERT_EQ(Create().code, 0);
  ASSERT_NO_FATAL_FAILURE(StartIt());
  EXPECT_EQ(Oci({"kill", "--all", id_, "9"}).code, 0);
  EXPECT_EQ(WaitForEnd(), 128 + SIGKILL);
}

TEST_F(BerthOci, RunsHooksInTheirOrderWithTheState) {
  const std::string log = Path("hooks");
  const auto note = [&](const char* stage) {
    return Hook(absl::StrCat("echo ", stage, " $(grep -o '\"status\": *\"[a-z]*\"') >>", log));
  };
  for (const char* stage :
       {"prestart", "createRuntime", "createContainer", "poststart", "poststop"}) {
    config_["hooks"][stage] = note(stage);
  }
  config_["root"]["readonly"] = false;
  config_["hooks"]["startContainer"] = Hook("echo startContainer >/hook");
  Args({"cat", "/hook"});
  const Result result = Run();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "startContainer\n");
  std::string text = ReadText(log);
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  EXPECT_EQ(text,
            "prestart\"status\":\"creating\"\ncreateRuntime\"status\":\"creating\"\n"
            "createContainer\"status\":\"creating\"\npoststart\"status\":\"running\"\n"
            "poststop\"status\":\"stopped\"\n");
}

TEST_F(BerthOci, AFailedCreationHookEndsTheCreation) {
  for (const char* stage : {"createRuntime", "createContainer"}) {
    config_["hooks"] = {{stage, Hook("exit 3")}};
    EXPECT_EQ(Create().code, 1) << stage;
    EXPECT_EQ(Status(), "none") << stage;
  }
}

TEST_F(BerthOci, GivesTheProcessWhatItsConfigSays) {
  json& process = config_["process"];
  process["user"] = {{"uid", 11}, {"gid", 12}, {"umask", 63}, {"additionalGids", {13}}};
  process["cwd"] = "/tmp";
  process["env"] = {"PATH=/bin", "E=f"};
  process["oomScoreAdj"] = 321;
  config_["domainname"] = "dom";
  config_["linux"]["sysctl"] = {{"net.ipv4.ip_forward", "1"}, {"kernel.shmmni", "77"}};
  Script(
      "id -u; id -g; id -G; umask; pwd; echo $E; cat /proc/self/oom_score_adj;"
      "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/kernel/domainname;"
      "grep -E 'NoNewPrivs|CapBnd' /proc/self/status; ulimit -n");
  const Result result = Run();
  EXPECT_EQ(result.out,
            "11\n12\n12 13\n0077\n/tmp\nf\n321\n1\n77\ndom\nCapBnd:\t0000000020000420\n"
            "NoNewPrivs:\t1\n1024\n")
      << result.err;
}

TEST_F(BerthOci, FiltersSystemCalls) {
  config_["linux"]["seccomp"] = {
      {"defaultAction", "SCMP_ACT_ALLOW"},
      {"syscalls",
       {{{"names", {"mkdir", "mkdirat"}}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", 28}}}}};
  Script("busybox mkdir /tmp/x; grep Seccomp: /proc/self/status");
  const Result result = Run();
  EXPECT_THAT(result.err, HasSubstr("No space left on device"));
  EXPECT_EQ(result.out, "Seccomp:\t2\n");
}

TEST_F(BerthOci, LimitsTheCgroupAndUpdatesIt) {
  config_["linux"]["resources"]["pids"] = {{"limit", 20}};
  config_["linux"]["resources"]["memory"] = {{"limit", 64 << 20}};
  Args({"sleep", "1000"});
  ASSERT_EQ(Create().code, 0);
  ASSERT_NO_FATAL_FAILURE(StartIt());
  const absl::StatusOr<Cgroups> cgroups = Cgroups::Detect();
  const auto usage = [&] {
    return cgroups->Reader("/" + id_, CgroupReader::Keep::kNothing).Read();
  };
  ASSERT_TRUE(usage().ok());
  EXPECT_EQ(usage()->memory_limit, uint64_t{64} << 20);
  EXPECT_EQ(Oci({"update", "--memory", absl::StrCat(96 << 20), id_}).code, 0);
  EXPECT_EQ(usage()->memory_limit, uint64_t{96} << 20);
  // A second one starts from what the first has made.
  EXPECT_EQ(Oci({"update", "--pids-limit", "30", id_}).code, 0);
  EXPECT_EQ(usage()->memory_limit, uint64_t{96} << 20);
}

TEST_F(BerthOci, AllowsDevicesByRule) {
  config_["linux"]["devices"] = {{{"path", "/dev/mine"},
                                  {"type", "c"},
                                  {"major", 1},
                                  {"minor", 5},
                                  {"fileMode", 0640},
                                  {"uid", 3},
                                  {"gid", 4}}};
  Script(
      "stat -c '%t %T %a %u %g' /dev/mine; cat /dev/full >/dev/null 2>&1 </dev/null & "
      "busybox mknod /tmp/k c 1 11 && cat /tmp/k");
  config_["process"]["capabilities"]["bounding"].push_back("CAP_MKNOD");
  config_["process"]["capabilities"]["permitted"].push_back("CAP_MKNOD");
  config_["process"]["capabilities"]["effective"].push_back("CAP_MKNOD");
  config_["root"]["readonly"] = false;
  const Result result = Run();
  EXPECT_THAT(result.out, HasSubstr("1 5 640 3 4"));
  EXPECT_THAT(result.err, HasSubstr("Operation not permitted"));  // kmsg is no one's
}

TEST_F(BerthOci, MountsBindsAsAsked) {
  std::filesystem::create_directories(Path("volume"));
  std::ofstream(Path("volume") + "/f") << "content\n";
  config_["mounts"].push_back({{"destination", "/tmp/rw"},
                               {"source", Path("volume")},
                               {"type", "none"},
                               {"options", {"rbind"}}});
  config_["mounts"].push_back({{"destination", "/tmp/ro"},
                               {"source", Path("volume")},
                               {"type", "bind"},
                               {"options", {"bind", "ro"}}});
  config_["root"]["readonly"] = false;  // the mount points are made
  Script("cat /tmp/ro/f; echo a >/tmp/rw/g; echo b >/tmp/ro/h");
  const Result result = Run();
  EXPECT_EQ(result.out, "content\n");
  EXPECT_THAT(result.err, HasSubstr("Read-only file system"));
  EXPECT_EQ(ReadText(Path("volume") + "/g"), "a\n");
}

TEST_F(BerthOci, MapsUsersInAUserNamespace) {
  config_["linux"]["namespaces"].push_back({{"type", "user"}});
  config_["linux"]["uidMappings"] = {{{"containerID", 0}, {"hostID", 100000}, {"size", 1000}}};
  config_["linux"]["gidMappings"] = config_["linux"]["uidMappings"];
  Script("id -u; cat /proc/self/uid_map; cat </dev/null && echo null; hostname");
  config_["mounts"].at(2)["options"] = {"newinstance", "ptmxmode=0666", "mode=0620"};
  const Result result = Run();
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "0\n         0     100000       1000\nnull\nberth\n");
}

TEST_F(BerthOci, JoinsNamespacesByPath) {
  json shared = json::array({{{"type", "mount"}}, {{"type", "pid"}}});
  for (const auto& [type, file] : {std::pair("network", "net"), std::pair("ipc", "ipc")})
    shared.push_back({{"type", type}, {"path", absl::StrCat("/proc/self/ns/", file)}});
  config_["linux"]["namespaces"] = shared;
  config_.erase("hostname");
  Script("for n in net ipc uts; do busybox readlink /proc/self/ns/$n; done");
  std::string ours;
  for (const char* name : {"net", "ipc", "uts"}) {
    absl::StrAppend(
        &ours, std::filesystem::read_symlink(absl::StrCat("/proc/self/ns/", name)).string(), "\n");
  }
  EXPECT_EQ(Run().out, ours);
}

TEST_F(BerthOci, RefusesANamespaceOfAnotherType) {
  config_["linux"]["namespaces"] = {
      {{"type", "mount"}}, {{"type", "uts"}}, {{"type", "network"}, {"path", "/proc/self/ns/ipc"}}};
  EXPECT_THAT(Create().err, HasSubstr("/proc/self/ns/ipc is not of the type it says"));
}

TEST_F(BerthOci, HandsTheTerminalOver) {
  config_["process"]["terminal"] = true;
  config_["process"]["consoleSize"] = {{"height", 33}, {"width", 44}};
  Script("tty; busybox stty size");
  EXPECT_THAT(Create().err, HasSubstr("needs --console-socket"));
  const absl::StatusOr<UniqueFd> listener = ListenUnix(Path("console"), SOCK_STREAM, 0600);
  ASSERT_TRUE(listener.ok());
  ASSERT_EQ(Oci({"create", "--bundle", Bundle(), "--console-socket", Path("console"), "--pid-file",
                 Path("pid"), id_})
                .code,
            0);
  const UniqueFd connection(::accept(listener->get(), nullptr, nullptr));
  absl::StatusOr<Packet> packet = ReceivePacket(connection.get(), absl::InfiniteFuture());
  ASSERT_TRUE(packet.ok());
  ASSERT_EQ(packet->fds.size(), 1u);
  ASSERT_NO_FATAL_FAILURE(StartIt());
  EXPECT_EQ(WaitForEnd(), 0);
  std::string text;
  char buffer[256];
  ssize_t n;
  while ((n = ::read(packet->fds[0].get(), buffer, sizeof(buffer))) > 0) text.append(buffer, n);
  EXPECT_EQ(text, "/dev/pts/0\r\n33 44\r\n");
}

TEST_F(BerthOci, FreezesAndThaws) {
  const absl::StatusOr<Cgroups> cgroups = Cgroups::Detect();
  ASSERT_TRUE(cgroups.ok());
  if (cgroups->mode() == Cgroups::Mode::kV1) GTEST_SKIP() << "needs a cgroup2 mount";
  Args({"sleep", "1000"});
  ASSERT_EQ(Create().code, 0);
  ASSERT_NO_FATAL_FAILURE(StartIt());
  EXPECT_EQ(Oci({"pause", id_}).code, 0);
  EXPECT_EQ(Status(), "paused");
  EXPECT_THAT(Oci({"exec", id_, "sh"}).err, HasSubstr("it is paused, not running"));
  EXPECT_EQ(Oci({"resume", id_}).code, 0);
  EXPECT_EQ(Status(), "running");
}

TEST_F(BerthOci, RefusesByNameAndLeavesNothing) {
  config_["linux"]["personality"] = {{"domain", "LINUX32"}};
  const Result result = Create();
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("linux.personality"));
  EXPECT_EQ(Status(), "none");
  EXPECT_THAT(Oci({"--systemd-cgroup", "list"}).err, HasSubstr("--systemd-cgroup"));
  EXPECT_THAT(Oci({"create", "--no-pivot", id_}).err, HasSubstr("--no-pivot"));
  EXPECT_THAT(Oci({"create", "--preserve-fds", "1", id_}).err, HasSubstr("--preserve-fds"));
}

TEST_F(BerthOci, TellsItsFeatures) {
  const json features = json::parse(Oci({"features"}).out);
  EXPECT_EQ(features["ociVersionMax"], "1.2.0");
  EXPECT_THAT(features["linux"]["capabilities"].dump(), HasSubstr("CAP_CHECKPOINT_RESTORE"));
  EXPECT_EQ(features["linux"]["cgroup"]["systemd"], false);
}

}  // namespace
}  // namespace berth::oci
