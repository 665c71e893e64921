// `berth man`: the manual page, as the build writes it into berth.1.
#include <CLI/CLI.hpp>

#include "src/cli/commands.h"
#include "src/command_line/man_page.h"

namespace berth::cli {
namespace {

constexpr char kMore[] = R"(.SH "EXIT STATUS"
0 where all went well, 1 where something did not, 2 where the command line is wrong. \fBrun\fR and
\fBexec\fR exit as the command does, and with 125 where Berth could not start it, 126 where it cannot
be run, 127 where it is not there.
.SH ENVIRONMENT
.TP
\fBBERTH_SOCKET\fR
where berthd listens, as \fB\-\-socket\fR
.TP
\fBNO_COLOR\fR
if it is set, nothing is printed in colour
.SH FILES
.TP
\fI/run/berth/berth.sock\fR
the socket of berthd, for root and its group
.SH "SEE ALSO"
.BR berthd (8),
.BR berth.toml (5),
.BR crictl (1)
)";

class ManCommand : public Command {
 public:
  void Declare(CLI::App& command) override { program_ = command.get_parent(); }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    invocation.output.out << ManPage(*program_,
                                     {.name = "berth",
                                      .section = 1,
                                      .about = "run pods and containers, and look into them",
                                      .source = "Berth " BERTH_VERSION},
                                     kMore);
    return 0;
  }

 private:
  const CLI::App* program_ = nullptr;
};

}  // namespace

std::unique_ptr<Command> MakeMan() { return std::make_unique<ManCommand>(); }

}  // namespace berth::cli
