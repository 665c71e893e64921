#include "src/command_line/completion.h"

#include <CLI/CLI.hpp>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "src/command_line/shape.h"

namespace berth {
namespace {

// Where the words before the last one lead.
struct Place {
  const CLI::App* command;
  size_t operands = 0;                  // that are given
  const CLI::Option* option = nullptr;  // whose value comes next
  bool options_ended = false;           // by "--"
};

bool IsOption(absl::string_view word) { return word.size() > 1 && word[0] == '-'; }

// Commands take the options of the program too.
const CLI::Option* FindOption(const CLI::App& program, const CLI::App& command,
                              const std::string& name) {
  const CLI::Option* option = command.get_option_no_throw(name);
  return option != nullptr ? option : program.get_option_no_throw(name);
}

const CLI::App* FindCommand(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : VisibleCommands(app)) {
    if (command->check_name(name)) return command;
  }
  return nullptr;
}

Place Follow(const CLI::App& program, const std::vector<std::string>& words) {
  Place place = {.command = &program};
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (place.option != nullptr) {
      place.option = nullptr;
    } else if (word == "--") {
      place.options_ended = true;
    } else if (IsOption(word) && !place.options_ended) {
      const CLI::Option* option = FindOption(program, *place.command, word);
      if (option != nullptr && TakesValue(*option)) place.option = option;
    } else if (const CLI::App* command = FindCommand(*place.command, word);
               command != nullptr && place.operands == 0) {
      place.command = command;
    } else {
      ++place.operands;
    }
  }
  return place;
}

void AddOptions(const CLI::App& app, std::vector<Candidate>* candidates) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    for (const std::string& name : option->get_lnames())
      candidates->push_back({"--" + name, option->get_description()});
    for (const std::string& name : option->get_snames())
      candidates->push_back({"-" + name, option->get_description()});
  }
}

void AddChoices(const CLI::Option& option, std::vector<Candidate>* candidates) {
  for (const std::string& choice : Choices(option)) candidates->push_back({choice, ""});
}

const CLI::Option* NextOperand(const Place& place) {
  const std::vector<const CLI::Option*> operands = Operands(*place.command);
  if (place.operands < operands.size()) return operands[place.operands];
  const bool repeats = !operands.empty() && operands.back()->get_items_expected_max() > 1;
  return repeats ? operands.back() : nullptr;
}

}  // namespace

Completion Complete(const CLI::App& program, const std::vector<std::string>& words) {
  Completion completion;
  const std::string typed = words.empty() ? "" : words.back();
  const Place place = Follow(program, words);
  completion.command = place.command->get_name();
  completion.operands_given = place.operands;
  std::vector<Candidate>& candidates = completion.candidates;
  if (place.option != nullptr) {
    AddChoices(*place.option, &candidates);
  } else if (absl::StartsWith(typed, "-") && !place.options_ended) {
    AddOptions(*place.command, &candidates);
    if (place.command != &program) AddOptions(program, &candidates);
  } else {
    if (place.operands == 0) {
      for (const CLI::App* command : VisibleCommands(*place.command))
        candidates.push_back({command->get_name(), command->get_description()});
    }
    if (const CLI::Option* operand = NextOperand(place); operand != nullptr) {
      AddChoices(*operand, &candidates);
      completion.operand = operand->get_name(true, false);
    }
  }
  std::erase_if(candidates, [&](const Candidate& c) { return !absl::StartsWith(c.word, typed); });
  return completion;
}

}  // namespace berth
