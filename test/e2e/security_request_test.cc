// Known attacks by what a request or an image names: S-35, S-36, S-42 to S-50.
#include <gmock/gmock.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "test/e2e/hostile.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

using SecurityTest = HostileTest;

TEST_F(SecurityTest, S_35_ImageVolumesCopyNothingOfTheNode) {
  Canary canary(Name("-canary"));
  const std::string image =
      MakeImage({Symlink("volume", canary.path())},
                {{"Volumes", {{"/volume", Json::object()}, {"/../../etc", Json::object()}}}});
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  const auto paths = pod.RunForJson(From(image, {"paths", "/volume/canary"}));
  if (paths.ok()) {
    EXPECT_EQ((*paths)["/volume/canary"]["type"], "ENOENT");
  }
}

TEST_F(SecurityTest, S_36_FilesOfThePodAreNotMadeThroughALink) {
  Canary canary(Name("-canary"));
  for (const std::string& target : {canary.path(), absl::StrCat("../../../..", canary.path())}) {
    const auto image = TryImage({Symlink("etc", target)});
    if (!image.ok()) continue;
    RunWhatever(From(*image, {"exit", "0"}));
  }
  const auto image = TryImage({Symlink("etc/hostname", canary.path() + "/made"),
                               Symlink("etc/mtab", canary.path() + "/canary"),
                               Symlink("etc/resolv.conf", canary.path() + "/canary")});
  ASSERT_OK(image);
  RunWhatever(From(*image, {"exit", "0"}));
}

TEST_F(SecurityTest, S_41_CheckpointsAreNeitherMadeNorTrusted) {
  cri::CheckpointContainerRequest checkpoint;
  checkpoint.set_container_id("any");
  checkpoint.set_location("/tmp/checkpoint.tar");
  EXPECT_CODE(client().Call(&Runtime::CheckpointContainer, checkpoint), kUnimplemented);
  cri::RestorePodRequest restore;
  restore.set_checkpoint_path("/tmp/checkpoint.tar");
  EXPECT_CODE(client().Call(&Runtime::RestorePod, restore), kUnimplemented);
}

TEST_F(SecurityTest, S_42_LogsStayBelowTheLogDirectory) {
  Canary canary(Name("-canary"));
  cri::PodSandboxConfig pod_config = MakeKubeletPodConfig(Name());
  fs::create_directory_symlink(canary.path(), pod_config.log_directory() + "/link");
  fs::create_symlink(canary.path() + "/canary", pod_config.log_directory() + "/file.log");
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), pod_config));
  uint32_t attempt = 0;
  for (const char* path : {"../escape.log", "a/../../escape.log", "link/made.log", "file.log",
                           "/../../escape.log", "link/deeper/made.log"}) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"lines", "3"});
    config.mutable_metadata()->set_attempt(attempt++);
    config.set_log_path(path);
    const auto id = pod.Create(config);
    if (id.ok()) {
      EXPECT_FALSE(client().Start(*id).ok()) << path;
    }
  }
  EXPECT_FALSE(fs::exists(fs::path(pod_config.log_directory()).parent_path() / "escape.log"));
}

TEST_F(SecurityTest, S_43_DirectoriesOfTheRuntimeAreRootsOnly) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeKubeletProbe("c", {"sleep"})));
  const std::string root = node().daemon().options().dir;
  struct stat info {};
  ASSERT_EQ(stat(root.c_str(), &info), 0);
  const bool closed_above = (info.st_mode & 0077) == 0;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (!entry.is_directory()) continue;
    ASSERT_EQ(stat(entry.path().c_str(), &info), 0);
    EXPECT_TRUE(closed_above || (info.st_mode & 0077) == 0) << entry.path();
    EXPECT_EQ(info.st_uid, 0u) << entry.path();
  }
}

