#include "src/sandbox/container_mounts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <algorithm>
#include <string>
#include <vector>

#include "src/sandbox/container_spec.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Strings = std::vector<std::string>;

ContainerRecord MakeContainer(std::vector<BindMount> mounts, ContainerImage image = {}) {
  ContainerRecord container{.id = "c", .pod_id = "p", .image = std::move(image)};
  container.config.mounts = std::move(mounts);
  container.config.command = {"sh"};
  return container;
}
PodRecord MakePod(bool user_namespace = false) {
  PodRecord pod{.id = "p"};
  if (user_namespace)
    pod.config.namespaces.user = {.uids = {{0, 65536, 65536}}, .gids = {{0, 65536, 65536}}};
  return pod;
}

absl::StatusOr<ContainerSpec> Build(const ContainerRecord& container, bool user_namespace = false) {
  return BuildContainerSpec(container, MakePod(user_namespace), {.data_dir = "/d"});
}

// The last mount on `target`: all before are hidden by it.
MountSpec MountAt(const absl::StatusOr<ContainerSpec>& spec, const std::string& target) {
  if (!spec.ok()) {
    ADD_FAILURE() << spec.status();
    return {};
  }
  const auto found = std::find_if(spec->mounts.rbegin(), spec->mounts.rend(),
                                  [&](const MountSpec& each) { return each.target == target; });
  if (found != spec->mounts.rend()) return *found;
  ADD_FAILURE() << "nothing is mounted on " << target;
  return {};
}
bool IsMounted(const absl::StatusOr<ContainerSpec>& spec, const std::string& target) {
  return spec.ok() && std::any_of(spec->mounts.begin(), spec->mounts.end(),
                                  [&](const MountSpec& each) { return each.target == target; });
}

void ExpectRefused(const ContainerRecord& container, const std::string& what) {
  const absl::Status status = Build(container).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what;
  EXPECT_THAT(std::string(status.message()), HasSubstr(what));
}

TEST(FillMounts, BindsWhatWasAskedForWithAllOfItsProperties) {
  const absl::StatusOr<ContainerSpec> spec =
      Build(MakeContainer({{.host_path = "/h", .container_path = "/b//c/"},
                           {.host_path = "/i",
                            .container_path = "/a",
                            .readonly = true,
                            .recursive_readonly = true,
                            .propagation = Propagation::kSlave,
                            .noexec = true,
                            .nodev = true,
                            .nosuid = true,
                            .idmapped = true,
                            .selinux_relabel = true}}));
  const MountSpec plain = MountAt(spec, "/b/c"), full = MountAt(spec, "/a");
  EXPECT_EQ(plain.kind, MountSpec::Kind::kBind);
  EXPECT_EQ(plain.source, "/h");
  EXPECT_EQ(plain.view_path, "");
  EXPECT_EQ(plain.fd_index, -1);
  EXPECT_EQ(plain.attributes, 0u);
  EXPECT_FALSE(plain.recursive_attributes);
  EXPECT_EQ(plain.propagation, Propagation::kPrivate);
  EXPECT_FALSE(plain.idmapped);
  EXPECT_FALSE(plain.relabel);
  EXPECT_FALSE(plain.over_kernel_fs);
  EXPECT_EQ(full.attributes,
            uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID});
  EXPECT_TRUE(full.recursive_attributes);
  EXPECT_EQ(full.propagation, Propagation::kSlave);
  EXPECT_TRUE(full.idmapped);
  EXPECT_TRUE(full.relabel);
}

TEST(FillMounts, PutsAParentBeforeWhatIsInsideOfIt) {
  const absl::StatusOr<ContainerSpec> spec =
      Build(MakeContainer({{"/h", "/v/w/x"}, {"/i", "/v"}, {"/j", "/v/w"}, {"/k", "/dev/shm"}}));
  ASSERT_TRUE(spec.ok()) << spec.status();
  Strings sources;
  for (const MountSpec& mount : spec->mounts) {
    if (!mount.source.empty()) sources.push_back(mount.source);
  }
  ASSERT_EQ(sources.size(), 4u);
  const auto at = [&](const char* source) {
    return std::find(sources.begin(), sources.end(), source) - sources.begin();
  };
  EXPECT_LT(at("/i"), at("/j"));
  EXPECT_LT(at("/j"), at("/h"));
  EXPECT_EQ(MountAt(spec, "/dev/shm").source, "/k");
}

