// A table of text for people: aligned columns, a header, colour where it says something.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace berth::cli {

enum class Tone { kPlain, kGood, kBad, kFaint };

// `text` in the colour of `tone`; unchanged without `colour`.
std::string Paint(absl::string_view text, Tone tone, bool colour);

struct Cell {
  Cell(std::string text, Tone tone = Tone::kPlain) : text(std::move(text)), tone(tone) {}  // NOLINT
  Cell(const char* text) : text(text) {}                                                   // NOLINT
  std::string text;
  Tone tone = Tone::kPlain;
};

class Table {
 public:
  explicit Table(std::vector<std::string> headers);

  // As many cells as there are headers. Their text may be foreign: it is made safe here.
  void AddRow(std::vector<Cell> row);

  // Each line ends with a newline; columns are three spaces apart, the last one is not padded.
  std::string Render(bool colour) const;

 private:
  std::vector<std::vector<Cell>> rows_;
  std::vector<size_t> widths_;
};

}  // namespace berth::cli
