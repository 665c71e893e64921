#include <nlohmann/json.hpp>

#include "src/runtime/seccomp_json.h"
#include "src/runtime/seccomp_words.h"

namespace berth {
namespace {

using nlohmann::json;

template <size_t kSize>
std::string WordOf(const SeccompWord (&table)[kSize], uint32_t value) {
  for (const SeccompWord& known : table)
    if (known.value == value) return std::string(known.word);
  return std::string();  // not reached: rules hold values of the tables
}

bool HasData(uint32_t action) {
  const uint32_t kind = action & SECCOMP_RET_ACTION_FULL;
  return kind == SECCOMP_RET_ERRNO || kind == SECCOMP_RET_TRACE;
}

std::string ActionWord(uint32_t action) {
  return WordOf(kSeccompActions, action & SECCOMP_RET_ACTION_FULL);
}

json RuleJson(const SeccompRule& rule) {
  json out = {{"names", rule.names}, {"action", ActionWord(rule.action)}};
  if (HasData(rule.action)) out["errnoRet"] = rule.action & SECCOMP_RET_DATA;
  for (const SeccompArgument& argument : rule.arguments) {
    out["args"].push_back({{"index", argument.index},
                           {"value", argument.value},
                           {"valueTwo", argument.value_two},
                           {"op", WordOf(kSeccompOperators, argument.op)}});
  }
  return out;
}

}  // namespace

std::string WriteSeccompJson(const SeccompRules& rules) {
  json out = {{"defaultAction", ActionWord(rules.default_action)}};
  if (HasData(rules.default_action))
    out["defaultErrnoRet"] = rules.default_action & SECCOMP_RET_DATA;
  for (const uint32_t architecture : rules.architectures)
    out["architectures"].push_back(WordOf(kSeccompArchitectures, architecture));
  for (const SeccompWord& flag : kSeccompFlags)
    if ((rules.flags & flag.value) != 0) out["flags"].push_back(std::string(flag.word));
  if (rules.Notifies()) {
    out["listenerPath"] = rules.listener_path;
    if (!rules.listener_metadata.empty()) out["listenerMetadata"] = rules.listener_metadata;
  }
  for (const SeccompRule& rule : rules.rules) out["syscalls"].push_back(RuleJson(rule));
  return out.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

}  // namespace berth
