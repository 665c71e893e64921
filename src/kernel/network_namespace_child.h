// What MakeNetworkNamespace does in the new namespace: async-signal-safe calls only, no allocation.
// It shares the parent's memory and descriptors (Vfork), which it so hands its own over by.
#pragma once

#include <cstddef>
#include <string>

namespace berth {

struct NamespaceFile {
  std::string path;  // below /proc
  std::string value;
};

struct NamespaceChild {
  const NamespaceFile* files;  // written, but for those that this kernel does not have
  size_t file_count;
  int netns = -1, netlink = -1;  // out: open unless it failed before
  int error = 0;                 // out: errno
  const char* failed = "";       // out: what could not be had
};

// `argument` is a NamespaceChild. 0, or 1: it failed.
int RunNamespaceChild(void* argument);

}  // namespace berth
