#include "src/server/config_reference.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "src/command_line/roff.h"
#include "src/server/config.h"

namespace berth {
namespace {

constexpr absl::string_view kFiles =
    "berthd reads /etc/berth/berth.toml, then /etc/berth/conf.d/*.toml in the order of their "
    "names; "
    "the last value of a key counts. None of these files needs to exist. With --dir DIR they are "
    "DIR/berth.toml and DIR/conf.d/*.toml, with --config FILE it is FILE and conf.d beside it.";
constexpr absl::string_view kForm =
    "The files are TOML. Every value is a string, numbers and true or false too; several "
    "directories are separated by colons. A key that does not exist, or a value that cannot be, is "
    "an error that names file, line and key, and berthd does not start.";
constexpr absl::string_view kReload =
    "At SIGHUP (systemctl reload berthd) the files are read again. Keys marked so below are taken "
    "over at once, the log names what else changed and needs a restart, which costs no pod. A file "
    "with an error changes nothing. Followed without any reload are the networks in cni.conf_dir, "
    "hosts.toml and certificates of registries, credentials, and the certificate of stream.tls_*.";
constexpr absl::string_view kHandlers =
    "An external OCI runtime with the command line of runc, for pods whose RuntimeClass has the "
    "handler NAME, a DNS label. path is the program, absolute. A handler is added and removed by a "
    "restart.";

struct Command {
  absl::string_view command, about;
};
constexpr Command kCommands[] = {
    {"berthd config default", "prints the configuration without any file, with each key's meaning"},
    {"berthd config check", "says what is wrong with the files"},
    {"berthd config dump", "prints the configuration in force"},
};

std::string DefaultOf(const ConfigKey& key) {
  const Config defaults;
  return absl::StrCat("\"", defaults.*(key.value), "\"");
}

// An empty `section` is the top level.
std::string SectionTitle(absl::string_view section) {
  return section.empty() ? "Top level" : absl::StrCat("[", section, "]");
}

std::string Cell(absl::string_view text) { return absl::StrReplaceAll(text, {{"|", "\\|"}}); }

}  // namespace

std::string ConfigManPage(absl::string_view source) {
  std::string page = RoffTitle({.name = "berth.toml",
                                .section = 5,
                                .about = "the configuration of berthd",
                                .source = source});
  absl::StrAppend(&page, RoffMacro("SH", "DESCRIPTION"), Roff(kFiles), "\n.PP\n", Roff(kForm),
                  "\n.PP\n", Roff(kReload), "\n", RoffMacro("SH", "KEYS"));
  const char* section = nullptr;
  for (const ConfigKey& key : ConfigKeys()) {
    if (section == nullptr || absl::string_view(section) != key.section)
      absl::StrAppend(&page, RoffMacro("SS", SectionTitle(section = key.section)));
    absl::StrAppend(&page, ".TP\n", RoffBold(key.name), " = ", Roff(DefaultOf(key)), "\n",
                    Roff(key.help), key.reloads ? ". Taken over at a reload." : "", "\n");
  }
  absl::StrAppend(&page, RoffMacro("SS", "[handlers.NAME]"), Roff(kHandlers), "\n",
                  RoffMacro("SH", "COMMANDS"));
  for (const Command& command : kCommands)
    absl::StrAppend(&page, ".TP\n", RoffBold(command.command), "\n", Roff(command.about), "\n");
  absl::StrAppend(&page, RoffMacro("SH", "SEE ALSO"), ".BR berthd (8),\n.BR berth (1)\n");
  return page;
}

std::string ConfigMarkdown() {
  std::string text = absl::StrCat(
      "<!-- Made by `berthd config reference` from the table in src/server/config.cc. -->\n"
      "# The configuration of berthd\n\n",
      kFiles, "\n\n", kForm, "\n\n", kReload, "\n\n");
  for (const Command& command : kCommands)
    absl::StrAppend(&text, "- `", command.command, "` ", command.about, "\n");
  const char* section = nullptr;
  for (const ConfigKey& key : ConfigKeys()) {
    if (section == nullptr || absl::string_view(section) != key.section) {
      absl::StrAppend(&text, "\n## ", SectionTitle(section = key.section),
                      "\n\n| key | default | meaning | a new value counts |\n|---|---|---|---|\n");
    }
    absl::StrAppend(&text, "| `", key.name, "` | `", Cell(DefaultOf(key)), "` | ", Cell(key.help),
                    " | ", key.reloads ? "at a reload" : "at a restart", " |\n");
  }
  absl::StrAppend(&text, "\n## [handlers.NAME]\n\n", kHandlers, "\n");
  return text;
}

}  // namespace berth
