#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"

namespace berth::cli {
namespace {

class VersionCommand : public Command {
 public:
  void Declare(CLI::App& command) override { AddFormatOption(command, &list_); }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    const absl::StatusOr<cri::VersionResponse> version = Ask(invocation.socket);
    if (list_.json()) {
      RETURN_IF_ERROR(version.status());
      RETURN_IF_ERROR(PrintJson(*version, invocation.output));
      return 0;
    }
    Table table({"Client", absl::StrCat("berth ", BERTH_VERSION)});
    if (version.ok()) {
      table.AddRow(
          {"Server", absl::StrCat(version->runtime_name(), " ", version->runtime_version())});
      table.AddRow({"CRI API", version->runtime_api_version()});
    }
    PrintTable(table, invocation.output);  // berth's own version also where no daemon answers
    RETURN_IF_ERROR(version.status());
    return 0;
  }

 private:
  static absl::StatusOr<cri::VersionResponse> Ask(const std::string& socket) {
    ASSIGN_OR_RETURN(Client client, Client::Connect(socket));
    return client.Version();
  }

  ListOptions list_;
};

}  // namespace

std::unique_ptr<Command> MakeVersion() { return std::make_unique<VersionCommand>(); }

}  // namespace berth::cli
