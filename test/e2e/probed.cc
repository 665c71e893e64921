#include "test/e2e/probed.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

namespace fs = std::filesystem;

std::string Text(const Json& report, const char* key) {
  const auto found = report.find(key);
  return found != report.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::vector<MountLine> ParseMountinfo(const std::string& mountinfo) {
  std::vector<MountLine> mounts;
  for (const absl::string_view line : absl::StrSplit(mountinfo, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> sides = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<std::string> left = absl::StrSplit(sides[0], ' ');
    if (sides.size() != 2 || left.size() < 6) {
      ADD_FAILURE() << "mountinfo line: " << std::string(line);
      continue;
    }
    const std::vector<std::string> right = absl::StrSplit(sides[1], absl::MaxSplits(' ', 2));
    mounts.push_back({.root = left[3],
                      .target = left[4],
                      .options = left[5],
                      .fields = absl::StrJoin(left.begin() + 6, left.end(), " "),
                      .type = right[0],
                      .source = right.size() > 1 ? right[1] : "",
                      .super_options = right.size() > 2 ? right[2] : ""});
  }
  return mounts;
}

MountLine MountAt(const Json& report, const std::string& target) {
  MountLine found;
  for (const MountLine& mount : ParseMountinfo(Text(report, "mountinfo"))) {
    if (mount.target == target) found = mount;
  }
  return found;
}

std::map<std::string, std::string> Environment(const Json& report) {
  std::map<std::string, std::string> env;
  if (!report.contains("env")) return env;
  for (const std::string word : report["env"]) {
    const auto equals = word.find('=');
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    EXPECT_TRUE(env.emplace(word.substr(0, equals), value).second) << "twice: " << word;
  }
  return env;
}

std::pair<std::string, std::string> LimitOf(const Json& report, const std::string& name) {
  for (const absl::string_view line : absl::StrSplit(Text(report, "limits"), '\n')) {
    if (!absl::StartsWith(line, name + " ")) continue;
    const std::vector<std::string> words =
        absl::StrSplit(line.substr(name.size()), ' ', absl::SkipEmpty());
    if (words.size() >= 2) return {words[0], words[1]};
  }
  return {"no limit " + name, ""};
}

Json ProbedTest::Report(cri::ContainerConfig config) {
  NamespaceOptions(config)->set_pid(cri::CONTAINER);
  return Report(MakeKubeletPodConfig(Name()), std::move(config));
}

Json ProbedTest::Report(const cri::PodSandboxConfig& pod_config, cri::ContainerConfig config) {
  config.set_log_path(absl::StrCat("c/", containers_++, ".log"));
  auto pod = Pod::Run(client(), pod_config);
  EXPECT_OK(pod);
  if (!pod.ok()) return Json::object();
  auto report = pod->RunForJson(config);
  EXPECT_OK(report);
  return report.ok() ? *report : Json::object();
}

absl::Status ProbedTest::Refusal(cri::ContainerConfig config) {
  NamespaceOptions(config)->set_pid(cri::CONTAINER);
  return Refusal(MakeKubeletPodConfig(Name()), config);
}

absl::Status ProbedTest::Refusal(const cri::PodSandboxConfig& pod_config,
                                 const cri::ContainerConfig& config) {
  auto pod = Pod::Run(client(), pod_config);
  EXPECT_OK(pod) << "the container is to be refused, not its pod";
  if (!pod.ok()) return absl::OkStatus();
  const auto id = pod->Create(config);
  if (!id.ok()) return id.status();
  return client().Start(*id);
}

std::string ProbedTest::ReadInside(const std::string& container, const std::string& path) {
  const auto exec = client().Exec(container, {"/probe", "read", path});
  if (!exec.ok()) return std::string(exec.status().message());
  return exec->exit_code() == 0 ? exec->stdout() : exec->stderr();
}

int ProbedTest::ExecCode(const std::string& container, const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"/probe"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const auto exec = client().Exec(container, command);
  EXPECT_OK(exec);
  return exec.ok() ? exec->exit_code() : -1;
}

std::string ProbedTest::OwnNamespace(const std::string& kind) {
  char target[64] = {};
  EXPECT_GT(readlink(("/proc/self/ns/" + kind).c_str(), target, sizeof target - 1), 0);
  return target;
}

std::string ProbedTest::OwnStatus(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, key + ":"))
      return std::string(absl::StripAsciiWhitespace(line.substr(key.size() + 1)));
  }
  return "";
}

bool ProbedTest::OnV2() { return fs::exists("/sys/fs/cgroup/cgroup.controllers"); }

std::string ProbedTest::CgroupFile(const std::string& id, const std::string& controller,
                                   const std::string& file) {
  const fs::path root =
      OnV2() ? fs::path("/sys/fs/cgroup") : fs::path("/sys/fs/cgroup") / controller;
  std::error_code error;
  for (fs::recursive_directory_iterator it(root / NodeName(), error), end; !error && it != end;
       it.increment(error)) {
    if (!absl::StrContains(it->path().filename().string(), id) || !it->is_directory()) continue;
    if (!fs::exists(it->path() / file, error)) return absl::StrCat("no ", file);
    return std::string(absl::StripAsciiWhitespace(ContentOf(it->path() / file)));
  }
  return absl::StrCat("no cgroup of ", id, " below ", root.string());
}

cri::Mount* AddMount(cri::ContainerConfig& config, const std::string& container_path,
                     const std::string& host_path) {
  cri::Mount* mount = config.add_mounts();
  mount->set_container_path(container_path);
  mount->set_host_path(host_path);
  return mount;
}

cri::Device* AddDevice(cri::ContainerConfig& config, const std::string& path,
                       const std::string& permissions) {
  cri::Device* device = config.add_devices();
  device->set_host_path(path);
  device->set_container_path(path);
  device->set_permissions(permissions);
  return device;
}

}  // namespace berth::e2e
