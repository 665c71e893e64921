// Debian's docker-registry as a child process, with its storage in a directory, and the push of
// images to it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "test/e2e/image.h"
#include "test/e2e/subprocess.h"

namespace berth::e2e {

class DockerRegistry {
 public:
  struct Options {
    std::string storage;  // "" for DIR/data; two registries may share one
    std::string http;     // more members of its YAML's "http", as a flow mapping's inside
    std::string config;   // more lines of YAML
  };
  // NotFound if the program is not installed. Ready to serve when it returns.
  static absl::StatusOr<std::unique_ptr<DockerRegistry>> Start(const std::string& dir,
                                                               const Options& options = Options());

  const std::string& host() const { return host_; }
  std::string Log() const { return process_.Output(); }

  // Pushes every blob and manifest (plain HTTP without authorization, docker registry v2) and
  // returns "<host>/<name>:<tag>".
  absl::StatusOr<std::string> Push(const std::string& name, const std::string& tag,
                                   const BuiltImage& image);

 private:
  DockerRegistry(Subprocess process, std::string host)
      : process_(std::move(process)), host_(std::move(host)) {}

  Subprocess process_;
  const std::string host_;
};

}  // namespace berth::e2e
