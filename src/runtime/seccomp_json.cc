#include "src/runtime/seccomp_json.h"

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "src/base/status_macros.h"
#include "src/runtime/capabilities.h"
#include "src/runtime/seccomp_words.h"

namespace berth {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 16;
constexpr uint32_t kMaxErrno = 4095;  // MAX_ERRNO of the kernel: above, it is cut off
constexpr uint32_t kDataMask = SECCOMP_RET_DATA;
constexpr size_t kMaxListenerPath = 4095;

absl::Status Bad(absl::string_view where, absl::string_view cause) {
  return absl::InvalidArgumentError(absl::StrCat("seccomp profile ", where, ": ", cause));
}

std::string In(absl::string_view where, absl::string_view key) {
  return absl::StrCat(where, ".", key);
}
std::string At(absl::string_view where, size_t index) {
  return absl::StrCat(where, "[", index, "]");
}

// Brackets outside strings: the text is not parsed before it is known to be shallow.
bool IsTooDeep(absl::string_view text) {
  int depth = 0;
  bool quoted = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      quoted = c != '"';
      continue;
    }
    if (c == '"') quoted = true;
    if ((c == '{' || c == '[') && ++depth > kMaxDepth) return true;
    if (c == '}' || c == ']') --depth;
  }
  return false;
}

// A member that is there and not null.
const json* Find(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

absl::Status CheckKeys(const json& object, absl::string_view where,
                       std::initializer_list<absl::string_view> known) {
  if (!object.is_object()) return Bad(where, "not an object");
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), absl::string_view(key)) == known.end())
      return Bad(where, absl::StrCat("unknown key \"", key, "\""));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> String(const json& object, const char* key, absl::string_view where) {
  const json* value = Find(object, key);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return Bad(In(where, key), "not a string");
  return value->get<std::string>();
}

absl::StatusOr<std::optional<uint64_t>> Number(const json& object, const char* key, uint64_t max,
                                               absl::string_view where) {
  const json* value = Find(object, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_unsigned()) return Bad(In(where, key), "not a whole number");
  const auto number = value->get<uint64_t>();
  if (number > max) return Bad(In(where, key), absl::StrCat(number, " is above ", max));
  return number;
}

absl::StatusOr<std::vector<std::string>> Strings(const json& object, const char* key,
                                                 absl::string_view where) {
  std::vector<std::string> strings;
  const json* list = Find(object, key);
  if (list == nullptr) return strings;
  if (!list->is_array()) return Bad(In(where, key), "not a list");
  for (const json& one : *list) {
    if (!one.is_string()) return Bad(At(In(where, key), strings.size()), "not a string");
    strings.push_back(one.get<std::string>());
  }
  return strings;
}

template <size_t kSize>
absl::StatusOr<uint32_t> Word(const SeccompWord (&table)[kSize], absl::string_view word,
                              absl::string_view what, absl::string_view where) {
  for (const SeccompWord& known : table)
    if (known.word == word) return known.value;
  return Bad(where, absl::StrCat("unknown ", what, " \"", word, "\""));
}

absl::StatusOr<uint32_t> Action(const json& object, const char* key, const char* errno_key,
                                absl::string_view where) {
  ASSIGN_OR_RETURN(const std::string word, String(object, key, where));
  if (word.empty()) return Bad(In(where, key), "missing");
  ASSIGN_OR_RETURN(const uint32_t action, Word(kSeccompActions, word, "action", In(where, key)));
  const bool is_errno = action == SCMP_ACT_ERRNO(0), is_trace = action == SCMP_ACT_TRACE(0);
  ASSIGN_OR_RETURN(const std::optional<uint64_t> data,
                   Number(object, errno_key, is_errno ? kMaxErrno : kDataMask, where));
  if (!is_errno && !is_trace) {
    if (data) return Bad(In(where, errno_key), absl::StrCat(word, " has no errno"));
    return action;
  }
  return action | static_cast<uint32_t>(data.value_or(EPERM));
}

