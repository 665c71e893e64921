#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "absl/time/clock.h"
#include "src/base/status_macros.h"
#include "src/cli/app.h"
#include "src/cli/client.h"
#include "src/cli/commands.h"
#include "src/cli/interrupt.h"
#include "src/cli/top_view.h"

namespace berth::cli {
namespace {

constexpr char kEnterScreen[] = "\x1b[?1049h\x1b[?25l", kLeaveScreen[] = "\x1b[?25h\x1b[?1049l";
constexpr char kHome[] = "\x1b[H", kClearLine[] = "\x1b[K", kClearBelow[] = "\x1b[J";
constexpr char kEscape = '\x1b';
constexpr char kDelete = '\x7f';

// Keys come one by one and are not echoed, on a screen that is given back. Signals still work.
class FullScreen {
 public:
  explicit FullScreen(Output& output) : output_(output) {
    tcgetattr(STDIN_FILENO, &before_);
    Enter();
  }
  ~FullScreen() { Leave(); }
  void Enter() {
    termios keys = before_;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    keys.c_cc[VMIN] = 0;
    keys.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &keys);
    output_.out << kEnterScreen << std::flush;
  }
  void Leave() {
    output_.out << kLeaveScreen << std::flush;
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

 private:
  Output& output_;
  termios before_ = {};
};

absl::StatusOr<TopReplies> Ask(Client& client) {
  TopReplies replies{.at = absl::Now()};
  ASSIGN_OR_RETURN(replies.stats, client.ListPodSandboxStats());
  ASSIGN_OR_RETURN(replies.metrics, client.ListPodSandboxMetrics());
  ASSIGN_OR_RETURN(replies.pulls, client.ListPulls());
  return replies;
}

class TopCommand : public Command {
 public:
  void Declare(CLI::App& command) override {
    command.add_option("-d,--delay", seconds_, "seconds between refreshes")
        ->check(CLI::Range(0.2, 3600.0))
        ->capture_default_str();
    command.add_flag("-p,--pods", choice_.pods, "show pods instead of containers");
    command.add_option("--filter", choice_.filter, "show only names with this in them");
  }

  absl::StatusOr<int> Run(Invocation& invocation) override {
    Interrupt interrupt;
    ASSIGN_OR_RETURN(Client client, Client::Connect(invocation.socket));
    if (!invocation.output.out_live || isatty(STDIN_FILENO) != 1)
      return PrintOnce(client, invocation.output);
    FullScreen screen(invocation.output);
    while (true) {
      ASSIGN_OR_RETURN(replies_, Ask(client));
      const absl::Time next = absl::Now() + absl::Seconds(seconds_);
      while (absl::Now() < next) {
        Draw(invocation.output);
        if (typed_.empty()) typed_ = WaitForKeys(interrupt, next);
        if (interrupt.Take()) return 0;
        typed_ = TranslateArrows(std::move(typed_));
        while (!typed_.empty()) {
          const char key = typed_.front();
          typed_.erase(0, 1);
          if (key == 'q' && !choice_.editing_filter) return 0;
          Press(key, screen, interrupt, invocation);
        }
      }
    }
  }

 private:
  // For pipes: all rows, no more than the figures.
  absl::StatusOr<int> PrintOnce(Client& client, Output& output) {
    ASSIGN_OR_RETURN(replies_, Ask(client));
    const std::vector<TopRow> rows = TopRows(replies_, choice_);
    std::vector<std::string> lines =
        RenderTop(replies_, rows, choice_, {.columns = 160, .rows = rows.size() + 16});
    lines.pop_back();  // the keys
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    for (const std::string& line : lines) output.out << line << "\n";
    return 0;
  }

