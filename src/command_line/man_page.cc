#include "src/command_line/man_page.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "src/command_line/shape.h"

namespace berth {
namespace {

// "-n, --tail=LINES"
std::string OptionTerm(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back(RoffBold("-" + name));
  for (const std::string& name : option.get_lnames()) names.push_back(RoffBold("--" + name));
  const std::string value =
      TakesValue(option) ? absl::StrCat("=", RoffItalic(ValueName(option))) : "";
  return absl::StrCat(absl::StrJoin(names, ", "), value);
}

std::string OptionText(const CLI::Option& option) {
  std::string text = Roff(option.get_description());
  if (!option.get_default_str().empty() && TakesValue(option))
    absl::StrAppend(&text, "; by default ", RoffBold(option.get_default_str()));
  if (!option.get_envname().empty())
    absl::StrAppend(&text, " (environment: ", RoffBold(option.get_envname()), ")");
  return text;
}

// Every command has --help: once is enough.
bool IsShown(const CLI::App& app, const CLI::Option& option) {
  const bool repeats = app.get_parent() != nullptr && &option == app.get_help_ptr();
  return !option.get_group().empty() && !repeats;
}

std::string Options(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : app.get_options()) {
    if (!IsShown(app, *option)) continue;
    const std::string term =
        option->nonpositional() ? OptionTerm(*option) : RoffItalic(option->get_name(true, false));
    absl::StrAppend(&text, ".TP\n", term, "\n", OptionText(*option), "\n");
  }
  return text;
}

std::string Synopsis(const std::string& command, const CLI::App& app) {
  std::string text = RoffBold(command);
  bool options = false;
  for (const CLI::Option* option : app.get_options())
    options |= option->nonpositional() && IsShown(app, *option);
  if (options) absl::StrAppend(&text, " [", RoffItalic("OPTION"), "]...");
  for (const CLI::Option* operand : Operands(app)) {
    const std::string name = RoffItalic(operand->get_name(true, false)) +
                             (operand->get_items_expected_max() > 1 ? "..." : "");
    absl::StrAppend(&text, " ", operand->get_required() ? name : absl::StrCat("[", name, "]"));
  }
  if (!VisibleCommands(app).empty()) absl::StrAppend(&text, " ", RoffItalic("COMMAND"));
  return text;
}

// Its lines stay lines; one that begins with a space does so by itself.
std::string Footer(const CLI::App& app) {
  if (app.get_footer().empty()) return "";
  return absl::StrCat(
      ".PP\n", absl::StrReplaceAll(Roff(app.get_footer()), {{"\n ", "\n "}, {"\n", "\n.br\n"}}),
      "\n");
}

std::string Commands(const std::string& prefix, const CLI::App& app) {
  std::string text;
  for (const CLI::App* command : VisibleCommands(app)) {
    const std::string name = absl::StrCat(prefix, " ", command->get_name());
    absl::StrAppend(&text, RoffMacro("SS", name), Synopsis(name, *command), "\n.PP\n",
                    Roff(command->get_description()), "\n", Options(*command), Footer(*command),
                    Commands(name, *command));
  }
  return text;
}

}  // namespace

std::string ManPage(const CLI::App& program, const ManTitle& title, absl::string_view more) {
  const std::string name(title.name);
  std::string text =
      absl::StrCat(RoffTitle(title), RoffMacro("SH", "SYNOPSIS"), Synopsis(name, program), "\n",
                   RoffMacro("SH", "DESCRIPTION"), Roff(program.get_description()), "\n",
                   RoffMacro("SH", "OPTIONS"), Options(program));
  const std::string commands = Commands(name, program);
  if (!commands.empty()) absl::StrAppend(&text, RoffMacro("SH", "COMMANDS"), commands);
  return absl::StrCat(text, more);
}

}  // namespace berth
