#include "src/cli/table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

constexpr size_t kGap = 3;

absl::string_view EscapeSequence(Tone tone) {
  switch (tone) {
    case Tone::kPlain:
      return "";
    case Tone::kGood:
      return "\x1b[32m";
    case Tone::kBad:
      return "\x1b[31m";
    case Tone::kFaint:
      return "\x1b[2m";
  }
  return "";
}

}  // namespace

std::string Paint(absl::string_view text, Tone tone, bool colour) {
  if (!colour || tone == Tone::kPlain) return std::string(text);
  return absl::StrCat(EscapeSequence(tone), text, "\x1b[0m");
}

Table::Table(std::vector<std::string> headers) : widths_(headers.size(), 0) {
  AddRow(std::vector<Cell>(headers.begin(), headers.end()));
}

void Table::AddRow(std::vector<Cell> row) {
  row.resize(widths_.size(), Cell(""));
  for (size_t i = 0; i < row.size(); ++i) {
    row[i].text = OneLine(row[i].text);
    widths_[i] = std::max(widths_[i], DisplayWidth(row[i].text));
  }
  rows_.push_back(std::move(row));
}

std::string Table::Render(bool colour) const {
  std::string text;
  for (const std::vector<Cell>& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, Paint(row[i].text, row[i].tone, colour));
      if (i + 1 < row.size()) text.append(widths_[i] - DisplayWidth(row[i].text) + kGap, ' ');
    }
    text += '\n';
  }
  return text;
}

}  // namespace berth::cli
