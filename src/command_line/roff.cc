#include "src/command_line/roff.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace berth {

std::string Roff(absl::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    // A line that begins so is a request.
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    line_begins = c == '\n';
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '"':
        out += "\\(dq";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string RoffBold(absl::string_view text) { return absl::StrCat("\\fB", Roff(text), "\\fR"); }

std::string RoffItalic(absl::string_view text) { return absl::StrCat("\\fI", Roff(text), "\\fR"); }

std::string RoffMacro(absl::string_view macro, absl::string_view argument) {
  return absl::StrCat(".", macro, " \"", Roff(argument), "\"\n");
}

std::string RoffTitle(const ManTitle& title) {
  return absl::StrCat(".TH ", absl::AsciiStrToUpper(Roff(title.name)), " ", title.section,
                      " \"\" \"", Roff(title.source), "\" \"Berth\"\n",
                      // Neither hyphens within words nor spaces stretched to both margins.
                      ".nh\n.ad l\n", RoffMacro("SH", "NAME"), Roff(title.name), " \\- ",
                      Roff(title.about), "\n");
}

}  // namespace berth
