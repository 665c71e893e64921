#include "src/image/pull/url.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::Not;

Url MustParse(const std::string& text) {
  const auto url = Url::Parse(text);
  EXPECT_TRUE(url.ok()) << url.status();
  return url.value_or(Url());
}

TEST(Url, Parts) {
  const Url url = MustParse("https://Host.Example:8443/v2/a?q=1");
  EXPECT_EQ(url.scheme(), "https");
  EXPECT_EQ(url.host(), "host.example");
  EXPECT_EQ(url.port(), "8443");
  EXPECT_EQ(MustParse("https://h.example/").port(), "443");
  EXPECT_EQ(MustParse("http://[::1]:80/").host(), "::1");
}

TEST(Url, PrintedFormHasNoQuery) {
  const Url url = MustParse("https://h.example/blob?X-Amz-Signature=s3cret#frag");
  EXPECT_EQ(url.Printable(), "https://h.example/blob");
  EXPECT_THAT(url.Secret(), HasSubstr("s3cret"));
}

TEST(Url, I_37_ErrorsShowNoSecret) {
  const std::string message(Url::Parse("ftp://h.example/a?key=s3cret").status().message());
  EXPECT_THAT(message, Not(HasSubstr("s3cret")));
  const std::string user(Url::Parse("https://me:hunter2@h.example/").status().message());
  EXPECT_THAT(user, Not(HasSubstr("hunter2")));
}

TEST(Url, OtherSchemesAndUserNamesAreRefused) {
  for (const char* text :
       {"file:///etc/passwd", "gopher://h/", "https://user@h.example/", "", "//h/", "nonsense"}) {
    EXPECT_FALSE(Url::Parse(text).ok()) << text;
  }
}

TEST(Url, ResolvesRelativeAndAbsoluteLocations) {
  const Url url = MustParse("https://h.example/v2/a");
  EXPECT_EQ(url.Resolve("/other?x=1")->Secret(), "https://h.example/other?x=1");
  EXPECT_EQ(url.Resolve("https://cdn.example/b")->host(), "cdn.example");
  EXPECT_FALSE(url.Resolve("file:///etc/passwd").ok());
}

TEST(Url, OriginIsSchemeHostAndPort) {
  const Url url = MustParse("https://h.example/a");
  EXPECT_TRUE(url.SameOrigin(MustParse("https://h.example:443/b")));
  EXPECT_FALSE(url.SameOrigin(MustParse("https://h.example:444/a")));
  EXPECT_FALSE(url.SameOrigin(MustParse("http://h.example:443/a")));
  EXPECT_FALSE(url.SameOrigin(MustParse("https://x.example/a")));
}

TEST(IsInternalHost, LiteralsInAllTheirSpellings) {
  for (const char* host : {"localhost", "a.localhost", "127.0.0.1", "10.1.2.3", "172.16.0.1",
                           "192.168.1.1", "169.254.169.254", "0.0.0.0", "2130706433", "0x7f.1",
                           "::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "fe80::1%eth0"}) {
    EXPECT_TRUE(IsInternalHost(host)) << host;
  }
  for (const char* host :
       {"registry.example", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "localhost.example"}) {
    EXPECT_FALSE(IsInternalHost(host)) << host;
  }
}

struct Destination {
  std::string name, registry, target;
  bool allowed;
};
void PrintTo(const Destination& destination, std::ostream* out) { *out << destination.name; }
class CheckDestinationTest : public testing::TestWithParam<Destination> {};

TEST_P(CheckDestinationTest, FollowsTheRules) {
  const absl::Status status =
      CheckDestination(MustParse(GetParam().registry), MustParse(GetParam().target), "redirect to");
  EXPECT_EQ(status.ok(), GetParam().allowed) << status;
}

INSTANTIATE_TEST_SUITE_P(
    All, CheckDestinationTest,
    testing::Values(
        Destination{"Cdn", "https://r.example/", "https://cdn.example/", true},
        Destination{"Downgrade", "https://r.example/", "http://cdn.example/", false},
        Destination{"DowngradeSameHost", "https://r.example/", "http://r.example/", false},
        Destination{"Metadata", "https://r.example/", "https://169.254.169.254/", false},
        Destination{"Loopback", "https://r.example/", "https://127.0.0.1/", false},
        Destination{"OwnInternalHost", "https://10.0.0.1:5000/", "https://10.0.0.1:5001/", true},
        Destination{"OtherInternalHost", "https://10.0.0.1/", "https://10.0.0.2/", false},
        Destination{"PlainToItself", "http://127.0.0.1:5000/", "http://127.0.0.1:5001/", true},
        Destination{"PlainToOther", "http://127.0.0.1:5000/", "http://cdn.example/", false},
        Destination{"PlainToSecure", "http://127.0.0.1:5000/", "https://cdn.example/", true}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace berth
