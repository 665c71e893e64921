// Which hooks of a node's directories a container gets.
#include "src/runtime/hooks.h"

#include <fcntl.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/runtime/config_document.h"
#include "src/runtime/hook_members.h"
#include "src/runtime/trusted_file.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxFileBytes = 1 << 20;
constexpr int64_t kMaxRegexMemory = 1 << 20;  // of one compiled expression

struct StageList {
  absl::string_view name;
  std::vector<Hook> Hooks::*list;
};
constexpr std::array kStages = {
    StageList{"prestart", &Hooks::prestart},
    StageList{"createRuntime", &Hooks::create_runtime},
    StageList{"createContainer", &Hooks::create_container},
    StageList{"startContainer", &Hooks::start_container},
    StageList{"poststart", &Hooks::poststart},
    StageList{"poststop", &Hooks::poststop},
};

// A regular expression of a hook file, matched anywhere in a text. RE2: annotations are chosen by
// tenants, matching must take linear time.
class Pattern {
 public:
  static absl::StatusOr<Pattern> Compile(const std::string& text) {
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kMaxRegexMemory);
    // Latin-1 matches bytes: a tenant's text need not be UTF-8.
    options.set_encoding(RE2::Options::EncodingLatin1);
    Pattern pattern(std::make_unique<RE2>(text, options));
    if (pattern.regex_->ok()) return pattern;
    return absl::InvalidArgumentError(
        absl::StrCat("regular expression \"", EscapeForLog(text), "\": ", pattern.regex_->error()));
  }
  bool Matches(const std::string& text) const { return RE2::PartialMatch(text, *regex_); }

 private:
  explicit Pattern(std::unique_ptr<RE2> regex) : regex_(std::move(regex)) {}
  std::unique_ptr<RE2> regex_;
};

// Every pair of patterns has an annotation that fits both.
absl::StatusOr<bool> AnnotationsMatch(const std::map<std::string, std::string>& patterns,
                                      const HookCriteria& criteria) {
  bool all = true;
  for (const auto& [key_text, value_text] : patterns) {
    ASSIGN_OR_RETURN(const Pattern key, Pattern::Compile(key_text));
    ASSIGN_OR_RETURN(const Pattern value, Pattern::Compile(value_text));
    all &= std::any_of(criteria.annotations.begin(), criteria.annotations.end(),
                       [&](const auto& annotation) {
                         return key.Matches(annotation.first) && value.Matches(annotation.second);
                       });
  }
  return all;
}

// One of the patterns fits the command.
absl::StatusOr<bool> CommandMatches(const std::vector<std::string>& patterns,
                                    const HookCriteria& criteria) {
  bool any = false;
  for (const std::string& text : patterns) {
    ASSIGN_OR_RETURN(const Pattern pattern, Pattern::Compile(text));
    any |= pattern.Matches(criteria.command);
  }
  return any;
}

// All conditions that are there hold. At least one must be there. A condition that is set to false
// never holds, as in the implementations that oci-hooks(5) describes.
absl::StatusOr<bool> WhenHolds(const Json& json, const HookCriteria& criteria) {
  MemberReader reader(json, "when");
  std::optional<bool> always, has_bind_mounts;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> commands;
  reader.Read("always", &always);
  reader.Read("hasBindMounts", &has_bind_mounts);
  reader.Read("annotations", &annotations);
  reader.Read("commands", &commands);
  if (!always.has_value() && !has_bind_mounts.has_value() && annotations.empty() &&
      commands.empty()) {
    reader.Fail("no condition");
  }
  RETURN_IF_ERROR(reader.Finish());
  bool holds = always.value_or(true);
  if (has_bind_mounts.has_value()) holds &= *has_bind_mounts && criteria.has_bind_mounts;
  ASSIGN_OR_RETURN(const bool annotated, AnnotationsMatch(annotations, criteria));
  ASSIGN_OR_RETURN(const bool commanded, CommandMatches(commands, criteria));
  return holds && annotated && (commands.empty() || commanded);
}

absl::StatusOr<Hook> HookOf(const Json& json) {
  MemberReader reader(json, "hook");
  Hook hook = ReadHook(&reader);
  RETURN_IF_ERROR(reader.Finish());
  return WithHookPath(std::move(hook));
}

