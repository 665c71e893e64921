// Plain objects in singly linked lists, made without the C++ runtime, for the pod_*.cc files.
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <new>

#include "src/runtime/monitor_protocol.h"

namespace berth::monitor {

inline void CloseFd(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

inline bool SameId(const char* a, const char* b) { return memcmp(a, b, wire::kIdBytes) == 0; }

// musl's operator new would need the C++ runtime; the objects are few and plain.
template <typename T>
T* Make() {
  void* memory = calloc(1, sizeof(T));
  return memory == nullptr ? nullptr : new (memory) T();
}

template <typename T>
void Destroy(T* object) {
  object->~T();
  free(object);
}

template <typename T>
void Unlink(T** list, T* object) {
  for (T** link = list; *link != nullptr; link = &(*link)->next) {
    if (*link == object) {
      *link = object->next;
      return;
    }
  }
}

}  // namespace berth::monitor