TEST_F(SecurityTest, S_45_NamesAndPathsOfAPodAreChecked) {
  const std::string bell = "a\x07z", line = "a\nz", nul("a\0z", 3);
  const std::vector<std::pair<const char*, std::function<void(cri::PodSandboxConfig&)>>> changes = {
      {"no name", [](auto& c) { c.mutable_metadata()->clear_name(); }},
      {"long name", [](auto& c) { c.mutable_metadata()->set_name(std::string(5000, 'n')); }},
      {"bell in name", [&](auto& c) { c.mutable_metadata()->set_name(bell); }},
      {"line in namespace", [&](auto& c) { c.mutable_metadata()->set_namespace_(line); }},
      {"NUL in uid", [&](auto& c) { c.mutable_metadata()->set_uid(nul); }},
      {"line in hostname", [&](auto& c) { c.set_hostname(line); }},
      {"slash in hostname", [](auto& c) { c.set_hostname("a/b"); }},
      {"long hostname", [](auto& c) { c.set_hostname(std::string(65, 'h')); }},
      {"relative log directory", [](auto& c) { c.set_log_directory("logs"); }},
      {"NUL in log directory", [&](auto& c) { c.set_log_directory("/" + nul); }},
      {"line in DNS server", [&](auto& c) { c.mutable_dns_config()->add_servers(line); }},
      {"line in DNS option", [&](auto& c) { c.mutable_dns_config()->add_options(line); }},
      {"cgroup above", [](auto& c) { c.mutable_linux()->set_cgroup_parent("/../../x"); }},
      {"relative cgroup", [](auto& c) { c.mutable_linux()->set_cgroup_parent("x"); }},
      {"line in cgroup", [&](auto& c) { c.mutable_linux()->set_cgroup_parent("/" + line); }}};
  for (const auto& [what, change] : changes) {
    cri::PodSandboxConfig config = MakePodConfig(Name());
    change(config);
    EXPECT_CODE(client().RunPod(config), kInvalidArgument) << what;
  }
  for (const char* handler : {"../x", "no-such-handler", "a\nb", "/usr/sbin/runc"}) {
    const auto pod = client().RunPod(MakePodConfig(Name()), handler);
    EXPECT_FALSE(pod.ok()) << handler;
  }
}

TEST_F(SecurityTest, S_46_BadMountsAreRefused) {
  HostDir volume(Name("-volume"));
  const std::vector<std::pair<const char*, std::function<void(cri::Mount&)>>> changes = {
      {"container_path relative", [](auto& m) { m.set_container_path("vol"); }},
      {"container_path empty", [](auto& m) { m.set_container_path(""); }},
      {"container_path root", [](auto& m) { m.set_container_path("/"); }},
      {"container_path above", [](auto& m) { m.set_container_path("/vol/../../x"); }},
      {"container_path with a line", [](auto& m) { m.set_container_path("/a\nb"); }},
      {"container_path with NUL", [](auto& m) { m.set_container_path(std::string("/a\0b", 4)); }},
      {"container_path too long",
       [](auto& m) { m.set_container_path("/" + std::string(5000, 'x')); }},
      {"host_path relative", [](auto& m) { m.set_host_path("vol"); }},
      {"host_path empty", [](auto& m) { m.set_host_path(""); }},
      {"image and host_path", [](auto& m) { m.mutable_image()->set_image("x"); }},
      {"sub path without image", [](auto& m) { m.set_image_sub_path("x"); }}};
  for (const auto& [what, change] : changes) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"exit", "0"});
    change(*AddMount(config, "/vol", volume.path()));
    EXPECT_CODE(Refusal(config), kInvalidArgument) << what;
  }
}

TEST_F(SecurityTest, S_46_FileWhereADirectoryIsAndTheReverseAreRefusedOrHarmless) {
  HostDir volume(Name("-volume"));
  cri::ContainerConfig file_on_dir = MakeKubeletProbe("c", {"exit", "0"}), reverse = file_on_dir;
  AddMount(file_on_dir, "/etc", volume.Write("file", "x"));
  AddMount(reverse, "/etc/passwd", volume.path());
  EXPECT_FALSE(Refusal(file_on_dir).ok());
  EXPECT_FALSE(Refusal(reverse).ok());
}

TEST_F(SecurityTest, S_48_SocketIsForRootAlone) {
  const std::string path = node().daemon().socket();
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0660u);
  EXPECT_EQ(info.st_uid, 0u);
  const pid_t child = fork();
  if (child == 0) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    if (path.size() >= sizeof address.sun_path) _exit(2);
    path.copy(address.sun_path, path.size());
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(3);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    const bool connected = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    _exit(connected ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: another user connects";
}

TEST_F(SecurityTest, S_50_ErrorsCarryNoControlCharacters) {
  const std::string evil =
      "x\x1b]0;owned\x07\n\xc2\x9b"
      "31m";
  std::vector<absl::Status> errors;
  errors.push_back(client().ContainerStatus(evil).status());
  errors.push_back(client().ImageStatus(evil).status());
  errors.push_back(client().Pull("127.0.0.1:1/x:" + evil).status());
  cri::ContainerConfig config = MakeKubeletProbe("c", {});
  config.set_command(0, "/no/such\x1b[2J/program");
  errors.push_back(Refusal(config));
  AddMount(config, "/vol/\x1b[2J", "/var/tmp");
  errors.push_back(Refusal(config));
  for (const absl::Status& error : errors) {
    EXPECT_LE(error.message().size(), 4096u);
    for (const char c : error.message())
      EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) << error;
  }
}

}  // namespace
}  // namespace berth::e2e
