#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/node_checks.h"

namespace berth::cli {
namespace {

struct Checked {
  std::string name;
  Finding finding;
};

Cell Mark(Health health) {
  switch (health) {
    case Health::kGood:
      return {"OK", Tone::kGood};
    case Health::kWarning:
      return {"WARN", Tone::kBad};
    case Health::kBad:
      return {"BAD", Tone::kBad};
    case Health::kUnknown:
      return {"?", Tone::kFaint};
  }
  return {"?", Tone::kFaint};
}

// Where berthd's configuration says things are: elsewhere than usual, perhaps.
void TakeConfiguration(const cri::StatusResponse& status, NodeFacts* facts) {
  const auto info = status.info().find("config");
  if (info == status.info().end()) return;
  const auto config = nlohmann::json::parse(info->second, nullptr, /*allow_exceptions=*/false);
  const auto text = [&](const char* key) {
    return config.is_object() && config.contains(key) && config[key].is_string()
               ? config[key].get<std::string>()
               : "";
  };
  facts->network_mode = text("networkMode");
  if (!text("cniConfDir").empty()) facts->cni_conf_dir = text("cniConfDir");
  if (!text("cniBinDirs").empty())
    facts->cni_bin_dirs = absl::StrSplit(text("cniBinDirs"), ':', absl::SkipEmpty());
  if (!text("certsDirs").empty())
    facts->certs_dirs = absl::StrSplit(text("certsDirs"), ':', absl::SkipEmpty());
}

// What berthd tells of itself, and what it says the node is like.
std::vector<Checked> AskDaemon(const std::string& socket, NodeFacts* facts) {
  absl::StatusOr<Client> client = Client::Connect(socket);
  if (!client.ok()) {
    return {{"berthd",
             {Health::kBad, std::string(client.status().message()), "systemctl start berthd"}}};
  }
  std::vector<Checked> checked;
  const auto version = client->Version();
  if (!version.ok()) {
    return {{"berthd",
             {Health::kBad, std::string(version.status().message()), "systemctl status berthd"}}};
  }
  checked.push_back({"berthd",
                     {Health::kGood,
                      absl::StrCat(version->runtime_name(), " ", version->runtime_version()), ""}});
  cri::StatusRequest verbose;
  verbose.set_verbose(true);
  if (const auto status = client->Status(verbose); status.ok()) {
    TakeConfiguration(*status, facts);
    for (const cri::RuntimeCondition& condition : status->status().conditions()) {
      checked.push_back(
          {condition.type(),
           condition.status()
               ? Finding{Health::kGood, "yes", ""}
               : Finding{Health::kBad, absl::StrCat(condition.reason(), " ", condition.message()),
                         "the kubelet keeps this node NotReady until this is true"}});
    }
  }
  if (const auto config = client->RuntimeConfig(); config.ok()) {
    facts->cgroup_driver = config->linux().cgroup_driver() == cri::SYSTEMD ? "systemd" : "cgroupfs";
  }
  if (const auto disk = client->ImageFsInfo(); disk.ok() && disk->image_filesystems_size() > 0)
    facts->data_dir = disk->image_filesystems(0).fs_id().mountpoint();
  if (const auto operations = client->ListOperations(""); operations.ok()) {
    const auto failed = std::count_if(
        operations->operations().begin(), operations->operations().end(), [](const auto& each) {
          return !each.running() && each.code() != "OK" &&
                 absl::Now() - absl::FromUnixNanos(each.started_at()) < absl::Hours(1);
        });
    checked.push_back(
        {"last hour", failed == 0
                          ? Finding{Health::kGood, "no operation failed", ""}
                          : Finding{Health::kWarning, absl::StrCat(failed, " operations failed"),
                                    "berth events --filter type=failed; berth "
                                    "why OBJECT"}});
  }
  return checked;
}

// Exit code 1: something is bad.
class DoctorCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("--root", root_, "look at the node whose root directory this is")
        ->type_name("DIR");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    NodeFacts facts{.root = root_, .socket = invocation.socket};
    std::vector<Checked> checked;
    if (root_.empty()) checked = AskDaemon(invocation.socket, &facts);
    for (const NodeCheck& check : NodeChecks()) checked.push_back({check.name, check.look(facts)});
    Table table({"", "CHECK", "FOUND", "WHAT TO DO"});
    bool bad = false;
    for (const Checked& line : checked) {
      bad |= line.finding.health == Health::kBad;
      table.AddRow({Mark(line.finding.health), line.name, line.finding.found,
                    line.finding.advice.empty() ? "-" : line.finding.advice});
    }
    PrintTable(table, invocation.output);
    return bad ? 1 : 0;
  }

 private:
  std::string root_;
};

}  // namespace

std::unique_ptr<Command> MakeDoctor() { return std::make_unique<DoctorCommand>(); }

}  // namespace berth::cli
