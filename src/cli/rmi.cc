#include <CLI/CLI.hpp>

#include "src/base/status_macros.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/for_each.h"
#include "src/cli/image_match.h"

namespace berth::cli {
namespace {

// The CRI answers success for an image that is not there; a person wants to know.
absl::Status RemoveImage(Client& client, const std::string& name) {
  ASSIGN_OR_RETURN(const cri::ImageStatusResponse known, client.ImageStatus(name));
  if (known.has_image()) return client.RemoveImage(name);
  ASSIGN_OR_RETURN(const cri::ListImagesResponse images, client.ListImages());
  ASSIGN_OR_RETURN(const std::string id, FindImageByPrefix(images, name));
  return client.RemoveImage(id);
}

class RmiCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("IMAGE", images_, "names or ids of images")->required();
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    return ForEach("rmi", images_, invocation.output,
                   [&](const std::string& name) { return RemoveImage(client, name); });
  }

 private:
  std::vector<std::string> images_;
};

}  // namespace

std::unique_ptr<Command> MakeRmi() { return std::make_unique<RmiCommand>(); }

}  // namespace berth::cli
