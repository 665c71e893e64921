#include "src/kernel/device_filter.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"

namespace berth {
namespace {

constexpr char kProgramName[] = "berth_devices";  // tells ours from others' on the same cgroup
constexpr absl::string_view kBits = "mrw";        // BPF_DEVCG_ACC_MKNOD, _READ, _WRITE: 1, 2, 4

struct UsualDevice {
  uint32_t major;
  std::optional<uint32_t> minor;
};
constexpr UsualDevice kUsualDevices[] = {
    {1, 3},               // null
    {1, 5},               // zero
    {1, 7},               // full
    {1, 8},               // random
    {1, 9},               // urandom
    {5, 0},               // tty
    {5, 1},               // console
    {5, 2},               // ptmx
    {136, std::nullopt},  // pts
};

int AccessBits(absl::string_view access) {
  int bits = 0;
  for (char each : access) bits |= 1 << kBits.find(each);
  return bits;
}

std::string AccessText(int bits) {
  std::string text;
  for (char each : absl::string_view("rwm")) {
    if (bits & (1 << kBits.find(each))) text.push_back(each);
  }
  return text;
}

absl::Status CheckRule(const DeviceRule& rule) {
  if (rule.type != 'a' && rule.type != 'b' && rule.type != 'c') {
    return absl::InvalidArgumentError(
        absl::StrCat("device rule: \"", std::string(1, rule.type), "\" is not a, b or c"));
  }
  if (rule.type != 'a' &&
      (rule.access.empty() || rule.access.find_first_not_of(kBits.data()) != std::string::npos)) {
    return absl::InvalidArgumentError(
        absl::StrCat("device rule: access \"", rule.access, "\" is not of r, w and m"));
  }
  return absl::OkStatus();
}

// Type, major and minor of a rule.
using Device = std::tuple<char, std::optional<uint32_t>, std::optional<uint32_t>>;

bool Covers(const std::optional<uint32_t>& wide, const std::optional<uint32_t>& narrow) {
  return !wide || wide == narrow;
}
bool Covers(const Device& wide, const Device& narrow) {
  return std::get<0>(wide) == std::get<0>(narrow) &&
         Covers(std::get<1>(wide), std::get<1>(narrow)) &&
         Covers(std::get<2>(wide), std::get<2>(narrow));
}
bool Overlap(const Device& a, const Device& b) {
  const auto meet = [](const auto& x, const auto& y) { return !x || !y || x == y; };
  return std::get<0>(a) == std::get<0>(b) && meet(std::get<1>(a), std::get<1>(b)) &&
         meet(std::get<2>(a), std::get<2>(b));
}

std::string DeviceText(const Device& device) {
  const auto number = [](const std::optional<uint32_t>& value) {
    return value ? absl::StrCat(*value) : std::string("*");
  };
  return absl::StrCat(std::string(1, std::get<0>(device)), " ", number(std::get<1>(device)), ":",
                      number(std::get<2>(device)));
}

bpf_insn Instruction(uint8_t code, uint8_t dst, uint8_t src, int16_t offset, int32_t immediate) {
  bpf_insn instruction = {};
  instruction.code = code;
  instruction.dst_reg = dst & 0xf;
  instruction.src_reg = src & 0xf;
  instruction.off = offset;
  instruction.imm = immediate;
  return instruction;
}

// Registers of the program. r3 is what of the access no rule has decided yet.
constexpr uint8_t kContext = BPF_REG_1, kType = BPF_REG_2, kUndecided = BPF_REG_3,
                  kMajor = BPF_REG_4, kMinor = BPF_REG_5, kScratch = BPF_REG_6;

using Program = std::vector<bpf_insn>;

void LoadField(Program* program, uint8_t reg, size_t offset) {
  program->push_back(
      Instruction(BPF_LDX | BPF_MEM | BPF_W, reg, kContext, static_cast<int16_t>(offset), 0));
}

void Return(Program* program, int value) {
  program->push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value));
  program->push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

// Tests of the device that jump over `body` when they fail, then `body`. The comparisons are of 32
// bits: an immediate of 64 would be sign-extended.
void AppendGuarded(const DeviceRule& rule, const Program& body, Program* program) {
  std::vector<std::pair<uint8_t, uint32_t>> tests = {
      {kType, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR}};
  if (rule.major) tests.emplace_back(kMajor, *rule.major);
  if (rule.minor) tests.emplace_back(kMinor, *rule.minor);
  for (size_t i = 0; i < tests.size(); ++i) {
    const size_t over = tests.size() - i - 1 + body.size();
    program->push_back(Instruction(BPF_JMP32 | BPF_JNE | BPF_K, tests[i].first, 0,
                                   static_cast<int16_t>(over),
                                   static_cast<int32_t>(tests[i].second)));
  }
  program->insert(program->end(), body.begin(), body.end());
}

Program RuleBody(const DeviceRule& rule) {
  const int bits = AccessBits(rule.access);
  Program body;
  if (rule.allow) {
    body.push_back(Instruction(BPF_ALU64 | BPF_AND | BPF_K, kUndecided, 0, 0, ~bits));
    body.push_back(Instruction(BPF_JMP | BPF_JNE | BPF_K, kUndecided, 0, 2, 0));
    Return(&body, 1);
  } else {
    body.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, kScratch, kUndecided, 0, 0));
    body.push_back(Instruction(BPF_ALU64 | BPF_AND | BPF_K, kScratch, 0, 0, bits));
    body.push_back(Instruction(BPF_JMP | BPF_JEQ | BPF_K, kScratch, 0, 2, 0));
    Return(&body, 0);
  }
  return body;
}

