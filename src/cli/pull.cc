#include <CLI/CLI.hpp>

#include "src/base/status_macros.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/failure.h"
#include "src/cli/pulling.h"

namespace berth::cli {
namespace {

class PullCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("IMAGE", image_, "for example localhost:5000/app:1.0")->required();
    command.add_option("--creds", credentials_, "user and password for the registry")
        ->type_name("USER:PASSWORD");
    command.add_flag("-q,--quiet", quiet_, "print the image id only");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    v1::PullImageRequest request;
    request.set_reference(image_);
    RETURN_IF_ERROR(SetCredentials(&request));
    Interrupt interrupt;
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    std::string image_id;
    if (quiet_) {
      ASSIGN_OR_RETURN(image_id, PullQuietly(client, request, interrupt));
    } else {
      ASSIGN_OR_RETURN(image_id, PullWithProgress(client, request, interrupt, invocation.output));
    }
    invocation.output.out << image_id << "\n";
    return 0;
  }

 private:
  absl::Status SetCredentials(v1::PullImageRequest* request) const {
    if (credentials_.empty()) return absl::OkStatus();
    const size_t colon = credentials_.find(':');
    if (colon == std::string::npos || colon == 0) {
      return WithExitCode(absl::InvalidArgumentError("--creds: not of the form USER:PASSWORD"),
                          kExitUsage);
    }
    request->set_username(credentials_.substr(0, colon));
    request->set_password(credentials_.substr(colon + 1));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> PullQuietly(Client& client, const v1::PullImageRequest& request,
                                          Interrupt& interrupt) const {
    const auto image_id = client.PullImage(
        request, [](const auto&) {}, interrupt.fd());
    if (interrupt.Take()) {
      return WithExitCode(InContext(absl::CancelledError("interrupted"), image_), kExitInterrupted);
    }
    if (!image_id.ok()) return InContext(image_id.status(), image_);
    return *image_id;
  }

  std::string image_;
  std::string credentials_;
  bool quiet_ = false;
};

}  // namespace

std::unique_ptr<Command> MakePull() { return std::make_unique<PullCommand>(); }

}  // namespace berth::cli
