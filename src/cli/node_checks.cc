#include "src/cli/node_checks.h"

#include <grp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/cli/cni_check.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

Finding Good(std::string found) { return {Health::kGood, std::move(found), ""}; }
Finding Warning(std::string found, std::string advice) {
  return {Health::kWarning, std::move(found), std::move(advice)};
}
Finding Bad(std::string found, std::string advice) {
  return {Health::kBad, std::move(found), std::move(advice)};
}
Finding Unknown(std::string found) { return {Health::kUnknown, std::move(found), ""}; }

std::optional<std::string> Read(const NodeFacts& facts, const std::string& path) {
  std::ifstream file(facts.root + path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

bool Exists(const NodeFacts& facts, const std::string& path) {
  std::error_code error;
  return fs::exists(facts.root + path, error);
}

std::optional<int64_t> Number(const NodeFacts& facts, const std::string& path) {
  const std::optional<std::string> text = Read(facts, path);
  int64_t number = 0;
  return text && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &number)
             ? std::optional(number)
             : std::nullopt;
}

std::set<std::string> Words(const std::string& text) {
  return absl::StrSplit(text, absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
}

// The value of "key: value" in a YAML file whose key stands at the margin.
std::optional<std::string> YamlValue(const std::string& text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, absl::StrCat(key, ":"))) continue;
    line = absl::StripAsciiWhitespace(line);
    if (line.size() >= 2 && (line.front() == '"' || line.front() == '\'') &&
        line.back() == line.front())
      line = line.substr(1, line.size() - 2);
    return std::string(line);
  }
  return std::nullopt;
}

Finding Kernel(const NodeFacts& facts) {
  const std::string release(
      absl::StripAsciiWhitespace(Read(facts, "/proc/sys/kernel/osrelease").value_or("")));
  int major = 0, minor = 0;
  if (std::sscanf(release.c_str(), "%d.%d", &major, &minor) != 2) return Unknown("no release");
  if (std::pair(major, minor) < std::pair(5, 15))
    return Bad(release, "Berth needs Linux 5.15 or newer");
  if (std::pair(major, minor) < std::pair(5, 19))
    return Warning(release, "user namespaces for pods need Linux 5.19: their layers are id-mapped");
  return Good(release);
}

Finding KernelFeatures(const NodeFacts& facts) {
  std::vector<std::string> missing;
  const std::set<std::string> file_systems = Words(Read(facts, "/proc/filesystems").value_or(""));
  for (const char* name : {"overlay", "proc", "tmpfs", "devpts", "mqueue"}) {
    if (!file_systems.contains(name)) missing.push_back(name);
  }
  for (const char* name : {"net", "ipc", "pid", "uts", "mnt", "cgroup"}) {
    if (!Exists(facts, absl::StrCat("/proc/self/ns/", name)))
      missing.push_back(absl::StrCat(name, " namespaces"));
  }
  if (!Exists(facts, "/proc/sys/kernel/seccomp/actions_avail")) missing.push_back("seccomp");
  if (!missing.empty()) {
    return Bad(absl::StrCat("missing: ", absl::StrJoin(missing, ", ")),
               "load the modules (modprobe overlay), or boot a kernel that has them");
  }
  if (Number(facts, "/proc/sys/user/max_user_namespaces").value_or(0) == 0) {
    return Warning("no user namespaces",
                   "pods with hostUsers: false need them: sysctl user.max_user_namespaces=15000");
  }
  return Good("overlay, namespaces, seccomp, user namespaces");
}

Finding Cgroups(const NodeFacts& facts) {
  std::set<std::string> controllers;
  const std::optional<std::string> v2 = Read(facts, "/sys/fs/cgroup/cgroup.controllers");
  if (v2) {
    controllers = Words(*v2);
  } else {
    for (const char* name : {"cpu", "cpuacct", "memory", "pids", "cpuset", "devices", "freezer"}) {
      if (Exists(facts, absl::StrCat("/sys/fs/cgroup/", name))) controllers.insert(name);
    }
  }
  const bool hybrid = !v2 && Exists(facts, "/sys/fs/cgroup/unified/cgroup.procs");
  const std::string found =
      absl::StrCat("cgroup ",
                   v2       ? "v2"
                   : hybrid ? "v1 beside v2 (hybrid)"
                            : "v1",
                   " (", absl::StrJoin(controllers, " "), ")",
                   facts.cgroup_driver.empty() ? "" : ", driver " + facts.cgroup_driver);
  if (controllers.empty()) return Bad("none is mounted", "mount cgroup2 on /sys/fs/cgroup");
  for (const char* name : {"cpu", "memory", "pids"}) {
    if (!controllers.contains(name))
      return Bad(found,
                 absl::StrCat("the controller ", name,
                              " is missing: see cgroup_disable= on the kernel command line"));
  }
  const bool systemd = Exists(facts, "/run/systemd/system");
  if (facts.cgroup_driver == "cgroupfs" && systemd && v2) {
    return Warning(found,
                   "systemd manages this node's cgroups: set cgroup.driver = \"systemd\" "
                   "here and cgroupDriver: systemd in the kubelet");
  }
  if (facts.cgroup_driver == "systemd" && !systemd)
    return Bad(found, "systemd does not run here: set cgroup.driver = \"cgroupfs\"");
  if (!v2) {
    return Warning(found,
                   "kubelets from 1.35 on refuse cgroup v1 unless failCgroupV1: false is "
                   "set; boot with systemd.unified_cgroup_hierarchy=1 for v2");
  }
  return Good(found);
}

