// Linked only into programs with failpoints, berth-monitor among them: C library calls only.
#include "src/base/failpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

namespace berth {
namespace {

struct Files {
  char* armed = nullptr;
  int hits = -1;
};

int OpenHere(const char* name, int flags) {
  char path[64];
  snprintf(path, sizeof(path), "%s/%s", kFailpointDirectory, name);
  return open(path, flags | O_CLOEXEC);
}

Files OpenFiles() {
  Files files;
  const int armed = OpenHere("armed", O_RDWR);
  if (armed < 0) return files;
  void* page = mmap(nullptr, kFailpointArmedBytes, PROT_READ | PROT_WRITE, MAP_SHARED, armed, 0);
  close(armed);
  if (page == MAP_FAILED) return files;
  files.armed = static_cast<char*>(page);
  files.hits = OpenHere("hits", O_WRONLY | O_APPEND);
  return files;
}

struct Fault {
  unsigned serial = 0, nth = 0;
  char point[48] = {}, kind[8] = {}, times[8] = {};
  int value = 0;
};

bool ReadFault(const char* armed, Fault* fault) {
  char line[160];
  memcpy(line, armed, sizeof(line) - 1);
  line[sizeof(line) - 1] = '\0';
  return sscanf(line, "%u %47s %u %7s %d %7s", &fault->serial, fault->point, &fault->nth,
                fault->kind, &fault->value, fault->times) == 6;
}

// A process that has confined itself has the file no more, and nobody misses the line.
void Note(int hits, const char* point) {
  char line[64];
  const int length = snprintf(line, sizeof(line), "%s\n", point);
  static_cast<void>(!write(hits, line, static_cast<size_t>(length)));
}

// How often this process has come to the point that `serial` arms.
unsigned Count(unsigned serial) {
  static volatile char busy = 0;
  static unsigned last = 0, count = 0;
  while (__atomic_test_and_set(&busy, __ATOMIC_ACQUIRE)) {
  }
  if (serial != last) count = 0;
  last = serial;
  const unsigned now = ++count;
  __atomic_clear(&busy, __ATOMIC_RELEASE);
  return now;
}

void Wait(int milliseconds) {
  timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000L};
  while (nanosleep(&time, &time) != 0 && errno == EINTR) {
  }
}

[[noreturn]] void Die() {
  kill(getpid(), SIGKILL);
  _exit(128 + SIGKILL);  // the first process of a pid namespace, which no signal of its own ends
}

}  // namespace

bool HitFailpoint(const char* name) {
  static const Files files = OpenFiles();
  if (files.armed == nullptr) return false;
  const int old_errno = errno;
  Note(files.hits, name);
  Fault fault;
  const bool is_armed = ReadFault(files.armed, &fault) && strcmp(fault.point, name) == 0;
  errno = old_errno;
  if (!is_armed) return false;
  const bool always = strcmp(fault.times, "always") == 0;
  const unsigned count = Count(fault.serial);
  if (always ? count < fault.nth : count != fault.nth) return false;
  if (!always) files.armed[0] = '\0';
  files.armed[kFailpointStruckAt] = 1;
  if (strcmp(fault.kind, "kill") == 0) Die();
  if (strcmp(fault.kind, "delay") == 0) Wait(fault.value);
  errno = old_errno;
  if (strcmp(fault.kind, "fail") != 0) return false;
  errno = fault.value;
  return true;
}

}  // namespace berth