TEST(FillMounts, RefusesTheKernelsFilesHoweverTheyAreWritten) {
  for (const char* path :
       {"/proc", "/proc/", "//proc", "/./proc", "/proc/sys", "/proc/./self", "/proc/1/attr",
        "/proc/sysrq-trigger", "/proc/cpuinfo/x", "/proc/self/uptime", "/sys", "//sys//fs/",
        "/sys/kernel", "/sys/kernel/debugger", "/", "//", "/."}) {
    ExpectRefused(MakeContainer({{"/h", path}}), "mounts: nothing may be mounted on ");
  }
  for (const char* path : {"", "rel", "./x", "/a/../proc", "/..", "/a/.."}) {
    EXPECT_EQ(Build(MakeContainer({{"/h", path}})).status().code(),
              absl::StatusCode::kInvalidArgument)
        << path;
  }
  for (const char* path :
       {"/procs", "/system", "/a/proc", "/dev/shm", "/etc/hosts", "/..a", "/a..b"}) {
    const absl::StatusOr<ContainerSpec> spec = Build(MakeContainer({{"/h", path}}));
    EXPECT_FALSE(MountAt(spec, path).over_kernel_fs) << path;
  }
}

TEST(FillMounts, CoversOfTheKernelsFilesWhatOthersServe) {
  for (const char* path :
       {"/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/slabinfo",
        "/proc/stat", "/proc/swaps", "/proc/uptime", "/sys/fs/cgroup", "/sys/fs/bpf",
        "/sys/fs/bpf/pods", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security",
        "/sys/kernel/config", "/sys/firmware/efi/efivars", "/sys/fs/fuse/connections",
        "/sys/fs/pstore"}) {
    EXPECT_TRUE(MountAt(Build(MakeContainer({{"/h", path}})), path).over_kernel_fs) << path;
  }
}

TEST(FillMounts, ShowsTheHostsOwnSysfsAndProcAtTheSamePlaceOnly) {
  for (const char* path : {"/proc", "/sys", "/sys/bus/pci", "/sys/class/net"}) {
    EXPECT_TRUE(MountAt(Build(MakeContainer({{path, path}})), path).over_kernel_fs) << path;
  }
  ExpectRefused(MakeContainer({{"/proc/self", "/proc/self"}}), "nothing may be mounted");
  ExpectRefused(MakeContainer({{"/sys/class", "/sys/class/net"}}), "nothing may be mounted");
  BindMount image{.container_path = "/sys/class/net"};
  image.image = "i";
  ExpectRefused(MakeContainer({image}), "nothing may be mounted");
}

TEST(FillMounts, RefusesTwoOnOnePlace) {
  ExpectRefused(MakeContainer({{"/h", "/v"}, {"/i", "/v"}}), "two are for /v");
  ExpectRefused(MakeContainer({{"/h", "/v"}, {"/i", "//v/./"}}), "two are for //v/./");
}

TEST(FillMounts, RefusesNulBytesThatACStringWouldHide) {
  const std::string nul("a\0b", 3);
  ExpectRefused(MakeContainer({{"/h", "/" + nul}}), "mounts: has a NUL byte");
  ExpectRefused(MakeContainer({{"/" + nul, "/v"}}), "mounts: has a NUL byte");
  BindMount image{.container_path = "/v"};
  image.image = "i";
  image.image_sub_path = nul;
  ExpectRefused(MakeContainer({image}), "mounts: has a NUL byte");
  ExpectRefused(MakeContainer({}, {.volumes = {"/" + nul}}), "image VOLUME: has a NUL byte");
}

