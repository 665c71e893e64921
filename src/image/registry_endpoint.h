// One place that an image may be fetched from, with all that is needed to speak to it: a mirror or
// the registry itself. It holds bytes and no paths, as the helper that uses it sees no files. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "src/image/image_store.h"

namespace berth {

struct ClientCertificate {
  std::string certificate, key;  // PEM; both may be in `certificate`, `key` is "" then
};

struct RegistryEndpoint {
  std::string url;              // "https://mirror:5000/prefix/v2", no slash at the end
  bool mirror = false;          // asked with ?ns=<the image's own host>
  bool can_pull = true;         // manifests by digest, and blobs
  bool can_resolve = true;      // tags
  bool skip_verify = false;     // any certificate will do
  std::vector<std::string> ca;  // PEM, beside the system's
  ClientCertificate client;     // empty for none
  std::vector<std::pair<std::string, std::string>> headers;  // of each request to this endpoint
  absl::Duration dial_timeout;                               // of a connection; zero: the default
  RegistryAuth auth;  // for this endpoint alone; its server_address has been obeyed
};

}  // namespace berth
