// Images and nodes for the security tests: an image built for one test and removed with it, and a
// canary directory of the node in which nothing may appear.
#pragma once

#include <string>

#include "test/e2e/image.h"
#include "test/e2e/probed.h"
#include "test/e2e/volume.h"

namespace berth::e2e {

class HostileTest : public ProbedTest {
 protected:
  void TearDown() override;
  // The probe's image with `entries` as a layer above it and `config` merged into its config;
  // pulled. "" and a failed test if the pull fails.
  std::string MakeImage(std::vector<TarEntry> entries, const Json& config = Json::object());
  // The same, where the registry content may be refused already: the status of the pull.
  absl::StatusOr<std::string> TryImage(std::vector<TarEntry> entries,
                                       const Json& config = Json::object());
  static cri::ContainerConfig From(const std::string& image,
                                   const std::vector<std::string>& arguments);
  // Runs it to its end. A refusal is fine; what it does is not looked at.
  void RunWhatever(const cri::ContainerConfig& config);

 private:
  std::vector<std::string> images_;
};

// A directory of the node with one file, "canary"; the destructor fails the test if anything else
// was made in it or the file was changed.
class Canary {
 public:
  explicit Canary(const std::string& name) : dir_(name) { dir_.Write("canary", "sings\n"); }
  ~Canary();
  const std::string& path() const { return dir_.path(); }

 private:
  HostDir dir_;
};

}  // namespace berth::e2e