TEST(FillMounts, GivesEachImageMountTheLayersOfItsImage) {
  BindMount first{.container_path = "/a"}, second{.container_path = "/b"};
  first.image = "x";
  second.image = "y";
  second.image_sub_path = "sub/dir";
  second.noexec = true;
  const ContainerImage image = {
      .mounted = {{"sha256:x", "x", {"1"}}, {"sha256:y", "y", {"2", "3"}}}};
  const absl::StatusOr<ContainerSpec> spec =
      Build(MakeContainer({first, {"/h", "/between"}, second}, image));
  const MountSpec a = MountAt(spec, "/a"), b = MountAt(spec, "/b");
  EXPECT_EQ(a.kind, MountSpec::Kind::kImage);
  EXPECT_THAT(a.layers, ElementsAre("1"));
  EXPECT_EQ(a.sub_path, "");
  EXPECT_EQ(a.attributes, uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_FALSE(a.idmapped);
  EXPECT_THAT(b.layers, ElementsAre("2", "3"));
  EXPECT_EQ(b.sub_path, "sub/dir");
  EXPECT_EQ(b.attributes, uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC});
  EXPECT_TRUE(
      MountAt(Build(MakeContainer({first}, image), /*user_namespace=*/true), "/a").idmapped);
  const absl::Status missing = Build(MakeContainer({first, second}, {.mounted = {{}}})).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("ImageVolumeMountFailed"));
}

TEST(FillMounts, MakesVolumesOfTheImageDirectoriesOfTheRoot) {
  const absl::StatusOr<ContainerSpec> spec = Build(
      MakeContainer({{"/h", "/mounted"}}, {.volumes = {"/data", "//data/", "var/lib/x", "/mounted",
                                                       "/", "/proc/x", "/sys", "/dev/y"}}));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_THAT(spec->directories, ElementsAre("/data", "/var/lib/x"));
  EXPECT_FALSE(IsMounted(spec, "/data"));
  ExpectRefused(MakeContainer({}, {.volumes = {"/a/../.."}}), "VOLUME /a/../..");
}

TEST(FillMounts, KeepsVolumesOfTheImageWritableInAReadOnlyRoot) {
  ContainerRecord container =
      MakeContainer({{"/h", "/mounted"}}, {.volumes = {"/mounted", "/data"}});
  container.config.readonly_rootfs = true;
  const absl::StatusOr<ContainerSpec> spec = Build(container);
  const MountSpec volume = MountAt(spec, "/data");
  EXPECT_THAT(spec->directories, IsEmpty());
  EXPECT_EQ(volume.kind, MountSpec::Kind::kBind);
  EXPECT_TRUE(volume.of_target);
  EXPECT_EQ(volume.attributes, 0u);
  EXPECT_FALSE(volume.idmapped);
  EXPECT_EQ(MountAt(spec, "/mounted").source, "/h");
}

TEST(FillMounts, GivesAnOciRuntimeADirectoryForAVolumeInAReadOnlyRoot) {
  ContainerRecord container = MakeContainer({}, {.volumes = {"/data"}});
  container.config.readonly_rootfs = true;
  PodRecord pod = MakePod();
  pod.config.runtime_handler = "runc";
  const MountSpec volume = MountAt(BuildContainerSpec(container, pod, {.data_dir = "/d"}), "/data");
  EXPECT_FALSE(volume.of_target);
  EXPECT_EQ(volume.source, "/d/containers/c/volumes/0");
}

TEST(FillMounts, HasTheStandardOnesUnlessOneIsReplaced) {
  const absl::StatusOr<ContainerSpec> spec = Build(MakeContainer({{"/h", "/etc/hosts"}}));
  for (const char* target : {"/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup"})
    EXPECT_TRUE(IsMounted(spec, target)) << target;
  EXPECT_EQ(MountAt(spec, "/etc/hosts").source, "/h");
  EXPECT_EQ(std::count_if(spec->mounts.begin(), spec->mounts.end(),
                          [](const MountSpec& each) { return each.target == "/etc/hosts"; }),
            1);
}

}  // namespace
}  // namespace berth
