// Which runtime handler the whole run is about: $BERTH_E2E_HANDLER, "" for the built-in one. With
// "runc" or "crun" every pod that names no handler gets that one, so that the same tests prove the
// external runtimes; what differs there, and why, is a table.
#pragma once

#include <optional>
#include <string>

namespace berth::e2e {

const std::string& HandlerUnderTest();

// The configuration that makes it known, for berth.toml; "" for the built-in one.
std::string HandlerConfig();

// Called in the node, before its daemon starts: unmounts what the handler cannot live with, in the
// node's own mount namespace. Exits with 77 and the reason if the handler is not installed.
void PrepareNodeForHandler();

// Why a test ("Suite.Name") is not expected to pass with the handler; nothing if it is.
std::optional<std::string> AllowedDifference(const std::string& test);

}  // namespace berth::e2e
