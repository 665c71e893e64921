#include "src/server/reload.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/server/notify.h"

namespace berth {
namespace {

constexpr std::pair<absl::string_view, LogLevel> kLevels[] = {{"debug", LogLevel::kDebug},
                                                              {"info", LogLevel::kInfo},
                                                              {"warning", LogLevel::kWarning},
                                                              {"error", LogLevel::kError}};

}  // namespace

void ConfigureLog(const Config& config, Log* log) {
  for (const auto& [name, level] : kLevels) {
    if (name != config.log_level) continue;
    log->Configure(level, config.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
  }
}

void ReloadConfig(const std::function<absl::StatusOr<Config>()>& read, Config* running, Log* log) {
  NotifyReloading();
  const absl::StatusOr<Config> config = read();
  if (!config.ok()) {
    log->Error("configuration not reloaded: nothing changes",
               {{"error", config.status().message()}});
    NotifyServiceManager(absl::StrCat("READY=1\nSTATUS=configuration not reloaded: ",
                                      EscapeForLog(config.status().message())));
    return;
  }
  const ConfigChanges changes = TakeOver(*config, running);
  ConfigureLog(*running, log);
  log->Info("configuration reloaded", {{"taken_over", absl::StrJoin(changes.taken_over, " ")}});
  if (!changes.need_restart.empty()) {
    log->Warning("a restart is needed for what else changed",
                 {{"keys", absl::StrJoin(changes.need_restart, " ")}});
  }
  NotifyServiceManager("READY=1\nSTATUS=");
}

}  // namespace berth