absl::StatusOr<std::vector<SeccompArgument>> Arguments(const json& rule, absl::string_view where) {
  std::vector<SeccompArgument> arguments;
  const json* list = Find(rule, "args");
  if (list == nullptr) return arguments;
  const std::string here = In(where, "args");
  if (!list->is_array()) return Bad(here, "not a list");
  for (const json& one : *list) {
    const std::string at = At(here, arguments.size());
    RETURN_IF_ERROR(CheckKeys(one, at, {"index", "value", "valueTwo", "op"}));
    ASSIGN_OR_RETURN(const std::optional<uint64_t> index, Number(one, "index", 5, at));
    ASSIGN_OR_RETURN(const std::optional<uint64_t> value, Number(one, "value", UINT64_MAX, at));
    ASSIGN_OR_RETURN(const std::optional<uint64_t> two, Number(one, "valueTwo", UINT64_MAX, at));
    if (!index) return Bad(In(at, "index"), "missing");
    if (!value) return Bad(In(at, "value"), "missing");
    ASSIGN_OR_RETURN(const std::string word, String(one, "op", at));
    ASSIGN_OR_RETURN(const uint32_t op, Word(kSeccompOperators, word, "operator", In(at, "op")));
    arguments.push_back({.index = static_cast<uint32_t>(*index),
                         .op = op,
                         .value = *value,
                         .value_two = two.value_or(0)});
  }
  return arguments;
}

struct Conditions {
  std::vector<bool> capabilities, architectures;  // held; the machine's
  std::optional<bool> kernel;                     // at least minKernel
};

absl::StatusOr<bool> KernelIsAtLeast(absl::string_view wanted, const SeccompHost& host,
                                     absl::string_view where) {
  const std::vector<absl::string_view> parts = absl::StrSplit(wanted, '.');
  uint32_t major = 0, minor = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &major) ||
      !absl::SimpleAtoi(parts[1], &minor)) {
    return Bad(where, absl::StrCat("\"", wanted, "\" is no kernel version"));
  }
  return std::pair(host.kernel_major, host.kernel_minor) >= std::pair(major, minor);
}

absl::StatusOr<Conditions> ReadConditions(const json& rule, const char* key,
                                          const SeccompHost& host, absl::string_view where) {
  Conditions conditions;
  const json* object = Find(rule, key);
  if (object == nullptr) return conditions;
  const std::string here = In(where, key);
  RETURN_IF_ERROR(CheckKeys(*object, here, {"caps", "arches", "minKernel"}));
  ASSIGN_OR_RETURN(const std::vector<std::string> caps, Strings(*object, "caps", here));
  for (const std::string& name : caps) {
    const absl::StatusOr<uint64_t> bit = ResolveCapabilities({name}, {"ALL"});
    if (!bit.ok() || *bit == 0)
      return Bad(In(here, "caps"), absl::StrCat("unknown capability \"", name, "\""));
    conditions.capabilities.push_back((host.capabilities & *bit) == *bit);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> arches, Strings(*object, "arches", here));
  for (const std::string& name : arches) {
    ASSIGN_OR_RETURN(const uint32_t architecture,
                     Word(kSeccompDockerArchitectures, name, "architecture", In(here, "arches")));
    conditions.architectures.push_back(architecture == seccomp_arch_native());
  }
  ASSIGN_OR_RETURN(const std::string kernel, String(*object, "minKernel", here));
  if (!kernel.empty()) {
    ASSIGN_OR_RETURN(conditions.kernel, KernelIsAtLeast(kernel, host, In(here, "minKernel")));
  }
  return conditions;
}

bool Any(const std::vector<bool>& values) {
  return std::find(values.begin(), values.end(), true) != values.end();
}

