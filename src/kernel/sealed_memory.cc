#include "src/kernel/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/base/status_macros.h"

namespace berth {
namespace {

// The kernel waits 0.15 s in each (memfd_wait_for_pins(), mm/memfd.c).
constexpr int kAttempts = 20;

}  // namespace

absl::StatusOr<UniqueFd> SealedMemory(const char* name, absl::string_view contents) {
  UniqueFd file(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) return ErrnoStatus("memfd_create", name);
  for (size_t done = 0; done < contents.size();) {
    const ssize_t n = ::pwrite(file.get(), contents.data() + done, contents.size() - done,
                               static_cast<off_t>(done));
    if (n < 0) return ErrnoStatus("write", name);
    done += static_cast<size_t>(n);
  }
  RETURN_IF_ERROR(SealMemory(file.get(), name));
  return file;
}

absl::Status SealMemory(int file, absl::string_view name) {
  constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  for (int attempt = 1; ::fcntl(file, F_ADD_SEALS, kSeals) != 0; ++attempt) {
    if (errno != EBUSY || attempt == kAttempts) return ErrnoStatus("seal", name);
  }
  return absl::OkStatus();
}

}  // namespace berth
