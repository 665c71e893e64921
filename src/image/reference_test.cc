#include "src/image/reference.h"

#include <string>

#include "gtest/gtest.h"

namespace berth {
namespace {

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

struct GoodCase {
  std::string name, text, expected;
};
void PrintTo(const GoodCase& c, std::ostream* out) { *out << c.name; }
class ParseReferenceGood : public testing::TestWithParam<GoodCase> {};

TEST_P(ParseReferenceGood, HasTheNormalForm) {
  const auto reference = ParseReference(GetParam().text);
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_EQ(reference->Name(), GetParam().expected);
}

TEST_P(ParseReferenceGood, NormalFormParsesToItself) {
  const auto again = ParseReference(GetParam().expected);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Name(), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    All, ParseReferenceGood,
    testing::Values(GoodCase{"Short", "busybox", "docker.io/library/busybox:latest"},
                    GoodCase{"ShortTag", "busybox:1.36", "docker.io/library/busybox:1.36"},
                    GoodCase{"TwoComponents", "team/app", "docker.io/team/app:latest"},
                    GoodCase{"Hub", "docker.io/busybox", "docker.io/library/busybox:latest"},
                    GoodCase{"HubAlias", "index.docker.io/busybox:1",
                             "docker.io/library/busybox:1"},
                    GoodCase{"Host", "ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"},
                    GoodCase{"HostPort", "localhost:5000/app", "localhost:5000/app:latest"},
                    GoodCase{"Localhost", "localhost/app", "localhost/app:latest"},
                    GoodCase{"Ipv4", "127.0.0.1:5000/a:b", "127.0.0.1:5000/a:b"},
                    GoodCase{"Ipv6", "[::1]:5000/a", "[::1]:5000/a:latest"},
                    GoodCase{"Digest", "a/b@" + kDigest, "docker.io/a/b@" + kDigest},
                    GoodCase{"TagAndDigest", "a/b:v1@" + kDigest, "docker.io/a/b@" + kDigest},
                    GoodCase{"Separators", "q/x.y_z__w---v", "docker.io/q/x.y_z__w---v:latest"},
                    GoodCase{"HostInCapitals", "Reg.Example.COM/a", "Reg.Example.COM/a:latest"},
                    GoodCase{"TagCharacters", "a:_A.b-C", "docker.io/library/a:_A.b-C"}),
    [](const auto& info) { return info.param.name; });

struct BadCase {
  std::string name, text;
};
void PrintTo(const BadCase& c, std::ostream* out) { *out << c.name; }
class ParseReferenceBad : public testing::TestWithParam<BadCase> {};

TEST_P(ParseReferenceBad, IsInvalidArgument) {
  EXPECT_EQ(ParseReference(GetParam().text).status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    All, ParseReferenceBad,
    testing::Values(BadCase{"Empty", ""}, BadCase{"Id", kHex}, BadCase{"UpperPath", "Busybox"},
                    BadCase{"EmptyTag", "a:"}, BadCase{"TagWithDash", "a:-x"},
                    BadCase{"LongTag", "a:" + std::string(129, 't')},
                    BadCase{"ShortDigest", "a@sha256:abc"},
                    BadCase{"UpperDigest", "a@sha256:" + std::string(64, 'A')},
                    BadCase{"OtherAlgorithm", "a@md5:" + std::string(32, 'a')},
                    BadCase{"TwoAt", "a@" + kDigest + "@" + kDigest},
                    BadCase{"DotDot", "localhost/../etc"}, BadCase{"DoubleSlash", "a.b//c"},
                    BadCase{"TrailingSlash", "a/"}, BadCase{"LeadingSlash", "/a"},
                    BadCase{"TripleUnderscore", "a___b"}, BadCase{"DoubleDot", "a..b"},
                    BadCase{"Space", "a b"}, BadCase{"Newline", "a\nb"},
                    BadCase{"Nul", std::string("a\0b", 3)}, BadCase{"PortZero", "h.x:0/a"},
                    BadCase{"PortBig", "h.x:65536/a"}, BadCase{"PortText", "h.x:ab/a"},
                    BadCase{"HostDash", "-h.x/a"}, BadCase{"HostUserinfo", "u@h.x/a"},
                    BadCase{"OpenBracket", "[::1/a"}, BadCase{"NotIpv6", "[zz]:1/a"},
                    BadCase{"LongName", "h.x/" + std::string(256, 'a')},
                    BadCase{"Huge", std::string(1 << 20, 'a')}),
    [](const auto& info) { return info.param.name; });

TEST(ParseReference, ErrorQuotesTheTextWithoutControlCharacters) {
  const std::string message(ParseReference("a\x1b[31m").status().message());
  EXPECT_EQ(message.find('\x1b'), std::string::npos) << message;
}

TEST(IsLoopbackHost, KnowsOnlyThisMachine) {
  for (const char* host :
       {"localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "[::1]:5000"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host :
       {"localhost.evil.com", "128.0.0.1", "127.0.0.1.evil.com", "[::2]:5000", "10.0.0.1"}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

TEST(Digest, OfKnownBytes) {
  EXPECT_EQ(Digest::Sha256("abc").text(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, KnowsItsAlgorithm) {
  const auto digest = Digest::Parse("sha512:" + std::string(128, '0'));
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(digest->algorithm(), "sha512");
}

TEST(Digest, RefusesEverythingElse) {
  for (const std::string& text :
       {std::string(), std::string("sha256:"), kHex, kDigest + "0", " " + kDigest, kDigest + "\n",
        "sha512:" + kHex, "sha256:" + std::string(64, 'g')}) {
    EXPECT_FALSE(Digest::Parse(text).ok()) << text;
  }
}

TEST(Hasher, FeedsInPieces) {
  Hasher hasher("sha256");
  hasher.Update("a");
  hasher.Update("bc");
  EXPECT_EQ(hasher.Finish(), Digest::Sha256("abc"));
}

}  // namespace
}  // namespace berth
