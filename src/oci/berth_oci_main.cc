// berth-oci: an OCI runtime by itself. See app.h.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <system_error>

#include "src/oci/app.h"

namespace {

// berth-monitor is installed beside this program, or where packages put programs for programs.
std::string MonitorPath() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = self.parent_path() / "berth-monitor";
  if (!error && std::filesystem::exists(beside, error)) return beside;
  return "/usr/libexec/berth/berth-monitor";
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  const berth::oci::AppEnvironment environment = {
      .monitor = MonitorPath(), .is_root = ::geteuid() == 0, .out = &std::cout, .err = &std::cerr};
  return berth::oci::RunApp({argv + 1, argv + argc}, environment);
}
