#include "src/server/convert/device_request.h"

#include <functional>

#include "src/server/convert/request_makers.h"

namespace berth {
namespace {

namespace cri = runtime::v1;
using ::testing::ElementsAre;

cri::Device& AddDevice(cri::ContainerConfig& config) {
  cri::Device& device = *config.add_devices();
  device.set_host_path("/dev/fuse");
  device.set_container_path("/dev/x");
  device.set_permissions("rwm");
  return device;
}

TEST(Devices, AreTakenInOrder) {
  const absl::StatusOr<ParsedContainer> container = ParseContainerWith([](auto& c) {
    AddDevice(c);
    AddDevice(c).set_permissions("r");
  });
  ASSERT_TRUE(container.ok()) << container.status();
  const std::vector<DeviceRequest>& devices = container->config.devices;
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].host_path, "/dev/fuse");
  EXPECT_EQ(devices[0].container_path, "/dev/x");
  EXPECT_EQ(devices[0].access, "rwm");
  EXPECT_EQ(devices[1].access, "r");
}

TEST(Devices, AreRefusedWithPathsOrPermissionsThatAreNone) {
  const auto with = [](const std::function<void(cri::Device&)>& edit) {
    return ParseContainerWith([&](auto& c) { edit(AddDevice(c)); }).status();
  };
  for (const char* path : {"", "dev/x", "/dev/\n"}) {
    ExpectRefused(with([&](auto& d) { d.set_host_path(path); }), "host_path");
    ExpectRefused(with([&](auto& d) { d.set_container_path(path); }), "container_path");
  }
  ExpectRefused(with([](auto& d) { d.set_container_path("/dev/../etc/x"); }), "container_path");
  for (const char* permissions : {"x", "rwx", "rw m", "a", "RW"}) {
    ExpectRefused(with([&](auto& d) { d.set_permissions(permissions); }),
                  "devices[/dev/x].permissions");
  }
}

TEST(CdiDevices, AreThoseOfTheFieldAndOfTheAnnotationsEachOnce) {
  const absl::StatusOr<ParsedContainer> container = ParseContainerWith([](auto& c) {
    c.add_cdi_devices()->set_name("vendor.com/gpu=1");
    c.add_cdi_devices()->set_name("vendor.com/gpu=0");
    (*c.mutable_annotations())["cdi.k8s.io/b"] = "vendor.com/nic=a:1,vendor.com/gpu=1";
    (*c.mutable_annotations())["cdi.k8s.io/a"] = "vendor.com/nic=z";
    (*c.mutable_annotations())["other"] = "not=a device";
  });
  ASSERT_TRUE(container.ok()) << container.status();
  EXPECT_THAT(container->config.cdi_devices, ElementsAre("vendor.com/gpu=1", "vendor.com/gpu=0",
                                                         "vendor.com/nic=z", "vendor.com/nic=a:1"));
}

TEST(CdiDevices, AreRefusedWithoutAQualifiedName) {
  for (const char* name :
       {"", "gpu", "vendor/gpu", "vendor=1", "/gpu=1", "vendor/=1", "vendor/gpu=", "vendor/gpu=a b",
        "v/c=-x", "v/c=x-", "v/c/d=1", "v/c=../x", "v/c=1\n"}) {
    ExpectRefused(
        ParseContainerWith([&](auto& c) { c.add_cdi_devices()->set_name(name); }).status(),
        "CDI_devices");
    ExpectRefused(ParseContainerWith([&](auto& c) {
                    (*c.mutable_annotations())["cdi.k8s.io/x"] = name;
                  }).status(),
                  "annotations[cdi.k8s.io/x]");
  }
}

}  // namespace
}  // namespace berth
