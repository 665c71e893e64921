#include "src/runtime/monitor/plan.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace berth::monitor {

std::string_view NextString(const char** cursor) {
  uint32_t length;
  memcpy(&length, *cursor, sizeof(length));
  const std::string_view value(*cursor + sizeof(length), length);
  *cursor += sizeof(length) + length + 1;
  return value;
}

std::string_view Step::String(uint32_t index) const {
  if (index >= header_.string_count) return "";
  const char* cursor = strings();
  std::string_view value;
  for (uint32_t i = 0; i <= index; ++i) value = NextString(&cursor);
  return value;
}

Plan::~Plan() {
  if (mapped_) munmap(const_cast<char*>(base_), bytes_);
}

bool Plan::Map(int fd) {
  struct stat info;
  if (fstat(fd, &info) != 0) return false;
  errno = EBADMSG;
  if (info.st_size < static_cast<off_t>(sizeof(header_)) || info.st_size > wire::kPlanMaxBytes)
    return false;
  void* base = mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (base == MAP_FAILED) return false;
  mapped_ = true;
  return View(static_cast<const char*>(base), info.st_size);
}

bool Plan::View(const char* base, size_t bytes) {
  base_ = base;
  bytes_ = bytes;
  errno = EBADMSG;
  if (bytes < sizeof(header_)) return false;
  memcpy(&header_, base_, sizeof(header_));
  return header_.magic == wire::kPlanMagic && header_.bytes == bytes_ && Check();
}

bool Plan::Check() const {
  size_t left = bytes_ - sizeof(header_);
  const char* at = begin();
  for (uint32_t i = 0; i < header_.step_count; ++i) {
    wire::StepHeader step;
    if (left < sizeof(step)) return false;
    memcpy(&step, at, sizeof(step));
    if (step.bytes < sizeof(step) || step.bytes > left || step.string_count > wire::kStepMaxStrings)
      return false;
    size_t inner = step.bytes - sizeof(step);
    const char* cursor = at + sizeof(step);
    for (uint32_t s = 0; s < step.string_count; ++s) {
      uint32_t length;
      if (inner < sizeof(length) + 1) return false;
      memcpy(&length, cursor, sizeof(length));
      if (length > inner - sizeof(length) - 1 || cursor[sizeof(length) + length] != '\0')
        return false;
      cursor += sizeof(length) + length + 1;
      inner -= sizeof(length) + length + 1;
    }
    if (inner != 0) return false;
    at += step.bytes;
    left -= step.bytes;
  }
  return left == 0;
}

}  // namespace berth::monitor
