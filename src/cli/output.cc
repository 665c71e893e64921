#include "src/cli/output.h"

#include <google/protobuf/util/json_util.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

bool WantsColour() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || absl::string_view(term) == "dumb";
  return !dumb && (no_color == nullptr || *no_color == '\0');
}

}  // namespace

Output ProcessOutput() {
  const bool colour = WantsColour();
  const bool out_live = isatty(STDOUT_FILENO) == 1;
  const bool err_live = isatty(STDERR_FILENO) == 1;
  return Output{.out = std::cout,
                .err = std::cerr,
                .out_colour = colour && out_live,
                .err_colour = colour && err_live,
                .err_live = err_live,
                .out_live = out_live};
}

TerminalSize SizeOfTerminal(int fd) {
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {.columns = size.ws_col, .rows = size.ws_row};
}

void AddFormatOption(CLI::App& command, ListOptions* options) {
  command.add_option("-o,--output", options->format, "how to print: table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->type_name("FORMAT");
}

void AddListOptions(CLI::App& command, ListOptions* options) {
  AddFormatOption(command, options);
  command.add_flag("-q,--quiet", options->quiet, "print full ids only");
  command.add_flag("--no-trunc", options->no_trunc, "do not shorten ids");
}

absl::Status PrintJson(const google::protobuf::Message& reply, Output& output) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(reply, &json, options);
  if (!status.ok()) return absl::InternalError(absl::StrCat("print json: ", status.ToString()));
  output.out << EscapeJsonForTerminal(json);
  return absl::OkStatus();
}

void PrintTable(const Table& table, Output& output) {
  output.out << table.Render(output.out_colour);
}

}  // namespace berth::cli
