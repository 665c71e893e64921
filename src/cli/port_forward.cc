#include <sys/resource.h>

#include <CLI/CLI.hpp>

#include "src/base/status_macros.h"
#include "src/cli/commands.h"
#include "src/cli/failure.h"
#include "src/cli/port_forwarder.h"
#include "src/cli/targets.h"

namespace berth::cli {
namespace {

// Each connection takes a few descriptors.
void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

class PortForwardCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("POD", pod_, "by id or name, or one of its containers")->required();
    command.add_option("PORT", ports_, "[[ADDRESS:]LOCAL:]REMOTE; an empty LOCAL is a free port")
        ->required();
    command.footer(
        "Listens on 127.0.0.1 and ::1, or on ADDRESS ([ADDRESS] for IPv6), until Ctrl-C:\n"
        "  berth port-forward web 8080:80 :9090");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    std::vector<PortSpec> specs;
    for (const std::string& text : ports_) {
      const auto spec = ParsePortSpec(text);
      if (!spec.ok()) return WithExitCode(spec.status(), kExitUsage);
      specs.push_back(*spec);
    }
    Interrupt interrupt;
    SessionSignals signals;
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const Target target, ResolveTarget(client, pod_, Accept::kBoth));
    RaiseDescriptorLimit();
    ASSIGN_OR_RETURN(std::vector<ListenSocket> listeners, Listen(specs, invocation.output));
    Output& output = invocation.output;
    PortForwarder forwarder(std::move(listeners),
                            {.open_session =
                                 [&](uint16_t port) {
                                   cri::PortForwardRequest request;
                                   request.set_pod_sandbox_id(target.pod_id);
                                   request.add_port(port);
                                   return client.PortForward(request);
                                 },
                             .on_failure =
                                 [&](const absl::Status& status) {
                                   output.err << DescribeFailure(InContext(status, "port-forward"),
                                                                 output.err_colour)
                                              << std::flush;
                                 }});
    const absl::Status served = forwarder.Run(interrupt, signals);
    if (!served.ok()) return InContext(served, pod_);
    return 0;
  }

 private:
  static absl::StatusOr<std::vector<ListenSocket>> Listen(const std::vector<PortSpec>& specs,
                                                          Output& output) {
    std::vector<ListenSocket> listeners;
    for (const PortSpec& spec : specs) {
      ASSIGN_OR_RETURN(std::vector<ListenSocket> made, ListenOn(spec));
      for (ListenSocket& one : made) listeners.push_back(std::move(one));
    }
    for (const ListenSocket& one : listeners) {
      output.out << "forwarding " << FormatEndpoint(one.address, one.local) << " to port "
                 << one.remote << "\n";
    }
    output.out << std::flush;
    return listeners;
  }

  std::string pod_;
  std::vector<std::string> ports_;
};

}  // namespace

std::unique_ptr<Command> MakePortForward() { return std::make_unique<PortForwardCommand>(); }

}  // namespace berth::cli
