#include <CLI/CLI.hpp>

#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/list_tables.h"

namespace berth::cli {
namespace {

class ImagesCommand : public Command {
 public:
  void Declare(CLI::App& command) override { AddListOptions(command, &list_); }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const cri::ListImagesResponse images, client.ListImages());
    if (list_.json()) {
      RETURN_IF_ERROR(PrintJson(images, invocation.output));
    } else if (list_.quiet) {
      for (const cri::Image& image : images.images()) invocation.output.out << image.id() << "\n";
    } else {
      PrintTable(ImagesTable(images, {.now = absl::Now(), .no_trunc = list_.no_trunc}),
                 invocation.output);
    }
    return 0;
  }

 private:
  ListOptions list_;
};

}  // namespace

std::unique_ptr<Command> MakeImages() { return std::make_unique<ImagesCommand>(); }

}  // namespace berth::cli
