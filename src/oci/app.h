// The command line of berth-oci: that of runc(8), as far as engines use it.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace berth::oci {

struct AppEnvironment {
  std::string monitor;  // path of berth-monitor
  bool is_root = false;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
};

// Returns the exit code: that of the container's process for run and exec, else 0 or 1. `arguments`
// are without argv[0].
int RunApp(std::vector<std::string> arguments, const AppEnvironment& environment);

}  // namespace berth::oci
