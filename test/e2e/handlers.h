// Which runtime handler the whole run is about: $BERTH_E2E_HANDLER, "" for the built-in one. With
// "runc" or "crun" every pod that names no handler gets that one, so that the same tests prove the
// external runtimes; what differs there, and why, is a table.
#pragma once

#include <string>

namespace berth::e2e {

const std::string& HandlerUnderTest();

// The configuration that makes it known, for berth.toml; "" for the built-in one.
std::string HandlerConfig();

// Called in the node, before its daemon starts: unmounts what the handler cannot live with, in the
// node's own mount namespace. Exits with 77 and the reason if the handler is not installed.
void PrepareNodeForHandler();

// `filter` (--gtest_filter) without the tests that are not expected to pass with the handler.
// Prints each of them with the reason. Here and not in a SetUp(), as one that derives would go on
// after it.
std::string WithoutAllowedDifferences(const std::string& filter);

}  // namespace berth::e2e
