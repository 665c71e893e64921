// berth: the command line of Berth.
#include "src/cli/app.h"

int main(int argc, char** argv) {
  berth::cli::Output output = berth::cli::ProcessOutput();
  return berth::cli::RunBerth(std::vector<std::string>(argv + 1, argv + argc), output);
}
