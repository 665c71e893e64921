// What a pull looks like: folds progress messages into one state per layer and draws it. Pure;
// pulling.cc moves the text to the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "berth/v1/berth.pb.h"

namespace berth::cli {

class PullView {
 public:
  // True if the message changed a state (and not only a number of bytes).
  bool Update(const v1::PullImageProgress& progress);

  // One line a layer for a live display, `width` columns at most, `max_lines` lines at most; where
  // the layers do not fit, finished ones are counted instead of shown.
  std::vector<std::string> Draw(size_t width, size_t max_lines, bool colour) const;

  // The one line that says what a message changed, for output that is no terminal.
  std::string PlainLine(const v1::PullImageProgress& progress) const;

  // "5 layers, 3 new, 12.3MB" when all is done.
  std::string Summary() const;

 private:
  struct Layer {
    std::string name;  // "image" or the first 12 hex digits of the digest
    std::string digest;
    std::string state;
    uint64_t bytes = 0;
    uint64_t total_bytes = 0;
  };

  static std::string DrawLayer(const Layer& layer, size_t width, bool colour);

  std::vector<Layer> layers_;  // in the order of their first message
};

}  // namespace berth::cli
