// Launch plans as the monitor reads them: what the reader accepts can be walked to its end without
// leaving it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "src/runtime/monitor/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = memfd_create("plan", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) abort();
  berth::monitor::Plan plan;
  if (plan.Map(fd)) {
    const char* at = plan.begin();
    size_t walked = sizeof(berth::wire::PlanHeader);
    for (uint32_t i = 0; i < plan.step_count(); ++i) {
      const berth::monitor::Step step(at);
      const char* cursor = step.strings();
      for (uint32_t s = 0; s < step.string_count(); ++s) {
        const std::string_view text = berth::monitor::NextString(&cursor);
        if (text.data()[text.size()] != '\0') abort();
      }
      if (cursor != at + step.bytes()) abort();
      at += step.bytes();
      walked += step.bytes();
    }
    if (walked != size) abort();
  }
  close(fd);
  return 0;
}
