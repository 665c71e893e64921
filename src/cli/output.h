// Where a command writes, what that place can show, and the output forms that all commands share.
#pragma once

#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "src/cli/table.h"

namespace CLI {
class App;
}
namespace google::protobuf {
class Message;
}

namespace berth::cli {

struct Output {
  std::ostream& out;
  std::ostream& err;
  bool out_colour = false;
  bool err_colour = false;
  bool err_live = false;  // stderr is a terminal: progress is redrawn in place
  bool out_live = false;  // stdout is a terminal
};

// stdout and stderr of this process; colour on a terminal unless NO_COLOR is set or TERM is "dumb".
Output ProcessOutput();

struct TerminalSize {
  size_t columns = 80;
  size_t rows = 24;
};
// Of the terminal at `fd`; 80x24 where it is none.
TerminalSize SizeOfTerminal(int fd);

// -o, -q and --no-trunc of the commands that list something.
struct ListOptions {
  std::string format = "table";
  bool quiet = false;
  bool no_trunc = false;

  bool json() const { return format == "json"; }
};
void AddFormatOption(CLI::App& command, ListOptions* options);
void AddListOptions(CLI::App& command, ListOptions* options);

// The protobuf JSON of a reply, indented, unset fields included. Safe for a terminal.
absl::Status PrintJson(const google::protobuf::Message& reply, Output& output);
void PrintTable(const Table& table, Output& output);

}  // namespace berth::cli