long Bpf(int command, bpf_attr* attr) { return syscall(SYS_bpf, command, attr, sizeof(*attr)); }

bpf_attr Attributes() {
  bpf_attr attr;
  std::memset(&attr, 0, sizeof(attr));
  return attr;
}

absl::StatusOr<UniqueFd> Load(const Program& program) {
  static constexpr char kLicense[] = "Apache-2.0";
  bpf_attr attr = Attributes();
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = reinterpret_cast<uint64_t>(program.data());
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.license = reinterpret_cast<uint64_t>(kLicense);
  std::memcpy(attr.prog_name, kProgramName, sizeof(kProgramName));
  UniqueFd loaded(static_cast<int>(Bpf(BPF_PROG_LOAD, &attr)));
  if (!loaded.valid()) return ErrnoStatus("load", "device filter");
  return loaded;
}

// Our program on the cgroup; invalid if there is none.
absl::StatusOr<UniqueFd> FindAttached(int cgroup_fd) {
  std::array<uint32_t, 64> ids;  // BPF_CGROUP_MAX_PROGS
  bpf_attr query = Attributes();
  query.query.target_fd = static_cast<uint32_t>(cgroup_fd);
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.prog_ids = reinterpret_cast<uint64_t>(ids.data());
  query.query.prog_cnt = ids.size();
  if (Bpf(BPF_PROG_QUERY, &query) != 0) return ErrnoStatus("query", "device filters");
  for (uint32_t i = 0; i < query.query.prog_cnt; ++i) {
    bpf_attr get = Attributes();
    get.prog_id = ids[i];
    UniqueFd program(static_cast<int>(Bpf(BPF_PROG_GET_FD_BY_ID, &get)));
    if (!program.valid()) continue;  // taken off this moment
    bpf_prog_info info;
    std::memset(&info, 0, sizeof(info));
    bpf_attr ask = Attributes();
    ask.info.bpf_fd = static_cast<uint32_t>(program.get());
    ask.info.info_len = sizeof(info);
    ask.info.info = reinterpret_cast<uint64_t>(&info);
    if (Bpf(BPF_OBJ_GET_INFO_BY_FD, &ask) != 0) return ErrnoStatus("read", "device filter");
    if (absl::string_view(info.name) == kProgramName) return program;
  }
  return UniqueFd();
}

}  // namespace

std::vector<DeviceRule> UsualDeviceRules() {
  // A node that was made by mknod is still filtered when it is opened.
  std::vector<DeviceRule> rules = {{.type = 'c', .access = "m"}, {.type = 'b', .access = "m"}};
  for (const UsualDevice& device : kUsualDevices)
    rules.push_back({.type = 'c', .major = device.major, .minor = device.minor});
  return rules;
}

