#include "src/server/convert/mount_request.h"

#include <functional>

#include "src/server/convert/request_makers.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

using Edit = std::function<void(cri::Mount&)>;

absl::StatusOr<ParsedContainer> With(const Edit& edit, const PodConfig& pod = {}) {
  return ParseContainerWith([&](auto& c) { edit(AddMount(c)); }, pod);
}
BindMount MountWith(const Edit& edit, const PodConfig& pod = {}) {
  absl::StatusOr<ParsedContainer> container = With(edit, pod);
  EXPECT_TRUE(container.ok()) << container.status();
  return container.ok() ? container->config.mounts.at(0) : BindMount{};
}
void SetImage(cri::Mount& mount) {
  mount.clear_host_path();
  mount.set_readonly(true);
  mount.mutable_image()->set_image("i");
}
void SetMappings(cri::Mount& mount) {
  for (cri::IDMapping* mapping : {mount.add_uidmappings(), mount.add_gidmappings()}) {
    mapping->set_host_id(65536);
    mapping->set_length(65536);
  }
}

TEST(Mounts, AreTakenWithAllOfTheirProperties) {
  const BindMount plain = MountWith([](auto&) {});
  EXPECT_EQ(plain.host_path, "/h");
  EXPECT_EQ(plain.container_path, "/v");
  EXPECT_FALSE(plain.readonly || plain.recursive_readonly || plain.noexec || plain.nodev ||
               plain.nosuid || plain.idmapped || plain.selinux_relabel);
  EXPECT_EQ(plain.propagation, Propagation::kPrivate);
  const BindMount full = MountWith([](auto& m) {
    m.set_readonly(true);
    m.set_recursive_read_only(true);
    m.set_selinux_relabel(true);
    m.add_mount_options("noexec");
    m.add_mount_options("nodev");
    m.add_mount_options("nosuid");
  });
  EXPECT_TRUE(full.readonly && full.recursive_readonly && full.selinux_relabel);
  EXPECT_TRUE(full.noexec && full.nodev && full.nosuid);
  EXPECT_EQ(
      MountWith([](auto& m) { m.set_propagation(cri::PROPAGATION_HOST_TO_CONTAINER); }).propagation,
      Propagation::kSlave);
  EXPECT_EQ(
      MountWith([](auto& m) { m.set_propagation(cri::PROPAGATION_BIDIRECTIONAL); }).propagation,
      Propagation::kShared);
}

TEST(Mounts, RefusePathsThatAreNone) {
  for (const char* path : {"", "relative", "/a\nb", "/a\xc2\x9b"}) {
    ExpectRefused(With([&](auto& m) { m.set_host_path(path); }).status(), "host_path");
    ExpectRefused(With([&](auto& m) { m.set_container_path(path); }).status(), "container_path");
  }
  ExpectRefused(With([](auto& m) { m.set_container_path("/a/../proc"); }).status(),
                "container_path");
  ExpectRefused(
      With([](auto& m) { m.set_propagation(static_cast<cri::MountPropagation>(9)); }).status(),
      "mounts[/v].propagation");
}

TEST(Mounts, HaveOptionsOfAListOnly) {
  for (const char* option : {"", "exec", "NOEXEC", "noexec,dev", "rw", "bind"}) {
    ExpectRefused(With([&](auto& m) { m.add_mount_options(option); }).status(),
                  "mounts[/v].mount_options");
  }
}

TEST(Mounts, AreReadOnlyToTheBottomOnlyIfTheyAreReadOnlyAndPrivate) {
  ExpectRefused(With([](auto& m) { m.set_recursive_read_only(true); }).status(),
                "mounts[/v].recursive_read_only");
  for (const cri::MountPropagation propagation :
       {cri::PROPAGATION_BIDIRECTIONAL, cri::PROPAGATION_HOST_TO_CONTAINER}) {
    ExpectRefused(With([=](auto& m) {
                    m.set_readonly(true);
                    m.set_recursive_read_only(true);
                    m.set_propagation(propagation);
                  }).status(),
                  "mounts[/v].recursive_read_only");
  }
  PodConfig pod;
  pod.runtime_handler = "plain";
  const absl::Status unsupported = With(
                                       [](auto& m) {
                                         m.set_readonly(true);
                                         m.set_recursive_read_only(true);
                                       },
                                       pod)
                                       .status();
  ExpectRefused(unsupported, "RROUnsupported: mounts[/v].recursive_read_only");
  EXPECT_EQ(unsupported.message().find("RROUnsupported"), 0u);
}

TEST(Mounts, HaveTheMappingsOfThePodOrNone) {
  EXPECT_TRUE(MountWith(SetMappings, MakeUserNamespacePod()).idmapped);
  EXPECT_FALSE(MountWith([](auto&) {}, MakeUserNamespacePod()).idmapped);
  ExpectRefused(With(SetMappings).status(), "uidMappings and gidMappings");
  ExpectRefused(With(SetMappings, MakeUserNamespacePod(1000)).status(), "uidMappings");
  const Edit half[] = {[](auto& m) { m.clear_gidmappings(); },
                       [](auto& m) { m.clear_uidmappings(); },
                       [](auto& m) { m.mutable_uidmappings(0)->set_host_id(0); },
                       [](auto& m) { m.mutable_gidmappings(0)->set_container_id(1); },
                       [](auto& m) { *m.add_uidmappings() = m.uidmappings(0); }};
  for (const Edit& edit : half) {
    ExpectRefused(With(
                      [&](auto& m) {
                        SetMappings(m);
                        edit(m);
                      },
                      MakeUserNamespacePod())
                      .status(),
                  "uidMappings and gidMappings");
  }
}

TEST(ImageMounts, AreTaken) {
  const BindMount mount = MountWith([](auto& m) {
    SetImage(m);
    m.set_image_sub_path("a/b");
  });
  EXPECT_EQ(mount.image, "i");
  EXPECT_EQ(mount.image_sub_path, "a/b");
  EXPECT_EQ(mount.host_path, "");
  EXPECT_EQ(MountWith([](auto& m) { m.mutable_image(); }).host_path, "/h")
      << "an image without a name is none";
}

TEST(ImageMounts, AreRefusedAsTheKubeletCountsIt) {
  const Edit edits[] = {[](auto& m) { m.set_host_path("/h"); },
                        [](auto& m) { m.set_readonly(false); },
                        [](auto& m) { m.set_propagation(cri::PROPAGATION_BIDIRECTIONAL); },
                        [](auto& m) { m.set_image_sub_path("/absolute"); },
                        [](auto& m) { m.set_image_sub_path("a/../../b"); },
                        [](auto& m) { m.set_image_sub_path(".."); },
                        [](auto& m) { m.set_image_sub_path("a\nb"); },
                        [](auto& m) { m.mutable_image()->set_image("a\nb"); }};
  for (const Edit& edit : edits) {
    const absl::Status status = With([&](auto& m) {
                                  SetImage(m);
                                  edit(m);
                                }).status();
    ExpectRefused(status, "ImageVolumeMountFailed");
    EXPECT_EQ(status.message().find("ImageVolumeMountFailed"), 0u) << status;
  }
  ExpectRefused(With([](auto& m) { m.set_image_sub_path("p"); }).status(),
                "mounts[/v].image_sub_path");
}

}  // namespace
}  // namespace berth