  void Draw(Output& output) {
    rows_ = TopRows(replies_, choice_);
    choice_.selected = std::min(choice_.selected, rows_.empty() ? 0 : rows_.size() - 1);
    const TerminalSize size = SizeOfTerminal(STDOUT_FILENO);
    output.out << kHome;
    const std::vector<std::string> lines =
        RenderTop(replies_, rows_, choice_,
                  {.columns = size.columns, .rows = size.rows, .colour = output.out_colour});
    for (size_t i = 0; i < lines.size(); ++i)
      output.out << (i == 0 ? "" : "\r\n") << lines[i] << kClearLine;
    output.out << kClearBelow << std::flush;
  }

  static std::string WaitForKeys(Interrupt& interrupt, absl::Time until) {
    pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                    {.fd = interrupt.fd(), .events = POLLIN}};
    poll(
        fds, 2,
        static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(until - absl::Now()) + 1)));
    char keys[64];
    const ssize_t n = (fds[0].revents & POLLIN) != 0 ? read(STDIN_FILENO, keys, sizeof(keys)) : 0;
    return n > 0 ? std::string(keys, static_cast<size_t>(n)) : "";
  }

  // The cursor keys are sequences; here they are k and j as in less.
  static std::string TranslateArrows(std::string keys) {
    for (const auto& [sequence, key] : {std::pair{"\x1b[A", "k"}, std::pair{"\x1b[B", "j"}}) {
      for (size_t at; (at = keys.find(sequence)) != std::string::npos;) keys.replace(at, 3, key);
    }
    return keys;
  }

  void EditFilter(char key) {
    if (key == '\n' || key == '\r') choice_.editing_filter = false;
    if (key == kEscape) {
      choice_.editing_filter = false;
      choice_.filter.clear();
    }
    if ((key == kDelete || key == '\b') && !choice_.filter.empty()) choice_.filter.pop_back();
    if (static_cast<unsigned char>(key) >= ' ' && key != kDelete) choice_.filter += key;
  }

  void Press(char key, FullScreen& screen, Interrupt& interrupt, Invocation& invocation) {
    if (choice_.editing_filter) return EditFilter(key);
    switch (key) {
      case 'c':
        choice_.sort = TopSort::kCpu;
        break;
      case 'm':
        choice_.sort = TopSort::kMemory;
        break;
      case 'd':
        choice_.sort = TopSort::kDisk;
        break;
      case 's':
        choice_.sort = TopSort::kPressure;
        break;
      case 'n':
        choice_.sort = TopSort::kName;
        break;
      case 'p':
        choice_.pods = !choice_.pods;
        choice_.selected = 0;
        break;
      case '/':
        choice_.editing_filter = true;
        break;
      case 'k':
        if (choice_.selected > 0) --choice_.selected;
        break;
      case 'j':
        ++choice_.selected;  // Draw keeps it on a row
        break;
      case 'l':
        if (!choice_.pods) Show({"logs", "--tail", "200"}, screen, interrupt, invocation);
        break;
      case 'i':
        Show({"inspect"}, screen, interrupt, invocation);
        break;
      default:
        break;
    }
  }

  // Another command about the selected row, until a key is pressed.
  void Show(std::vector<std::string> command, FullScreen& screen, Interrupt& interrupt,
            Invocation& invocation) {
    if (choice_.selected >= rows_.size()) return;
    screen.Leave();
    command.insert(command.begin(), {"--socket", invocation.socket});
    command.push_back(rows_[choice_.selected].id);
    RunBerth(command, invocation.output);
    invocation.output.out << "\n-- a key goes back to berth top --" << std::flush;
    screen.Enter();
    // What was shown is on the other screen: it is looked at there.
    invocation.output.out << kLeaveScreen << std::flush;
    if (typed_.empty()) typed_ = WaitForKeys(interrupt, absl::Now() + absl::Hours(24));
    typed_.erase(0, 1);  // the others are for what is shown then
    invocation.output.out << kEnterScreen << std::flush;
  }

  double seconds_ = 1;
  std::string typed_;  // keys that nothing has been done with yet
  TopChoice choice_;
  TopReplies replies_;
  std::vector<TopRow> rows_;
};

}  // namespace

std::unique_ptr<Command> MakeTop() { return std::make_unique<TopCommand>(); }

}  // namespace berth::cli
