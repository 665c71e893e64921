#include "test/e2e/cni_fixture.h"

#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kCniPatience = absl::Seconds(60);
constexpr char kBootId[] = "/proc/sys/kernel/random/boot_id";

std::vector<std::string> NamesIn(const std::string& path) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path, ignored))
    names.push_back(entry.path().filename());
  return names;
}

void Write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path + ".new") << text;
  fs::rename(path + ".new", path);
}

// Kills what is in the cgroup and below, in all hierarchies; whether there was something.
bool KillCgroup(const std::string& cgroup) {
  std::vector<std::string> roots = {"/sys/fs/cgroup" + cgroup};
  for (const std::string& name : NamesIn("/sys/fs/cgroup"))
    roots.push_back(absl::StrCat("/sys/fs/cgroup/", name, cgroup));
  bool any = false;
  std::error_code ignored;
  for (const std::string& root : roots) {
    if (!fs::is_directory(root, ignored)) continue;
    std::vector<fs::path> directories = {root};
    for (fs::recursive_directory_iterator it(root, ignored), end; !ignored && it != end;
         it.increment(ignored)) {
      if (it->is_directory(ignored)) directories.push_back(it->path());
    }
    for (const fs::path& directory : directories) {
      for (const auto& line : absl::StrSplit(ContentOf(directory / "cgroup.procs"), '\n')) {
        int pid = 0;
        if (absl::SimpleAtoi(line, &pid) && pid > 0) any |= ::kill(pid, SIGKILL) == 0;
      }
    }
  }
  return any;
}

}  // namespace

void CniFixture::SetUp() {
  E2eTest::SetUp();
  if (HasFatalFailure()) return;
  if (access("/usr/lib/cni/bridge", X_OK) != 0 || access("/usr/bin/python3", X_OK) != 0)
    GTEST_SKIP() << "needs containernetworking-plugins and python3";
  fs::create_directories(directory() + "/plugins/state/leases");
  fs::copy_file(BERTH_SOURCE_DIR "/src/sandbox/network/testing/recording_plugin.py",
                directory() + "/plugins/recording", fs::copy_options::overwrite_existing);
}

void CniFixture::TearDown() {
  if (own_.has_value()) {
    Misbehave("");
    if (const auto pods = cni().ListPods(); pods.ok()) {
      for (const auto& pod : *pods) EXPECT_OK(cni().RemovePod(pod.id()));
    }
    EXPECT_TRUE(Eventually(kCniPatience, [&] { return Leases().empty() && Pins().empty(); }))
        << Described();
  }
  own_.reset();
  if (boots_ > 0) ::umount2(kBootId, MNT_DETACH);
  Shell(absl::StrCat("umount ", directory(), "/netns; rm -rf ", directory(), "; ip link del ",
                     kBridge,
                     "; ip link del cnihost0; for t in ip ip6; do nft delete table $t nat; "
                     "nft delete table $t filter; done"));
  E2eTest::TearDown();
}

void CniFixture::StartNode(const std::string& more) {
  auto own = OwnNode::Start(
      "cni", absl::StrCat("[cni]\nnetns_dir = \"", directory(), "/netns\"\nbin_dirs = \"",
                          directory(), "/plugins:", kDebianPlugins, "\"\n", more));
  ASSERT_OK(own);
  own_.emplace(*std::move(own));
}

void CniFixture::KillAndStartAgain() {
  ASSERT_OK(daemon().Kill());
  ASSERT_OK(daemon().StartAgain());
  own_->Reconnect();
}

void CniFixture::Reboot() {
  ASSERT_OK(daemon().Kill());
  for (const std::string& cgroup :
       {daemon().options().cgroup_root, daemon().options().cgroup_root + "-cni"}) {
    ASSERT_TRUE(Eventually(kCniPatience, [&] { return !KillCgroup(cgroup); }));
  }
  for (const std::string& name : Pins())
    ::umount2((directory() + "/netns/" + name).c_str(), MNT_DETACH);
  Shell(absl::StrCat("umount ", directory(), "/netns; rm -rf ", directory(), "/netns ",
                     daemon().options().dir, "/state; ip link del ", kBridge));
  const std::string id = directory() + "/boot_id";
  std::ofstream(id) << absl::StrFormat("00000000-0000-4000-8000-%012d\n", ++boots_);
  if (boots_ == 1) {
    ASSERT_EQ(::mount(id.c_str(), kBootId, nullptr, MS_BIND, nullptr), 0);
  }
  ASSERT_OK(daemon().StartAgain());
  own_->Reconnect();
}

void CniFixture::WriteNetwork(const Json& plugins, const std::string& version) {
  Write(ConfigPath(), Json{{"name", "test"}, {"cniVersion", version}, {"plugins", plugins}}.dump());
}

void CniFixture::RemoveNetwork() { fs::remove(ConfigPath()); }

