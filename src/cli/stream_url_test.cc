#include "src/cli/stream_url.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

TEST(ParseStreamUrl, TakesAddressesApart) {
  const StreamUrl v4 = *ParseStreamUrl("http://127.0.0.1:10010/exec/token");
  EXPECT_FALSE(v4.tls);
  EXPECT_EQ(v4.host, "127.0.0.1");
  EXPECT_EQ(v4.port, "10010");
  EXPECT_EQ(v4.target, "/exec/token");
  EXPECT_EQ(v4.Authority(), "127.0.0.1:10010");
  const StreamUrl v6 = *ParseStreamUrl("https://[::1]:10010/attach/token?a=b#c");
  EXPECT_TRUE(v6.tls);
  EXPECT_EQ(v6.host, "::1");
  EXPECT_EQ(v6.target, "/attach/token?a=b");
  EXPECT_EQ(v6.Authority(), "[::1]:10010");
}

TEST(ParseStreamUrl, KnowsStandardPortsAndPaths) {
  EXPECT_EQ(ParseStreamUrl("http://node")->Authority(), "node:80");
  EXPECT_EQ(ParseStreamUrl("wss://node/x")->Authority(), "node:443");
  EXPECT_EQ(ParseStreamUrl("http://node?x")->target, "/?x");
}

TEST(ParseStreamUrl, RefusesWhatIsNone) {
  for (const char* text :
       {"", "/exec/x", "ftp://node/", "http://", "http:///x", "http://[::1/x", "http://[::1]x/",
        "http://node:/x", "http://node:0/x", "http://node:65536/x", "http://node:1x/",
        "http://node/a b", "http://node/a\r\nHost: x"})
    EXPECT_EQ(ParseStreamUrl(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
}

TEST(StreamUrl, KnowsTheLoopback) {
  for (const char* text :
       {"http://127.0.0.1/", "http://127.9.9.9/", "http://[::1]/", "http://localhost/"})
    EXPECT_TRUE(ParseStreamUrl(text)->IsLoopback()) << text;
  for (const char* text :
       {"http://10.0.0.1/", "http://[fd00::1]/", "http://127.0.0.1.example/", "http://0.0.0.0/"})
    EXPECT_FALSE(ParseStreamUrl(text)->IsLoopback()) << text;
}

}  // namespace
}  // namespace berth::cli
