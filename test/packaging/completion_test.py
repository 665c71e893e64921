"""The scripts of `berth completion`, in the shells that they are for."""
import os

from case import Case, main, needs

# What is typed, and what the shells offer; no daemon answers.
LINES = {
    "berth por": ["port-forward"],
    "berth image his": ["history"],
    "berth ps --no": ["--no-trunc"],
    "berth ps -o js": ["json"],
    "berth --socket=/nonexistent version --soc": ["--socket"],
    "berth exec nobody ": [],
}

BASH = """
source <(berth completion bash)
COMP_LINE=$1 COMP_POINT=${#1}
_berth
((${#COMPREPLY[@]} == 0)) || printf '%s\\n' "${COMPREPLY[@]}"
"""

# The completion system itself needs a terminal: its two ends are ours.
ZSH = """
compdef() { }
_files() { }
_describe() { print -rl -- "${(@)${(P)2}%%:*}" }
source <(berth completion zsh)
words=(${(s: :)1})
[[ $1 == *' ' ]] && words+=('')
CURRENT=$#words
_berth
"""

FISH = """
berth completion fish | source
cd (mktemp -d)
complete -C $argv[1]
"""


class Completion(Case):
    def offered(self, *command):
        environment = {**os.environ, "PATH": f"{self.build / 'bin'}:{os.environ['PATH']}",
                       "BERTH_SOCKET": "/nonexistent/berth.sock"}
        lines = self.run_program(*command, env=environment).splitlines()
        return [line.split("\t")[0] for line in lines]

    def check(self, *shell):
        for line, expected in LINES.items():
            with self.subTest(line):
                self.assertEqual(self.offered(*shell, line), expected)

    @needs("bash")
    def test_bash(self):
        self.check("bash", "-c", BASH, "bash")

    @needs("zsh")
    def test_zsh(self):
        self.check("zsh", "-f", "-c", ZSH, "zsh")

    @needs("fish")
    def test_fish(self):
        self.check("fish", "--no-config", "-c", FISH)


if __name__ == "__main__":
    main()
