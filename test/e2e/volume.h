// What tests prepare on the node for containers to mount: directories, mounts in the tests' own
// mount namespace, files of configuration. Removed by the destructor. Move-only.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace berth::e2e {

// A new directory below NodeDir(); with all in it, and what is mounted on it, it goes.
class HostDir {
 public:
  explicit HostDir(const std::string& name);
  HostDir(HostDir&& other) noexcept;
  HostDir& operator=(HostDir&& other) = delete;
  ~HostDir();

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // Writes a file (parents are made) and returns its path.
  std::string Write(const std::string& name, const std::string& content, int mode = 0644) const;
  std::string Read(const std::string& name) const;  // "" if there is none
  std::string MakeDir(const std::string& name) const;

 private:
  std::string path_;
};

// A mount in the tests' mount namespace. Unmounted (MNT_DETACH) by the destructor.
class HostMount {
 public:
  enum class Propagation { kPrivate, kShared };
  static absl::StatusOr<HostMount> Tmpfs(const std::string& target, Propagation propagation);
  static absl::StatusOr<HostMount> Type(const std::string& type, const std::string& target);
  HostMount(HostMount&& other) noexcept;
  HostMount& operator=(HostMount&& other) = delete;
  ~HostMount();

 private:
  explicit HostMount(std::string target) : target_(std::move(target)) {}
  std::string target_;
};

}  // namespace berth::e2e
