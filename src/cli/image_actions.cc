// The actions of `berth image` that look into the store and change it.
#include <CLI/CLI.hpp>

#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/failure.h"
#include "src/cli/for_each.h"
#include "src/cli/image_tables.h"
#include "src/cli/interrupt.h"

namespace berth::cli {
namespace {

TableStyle StyleOf(const ListOptions& list) {
  return {.now = absl::Now(), .no_trunc = list.no_trunc};
}

class InspectAction : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("IMAGE", image_, "name or id of an image")->required();
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const v1::InspectImageResponse image, client.InspectImage(image_));
    ASSIGN_OR_RETURN(const std::string json, ImageJson(image));
    invocation.output.out << json << "\n";
    return 0;
  }

 private:
  std::string image_;
};

class HistoryAction : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("IMAGE", image_, "name or id of an image")->required();
    command.add_flag("--no-trunc", list_.no_trunc, "show ids and instructions whole");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const v1::InspectImageResponse image, client.InspectImage(image_));
    ASSIGN_OR_RETURN(const Table table, HistoryTable(image, StyleOf(list_)));
    PrintTable(table, invocation.output);
    return 0;
  }

 private:
  std::string image_;
  ListOptions list_;
};

class TagAction : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("IMAGE", image_, "name or id of an image")->required();
    command.add_option("NAME", name_, "its further name, for example localhost:5000/app:2.0")
        ->required();
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    RETURN_IF_ERROR(client.TagImage(image_, name_));
    return 0;
  }

 private:
  std::string image_, name_;
};

class UntagAction : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("NAME", names_, "names of images")->required();
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    return ForEach("untag", names_, invocation.output,
                   [&](const std::string& name) { return client.UntagImage(name); });
  }

 private:
  std::vector<std::string> names_;
};

class VerifyAction : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("IMAGE", image_, "name or id of an image; every layer if there is none");
    command.add_flag("--repair", repair_, "fetch damaged layers again");
    AddListOptions(command, &list_);
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    v1::VerifyImagesRequest request;
    request.set_reference(image_);
    request.set_repair(repair_);
    Interrupt interrupt;
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    std::vector<v1::VerifyImagesResponse> layers;
    RETURN_IF_ERROR(client.VerifyImages(
        request, [&](const auto& layer) { layers.push_back(layer); }, interrupt.fd()));
    RETURN_IF_ERROR(Print(layers, invocation.output));
    for (const v1::VerifyImagesResponse& layer : layers) {
      if (layer.state() == "damaged") return kExitFailure;
    }
    return 0;
  }

 private:
  absl::Status Print(const std::vector<v1::VerifyImagesResponse>& layers, Output& output) const {
    if (list_.json()) {
      for (const auto& layer : layers) RETURN_IF_ERROR(PrintJson(layer, output));
    } else if (list_.quiet) {
      for (const auto& layer : layers) {
        if (layer.state() == "damaged") output.out << layer.diff_id() << "\n";
      }
    } else {
      PrintTable(VerifyTable(layers, StyleOf(list_)), output);
    }
    return absl::OkStatus();
  }

  std::string image_;
  bool repair_ = false;
  ListOptions list_;
};

class GcAction : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_flag("--dry-run", dry_run_,
                     "only tell what would be removed, and why the rest stays");
    AddListOptions(command, &list_);
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const v1::CollectGarbageResponse garbage, client.CollectGarbage(dry_run_));
    if (list_.json()) {
      RETURN_IF_ERROR(PrintJson(garbage, invocation.output));
    } else if (list_.quiet) {
      for (const v1::GarbageItem& item : garbage.items()) {
        if (!item.kept()) invocation.output.out << item.name() << "\n";
      }
    } else {
      PrintTable(GarbageTable(garbage, StyleOf(list_)), invocation.output);
      invocation.output.err << GarbageSummary(garbage, dry_run_) << "\n";
    }
    return 0;
  }

 private:
  bool dry_run_ = false;
  ListOptions list_;
};

class PullsAction : public Command {
 public:
  void Declare(CLI::App& command) override { AddListOptions(command, &list_); }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    ASSIGN_OR_RETURN(const v1::ListPullsResponse pulls, client.ListPulls());
    if (list_.json()) {
      RETURN_IF_ERROR(PrintJson(pulls, invocation.output));
    } else if (list_.quiet) {
      for (const v1::Pull& pull : pulls.pulls()) {
        invocation.output.out << pull.reference() << "\n";
      }
    } else {
      PrintTable(PullsTable(pulls, StyleOf(list_)), invocation.output);
    }
    return 0;
  }

 private:
  ListOptions list_;
};

}  // namespace

std::unique_ptr<Command> MakeImageInspect() { return std::make_unique<InspectAction>(); }
std::unique_ptr<Command> MakeImageHistory() { return std::make_unique<HistoryAction>(); }
std::unique_ptr<Command> MakeImageTag() { return std::make_unique<TagAction>(); }
std::unique_ptr<Command> MakeImageUntag() { return std::make_unique<UntagAction>(); }
std::unique_ptr<Command> MakeImageVerify() { return std::make_unique<VerifyAction>(); }
std::unique_ptr<Command> MakeImageGc() { return std::make_unique<GcAction>(); }
std::unique_ptr<Command> MakeImagePulls() { return std::make_unique<PullsAction>(); }

}  // namespace berth::cli
