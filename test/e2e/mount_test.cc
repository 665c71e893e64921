// Bind mounts as a kubelet asks for them: propagation, read-only in depth, options, order, what is
// made and what is refused.
#include <gmock/gmock.h>

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class MountTest : public ProbedTest {
 protected:
  absl::StatusOr<cri::ContainerStatus> StatusOf(const cri::ContainerConfig& config) {
    auto pod = Pod::Run(client(), MakeKubeletPodConfig(Name()));
    if (!pod.ok()) return pod.status();
    auto id = pod->RunContainer(config);
    if (!id.ok()) return id.status();
    return client().ContainerStatus(*id);
  }
};

TEST_F(MountTest, MountsOfTheNodeAppearInASlave) {
  HostDir dir(Name("-volume"));
  ASSERT_OK_AND_ASSIGN(const HostMount shared,
                       HostMount::Tmpfs(dir.path(), HostMount::Propagation::kShared));
  const std::string below = dir.MakeDir("below");
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  AddMount(config, "/slave", dir.path())->set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  AddMount(config, "/private", dir.path());
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_OK_AND_ASSIGN(const HostMount later,
                       HostMount::Tmpfs(below, HostMount::Propagation::kPrivate));
  dir.Write("below/file", "text");
  ASSERT_OK_AND_ASSIGN(const Json paths,
                       pod.ExecForJson(id, {"paths", "/slave/below/file", "/private/below/file"}));
  EXPECT_EQ(paths["/slave/below/file"]["type"], "file");
  EXPECT_EQ(paths["/private/below/file"]["type"], "ENOENT");
}

TEST_F(MountTest, MountsOfASlaveStayInTheContainer) {
  HostDir dir(Name("-volume"));
  ASSERT_OK_AND_ASSIGN(const HostMount shared,
                       HostMount::Tmpfs(dir.path(), HostMount::Propagation::kShared));
  dir.MakeDir("below");
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  AddMount(config, "/slave", dir.path())->set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  Security(config)->mutable_capabilities()->add_add_capabilities("SYS_ADMIN");
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakeKubeletPodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_EQ(ExecCode(id, {"mount", "/slave/below"}), 0);
  EXPECT_EQ(dir.Read("below/inside"), "");
  EXPECT_NE(access((dir / "below/inside").c_str(), F_OK), 0);
}

TEST_F(MountTest, BidirectionalMountsAppearOnTheNode) {
  HostDir dir(Name("-volume"));
  ASSERT_OK_AND_ASSIGN(const HostMount shared,
                       HostMount::Tmpfs(dir.path(), HostMount::Propagation::kShared));
  dir.MakeDir("below");
  cri::PodSandboxConfig pod_config = MakeKubeletPodConfig(Name());
  pod_config.mutable_linux()->mutable_security_context()->set_privileged(true);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  Security(config)->set_privileged(true);
  AddMount(config, "/both", dir.path())->set_propagation(cri::PROPAGATION_BIDIRECTIONAL);
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), pod_config));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(config));
  ASSERT_EQ(ExecCode(id, {"mount", "/both/below"}), 0);
  EXPECT_EQ(access((dir / "below/inside").c_str(), F_OK), 0);
  EXPECT_EQ(ExecCode(id, {"unmount", "/both/below"}), 0);
  EXPECT_NE(access((dir / "below/inside").c_str(), F_OK), 0);
}

TEST_F(MountTest, PropagationNeedsASharedMountOnTheNode) {
  HostDir dir(Name("-volume"));
  ASSERT_OK_AND_ASSIGN(const HostMount mount,
                       HostMount::Tmpfs(dir.path(), HostMount::Propagation::kPrivate));
  for (const auto propagation :
       {cri::PROPAGATION_HOST_TO_CONTAINER, cri::PROPAGATION_BIDIRECTIONAL}) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
    AddMount(config, "/vol", dir.path())->set_propagation(propagation);
    const absl::Status refusal = Refusal(config);
    EXPECT_FALSE(refusal.ok()) << propagation;
    EXPECT_THAT(std::string(refusal.message()), HasSubstr(dir.path()));
  }
}

