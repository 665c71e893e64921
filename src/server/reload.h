// What SIGHUP asks of berthd: the configuration is read again, and what may change while it runs is
// taken over. A configuration that cannot be read changes nothing.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "src/base/log.h"
#include "src/server/config.h"

namespace berth {

// Of log.level and log.format, which the parser has checked.
void ConfigureLog(const Config& config, Log* log);

// Tells the service manager and the log what came of it; the log names what needs a restart. Called
// by one thread. `running` is what berthd runs with.
void ReloadConfig(const std::function<absl::StatusOr<Config>()>& read, Config* running, Log* log);

}  // namespace berth
