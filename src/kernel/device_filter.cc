#include "src/kernel/device_filter.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <vector>

#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"

namespace berth {
namespace {

using Program = std::vector<bpf_insn>;

bpf_insn Instruction(uint8_t code, uint8_t dst, uint8_t src, int16_t offset, int32_t immediate) {
  bpf_insn instruction = {};
  instruction.code = code;
  instruction.dst_reg = dst & 0xf;
  instruction.src_reg = src & 0xf;
  instruction.off = offset;
  instruction.imm = immediate;
  return instruction;
}

void Return(Program* program, int value) {
  program->push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value));
  program->push_back(Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

void LoadField(Program* program, uint8_t reg, size_t offset) {
  program->push_back(
      Instruction(BPF_LDX | BPF_MEM | BPF_W, reg, BPF_REG_1, static_cast<int16_t>(offset), 0));
}

Program BuildProgram() {
  // r2 = type, r3 = access, r4 = major, r5 = minor (struct bpf_cgroup_dev_ctx).
  Program program;
  LoadField(&program, BPF_REG_2, offsetof(bpf_cgroup_dev_ctx, access_type));
  program.push_back(Instruction(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0));
  program.push_back(Instruction(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff));
  program.push_back(Instruction(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16));
  LoadField(&program, BPF_REG_4, offsetof(bpf_cgroup_dev_ctx, major));
  LoadField(&program, BPF_REG_5, offsetof(bpf_cgroup_dev_ctx, minor));
  // mknod alone makes a node that opening is still filtered for.
  program.push_back(Instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_3, 0, 2, BPF_DEVCG_ACC_MKNOD));
  Return(&program, 1);
  for (const DeviceRule& rule : kDefaultDevices) {
    const int type = rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
    const int16_t rest =
        rule.minor < 0 ? 3 : 4;  // instructions left in this rule after the first test
    program.push_back(Instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, rest, type));
    program.push_back(Instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_4, 0,
                                  static_cast<int16_t>(rest - 1), rule.major));
    if (rule.minor >= 0)
      program.push_back(Instruction(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_5, 0, 2, rule.minor));
    Return(&program, 1);
  }
  Return(&program, 0);
  return program;
}

long Bpf(int command, bpf_attr* attr) { return syscall(SYS_bpf, command, attr, sizeof(*attr)); }

}  // namespace

absl::Status AttachDefaultDeviceFilter(int cgroup_fd) {
  const Program program = BuildProgram();
  static constexpr char kLicense[] = "Apache-2.0";
  bpf_attr load;
  std::memset(&load, 0, sizeof(load));
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = reinterpret_cast<uint64_t>(program.data());
  load.insn_cnt = static_cast<uint32_t>(program.size());
  load.license = reinterpret_cast<uint64_t>(kLicense);
  UniqueFd loaded(static_cast<int>(Bpf(BPF_PROG_LOAD, &load)));
  if (!loaded.valid()) return ErrnoStatus("load device filter for", "cgroup");
  bpf_attr attach;
  std::memset(&attach, 0, sizeof(attach));
  attach.target_fd = static_cast<uint32_t>(cgroup_fd);
  attach.attach_bpf_fd = static_cast<uint32_t>(loaded.get());
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  if (Bpf(BPF_PROG_ATTACH, &attach) != 0) return ErrnoStatus("attach device filter to", "cgroup");
  return absl::OkStatus();
}

}  // namespace berth
