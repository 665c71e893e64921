// Typed reading of a JSON document of which every field is known by its path. The first field of a
// wrong type is kept as the error, and reading goes on with defaults: the caller checks once.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace berth::oci {

// What has been read so far.
struct ReadLog {
  absl::Status status;          // InvalidArgument: "config.json process.cwd: not a string"
  std::set<std::string> paths;  // every path asked for, present or not: "mounts[].type"
};

// A view of one value; document and log outlive it.
class FieldReader {
 public:
  FieldReader(const nlohmann::json* value, std::string path, ReadLog* log)
      : value_(value), path_(std::move(path)), log_(log) {}

  bool present() const { return value_ != nullptr; }
  const std::string& path() const { return path_; }
  const nlohmann::json* value() const { return value_; }

  FieldReader Child(const char* name) const;
  std::vector<FieldReader> List(const char* name) const;
  // Strings never hold NUL: they become C strings.
  std::string String(const char* name) const;
  std::vector<std::string> Strings(const char* name) const;
  std::map<std::string, std::string> StringMap(const char* name) const;
  bool Bool(const char* name, bool otherwise = false) const;
  // Absent is nullopt; a fraction or a number outside of the range is an error.
  std::optional<int64_t> Int(const char* name, int64_t least = std::numeric_limits<int64_t>::min(),
                             int64_t most = std::numeric_limits<int64_t>::max()) const;
  std::optional<uint64_t> Unsigned(const char* name,
                                   uint64_t most = std::numeric_limits<uint64_t>::max()) const;
  // Keeps "config.json <path>: <cause>" as the error unless there is one.
  void Fail(const std::string& cause) const;

 private:
  std::string PathOf(const char* name) const;
  std::string Text(const nlohmann::json& value, const std::string& path) const;
  void FailAt(const std::string& path, const std::string& cause) const;

  const nlohmann::json* value_;
  std::string path_;
  ReadLog* log_;
};

}  // namespace berth::oci
