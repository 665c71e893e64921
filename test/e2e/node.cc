#include "test/e2e/node.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/sandbox/ready_directories.h"
#include "test/e2e/eventually.h"
#include "test/e2e/handlers.h"
#include "test/e2e/isolation.h"
#include "test/e2e/monitor_process.h"
#include "test/e2e/pod.h"

namespace berth::e2e {
namespace {

constexpr int kReadyNetworks = 3;  // as daemon.cc configures it
constexpr int kReadyDirectories = 2 * ReadyDirectories::kReady;
constexpr size_t kReadyMonitors = 4;

// With cgroup2 they are born where they belong, and none waits.
size_t WantedMonitors() {
  return std::filesystem::exists("/sys/fs/cgroup/cgroup.controllers") ? 0 : kReadyMonitors;
}

std::unique_ptr<Node>& SharedSlot() {
  static auto* slot = new std::unique_ptr<Node>;
  return *slot;
}

}  // namespace

absl::StatusOr<Node*> Node::Shared() {
  static absl::Status* started = nullptr;
  if (started == nullptr) {
    started = new absl::Status(
        absl::UnavailableError("the node is starting"));  // what WarmUp's own calls get
    SharedSlot().reset(new Node);
    *started = SharedSlot()->Start();
  }
  if (!started->ok()) return *started;
  return SharedSlot().get();
}

absl::Status Node::StopShared() {
  std::unique_ptr<Node> node = std::move(SharedSlot());
  if (node == nullptr || !node->daemon_.has_value()) return absl::OkStatus();
  return node->daemon_->Terminate();
}

Daemon::Options Node::OptionsFor(const std::string& name, int number) {
  return {.dir = absl::StrCat(NodeDir(), "/", name),
          .cgroup_root = absl::StrCat("/", NodeName(), "/", name),
          .bridge = absl::StrCat("berth", number),
          .ipv4_subnet = absl::StrCat("10.201.", number, ".0/24"),
          .ipv6_subnet = absl::StrCat("fd20:", number, "::/64"),
          .more_config = HandlerConfig()};
}

OracleScope Node::oracle_scope() const {
  return {.data_dir = daemon_->options().dir, .cgroup_name = NodeName(), .daemon = daemon_->pid()};
}

void Node::Reconnect() { client_ = std::make_unique<Client>(daemon_->socket()); }

absl::Status Node::Start() {
  ASSIGN_OR_RETURN(registry_, StubRegistry::Start());
  probe_image_ = registry_->Add("probe", "latest", Build(ProbeRecipe()));
  ASSIGN_OR_RETURN(daemon_, Daemon::Start(OptionsFor("berth", 1)));
  Reconnect();
  ASSIGN_OR_RETURN(probe_id_, client_->Pull(probe_image_));
  return Settle();
}

bool Node::IsSettled() const {
  const absl::StatusOr<Snapshot> snapshot = TakeSnapshot(oracle_scope());
  if (!snapshot.ok()) return false;
  const auto links = snapshot->find("link bth*");
  const auto directories = snapshot->find("file data/ready/*");
  return links != snapshot->end() && links->second == kReadyNetworks &&
         ReadyMonitors(daemon_->pid()).size() == WantedMonitors() &&
         directories != snapshot->end() && directories->second == kReadyDirectories &&
         std::none_of(snapshot->begin(), snapshot->end(), [](const auto& entry) {
           return absl::StartsWith(entry.first, "row addresses") ||
                  absl::StrContains(entry.first, "/trash/");
         });
}

absl::Status Node::Settle() {
  if (IsSettled()) return absl::OkStatus();
  RETURN_IF_ERROR(RunOnePod());
  if (!Eventually(absl::Seconds(20), [&] { return IsSettled(); })) {
    return absl::DeadlineExceededError(
        "a pod's address or files are never given back, or nothing is made for the next");
  }
  return absl::OkStatus();
}

// With a container and an exec.
absl::Status Node::RunOnePod() {
  ASSIGN_OR_RETURN(Pod pod, Pod::Run(*client_, MakePodConfig("warm-up")));
  cri::ContainerConfig config = MakeProbe("first", {"sleep"});
  config.mutable_image()->set_image(probe_image_);
  ASSIGN_OR_RETURN(const std::string id, pod.RunContainer(config));
  return client_->Exec(id, {"/probe", "exit", "0"}).status();
}

}  // namespace berth::e2e
