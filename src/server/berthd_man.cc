#include "src/server/berthd_man.h"

#include "src/command_line/man_page.h"

namespace berth {
namespace {

constexpr char kSections[] = R"(.SH SIGNALS
.TP
\fBSIGTERM\fR, \fBSIGINT\fR
berthd ends. Pods and their sessions go on, and are known again when it is started.
.TP
\fBSIGHUP\fR
The configuration is read again. What may change in a running daemon is taken over
(\fBberth.toml\fR(5) says of each key); the log names what needs a restart. A configuration that
cannot be read changes nothing.
.SH ENVIRONMENT
.TP
\fBNOTIFY_SOCKET\fR, \fBWATCHDOG_USEC\fR
set by systemd: it is told when berthd serves, reloads and stops, and, as long as clients are served,
that it is alive.
.TP
\fBHTTPS_PROXY\fR, \fBhttp_proxy\fR, \fBNO_PROXY\fR, \fBALL_PROXY\fR
how image pulls reach registries
.SH FILES
.TP
\fI/etc/berth/berth.toml\fR, \fI/etc/berth/conf.d/*.toml\fR
the configuration; neither needs to exist
.TP
\fI/run/berth/berth.sock\fR
where the kubelet, crictl and \fBberth\fR connect
.TP
\fI/run/berth\fR
what a reboot may clear
.TP
\fI/var/lib/berth\fR
images, writable layers of containers and the database
.SH "EXIT STATUS"
0 after a signal to end, 1 where berthd cannot start.
.SH "SEE ALSO"
.BR berth (1),
.BR berth.toml (5),
.BR crictl (1)
)";

}  // namespace

std::string BerthdManPage(const CLI::App& program, absl::string_view source) {
  return ManPage(
      program,
      {.name = "berthd", .section = 8, .about = "a Kubernetes container runtime", .source = source},
      kSections);
}

}  // namespace berth
