#include "src/kernel/program_pages.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "src/kernel/file.h"

namespace berth {
namespace {

// A part of this program that nothing else reads, nor comes with what else is read: the page in its
// middle is further from both ends than the kernel maps at a time.
constexpr size_t kBytes = 512 << 10;
alignas(1 << 16) constexpr char kTable[kBytes] = {'b', 'e'};

// As the compiler cannot know it.
volatile char& At(size_t offset) {
  const char* table = kTable;
  asm volatile("" : "+r"(table));
  return const_cast<char*>(table)[offset];
}

bool IsResident(volatile char& byte) {
  const auto page = reinterpret_cast<uintptr_t>(&byte) / static_cast<size_t>(getpagesize());
  uint64_t entry = 0;
  const auto pagemap = OpenFile(AT_FDCWD, "/proc/self/pagemap", O_RDONLY);
  EXPECT_TRUE(pagemap.ok()) << pagemap.status();
  EXPECT_EQ(pread(pagemap->get(), &entry, sizeof(entry), static_cast<off_t>(page * sizeof(entry))),
            static_cast<ssize_t>(sizeof(entry)));
  return entry >> 63;
}

void Protect(volatile char& byte, int protection) {
  const auto page_size = static_cast<uintptr_t>(getpagesize());
  char* const page = const_cast<char*>(&byte) - reinterpret_cast<uintptr_t>(&byte) % page_size;
  ASSERT_EQ(mprotect(page, page_size, protection), 0);
}

TEST(ReleaseProgramPages, UnmapsWhatWasReadOfTheProgram) {
  EXPECT_EQ(At(kBytes / 2), '\0');
  ASSERT_TRUE(IsResident(At(kBytes / 2)));
  ASSERT_TRUE(ReleaseProgramPages().ok());
  EXPECT_FALSE(IsResident(At(kBytes / 2)));
}

TEST(ReleaseProgramPages, LeavesContentsAsTheyWere) {
  ASSERT_TRUE(ReleaseProgramPages().ok());
  EXPECT_EQ(At(0), 'b');
  EXPECT_EQ(At(1), 'e');
}

// As a debugger writes a breakpoint.
TEST(ReleaseProgramPages, KeepsWhatWasWrittenOverAReadOnlySegment) {
  volatile char& byte = At(kBytes / 2);
  Protect(byte, PROT_READ | PROT_WRITE);
  byte = 'x';
  Protect(byte, PROT_READ);
  ASSERT_TRUE(ReleaseProgramPages().ok());
  EXPECT_EQ(byte, 'x');
  ASSERT_EQ(madvise(const_cast<char*>(&kTable[kBytes / 2]), static_cast<size_t>(getpagesize()),
                    MADV_DONTNEED),
            0);  // for the other tests
}

}  // namespace
}  // namespace berth