// The files of all directories by name in lower case, those of later directories in front.
absl::StatusOr<std::map<std::string, std::string>> ListHookFiles(
    const std::vector<std::string>& directories) {
  std::map<std::string, std::string> by_name;  // file name -> path
  for (const std::string& directory : directories) {
    absl::StatusOr<std::vector<std::string>> names = ListDir(AT_FDCWD, directory);
    if (absl::IsNotFound(names.status())) continue;
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      if (absl::EndsWith(name, ".json") && !absl::StartsWith(name, "."))
        by_name[name] = absl::StrCat(directory, "/", name);
    }
  }
  std::map<std::string, std::string> ordered;  // lower case, then as it is -> path
  for (const auto& [name, path] : by_name)
    ordered[absl::StrCat(absl::AsciiStrToLower(name), "/", name)] = path;
  return ordered;
}

}  // namespace

std::vector<Hook>* HooksOfStage(absl::string_view stage, Hooks* hooks) {
  for (const StageList& known : kStages) {
    if (stage == known.name) return &(hooks->*known.list);
  }
  return nullptr;
}

Hook WithHookPath(Hook hook) {
  const bool has_path =
      std::any_of(hook.env.begin(), hook.env.end(),
                  [](const std::string& variable) { return absl::StartsWith(variable, "PATH="); });
  if (!has_path) hook.env.insert(hook.env.begin(), kHookPath);
  return hook;
}

absl::Status AddMatchingHooks(absl::string_view json, const HookCriteria& criteria, Hooks* hooks) {
  ASSIGN_OR_RETURN(const Json document, ParseJsonDocument(json));
  MemberReader reader(document, "");
  std::string version;
  std::vector<std::string> stages;
  reader.Read("version", &version);
  reader.Read("stages", &stages);
  const Json* hook_json = reader.Object("hook");
  const Json* when = reader.Object("when");
  if (version != "1.0.0")
    reader.Fail(absl::StrCat("version \"", EscapeForLog(version), "\" is not 1.0.0"));
  if (hook_json == nullptr) reader.Fail("hook: there is none");
  if (when == nullptr) reader.Fail("when: there is none");
  if (stages.empty()) reader.Fail("stages: there is none");
  for (const std::string& stage : stages) {
    if (HooksOfStage(stage, hooks) == nullptr)
      reader.Fail(absl::StrCat("stages: \"", EscapeForLog(stage), "\" is no stage"));
  }
  RETURN_IF_ERROR(reader.Finish());
  ASSIGN_OR_RETURN(const Hook hook, HookOf(*hook_json));
  ASSIGN_OR_RETURN(const bool holds, WhenHolds(*when, criteria));
  if (!holds) return absl::OkStatus();
  std::sort(stages.begin(), stages.end());
  stages.erase(std::unique(stages.begin(), stages.end()), stages.end());
  for (const std::string& stage : stages) HooksOfStage(stage, hooks)->push_back(hook);
  return absl::OkStatus();
}

absl::Status CheckHooks(const Hooks& hooks) {
  for (const StageList& stage : kStages) {
    if (stage.list == &Hooks::start_container) continue;  // of the container's file system
    for (const Hook& hook : hooks.*stage.list) {
      if (absl::Status file = CheckTrustedExecutable(hook.path); !file.ok())
        return Annotate(file, absl::StrCat(stage.name, " hook"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Hooks> SelectHooks(const std::vector<std::string>& directories,
                                  const HookCriteria& criteria) {
  Hooks hooks;
  ASSIGN_OR_RETURN(const auto files, ListHookFiles(directories));
  for (const auto& [name, path] : files) {
    ASSIGN_OR_RETURN(const std::string json, ReadTrustedFile(path, kMaxFileBytes));
    if (absl::Status added = AddMatchingHooks(json, criteria, &hooks); !added.ok())
      return Annotate(added, absl::StrCat("parse hook ", path));
  }
  RETURN_IF_ERROR(CheckHooks(hooks));
  return hooks;
}

}  // namespace berth
