#include "src/stream/resize_parser.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"

namespace berth {
namespace {

constexpr size_t kMaxObject = 1 << 10;

// As Go reads a field: by its name in any case, and if it fits.
uint16_t Dimension(const nlohmann::json& object, absl::string_view name) {
  for (const auto& [key, value] : object.items()) {
    if (!absl::EqualsIgnoreCase(key, name) || !value.is_number_unsigned()) continue;
    const uint64_t number = value.get<uint64_t>();
    return number <= UINT16_MAX ? static_cast<uint16_t>(number) : 0;
  }
  return 0;
}

std::optional<TerminalSize> ReadSize(const std::string& text) {
  const nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  const TerminalSize size = {.rows = Dimension(object, "height"),
                             .columns = Dimension(object, "width")};
  if (size.rows == 0 || size.columns == 0) return std::nullopt;
  return size;
}

}  // namespace

std::optional<TerminalSize> ResizeParser::Feed(absl::string_view bytes) {
  std::optional<TerminalSize> last;
  for (const char c : bytes) {
    // A size holds no other object, so a brace always begins one.
    if (c == '{') object_.clear();
    if (c != '{' && object_.empty()) continue;
    object_ += c;
    if (object_.size() > kMaxObject) object_.clear();
    if (c != '}' || object_.empty()) continue;
    if (const auto size = ReadSize(object_)) last = size;
    object_.clear();
  }
  return last;
}

}  // namespace berth
