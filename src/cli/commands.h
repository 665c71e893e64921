// The table of commands: help, dispatch and the split of a command line read it.
#pragma once

#include <memory>

#include "absl/types/span.h"
#include "src/cli/command.h"

namespace berth::cli {

struct CommandEntry {
  const char* name;
  const char* group;
  const char* about;
  std::unique_ptr<Command> (*make)();
  bool takes_container_command = false;  // what follows the first argument belongs to the container
  int failure_exit_code = 1;             // of a failure that names none
};

absl::Span<const CommandEntry> Commands();

// One per file of the same name.
std::unique_ptr<Command> MakeAttach();
std::unique_ptr<Command> MakeCompletion();
std::unique_ptr<Command> MakeCp();
std::unique_ptr<Command> MakeDoctor();
std::unique_ptr<Command> MakeEvents();
std::unique_ptr<Command> MakeExec();
std::unique_ptr<Command> MakeImage();
std::unique_ptr<Command> MakeImages();
std::unique_ptr<Command> MakeInfo();
std::unique_ptr<Command> MakeInspect();
std::unique_ptr<Command> MakeLogs();
std::unique_ptr<Command> MakeMan();
std::unique_ptr<Command> MakePods();
std::unique_ptr<Command> MakePortForward();
std::unique_ptr<Command> MakePs();
std::unique_ptr<Command> MakePull();
std::unique_ptr<Command> MakeRm();
std::unique_ptr<Command> MakeRmi();
std::unique_ptr<Command> MakeRun();
std::unique_ptr<Command> MakeStats();
std::unique_ptr<Command> MakeStop();
std::unique_ptr<Command> MakeTop();
std::unique_ptr<Command> MakeVersion();
std::unique_ptr<Command> MakeWhy();

// The actions of `berth image` that have no command of their own (image_actions.cc).
std::unique_ptr<Command> MakeImageInspect();
std::unique_ptr<Command> MakeImageHistory();
std::unique_ptr<Command> MakeImageTag();
std::unique_ptr<Command> MakeImageUntag();
std::unique_ptr<Command> MakeImageVerify();
std::unique_ptr<Command> MakeImageGc();
std::unique_ptr<Command> MakeImagePulls();

}  // namespace berth::cli
