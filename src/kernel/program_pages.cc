#include "src/kernel/program_pages.h"

#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

// Of an entry of pagemap, which has one for each page: Documentation/admin-guide/mm/pagemap.rst.
constexpr uint64_t kOfFile = uint64_t{1} << 61, kSwapped = uint64_t{1} << 62,
                   kPresent = uint64_t{1} << 63;

// Addresses, at the bounds of pages.
struct Pages {
  uintptr_t begin = 0, end = 0;
};

uintptr_t PageSize() { return static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE)); }

bool IsOwn(uint64_t entry) {
  return (entry & (kPresent | kSwapped)) != 0 && (entry & kOfFile) == 0;
}

// False also where that cannot be read.
bool AreAllOfFile(Pages pages, int pagemap) {
  std::vector<uint64_t> entries((pages.end - pages.begin) / PageSize());
  const size_t bytes = entries.size() * sizeof(uint64_t);
  const auto offset = static_cast<off_t>(pages.begin / PageSize() * sizeof(uint64_t));
  return ::pread(pagemap, entries.data(), bytes, offset) == static_cast<ssize_t>(bytes) &&
         std::none_of(entries.begin(), entries.end(), IsOwn);
}

Pages PagesOf(const dl_phdr_info& object, const ElfW(Phdr) & segment) {
  const uintptr_t begin = object.dlpi_addr + segment.p_vaddr, page_size = PageSize();
  return {.begin = begin / page_size * page_size,
          .end = (begin + segment.p_filesz + page_size - 1) / page_size * page_size};
}

// The loader holds its lock meanwhile: no object goes, and no other memory takes its place.
int ReleaseObject(dl_phdr_info* object, size_t, void* pagemap) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const Pages pages = PagesOf(*object, segment);
    if (pages.begin == ::getauxval(AT_SYSINFO_EHDR)) continue;  // the vDSO is of no file
    if (!AreAllOfFile(pages, *static_cast<const int*>(pagemap))) continue;
    void* const begin = reinterpret_cast<void*>(pages.begin);  // NOLINT(performance-no-int-to-ptr)
    ::madvise(begin, pages.end - pages.begin, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

absl::Status ReleaseProgramPages() {
  ASSIGN_OR_RETURN(const UniqueFd pagemap, OpenFile(AT_FDCWD, "/proc/self/pagemap", O_RDONLY));
  int fd = pagemap.get();
  ::dl_iterate_phdr(ReleaseObject, &fd);
  return absl::OkStatus();
}

}  // namespace berth