TEST_F(MountTest, UnknownPropagationIsRefused) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  AddMount(config, "/vol", "/var/tmp")->set_propagation(static_cast<cri::MountPropagation>(77));
  EXPECT_CODE(Refusal(config), kInvalidArgument);
}

TEST_F(MountTest, ReadonlyReachesMountsBelowOnlyIfRecursive) {
  HostDir dir(Name("-volume"));
  ASSERT_OK_AND_ASSIGN(const HostMount below,
                       HostMount::Tmpfs(dir.MakeDir("below"), HostMount::Propagation::kPrivate));
  for (const bool recursive : {false, true}) {
    cri::ContainerConfig config = MakeKubeletProbe("c", {"paths", "/vol", "/vol/below"});
    cri::Mount* mount = AddMount(config, "/vol", dir.path());
    mount->set_readonly(true);
    mount->set_recursive_read_only(recursive);
    const Json paths = Report(config);
    EXPECT_EQ(paths["/vol"]["write"], "EROFS");
    EXPECT_EQ(paths["/vol/below"]["write"], recursive ? "EROFS" : "ok");
  }
}

TEST_F(MountTest, RecursiveReadOnlyNeedsReadonlyAndPrivate) {
  HostDir dir(Name("-volume"));
  cri::ContainerConfig writable = MakeKubeletProbe("c", {"report"}), slave = writable;
  AddMount(writable, "/vol", dir.path())->set_recursive_read_only(true);
  EXPECT_CODE(Refusal(writable), kInvalidArgument);
  cri::Mount* mount = AddMount(slave, "/vol", dir.path());
  mount->set_readonly(true);
  mount->set_recursive_read_only(true);
  mount->set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_CODE(Refusal(slave), kInvalidArgument);
}

TEST_F(MountTest, RecursiveReadOnlyIsAnnounced) {
  ASSERT_OK_AND_ASSIGN(const auto status, client().Call(&Runtime::Status, cri::StatusRequest()));
  bool served = false;
  for (const auto& handler : status.runtime_handlers())
    served |= handler.name().empty() && handler.features().recursive_read_only_mounts();
  EXPECT_TRUE(served);
  EXPECT_TRUE(status.features().mount_options());
  EXPECT_TRUE(status.features().supplemental_groups_policy());
}

TEST_F(MountTest, OptionsAreSetAndOthersRefused) {
  HostDir dir(Name("-volume"));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"paths", "/vol", "/plain"});
  cri::Mount* mount = AddMount(config, "/vol", dir.path());
  for (const char* option : {"noexec", "nodev", "nosuid"}) mount->add_mount_options(option);
  AddMount(config, "/plain", dir.path());
  const Json paths = Report(config);
  for (const char* flag : {"noexec", "nodev", "nosuid"}) {
    EXPECT_EQ(paths["/vol"][flag], true) << flag;
    EXPECT_EQ(paths["/plain"][flag], false) << flag;
  }
  for (const char* option : {"exec", "bind", "rw", "size=1", "noexec,suid", ""}) {
    cri::ContainerConfig bad = MakeKubeletProbe("c", {"report"});
    AddMount(bad, "/vol", dir.path())->add_mount_options(option);
    EXPECT_CODE(Refusal(bad), kInvalidArgument) << "\"" << option << "\"";
  }
}

TEST_F(MountTest, MissingHostPathBecomesADirectory) {
  HostDir dir(Name("-volume"));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"paths", "/vol"});
  AddMount(config, "/vol", dir / "made/by/the/runtime");
  EXPECT_EQ(Report(config)["/vol"]["write"], "ok");
  struct stat made {};
  ASSERT_EQ(stat((dir / "made/by/the/runtime").c_str(), &made), 0);
  EXPECT_TRUE(S_ISDIR(made.st_mode));
  EXPECT_EQ(made.st_mode & 07777, 0755u);
}

TEST_F(MountTest, NothingIsMadeBehindADanglingLink) {
  HostDir dir(Name("-volume"));
  ASSERT_EQ(symlink((dir / "nowhere").c_str(), (dir / "link").c_str()), 0);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  AddMount(config, "/vol", dir / "link/deeper");
  EXPECT_FALSE(Refusal(config).ok());
  EXPECT_NE(access((dir / "nowhere").c_str(), F_OK), 0);
}