// Docker's meaning: all capabilities included must be held and one of the architectures must be
// the machine's; any that is excluded leaves the rule out.
absl::StatusOr<bool> Applies(const json& rule, const SeccompHost& host, absl::string_view where) {
  ASSIGN_OR_RETURN(const Conditions in, ReadConditions(rule, "includes", host, where));
  ASSIGN_OR_RETURN(const Conditions out, ReadConditions(rule, "excludes", host, where));
  if (Any(out.capabilities) || Any(out.architectures) || out.kernel.value_or(false)) return false;
  const bool held =
      std::find(in.capabilities.begin(), in.capabilities.end(), false) == in.capabilities.end();
  return held && (in.architectures.empty() || Any(in.architectures)) && in.kernel.value_or(true);
}

absl::StatusOr<std::vector<std::string>> Names(const json& rule, absl::string_view where) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, Strings(rule, "names", where));
  ASSIGN_OR_RETURN(std::string name, String(rule, "name", where));
  if (!name.empty() && !names.empty()) return Bad(where, "both \"name\" and \"names\"");
  if (!name.empty()) names.push_back(std::move(name));
  if (names.empty()) return Bad(In(where, "names"), "missing");
  for (const std::string& one : names)
    if (one.empty()) return Bad(In(where, "names"), "an empty name");
  return names;
}

absl::Status AddRule(const json& rule, const SeccompHost& host, absl::string_view where,
                     SeccompRules* profile) {
  RETURN_IF_ERROR(CheckKeys(
      rule, where,
      {"names", "name", "action", "errnoRet", "args", "includes", "excludes", "comment"}));
  ASSIGN_OR_RETURN(std::vector<std::string> names, Names(rule, where));
  ASSIGN_OR_RETURN(const uint32_t action, Action(rule, "action", "errnoRet", where));
  ASSIGN_OR_RETURN(std::vector<SeccompArgument> arguments, Arguments(rule, where));
  ASSIGN_OR_RETURN(const bool applies, Applies(rule, host, where));
  profile->known_names.insert(profile->known_names.end(), names.begin(), names.end());
  if (!applies) return absl::OkStatus();
  profile->rules.push_back(
      {.names = std::move(names), .action = action, .arguments = std::move(arguments)});
  return absl::OkStatus();
}

// Those of this machine's kernel: the others' calls never come.
bool IsOfThisMachine(uint32_t architecture) {
#if defined(__x86_64__)
  return architecture == SCMP_ARCH_X86_64 || architecture == SCMP_ARCH_X86 ||
         architecture == SCMP_ARCH_X32;
#elif defined(__aarch64__)
  return architecture == SCMP_ARCH_AARCH64 || architecture == SCMP_ARCH_ARM;
#endif
}

absl::Status AddArchitectures(const std::vector<std::string>& words, absl::string_view where,
                              bool meant, SeccompRules* profile) {
  for (const std::string& word : words) {
    ASSIGN_OR_RETURN(const uint32_t value,
                     Word(kSeccompArchitectures, word, "architecture", where));
    if (meant && IsOfThisMachine(value)) profile->architectures.push_back(value);
  }
  return absl::OkStatus();
}

// archMap: the line of the machine's own architecture counts, with the ones that it can run.
absl::Status ReadArchitectures(const json& root, SeccompRules* profile) {
  ASSIGN_OR_RETURN(const std::vector<std::string> plain, Strings(root, "architectures", "$"));
  const json* map = Find(root, "archMap");
  if (map == nullptr) return AddArchitectures(plain, "$.architectures", true, profile);
  if (!plain.empty()) return Bad("$", "both \"architectures\" and \"archMap\"");
  if (!map->is_array()) return Bad("$.archMap", "not a list");
  for (size_t i = 0; i < map->size(); ++i) {
    const json& line = (*map)[i];
    const std::string where = At("$.archMap", i);
    RETURN_IF_ERROR(CheckKeys(line, where, {"architecture", "subArchitectures"}));
    ASSIGN_OR_RETURN(const std::string word, String(line, "architecture", where));
    ASSIGN_OR_RETURN(std::vector<std::string> subs, Strings(line, "subArchitectures", where));
    ASSIGN_OR_RETURN(const uint32_t value,
                     Word(kSeccompArchitectures, word, "architecture", where));
    subs.insert(subs.begin(), word);
    RETURN_IF_ERROR(AddArchitectures(subs, where, value == seccomp_arch_native(), profile));
  }
  return absl::OkStatus();
}

