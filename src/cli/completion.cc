// `berth completion SHELL`: a short script that asks `berth completion words` what may follow, so
// that every shell knows what this very program takes.
#include "src/command_line/completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "absl/strings/strip.h"
#include "src/cli/commands.h"
#include "src/cli/completion_names.h"
#include "src/cli/terminal_text.h"

namespace berth::cli {
namespace {

// Readline takes "a:b" and "a=b" for several words, we for one.
constexpr char kBash[] = R"(_berth() {
  local line=${COMP_LINE:0:COMP_POINT} words typed before word about
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  typed=${words[-1]}
  before=${typed%"${typed##*[:=]}"}
  COMPREPLY=()
  while IFS=$'\t' read -r word about; do
    COMPREPLY+=("${word#"$before"}")
  done < <("${words[0]}" completion words -- "${words[@]:1}" 2>/dev/null)
  [[ ${#COMPREPLY[@]} == 1 && $word == *: ]] && compopt -o nospace
  return 0
}
complete -o default -F _berth berth
)";

constexpr char kZsh[] = R"(#compdef berth
_berth() {
  local -a candidates
  local word about
  while IFS=$'\t' read -r word about; do
    candidates+=("${word//:/\\:}:$about")
  done < <("${words[1]}" completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( $#candidates )); then
    _describe berth candidates
  else
    _files
  fi
}
if [[ $funcstack[1] == _berth ]]; then
  _berth "$@"
else
  compdef _berth berth
fi
)";

constexpr char kFish[] = R"(function __berth_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] completion words -- $words[2..-1] 2>/dev/null)
    if set -q found[1]
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c berth -f -a '(__berth_complete)'
)";

struct Shell {
  absl::string_view name;
  absl::string_view script;
};
constexpr Shell kShells[] = {{"bash", kBash}, {"zsh", kZsh}, {"fish", kFish}};

class CompletionCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    program_ = command.get_parent();
    // "words" is for the scripts only.
    command.add_option("SHELL", shell_, "bash, zsh or fish")
        ->required()
        ->check(CLI::Validator(
            [](const std::string& name) {
              const bool known = name == "words" || FindShell(name) != nullptr;
              return known ? "" : "SHELL: neither bash nor zsh nor fish";
            },
            "{bash,zsh,fish}"));
    command.footer(
        "bash: source <(berth completion bash)\n"
        "zsh:  source <(berth completion zsh)\n"
        "fish: berth completion fish | source");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    if (const Shell* shell = FindShell(shell_); shell != nullptr) {
      invocation.output.out << shell->script;
      return 0;
    }
    for (const Candidate& candidate : Candidates(invocation))
      invocation.output.out << OneLine(candidate.word) << '\t' << OneLine(candidate.about) << '\n';
    return 0;
  }

 private:
  static const Shell* FindShell(absl::string_view name) {
    const auto found = std::find_if(std::begin(kShells), std::end(kShells),
                                    [&](const Shell& shell) { return shell.name == name; });
    return found == std::end(kShells) ? nullptr : found;
  }

  std::vector<Candidate> Candidates(const Invocation& invocation) const {
    const std::vector<std::string>& words = invocation.container_command;
    const Completion completion = Complete(*program_, words);
    for (const CommandEntry& entry : Commands()) {
      const bool is_containers = entry.name == completion.command &&
                                 entry.takes_container_command && completion.operands_given > 0;
      if (is_containers) return {};
    }
    std::vector<Candidate> candidates = completion.candidates;
    const std::vector<Candidate> names = NamesFor(
        completion.operand, words.empty() ? "" : words.back(), SocketOf(words, invocation.socket));
    candidates.insert(candidates.end(), names.begin(), names.end());
    return candidates;
  }

  // The one that the line to be completed names.
  static std::string SocketOf(const std::vector<std::string>& words, const std::string& otherwise) {
    for (size_t i = 0; i + 1 < words.size(); ++i) {
      absl::string_view word = words[i];
      if (word == "--socket") return words[i + 1];
      if (absl::ConsumePrefix(&word, "--socket=")) return std::string(word);
    }
    return otherwise;
  }

  const CLI::App* program_ = nullptr;
  std::string shell_;
};

}  // namespace

std::unique_ptr<Command> MakeCompletion() { return std::make_unique<CompletionCommand>(); }

}  // namespace berth::cli