TEST_F(MountTest, LinksOnTheNodeAreFollowed) {
  HostDir dir(Name("-volume"));
  dir.Write("real/file", "text");
  ASSERT_EQ(symlink("real", (dir / "link").c_str()), 0);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"paths", "/vol/file"});
  AddMount(config, "/vol", dir / "link");
  EXPECT_EQ(Report(config)["/vol/file"]["read"], "content");
}

TEST_F(MountTest, FilesSocketsAndFifosAreMountedAsFiles) {
  HostDir dir(Name("-volume"));
  dir.Write("file", "text");
  ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
  cri::ContainerConfig config =
      MakeKubeletProbe("c", {"devices", "/new/file", "/new/fifo", "/etc/passwd"});
  AddMount(config, "/new/file", dir / "file");
  AddMount(config, "/new/fifo", dir / "fifo");
  AddMount(config, "/etc/passwd", dir / "file");
  const Json found = Report(config);
  EXPECT_EQ(found["/new/file"]["type"], "file");
  EXPECT_EQ(found["/new/fifo"]["type"], "fifo");
  EXPECT_EQ(found["/etc/passwd"]["type"], "file");
}

TEST_F(MountTest, ParentsComeBeforeChildrenWhateverTheOrder) {
  HostDir outer(Name("-outer")), inner(Name("-inner")), innermost(Name("-innermost"));
  outer.MakeDir("in");
  inner.Write("inner-file", "i");
  inner.MakeDir("most");
  innermost.Write("innermost-file", "m");
  outer.Write("outer-file", "o");
  cri::ContainerConfig config = MakeKubeletProbe(
      "c", {"paths", "/a/outer-file", "/a/in/inner-file", "/a/in/most/innermost-file"});
  AddMount(config, "/a/in/most", innermost.path());
  AddMount(config, "/a/in", inner.path());
  AddMount(config, "/a", outer.path());
  const Json paths = Report(config);
  for (const auto& [path, info] : paths.items()) EXPECT_EQ(info["type"], "file") << path;
}

TEST_F(MountTest, SameDestinationTwiceIsRefused) {
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  AddMount(config, "/vol", "/var/tmp");
  AddMount(config, "/vol/", "/tmp");
  EXPECT_CODE(Refusal(config), kInvalidArgument);
}

TEST_F(MountTest, RequestWinsOverTheFilesOfThePod) {
  HostDir dir(Name("-volume"));
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  for (const char* file : {"hosts", "hostname", "resolv.conf"})
    AddMount(config, absl::StrCat("/etc/", file), dir.Write(file, absl::StrCat("own ", file)));
  const Json files = Report(config)["files"];
  EXPECT_EQ(files["/etc/hosts"], "own hosts");
  EXPECT_EQ(files["/etc/hostname"], "own hostname");
  EXPECT_EQ(files["/etc/resolv.conf"], "own resolv.conf");
}

TEST_F(MountTest, SharedMemoryMayBeReplaced) {
  HostDir dir(Name("-volume"));
  dir.Write("file", "text");
  cri::ContainerConfig config = MakeKubeletProbe("c", {"paths", "/dev/shm/file"});
  AddMount(config, "/dev/shm", dir.path());
  EXPECT_EQ(Report(config)["/dev/shm/file"]["read"], "content");
}

TEST_F(MountTest, ReadonlyRootTakesMountsOnMissingPaths) {
  HostDir dir(Name("-volume"));
  dir.Write("file", "text");
  cri::ContainerConfig config = MakeKubeletProbe("c", {"paths", "/not/in/image/file", "/not"});
  AddMount(config, "/not/in/image", dir.path());
  Security(config)->set_readonly_rootfs(true);
  const Json paths = Report(config);
  EXPECT_EQ(paths["/not/in/image/file"]["write"], "ok");
  EXPECT_EQ(paths["/not"]["write"], "EROFS");
}

