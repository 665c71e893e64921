#include "src/cli/app.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/cli/argument_split.h"
#include "src/cli/commands.h"
#include "src/cli/failure.h"
#include "src/cli/run_config.h"

namespace berth::cli {
namespace {

constexpr size_t kHelpColumn = 36;

struct Declared {
  const CommandEntry* entry;
  std::unique_ptr<Command> command;
  CLI::App* app;
};

std::vector<Declared> DeclareAll(CLI::App& root) {
  std::vector<Declared> declared;
  for (const CommandEntry& entry : Commands()) {
    CLI::App* app = root.add_subcommand(entry.name, entry.about)->group(entry.group)->fallthrough();
    app->get_formatter()->column_width(kHelpColumn);
    declared.push_back({.entry = &entry, .command = entry.make(), .app = app});
    declared.back().command->Declare(*app);
  }
  return declared;
}

TakesValue OptionsOf(const CLI::App& root, const CLI::App* app) {
  return [&root, app](absl::string_view name) {
    const std::string key(name);
    const CLI::Option* option = app == nullptr ? nullptr : app->get_option_no_throw(key);
    if (option == nullptr) option = root.get_option_no_throw(key);
    return option != nullptr && option->get_items_expected_max() > 0;
  };
}

// Cuts what belongs to the container off `arguments` and returns it.
std::vector<std::string> CutContainerCommand(const CLI::App& root,
                                             const std::vector<Declared>& declared,
                                             std::vector<std::string>* arguments) {
  const size_t verb = FindPositional(*arguments, 0, OptionsOf(root, nullptr));
  if (verb == arguments->size()) return {};
  const auto command =
      std::find_if(declared.begin(), declared.end(), [&](const Declared& candidate) {
        return candidate.entry->takes_container_command &&
               candidate.entry->name == (*arguments)[verb];
      });
  if (command == declared.end()) return {};
  const size_t object = FindPositional(*arguments, verb + 1, OptionsOf(root, command->app));
  if (object == arguments->size()) return {};
  auto begin = arguments->begin() + static_cast<std::ptrdiff_t>(object) + 1;
  if (begin != arguments->end() && *begin == "--") begin = arguments->erase(begin);
  std::vector<std::string> rest(begin, arguments->end());
  arguments->erase(begin, arguments->end());
  return rest;
}

// CLI11 would only say that a command is missing.
absl::Status CheckVerb(const CLI::App& root, const std::vector<std::string>& arguments) {
  const size_t verb = FindPositional(arguments, 0, OptionsOf(root, nullptr));
  if (verb == arguments.size()) return absl::OkStatus();
  for (const CommandEntry& entry : Commands()) {
    if (arguments[verb] == entry.name) return absl::OkStatus();
  }
  return WithHint(
      absl::InvalidArgumentError(absl::StrCat("there is no command \"", arguments[verb], "\"")),
      "berth --help lists the commands");
}

int ExplainUsage(const CLI::App& root, const CLI::ParseError& error, Output& output) {
  const auto parsed = root.get_subcommands();
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    root.exit(error, output.out, output.err);
    return 0;
  }
  const std::string where = parsed.empty() ? "" : absl::StrCat(parsed[0]->get_name(), ": ");
  const std::string help = parsed.empty() ? "" : absl::StrCat(" ", parsed[0]->get_name());
  output.err << DescribeFailure(
      WithHint(absl::InvalidArgumentError(absl::StrCat(where, error.what())),
               absl::StrCat("berth", help, " --help shows what is possible")),
      output.err_colour);
  return kExitUsage;
}

int Dispatch(const std::vector<Declared>& declared, Invocation& invocation) {
  for (const Declared& candidate : declared) {
    if (!candidate.app->parsed()) continue;
    const absl::StatusOr<int> code = candidate.command->Run(invocation);
    invocation.output.out.flush();
    if (code.ok()) return *code;
    const absl::Status failure = InContext(code.status(), candidate.entry->name);
    invocation.output.err << DescribeFailure(failure, invocation.output.err_colour);
    return ExitCodeOf(failure, candidate.entry->failure_exit_code);
  }
  return kExitUsage;
}

// Absolute, because the logs of `berth run` are named after it and the daemon has another working
// directory.
std::string SocketPath(absl::string_view given) {
  absl::ConsumePrefix(&given, "unix://");
  std::error_code error;
  const auto absolute = std::filesystem::absolute(std::string(given), error);
  return error ? std::string(given) : absolute.lexically_normal().string();
}

}  // namespace

int RunBerth(const std::vector<std::string>& arguments, Output& output) {
  CLI::App root("Runs pods and containers, and looks into them, on this node's berthd.", "berth");
  root.get_formatter()->column_width(kHelpColumn);
  Invocation invocation{.output = output, .socket = std::string(kDefaultSocket)};
  root.add_option("--socket", invocation.socket, "where berthd listens")
      ->envname("BERTH_SOCKET")
      ->capture_default_str()
      ->type_name("PATH");
  root.set_version_flag("--version", "berth " BERTH_VERSION);
  const std::vector<Declared> declared = DeclareAll(root);
  std::vector<std::string> own = arguments;
  invocation.container_command = CutContainerCommand(root, declared, &own);
  if (own.empty()) {
    output.out << root.help();
    return 0;
  }
  if (const absl::Status status = CheckVerb(root, own); !status.ok()) {
    output.err << DescribeFailure(status, output.err_colour);
    return kExitUsage;
  }
  root.require_subcommand(1);
  std::reverse(own.begin(), own.end());  // CLI11 takes arguments from the back
  try {
    root.parse(std::move(own));
  } catch (const CLI::ParseError& error) {
    return ExplainUsage(root, error, output);
  }
  invocation.socket = SocketPath(invocation.socket);
  return Dispatch(declared, invocation);
}

}  // namespace berth::cli