Finding Pressure(const NodeFacts& facts) {
  if (Exists(facts, "/proc/pressure/cpu")) return Good("accounted (PSI)");
  return Warning("not accounted", "boot with psi=1: stall times of pods stay unset without it");
}

Finding Limits(const NodeFacts& facts) {
  struct Limit {
    const char* path;
    int64_t least;
  };
  constexpr std::array kLimits = {Limit{"fs/inotify/max_user_instances", 512},
                                  Limit{"fs/inotify/max_user_watches", 65536},
                                  Limit{"kernel/pid_max", 32768}, Limit{"kernel/keys/maxkeys", 200},
                                  Limit{"fs/file-max", 65536}};
  std::vector<std::string> low;
  for (const Limit& limit : kLimits) {
    const std::optional<int64_t> value = Number(facts, absl::StrCat("/proc/sys/", limit.path));
    if (value && *value < limit.least)
      low.push_back(
          absl::StrCat(absl::StrJoin(absl::StrSplit(limit.path, '/'), "."), "=", limit.least));
  }
  if (low.empty()) return Good("enough for some hundred pods");
  return Warning("some are low for many pods", absl::StrCat("sysctl -w ", absl::StrJoin(low, " ")));
}

Finding Disk(const NodeFacts& facts) {
  if (facts.data_dir.empty()) return Unknown("berthd does not tell its data directory");
  struct statvfs space;
  if (::statvfs((facts.root + facts.data_dir).c_str(), &space) != 0)
    return Unknown(absl::StrCat(facts.data_dir, " cannot be looked at"));
  const double free = 100.0 * static_cast<double>(space.f_bavail) /
                      static_cast<double>(std::max<fsblkcnt_t>(1, space.f_blocks));
  const double inodes = space.f_files == 0 ? 100.0
                                           : 100.0 * static_cast<double>(space.f_favail) /
                                                 static_cast<double>(space.f_files);
  const std::string found = absl::StrFormat("%s: %.0f%% of the space and %.0f%% of the inodes free",
                                            facts.data_dir, free, inodes);
  if (free < 5 || inodes < 5) return Bad(found, "make room: berth image gc");
  if (free < 15 || inodes < 15)
    return Warning(found, "the kubelet begins to evict pods at 10 %: berth image gc");
  return Good(found);
}

Finding Clock(const NodeFacts& facts) {
  if (!facts.root.empty()) return Unknown("not this node");
  timex state = {};
  if (::adjtimex(&state) < 0) return Unknown("the kernel does not tell");
  if ((state.status & STA_UNSYNC) != 0) {
    return Warning("not synchronised",
                   "start chrony or systemd-timesyncd: certificates and events "
                   "of a cluster depend on the time");
  }
  return Good("synchronised");
}

Finding Socket(const NodeFacts& facts) {
  struct stat info;
  const std::string path = facts.root + facts.socket;
  if (::stat(path.c_str(), &info) != 0)
    return Bad(absl::StrCat(facts.socket, " is not there"), "systemctl start berthd");
  const group* owner = ::getgrgid(info.st_gid);
  const std::string found =
      absl::StrFormat("%s, mode %04o, group %s", facts.socket, info.st_mode & 07777,
                      owner != nullptr ? owner->gr_name : absl::StrCat(info.st_gid).c_str());
  if ((info.st_mode & 0007) != 0)
    return Bad(found, "everybody on this node may do everything with it: chmod o= " + facts.socket);
  return Good(found);
}

Finding Forwarding(const NodeFacts& facts) {
  if (Number(facts, "/proc/sys/net/ipv4/ip_forward") == 1) return Good("packets are forwarded");
  return Warning("net.ipv4.ip_forward is 0",
                 "pods do not reach other nodes: sysctl -w net.ipv4.ip_forward=1 (berthd sets it "
                 "when the built-in network makes its first pod)");
}

