// A URL that cannot leak: printing shows neither credentials nor query (signed links carry secrets
// there). Also the rules about which hosts a stranger may send us to. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

class Url {
 public:
  // Only http and https, with a host and without user name. InvalidArgument.
  static absl::StatusOr<Url> Parse(const std::string& text);
  // `location` of a redirect, relative to this URL or absolute.
  absl::StatusOr<Url> Resolve(const std::string& location) const;

  const std::string& Secret() const { return text_; }  // the whole, for the HTTP library only
  std::string Printable() const;                       // scheme://host:port/path
  const std::string& scheme() const { return scheme_; }
  const std::string& host() const {
    return host_;
  }  // without port, lower case, IPv6 without brackets
  const std::string& port() const { return port_; }  // always set
  bool SameOrigin(const Url& other) const;

 private:
  std::string text_, scheme_, host_, port_, path_;
};

// True for localhost and literal addresses in loopback, link-local, private and unspecified ranges.
bool IsInternalHost(absl::string_view host);

// PermissionDenied unless a registry at `registry` may send us to `target`:
// never from https to http, to an internal host only if it is the registry's own.
absl::Status CheckDestination(const Url& registry, const Url& target, absl::string_view what);

}  // namespace berth
