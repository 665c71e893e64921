// Where an entry goes: an open directory of the layer and a name in it. Of the unpacker's parts
// only.
#pragma once

#include <string>

#include "src/image/pull/unpack.h"

namespace berth {

struct Unpacker::Place {
  LayerDirectory* parent = nullptr;  // borrowed from the unpacker
  std::string name;
  std::string path;  // normalised and without symbolic links on the way

  int fd() const { return parent->fd.get(); }
};

}  // namespace berth