// "" for a file that is good.
std::string WhatIsWrongWith(const NodeFacts& facts, const fs::path& file) {
  try {  // toml++ throws: this is its one door here
    const toml::table table = toml::parse_file(file.string());
    std::vector<std::string> paths;
    const auto collect = [&](const toml::table& from) {
      if (const auto* ca = from["ca"].as_string()) paths.push_back(ca->get());
      if (const auto* many = from["ca"].as_array()) {
        for (const toml::node& each : *many) {
          if (const auto* one = each.as_string()) paths.push_back(one->get());
        }
      }
    };
    collect(table);
    if (const toml::table* hosts = table["host"].as_table()) {
      for (const auto& [name, host] : *hosts) {
        if (host.as_table() != nullptr) collect(*host.as_table());
      }
    }
    for (const std::string& path : paths) {
      const fs::path at =
          absl::StartsWith(path, "/") ? fs::path(facts.root + path) : file.parent_path() / path;
      std::error_code error;
      if (!fs::exists(at, error)) return absl::StrCat("ca ", path, " is not there");
    }
  } catch (const toml::parse_error& error) {
    return absl::StrCat("line ", error.source().begin.line, ": ", std::string(error.description()));
  }
  return "";
}

Finding Registries(const NodeFacts& facts) {
  std::vector<std::string> hosts;
  for (const std::string& directory : facts.certs_dirs) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(facts.root + directory, error)) {
      const fs::path file = entry.path() / "hosts.toml";
      if (!fs::exists(file, error)) continue;
      const std::string wrong = WhatIsWrongWith(facts, file);
      if (!wrong.empty()) {
        return Bad(absl::StrCat(file.string(), ": ", wrong),
                   "pulls from this registry fail until the file is right");
      }
      hosts.push_back(entry.path().filename().string());
    }
  }
  if (hosts.empty()) return Good("no hosts.toml: registries are reached as they are named");
  std::sort(hosts.begin(), hosts.end());
  return Good(absl::StrCat("hosts.toml for ", absl::StrJoin(hosts, ", ")));
}

Finding Kubelet(const NodeFacts& facts) {
  const std::optional<std::string> config = Read(facts, "/var/lib/kubelet/config.yaml");
  if (!config)
    return Unknown(
        "no /var/lib/kubelet/config.yaml: there is no kubelet here, or it is "
        "configured elsewhere");
  const std::string flags = Read(facts, "/var/lib/kubelet/kubeadm-flags.env").value_or("");
  const std::string endpoint = absl::StrCat("unix://", facts.socket);
  const std::optional<std::string> configured = YamlValue(*config, "containerRuntimeEndpoint");
  if (configured.value_or("") != endpoint &&
      !absl::StrContains(flags, absl::StrCat("--container-runtime-endpoint=", endpoint))) {
    return Bad(absl::StrCat("containerRuntimeEndpoint is ", configured.value_or("not set")),
               absl::StrCat("set containerRuntimeEndpoint: ", endpoint,
                            " in /var/lib/kubelet/config.yaml and restart the kubelet"));
  }
  const std::optional<std::string> driver = YamlValue(*config, "cgroupDriver");
  if (driver && !facts.cgroup_driver.empty() && *driver != facts.cgroup_driver) {
    return Bad(absl::StrCat("cgroupDriver: ", *driver, ", but berthd has ", facts.cgroup_driver),
               "both must have the same");
  }
  const bool v1 = !Exists(facts, "/sys/fs/cgroup/cgroup.controllers");
  if (v1 && YamlValue(*config, "failCgroupV1") != "false")
    return Warning("uses this berthd",
                   "kubelets from 1.35 on need failCgroupV1: false on cgroup v1");
  return Good("uses this berthd");
}

Finding Crictl(const NodeFacts& facts) {
  const std::optional<std::string> config = Read(facts, "/etc/crictl.yaml");
  const std::string endpoint = absl::StrCat("unix://", facts.socket);
  if (!config) {
    return Warning("no /etc/crictl.yaml",
                   absl::StrCat("echo 'runtime-endpoint: ", endpoint, "' > /etc/crictl.yaml"));
  }
  const std::string configured = YamlValue(*config, "runtime-endpoint").value_or("not set");
  if (configured == endpoint) return Good("uses this berthd");
  return Warning(absl::StrCat("runtime-endpoint is ", configured),
                 absl::StrCat("set runtime-endpoint: ", endpoint, " in /etc/crictl.yaml"));
}

constexpr NodeCheck kChecks[] = {
    {"kernel", Kernel},         {"kernel features", KernelFeatures},
    {"cgroups", Cgroups},       {"pressure", Pressure},
    {"limits", Limits},         {"disk", Disk},
    {"clock", Clock},           {"socket", Socket},
    {"forwarding", Forwarding}, {"CNI", CheckCni},
    {"registries", Registries}, {"kubelet", Kubelet},
    {"crictl", Crictl},
};

}  // namespace

absl::Span<const NodeCheck> NodeChecks() { return kChecks; }

}  // namespace berth::cli
