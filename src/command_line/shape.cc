#include "src/command_line/shape.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_split.h"

namespace berth {

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// CLI11 gives "FORMAT:{table,json}".
std::string ValueName(const CLI::Option& option) {
  const std::string full = option.get_type_name();
  return full.substr(0, full.find(":{"));
}

std::vector<std::string> Choices(const CLI::Option& option) {
  const std::string full = option.get_type_name();
  const size_t begin = full.find(":{"), end = full.find('}');
  if (begin == std::string::npos || end == std::string::npos) return {};
  return absl::StrSplit(full.substr(begin + 2, end - begin - 2), ',');
}

std::vector<const CLI::Option*> Operands(const CLI::App& app) {
  std::vector<const CLI::Option*> operands;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional() && !option->get_group().empty()) operands.push_back(option);
  }
  return operands;
}

std::vector<const CLI::App*> VisibleCommands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* command) { return !command->get_group().empty(); });
}

}  // namespace berth
