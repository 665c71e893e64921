// What an archive takes for granted of the layers below it. A layer with needs means something only
// above these layers, and has to be fitted to them (adopt.h).
#pragma once

#include <string>
#include <vector>

namespace berth {

struct LayerNeeds {
  // Directories that entries needed and the archive did not hold, each before its children. They
  // were made with owner 0:0 and mode 0755.
  std::vector<std::string> directories;
  // Hard links to files that the archive did not hold: an empty file marked with kBorrowedXattr is
  // in the place of each.
  struct Link {
    std::string path, target;
  };
  std::vector<Link> links;

  bool empty() const { return directories.empty() && links.empty(); }
};

inline constexpr char kBorrowedXattr[] = "trusted.berth.borrowed";

}  // namespace berth
