// What a child calls that shares its parent's memory (vfork.h).
#pragma once

#include <unistd.h>

namespace berth {

// By the system call, not by the C library's function of that name: a sanitizer stands before that
// and notes what becomes of descriptors and handlers. Its notes are in the memory that this child
// shares with its parent, of whose descriptors and handlers they would tell, and behind locks that
// nobody releases in a process that was forked.
template <class... Arguments>
int Call(long number, Arguments... arguments) {
  return static_cast<int>(syscall(number, arguments...));
}

}  // namespace berth
