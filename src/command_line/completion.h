// What may follow on a command line, from the CLI11 tree that parses it. Pure.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}  // namespace CLI

namespace berth {

struct Candidate {
  std::string word;
  std::string about;

  bool operator==(const Candidate&) const = default;
};

struct Completion {
  std::vector<Candidate> candidates;
  // The positional argument that is expected, by its name: "CONTAINER"; "" if there is none. Its
  // candidates are not among the above.
  std::string operand;
  std::string command;        // that the words have led to
  size_t operands_given = 0;  // to it
};

// `words` are what follows the program's name; the last one is being typed and may be empty. Only
// candidates that begin with it.
Completion Complete(const CLI::App& program, const std::vector<std::string>& words);

}  // namespace berth
