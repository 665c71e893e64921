#include "test/e2e/text_file.h"

#include <fstream>
#include <sstream>

namespace berth::e2e {

std::string ContentOf(const std::filesystem::path& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();  // where an iterator of the stream would throw
  return text.str();
}

}  // namespace berth::e2e
