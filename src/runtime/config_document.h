// Files that vendors and administrators put on a node (CDI specs, OCI hooks), JSON or YAML, as one
// kind of value, and typed reading of it. Bounded in size, depth and number of values; duplicate
// keys, YAML anchors and aliases, several documents and members that nobody asked for are refused.
// Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace berth {

inline constexpr size_t kDocumentMaxBytes = 4 << 20;
inline constexpr size_t kDocumentMaxDepth = 32;
inline constexpr size_t kDocumentMaxValues = 200'000;

// InvalidArgument (syntax) or ResourceExhausted (limits).
absl::StatusOr<nlohmann::json> ParseJsonDocument(absl::string_view text);
// YAML 1.1 plain scalars: null, booleans, whole numbers (0x10, 010 and 0o10 as well), else a
// string.
absl::StatusOr<nlohmann::json> ParseYamlDocument(absl::string_view text);

// Reads the members of one object. The first failure is kept, and what comes after it is not read;
// absent and null members leave the value as it is.
class MemberReader {
 public:
  // `where` names the object in errors: "devices[1].containerEdits"; "" is the document.
  MemberReader(const nlohmann::json& object, std::string where);

  void Read(const char* name, std::string* value);  // without NUL
  void Read(const char* name, std::vector<std::string>* value);
  void Read(const char* name, std::map<std::string, std::string>* value);
  void Read(const char* name, std::optional<bool>* value);
  void Read(const char* name, std::optional<uint32_t>* value);
  void Read(const char* name, std::optional<int64_t>* value);

  // The member of that kind, or nullptr if it is absent.
  const nlohmann::json* Object(const char* name);
  const nlohmann::json* List(const char* name);
  // Of any kind.
  const nlohmann::json* Member(const char* name);

  void Fail(absl::string_view message);  // InvalidArgument
  // "devices[1]" in an object that is "" itself.
  std::string Where(absl::string_view member) const;
  std::string Where(absl::string_view member, size_t index) const;

  // The first failure, or that of a member that was not asked for.
  absl::Status Finish();

 private:
  absl::Status status_;
  const nlohmann::json& object_;
  const std::string where_;
  std::set<std::string> asked_;
};

}  // namespace berth
