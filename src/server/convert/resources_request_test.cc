#include "src/server/convert/resources_request.h"

#include <functional>
#include <string>

#include "src/server/convert/request_makers.h"

namespace berth {
namespace {

namespace cri = runtime::v1;

using Edit = std::function<void(cri::LinuxContainerResources&)>;

absl::Status With(const Edit& edit) {
  return ParseContainerWith([&](auto& c) { edit(*c.mutable_linux()->mutable_resources()); })
      .status();
}

cri::LinuxContainerResources AllResources() {
  cri::LinuxContainerResources resources;
  resources.set_cpu_period(100000);
  resources.set_cpu_quota(-1);
  resources.set_cpu_shares(1024);
  resources.set_memory_limit_in_bytes(1 << 20);
  resources.set_memory_swap_limit_in_bytes(2 << 20);
  resources.set_cpuset_cpus("0-3,8");
  resources.set_cpuset_mems("0");
  resources.add_hugepage_limits()->set_page_size("2MB");
  (*resources.mutable_unified())["memory.high"] = "max";
  return resources;
}

TEST(Resources, AreTaken) {
  const CgroupLimits limits = ParseResources(AllResources());
  EXPECT_EQ(limits.cpu_period_us, 100000);
  EXPECT_EQ(limits.cpu_quota_us, -1);
  EXPECT_EQ(limits.cpu_shares, 1024);
  EXPECT_EQ(limits.memory_bytes, 1 << 20);
  EXPECT_EQ(limits.memory_swap_bytes, 2 << 20);
  EXPECT_EQ(limits.cpuset_cpus, "0-3,8");
  EXPECT_EQ(limits.cpuset_mems, "0");
  EXPECT_EQ(limits.hugepages.at("2MB"), 0u) << "none at all is a limit, too";
  EXPECT_EQ(limits.unified.at("memory.high"), "max");
  EXPECT_EQ(limits.pids, std::nullopt);
  EXPECT_TRUE(CheckResources(AllResources()).ok());
}

TEST(Resources, ThatAreZeroAreNotGiven) {
  const CgroupLimits limits = ParseResources({});
  EXPECT_EQ(limits.memory_bytes, std::nullopt);
  EXPECT_EQ(limits.memory_swap_bytes, std::nullopt);
  EXPECT_EQ(limits.cpu_shares, std::nullopt);
  EXPECT_EQ(limits.cpu_quota_us, std::nullopt);
  EXPECT_EQ(limits.cpu_period_us, std::nullopt);
  EXPECT_TRUE(limits.hugepages.empty());
}

TEST(Resources, HaveSharesThatTheKernelTakes) {
  cri::LinuxContainerResources resources;
  resources.set_cpu_shares(1);
  EXPECT_EQ(ParseResources(resources).cpu_shares, 2);
  resources.set_cpu_shares(int64_t{1} << 40);
  EXPECT_EQ(ParseResources(resources).cpu_shares, 262144);
}

TEST(Resources, ComeBackAsAMessage) {
  cri::LinuxContainerResources again;
  FillResources(ParseResources(AllResources()), &again);
  EXPECT_EQ(again.SerializeAsString(), AllResources().SerializeAsString());
}

TEST(Resources, AreRefusedOutOfRange) {
  const std::pair<const char*, Edit> cases[] = {
      {"memory_limit_in_bytes", [](auto& r) { r.set_memory_limit_in_bytes(-1); }},
      {"memory_swap_limit_in_bytes", [](auto& r) { r.set_memory_swap_limit_in_bytes(-2); }},
      {"memory_swap_limit_in_bytes",
       [](auto& r) {
         r.set_memory_limit_in_bytes(100);
         r.set_memory_swap_limit_in_bytes(99);
       }},
      {"oom_score_adj", [](auto& r) { r.set_oom_score_adj(1001); }},
      {"oom_score_adj", [](auto& r) { r.set_oom_score_adj(-1001); }},
      {"cpu_shares", [](auto& r) { r.set_cpu_shares(-1); }},
      {"cpu_period", [](auto& r) { r.set_cpu_period(999); }},
      {"cpu_period", [](auto& r) { r.set_cpu_period(1000001); }},
      {"cpu_period", [](auto& r) { r.set_cpu_period(-1); }},
      {"cpu_quota", [](auto& r) { r.set_cpu_quota(999); }},
      {"cpu_quota", [](auto& r) { r.set_cpu_quota(-2); }},
      {"cpuset_cpus", [](auto& r) { r.set_cpuset_cpus("0;1"); }},
      {"cpuset_cpus", [](auto& r) { r.set_cpuset_cpus("0\n1"); }},
      {"cpuset_mems", [](auto& r) { r.set_cpuset_mems("all"); }},
  };
  for (const auto& [field, edit] : cases) ExpectRefused(With(edit), field);
  EXPECT_TRUE(With([](auto& r) { r.set_oom_score_adj(-1000); }).ok());
  EXPECT_TRUE(With([](auto& r) { r.set_memory_swap_limit_in_bytes(-1); }).ok());
}

TEST(Resources, AreRefusedWithNamesThatLeadElsewhere) {
  for (const char* size : {"", "2", "MB", "2mb", "2MiB", "../2MB", "2MB/x", "99999999MB"}) {
    ExpectRefused(With([&](auto& r) { r.add_hugepage_limits()->set_page_size(size); }),
                  "hugepage_limits");
  }
  for (const char* size : {"2MB", "1GB", "64KB"})
    EXPECT_TRUE(With([&](auto& r) { r.add_hugepage_limits()->set_page_size(size); }).ok()) << size;
  for (const char* file :
       {"", "/memory.high", "../memory.high", "a/b.c", "memory..high", "tasks", "memory.\nhigh"}) {
    ExpectRefused(With([&](auto& r) { (*r.mutable_unified())[file] = "1"; }), "resources.unified");
  }
  ExpectRefused(With([](auto& r) { (*r.mutable_unified())["a.b"] = std::string("1\0", 2); }),
                "resources.unified[a.b]");
  ExpectRefused(With([](auto& r) { (*r.mutable_unified())["a.b"] = std::string(5000, '1'); }),
                "resources.unified[a.b]");
}

}  // namespace
}  // namespace berth
