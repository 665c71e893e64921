// The members that hooks have in every kind of file (CDI specs, oci-hooks(5)). Pure.
#pragma once

#include "src/runtime/config_document.h"
#include "src/runtime/spec.h"

namespace berth {

// path, args, env and timeout (seconds). A path that is not absolute, a variable that is not
// NAME=value and a timeout below 1 fail the reader.
Hook ReadHook(MemberReader* reader);

// Is `text` "NAME=value" with a name?
bool IsVariable(const std::string& text);

}  // namespace berth
