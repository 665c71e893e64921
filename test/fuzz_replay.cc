// main() of a fuzz target in builds without libFuzzer: runs it over every file of a corpus folder,
// so that each input that once mattered stays a test. Fails for a folder that is missing or holds
// no file.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

namespace fs = std::filesystem;

bool Replay(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string input((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) {
    fprintf(stderr, "read %s: failed\n", path.c_str());
    return false;
  }
  printf("%s (%zu bytes)\n", path.c_str(), input.size());
  fflush(stdout);  // the last line names the input that crashed
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  std::error_code error;
  fs::directory_iterator folder(argv[1], error);
  if (error) {
    fprintf(stderr, "open %s: %s\n", argv[1], error.message().c_str());
    return 1;
  }
  int replayed = 0;
  for (const fs::directory_entry& entry : folder) {
    if (!entry.is_regular_file()) continue;
    if (!Replay(entry.path())) return 1;
    ++replayed;
  }
  if (replayed == 0) fprintf(stderr, "replay %s: no file in it\n", argv[1]);
  return replayed == 0 ? 1 : 0;
}