TEST_F(MountTest, ProtectiveFlagsOfTheNodeStay) {
  HostDir dir(Name("-volume"));
  ASSERT_OK_AND_ASSIGN(const HostMount mounted,
                       HostMount::Tmpfs(dir.path(), HostMount::Propagation::kPrivate));
  ASSERT_EQ(mount(nullptr, dir.path().c_str(), nullptr,
                  MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr),
            0);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"paths", "/vol"});
  AddMount(config, "/vol", dir.path())->set_readonly(true);
  const Json paths = Report(config);
  for (const char* flag : {"readonly", "noexec", "nodev", "nosuid"})
    EXPECT_EQ(paths["/vol"][flag], true) << flag;
}

TEST_F(MountTest, StatusEchoesTheMountsAsRequested) {
  HostDir dir(Name("-volume"));
  dir.MakeDir("real");
  ASSERT_EQ(symlink("real", (dir / "link").c_str()), 0);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"sleep"});
  AddMount(config, "/vol", dir / "link")->set_readonly(true);
  AddMount(config, "/other", dir.path())->add_mount_options("noexec");
  ASSERT_OK_AND_ASSIGN(const auto status, StatusOf(config));
  ASSERT_EQ(status.mounts_size(), 2);
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(status.mounts(i).SerializeAsString(), config.mounts(i).SerializeAsString()) << i;
}

TEST_F(MountTest, ShmIsThatOfTheNodeWithItsIpcNamespace) {
  cri::PodSandboxConfig pod_config = MakeKubeletPodConfig(Name());
  NamespaceOptions(pod_config)->set_ipc(cri::NODE);
  cri::ContainerConfig config = MakeKubeletProbe("c", {"report"});
  NamespaceOptions(config)->set_ipc(cri::NODE);
  NamespaceOptions(config)->set_pid(cri::CONTAINER);
  const Json report = Report(pod_config, config);
  EXPECT_EQ(report["namespaces"]["ipc"], OwnNamespace("ipc"));
  EXPECT_TRUE(report["filesystems"].contains("/dev/shm"));
}

class MountPointTest : public ProbedTest {
 protected:
  // The probe's image with `layer` between its two.
  std::string ImageWith(const std::string& name, std::vector<TarEntry> layer) {
    ImageRecipe recipe = ProbeRecipe();
    recipe.layers.insert(recipe.layers.begin() + 1, Layer{std::move(layer)});
    return node().registry().Add(name, "v1", Build(recipe));
  }
};

TEST_F(MountPointTest, StandardOnesLeaveNothingInTheWritableLayer) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.RunContainer(MakeProbe("c", {"sleep"})));
  EXPECT_TRUE(std::filesystem::is_empty(node().oracle_scope().data_dir + "/data/containers/" + id +
                                        "/upper"));
}

// A file, a directory that was removed again, one without content, and a link where they go.
TEST_F(MountPointTest, AreWhateverTheImageHasThere) {
  const std::pair<const char*, std::vector<TarEntry>> images[] = {
      {"files", {Dir("etc", 0750), File("etc/hosts", "of the image\n", 0600), File("proc/x", "x")}},
      {"whiteouts", {File("etc/.wh.hosts", ""), File(".wh.proc", ""), File(".wh.sys", "")}},
      {"opaque", {Dir("etc"), File("etc/.wh..wh..opq", "")}},
      {"link",
       {Symlink("etc", "private/etc"), Dir("private"), Dir("private/etc"),
        File("private/etc/passwd", "root:x:0:0::/root:/bin/sh\n")}},
  };
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  for (const auto& [name, layer] : images) {
    std::vector<TarEntry> entries = layer;
    const std::string reference = ImageWith(name, entries);
    ASSERT_OK(client().Pull(reference).status());
    for (const auto& [file, content] :
         {std::pair("/etc/hosts", "localhost"), std::pair("/etc/resolv.conf", ""),
          std::pair("/proc/self/comm", "probe\n")}) {
      cri::ContainerConfig config = MakeProbe(absl::StrCat(name, file), {"read", file});
      config.mutable_image()->set_image(reference);
      ASSERT_OK_AND_ASSIGN(const FinishedContainer finished, pod.RunToEnd(config));
      EXPECT_EQ(finished.status.exit_code(), 0) << name << file;
      const std::string text = Joined(finished.log, "stdout");
      EXPECT_THAT(text, HasSubstr(content)) << name;
    }
    ASSERT_OK(client().RemoveImage(reference));
  }
}

}  // namespace
}  // namespace berth::e2e
