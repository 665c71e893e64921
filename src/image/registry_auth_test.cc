#include "src/image/registry_auth.h"

#include "gtest/gtest.h"

namespace berth {
namespace {

Reference Parsed(const char* text) {
  const auto reference = ParseReference(text);
  EXPECT_TRUE(reference.ok()) << reference.status();
  return *reference;
}

TEST(RegistryHostOf, IsTheNameThatReferencesHave) {
  const struct {
    const char *address, *host;
  } cases[] = {{"https://index.docker.io/v1/", "docker.io"},
               {"registry-1.docker.io", "docker.io"},
               {"https://registry-1.docker.io/v2", "docker.io"},
               {"docker.io", "docker.io"},
               {"http://h:5000/x", "h:5000"},
               {"https://H.Test:443/v2", "h.test"},
               {"http://h.test:80", "h.test"},
               {"http://h.test:443", "h.test:443"}};
  for (const auto& c : cases) EXPECT_EQ(RegistryHostOf(c.address), c.host) << c.address;
}

TEST(GiveCredentials, GoToTheImagesOwnHostAlone) {
  std::vector<RegistryEndpoint> endpoints = {
      {.url = "https://m.test/v2", .mirror = true},
      {.url = "https://reg.test:5000/v2"},
      {.url = "https://reg.test/v2"},
  };
  GiveCredentials(Parsed("reg.test:5000/a/b:c"), {.username = "u"}, &endpoints);
  EXPECT_TRUE(IsAnonymous(endpoints[0].auth));
  EXPECT_EQ(endpoints[1].auth.username, "u");
  EXPECT_TRUE(IsAnonymous(endpoints[2].auth));
}

TEST(GiveCredentials, GoWhereTheServerAddressSays) {
  std::vector<RegistryEndpoint> endpoints = {
      {.url = "https://m.test/v2", .mirror = true},
      {.url = "https://registry-1.docker.io/v2"},
  };
  const Reference reference = Parsed("busybox");
  GiveCredentials(reference, {.password = "p", .server_address = "https://index.docker.io/v1/"},
                  &endpoints);
  EXPECT_TRUE(IsAnonymous(endpoints[0].auth));
  EXPECT_EQ(endpoints[1].auth.password, "p");
  GiveCredentials(reference, {.password = "q", .server_address = "m.test"}, &endpoints);
  EXPECT_EQ(endpoints[0].auth.password, "q");
  EXPECT_EQ(endpoints[1].auth.password, "p");
}

}  // namespace
}  // namespace berth
