// A small token service as docker-registry trusts it (distribution's "token" authentication): gives
// user:password, and the identity token, JSON Web Tokens signed with its certificate's key.
#pragma once

#include <string>

#include "src/image/testing/registry_stub.h"
#include "test/e2e/certificates.h"

namespace berth::e2e {

class TokenServer {
 public:
  static constexpr char kService[] = "berth-e2e", kIssuer[] = "the issuer of the tests";
  static constexpr char kUser[] = "user", kPassword[] = "password";
  static constexpr char kIdentityToken[] = "an identity token";

  // `signer` is borrowed.
  explicit TokenServer(const Certificate& signer);

  std::string realm() const { return server_.url() + "/token"; }
  // A token for pulling `repository`.
  std::string Token(const std::string& repository) const;
  int Requests() const { return server_.CountRequests("/token"); }

 private:
  testing_image::StubAnswer Answer(const testing_image::StubRequest& request) const;

  const Certificate& signer_;
  testing_image::RegistryStub server_;
};

}  // namespace berth::e2e
