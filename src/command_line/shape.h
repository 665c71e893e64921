// What the tree of a CLI11 program says of itself, as manual page and completion ask it.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace berth {

bool TakesValue(const CLI::Option& option);
// "LINES" of --tail; without what its checks add.
std::string ValueName(const CLI::Option& option);
// What CLI::IsMember allows; empty where anything is.
std::vector<std::string> Choices(const CLI::Option& option);
// The positional arguments, in their order.
std::vector<const CLI::Option*> Operands(const CLI::App& app);
// Commands that its --help lists.
std::vector<const CLI::App*> VisibleCommands(const CLI::App& app);

}  // namespace berth
