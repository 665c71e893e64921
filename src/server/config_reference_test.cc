#include "src/server/config_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "src/command_line/roff.h"
#include "src/server/config.h"

namespace berth {
namespace {

using testing::HasSubstr;

TEST(ConfigMarkdown, IsWhatTheDocumentationSays) {
  std::ostringstream committed;
  committed << std::ifstream(BERTH_SOURCE_DIR "/docs/configuration.md").rdbuf();
  EXPECT_EQ(committed.str(), ConfigMarkdown())
      << "make it again: berthd config reference > docs/configuration.md";
}

TEST(ConfigManPage, ExplainsEveryKey) {
  const std::string page = ConfigManPage("Berth 1");
  for (const ConfigKey& key : ConfigKeys()) {
    EXPECT_THAT(page, HasSubstr(absl::StrCat("\n", RoffBold(key.name), " = ")));
    EXPECT_THAT(page, HasSubstr(Roff(key.help)));
  }
}

}  // namespace
}  // namespace berth