absl::Status ReadFlags(const json& root, SeccompRules* profile) {
  ASSIGN_OR_RETURN(const std::vector<std::string> words, Strings(root, "flags", "$"));
  for (const std::string& word : words) {
    ASSIGN_OR_RETURN(const uint32_t flag, Word(kSeccompFlags, word, "flag", "$.flags"));
    profile->flags |= flag;
  }
  return absl::OkStatus();
}

// The process hands the notify descriptor over with these, when the filter holds already.
constexpr absl::string_view kNeverNotified[] = {"write", "sendmsg"};

absl::Status CheckListener(const SeccompRules& profile) {
  if (profile.default_action == SCMP_ACT_NOTIFY)
    return Bad("$.defaultAction", "SCMP_ACT_NOTIFY cannot be the default");
  const std::string& path = profile.listener_path;
  if (path.empty() && !profile.listener_metadata.empty())
    return Bad("$.listenerMetadata", "without a listenerPath");
  if (!path.empty() &&
      (path[0] != '/' || path.size() > kMaxListenerPath || path.find('\0') != std::string::npos)) {
    return Bad("$.listenerPath", "not an absolute path");
  }
  for (const SeccompRule& rule : profile.rules) {
    if (rule.action != SCMP_ACT_NOTIFY) continue;
    if (path.empty()) return Bad("$.listenerPath", "missing, but a rule has SCMP_ACT_NOTIFY");
    for (const absl::string_view name : kNeverNotified) {
      if (std::find(rule.names.begin(), rule.names.end(), name) != rule.names.end())
        return Bad("$.syscalls", absl::StrCat("SCMP_ACT_NOTIFY cannot be used for ", name));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<json> ParseText(absl::string_view text) {
  if (text.size() > kSeccompProfileMaxBytes) {
    return Bad("text", absl::StrCat("longer than ", kSeccompProfileMaxBytes, " bytes"));
  }
  if (IsTooDeep(text)) return Bad("text", "nested too deep");
  json root = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) return Bad("text", "not JSON");
  return root;
}

}  // namespace

absl::StatusOr<SeccompRules> ParseSeccompJson(absl::string_view text, const SeccompHost& host) {
  ASSIGN_OR_RETURN(const json root, ParseText(text));
  RETURN_IF_ERROR(CheckKeys(root, "$",
                            {"defaultAction", "defaultErrnoRet", "architectures", "archMap",
                             "flags", "listenerPath", "listenerMetadata", "syscalls", "comment"}));
  SeccompRules profile;
  ASSIGN_OR_RETURN(profile.default_action, Action(root, "defaultAction", "defaultErrnoRet", "$"));
  profile.bad_architecture_action = SCMP_ACT_KILL_PROCESS;
  RETURN_IF_ERROR(ReadArchitectures(root, &profile));
  RETURN_IF_ERROR(ReadFlags(root, &profile));
  ASSIGN_OR_RETURN(profile.listener_path, String(root, "listenerPath", "$"));
  ASSIGN_OR_RETURN(profile.listener_metadata, String(root, "listenerMetadata", "$"));
  if (const json* rules = Find(root, "syscalls"); rules != nullptr) {
    if (!rules->is_array()) return Bad("$.syscalls", "not a list");
    for (size_t i = 0; i < rules->size(); ++i)
      RETURN_IF_ERROR(AddRule((*rules)[i], host, At("$.syscalls", i), &profile));
  }
  RETURN_IF_ERROR(CheckListener(profile));
  profile.enosys_above_known =
      (profile.default_action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO &&
      profile.default_action != SCMP_ACT_ERRNO(ENOSYS) && !profile.known_names.empty();
  return profile;
}

}  // namespace berth
