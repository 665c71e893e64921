#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/status_macros.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/event_filter.h"
#include "src/cli/interrupt.h"
#include "src/cli/targets.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

class EventsCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_flag("-f,--follow", follow_, "go on until Ctrl-C");
    command
        .add_option("--filter", filters_,
                    "KEY=VALUE, repeated: type, kind, pod, id or namespace; of one key any, of "
                    "several all must match")
        ->type_name("KEY=VALUE");
    AddFormatOption(command, &list_);
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(const EventFilter filter, EventFilter::Parse(filters_));
    Interrupt interrupt;
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    absl::Status printed;
    RETURN_IF_ERROR(client.WatchEvents(
        follow_,
        [&](const v1::WatchEventsResponse& batch) {
          for (const v1::Event& event : batch.events()) {
            if (filter.Accepts(event)) printed.Update(Print(event, invocation.output));
          }
          invocation.output.out.flush();
        },
        interrupt.fd()));
    RETURN_IF_ERROR(printed);
    interrupt.Take();  // left pending, it would end the process when it is unblocked
    return 0;
  }

 private:
  // A line each; as JSON too, so that a pipe can take them one by one.
  absl::Status Print(const v1::Event& event, Output& output) const {
    if (list_.json()) {
      std::string json;
      google::protobuf::util::JsonPrintOptions options;
      options.always_print_primitive_fields = true;
      const auto status = google::protobuf::util::MessageToJsonString(event, &json, options);
      if (!status.ok()) return absl::InternalError("print json: " + status.ToString());
      output.out << EscapeJsonForTerminal(json) << "\n";
      return absl::OkStatus();
    }
    const bool bad = event.type() == "failed" || event.type() == "oom";
    output.out << absl::FormatTime("%Y-%m-%d %H:%M:%E3S", absl::FromUnixNanos(event.at()),
                                   absl::LocalTimeZone())
               << "  "
               << Paint(absl::StrFormat("%-8s", OneLine(event.type())),
                        bad ? Tone::kBad : Tone::kPlain, output.out_colour)
               << absl::StrFormat("  %-9s  %-13s  %s", OneLine(event.kind()), ShortId(event.id()),
                                  OneLine(event.subject()))
               << (event.detail().empty() ? "" : absl::StrCat("  ", OneLine(event.detail())))
               << "\n";
    return absl::OkStatus();
  }

  bool follow_ = false;
  std::vector<std::string> filters_;
  ListOptions list_;
};

}  // namespace

std::unique_ptr<Command> MakeEvents() { return std::make_unique<EventsCommand>(); }

}  // namespace berth::cli
