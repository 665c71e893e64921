#include "src/runtime/hook_members.h"

#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "src/base/log.h"

namespace berth {

bool IsVariable(const std::string& text) {
  const size_t equals = text.find('=');
  return equals != std::string::npos && equals > 0;
}

Hook ReadHook(MemberReader* reader) {
  Hook hook;
  std::optional<uint32_t> timeout;
  reader->Read("path", &hook.path);
  reader->Read("args", &hook.args);
  reader->Read("env", &hook.env);
  reader->Read("timeout", &timeout);
  if (!absl::StartsWith(hook.path, "/"))
    reader->Fail(absl::StrCat("path \"", EscapeForLog(hook.path), "\" is not absolute"));
  for (const std::string& variable : hook.env) {
    if (!IsVariable(variable))
      reader->Fail(absl::StrCat("env \"", EscapeForLog(variable), "\" is not NAME=value"));
  }
  if (timeout == 0u) reader->Fail("timeout: must be greater than zero");
  if (timeout.has_value()) hook.timeout = absl::Seconds(*timeout);
  return hook;
}

}  // namespace berth