cri::RuntimeCondition CniFixture::NetworkCondition() {
  const auto status = cni().Call(&Runtime::Status, cri::StatusRequest());
  EXPECT_OK(status);
  if (!status.ok()) return {};
  for (const auto& condition : status->status().conditions())
    if (condition.type() == "NetworkReady") return condition;
  ADD_FAILURE() << "Status has no condition NetworkReady";
  return {};
}

bool CniFixture::WaitUntilReady() {
  return Eventually(kCniPatience,
                    [&] { return Described().contains("network") && NetworkCondition().status(); });
}

Json CniFixture::Described() {
  cri::StatusRequest request;
  request.set_verbose(true);
  const auto status = cni().Call(&Runtime::Status, request);
  EXPECT_OK(status);
  return status.ok() ? Json::parse(status->info().at("cni")) : Json();
}

Json CniFixture::Ipam(const std::vector<std::string>& subnets) const {
  Json ranges = Json::array(), routes = Json::array();
  for (const std::string& subnet : subnets) {
    ranges.push_back(Json::array({Json{{"subnet", subnet}}}));
    routes.push_back({{"dst", absl::StrContains(subnet, ':') ? "::/0" : "0.0.0.0/0"}});
  }
  return {{"type", "host-local"},
          {"dataDir", directory() + "/leases"},
          {"ranges", ranges},
          {"routes", routes}};
}

Json CniFixture::Bridge(const std::vector<std::string>& subnets) const {
  return {{"type", "bridge"}, {"bridge", kBridge},   {"isGateway", true},
          {"ipMasq", true},   {"hairpinMode", true}, {"ipam", Ipam(subnets)}};
}

Json CniFixture::Portmap() {
  return {{"type", "portmap"}, {"snat", true}, {"capabilities", {{"portMappings", true}}}};
}

Json CniFixture::Limits() {
  return {{"type", "bandwidth"}, {"capabilities", {{"bandwidth", true}}}};
}

bool CniFixture::HasLimits() {
  return Succeeds(
      "ip link add t0 type ifb && tc qdisc add dev t0 root tbf rate 1mbit burst 32k latency 400ms; "
      "r=$?; ip link del t0; exit $r");
}

Json CniFixture::Recording() { return {{"type", "recording"}}; }

std::vector<std::string> CniFixture::Leases() const {
  std::vector<std::string> leases = NamesIn(directory() + "/plugins/state/leases");
  for (const std::string& name : NamesIn(directory() + "/leases/test")) {
    if (!absl::StartsWith(name, "last_reserved_ip") && name != "lock") leases.push_back(name);
  }
  return leases;
}

void CniFixture::Misbehave(const std::string& modes) const {
  Write(directory() + "/plugins/state/modes", modes);
}

std::vector<Json> CniFixture::Calls() const {
  std::vector<Json> calls;
  std::ifstream file(directory() + "/plugins/state/calls");
  for (std::string line; std::getline(file, line);) calls.push_back(Json::parse(line));
  return calls;
}

std::vector<std::string> CniFixture::Pins() const { return NamesIn(directory() + "/netns"); }

absl::StatusOr<Pod> CniFixture::Serve(const cri::PodSandboxConfig& config) {
  auto pod = Pod::Run(cni(), config);
  if (!pod.ok()) return pod;
  if (const auto id = pod->RunContainer(MakeProbe("c", {"serve", "8080"})); !id.ok())
    return id.status();
  const bool ready = Eventually(kCniPatience, [&] {
    const auto log = ReadLog(pod->LogPath("c"));
    return log.ok() && Joined(*log, "stdout") == "ready\n";
  });
  if (!ready) return absl::DeadlineExceededError("the server does not get ready");
  return pod;
}

std::vector<std::string> CniFixture::Addresses(const Pod& pod) {
  const auto status = cni().PodStatus(pod.id());
  EXPECT_OK(status);
  if (!status.ok()) return {};
  std::vector<std::string> addresses = {status->network().ip()};
  for (const auto& more : status->network().additional_ips()) addresses.push_back(more.ip());
  return addresses;
}

std::string CniFixture::Ask(const std::string& address, const std::string& port) {
  const std::string out = NodeDir() + "/answer-" + Name();
  unlink(out.c_str());
  auto process =
      Subprocess::Start({.argv = {BERTH_E2E_PROBE, "connect", address, port}, .output_path = out});
  EXPECT_OK(process);
  return process->Wait(kCniPatience).value_or(-1) == 0 ? process->Output() : "";
}

std::string CniFixture::Shell(const std::string& command) {
  const std::string out = NodeDir() + "/shell";
  unlink(out.c_str());
  auto shell = Subprocess::Start(
      {.argv = {"/bin/sh", "-c", "PATH=/usr/sbin:/usr/bin:/sbin:/bin; " + command},
       .output_path = out});
  EXPECT_OK(shell);
  EXPECT_TRUE(shell->Wait(kCniPatience).has_value()) << command;
  return shell->Output();
}

bool CniFixture::Succeeds(const std::string& command) {
  return absl::EndsWith(Shell("(" + command + ") >/dev/null 2>&1 && echo yes"), "yes\n");
}

}  // namespace berth::e2e