absl::StatusOr<DevicePolicy> MakeDevicePolicy(const std::vector<DeviceRule>& more) {
  DevicePolicy policy = {.rules = UsualDeviceRules()};
  for (const DeviceRule& rule : more) {
    RETURN_IF_ERROR(CheckRule(rule));
    if (rule.type != 'a') {
      policy.rules.push_back(rule);
    } else {
      policy.allow_all = rule.allow;
      policy.rules = rule.allow ? std::vector<DeviceRule>() : UsualDeviceRules();
    }
  }
  return policy;
}

absl::StatusOr<std::vector<std::string>> DeviceLinesV1(const DevicePolicy& policy) {
  std::map<Device, int> exceptions;
  std::vector<Device> order;
  for (const DeviceRule& rule : policy.rules) {
    const Device device = {rule.type, rule.major, rule.minor};
    const int bits = AccessBits(rule.access);
    if (rule.allow != policy.allow_all) {
      if (exceptions.find(device) == exceptions.end()) order.push_back(device);
      exceptions[device] |= bits;
      continue;
    }
    for (auto& [other, other_bits] : exceptions) {
      if (!(other_bits & bits) || !Overlap(device, other)) continue;
      if (!Covers(device, other)) {
        return absl::InvalidArgumentError(
            absl::StrCat("device rule ", DeviceText(device), " ", AccessText(bits),
                         ": cgroup v1 has no exception from ", DeviceText(other)));
      }
      other_bits &= ~bits;
    }
  }
  std::vector<std::string> lines;
  for (const Device& device : order) {
    if (const int bits = exceptions[device]; bits != 0)
      lines.push_back(absl::StrCat(DeviceText(device), " ", AccessText(bits)));
  }
  return lines;
}

std::vector<bpf_insn> BuildDeviceProgram(const DevicePolicy& policy) {
  Program program;
  LoadField(&program, kType, offsetof(bpf_cgroup_dev_ctx, access_type));
  program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, kUndecided, kType, 0, 0));
  program.push_back(Instruction(BPF_ALU64 | BPF_AND | BPF_K, kType, 0, 0, 0xffff));
  program.push_back(Instruction(BPF_ALU64 | BPF_RSH | BPF_K, kUndecided, 0, 0, 16));
  LoadField(&program, kMajor, offsetof(bpf_cgroup_dev_ctx, major));
  LoadField(&program, kMinor, offsetof(bpf_cgroup_dev_ctx, minor));
  // The last rule decides: it is asked first.
  for (auto rule = policy.rules.rbegin(); rule != policy.rules.rend(); ++rule)
    AppendGuarded(*rule, RuleBody(*rule), &program);
  Return(&program, policy.allow_all ? 1 : 0);
  return program;
}

absl::Status AttachDeviceFilter(int cgroup_fd, const DevicePolicy& policy) {
  ASSIGN_OR_RETURN(const UniqueFd old, FindAttached(cgroup_fd));
  bpf_attr attr = Attributes();
  attr.target_fd = static_cast<uint32_t>(cgroup_fd);
  attr.attach_type = BPF_CGROUP_DEVICE;
  if (policy.allow_all && policy.rules.empty()) {
    if (!old.valid()) return absl::OkStatus();
    attr.attach_bpf_fd = static_cast<uint32_t>(old.get());
    return Bpf(BPF_PROG_DETACH, &attr) == 0 ? absl::OkStatus()
                                            : ErrnoStatus("detach", "device filter");
  }
  ASSIGN_OR_RETURN(const UniqueFd loaded, Load(BuildDeviceProgram(policy)));
  attr.attach_bpf_fd = static_cast<uint32_t>(loaded.get());
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  if (old.valid()) {
    attr.attach_flags |= BPF_F_REPLACE;
    attr.replace_bpf_fd = static_cast<uint32_t>(old.get());
  }
  return Bpf(BPF_PROG_ATTACH, &attr) == 0 ? absl::OkStatus()
                                          : ErrnoStatus("attach", "device filter");
}

}  // namespace berth
