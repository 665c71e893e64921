#include "test/e2e/hostile_request.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"

namespace berth::e2e {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kManyElements = 20000;
constexpr size_t kLongText = 1 << 20;

using Path = std::vector<const FieldDescriptor*>;

struct Text {
  const char* what;
  Hostility hostility;
  std::string text;
};

const std::vector<Text>& Texts() {
  static const auto* texts = new std::vector<Text>{
      {"1 MiB of text", Hostility::kLong, std::string(kLongText, 'a')},
      {"a path of a name that is too long", Hostility::kLong, "/" + std::string(300, 'a')},
      {"a path that leads up", Hostility::kTraversal, "../../../../etc/passwd"},
      {"an absolute path that leads up", Hostility::kTraversal, "/a/../../../etc/passwd"},
      {"a NUL byte", Hostility::kControl, std::string("a\0b", 3)},
      {"an end of line", Hostility::kControl, "a\nb"},
      {"an escape sequence", Hostility::kControl, "/\x1b]0;title\x07\x1b[31m"},
      {"no UTF-8", Hostility::kNotUtf8, "a\xff\xfe\xc0\x80"},
  };
  return *texts;
}

struct Number {
  const char* what;
  int64_t value;
};
constexpr Number kNumbers[] = {
    {"the least 64-bit number", std::numeric_limits<int64_t>::min()},
    {"the least 32-bit number", std::numeric_limits<int32_t>::min()},
    {"-1", -1},
    {"0", 0},
    {"the greatest 32-bit number", std::numeric_limits<int32_t>::max()},
    {"the greatest 64-bit number", std::numeric_limits<int64_t>::max()},
};

// The message that the last field of `path` is in; what there is not on the way is made.
Message* Descend(Message* message, const Path& path) {
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    const Reflection& reflection = *message->GetReflection();
    if (!path[i]->is_repeated()) {
      message = reflection.MutableMessage(message, path[i]);
    } else if (reflection.FieldSize(*message, path[i]) > 0) {
      message = reflection.MutableRepeatedMessage(message, path[i], 0);
    } else {
      message = reflection.AddMessage(message, path[i]);
    }
  }
  return message;
}

std::string TextOf(const Message& message, const FieldDescriptor* field) {
  const Reflection& reflection = *message.GetReflection();
  if (!field->is_repeated()) return reflection.GetString(message, field);
  return reflection.FieldSize(message, field) == 0
             ? ""
             : reflection.GetRepeatedString(message, field, 0);
}

void SetText(Message* message, const FieldDescriptor* field, const std::string& text) {
  const Reflection& reflection = *message->GetReflection();
  if (!field->is_repeated()) return reflection.SetString(message, field, text);
  reflection.ClearField(message, field);
  reflection.AddString(message, field, text);
}

void AddEntry(Message* message, const FieldDescriptor* map, const std::string& key,
              const std::string& value) {
  Message* entry = message->GetReflection()->AddMessage(message, map);
  const Descriptor& type = *map->message_type();
  entry->GetReflection()->SetString(entry, type.map_key(), key);
  if (type.map_value()->cpp_type() == FieldDescriptor::CPPTYPE_STRING)
    entry->GetReflection()->SetString(entry, type.map_value(), value);
}

void SetNumber(Message* message, const FieldDescriptor* field, int64_t value) {
  const Reflection& reflection = *message->GetReflection();
  const bool many = field->is_repeated();
  if (many) reflection.ClearField(message, field);
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return many ? reflection.AddInt32(message, field, static_cast<int32_t>(value))
                  : reflection.SetInt32(message, field, static_cast<int32_t>(value));
    case FieldDescriptor::CPPTYPE_UINT32:
      return many ? reflection.AddUInt32(message, field, static_cast<uint32_t>(value))
                  : reflection.SetUInt32(message, field, static_cast<uint32_t>(value));
    case FieldDescriptor::CPPTYPE_UINT64:
      return many ? reflection.AddUInt64(message, field, static_cast<uint64_t>(value))
                  : reflection.SetUInt64(message, field, static_cast<uint64_t>(value));
    case FieldDescriptor::CPPTYPE_INT64:
      return many ? reflection.AddInt64(message, field, value)
                  : reflection.SetInt64(message, field, value);
    case FieldDescriptor::CPPTYPE_ENUM:
      return many ? reflection.AddEnumValue(message, field, static_cast<int>(value))
                  : reflection.SetEnumValue(message, field, static_cast<int>(value));
    default:
      return;
  }
}

class Maker {
 public:
  Maker(const Message& good, const std::function<void(const HostileRequest&)>& visit)
      : good_(good), visit_(visit) {}

  void Walk(const Descriptor& type, const Path& path) {
    for (int i = 0; i < type.field_count(); ++i) {
      Path next = path;
      next.push_back(type.field(i));
      MakeAll(next);
      const FieldDescriptor& field = *type.field(i);
      const bool nested = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_map();
      const bool circle = std::any_of(path.begin(), path.end(), [&](const FieldDescriptor* above) {
        return above->containing_type() == field.message_type();
      });
      if (nested && !circle) Walk(*field.message_type(), next);
    }
  }

 private:
  using Change = std::function<void(Message*, const FieldDescriptor*)>;

  void Make(const Path& path, absl::string_view what, Hostility hostility, const Change& change) {
    const std::unique_ptr<Message> request(good_.New());
    request->CopyFrom(good_);
    change(Descend(request.get(), path), path.back());
    HostileRequest made{.what = std::string(what), .hostility = hostility};
    for (const FieldDescriptor* field : path) {
      absl::StrAppend(&made.path, made.path.empty() ? "" : ".", field->name());
      made.fields.push_back(absl::StrCat(field->containing_type()->name(), ".", field->name()));
    }
    {
      const google::protobuf::LogSilencer about_utf8;
      request->SerializePartialToString(&made.bytes);
    }
    visit_(made);
  }

  void MakeAll(const Path& path) {
    const FieldDescriptor& field = *path.back();
    if (field.is_map()) return MakeMaps(path);
    if (field.is_repeated()) MakeMany(path);
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        for (const Text& text : Texts()) {
          const bool any =
              text.hostility == Hostility::kNotUtf8 && field.type() == FieldDescriptor::TYPE_BYTES;
          Make(path, text.what, any ? Hostility::kOther : text.hostility,
               [&](Message* in, const FieldDescriptor* at) { SetText(in, at, text.text); });
        }
        Make(path, "its value and a NUL byte behind it", Hostility::kControl,
             [](Message* in, const FieldDescriptor* at) {
               SetText(in, at, TextOf(*in, at) + std::string("\0x", 2));
             });
        return;
      case FieldDescriptor::CPPTYPE_ENUM:
        for (const int value : {-1, 1000}) {
          Make(path, absl::StrCat("value ", value), Hostility::kEnum,
               [value](Message* in, const FieldDescriptor* at) { SetNumber(in, at, value); });
        }
        return;
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return MakeMissing(path);
      case FieldDescriptor::CPPTYPE_BOOL:
        Make(path, "turned", Hostility::kOther, [](Message* in, const FieldDescriptor* at) {
          const Reflection& reflection = *in->GetReflection();
          reflection.SetBool(in, at, !reflection.GetBool(*in, at));
        });
        return;
      default:
        for (const Number& number : kNumbers) {
          Make(path, number.what, Hostility::kNumber,
               [&](Message* in, const FieldDescriptor* at) { SetNumber(in, at, number.value); });
        }
    }
  }

  void MakeMaps(const Path& path) {
    if (path.back()->message_type()->map_key()->cpp_type() != FieldDescriptor::CPPTYPE_STRING)
      return;
    for (const Text& text : Texts()) {
      Make(path, absl::StrCat("a key: ", text.what), text.hostility,
           [&](Message* in, const FieldDescriptor* at) { AddEntry(in, at, text.text, "1"); });
      Make(path, absl::StrCat("a value: ", text.what), text.hostility,
           [&](Message* in, const FieldDescriptor* at) { AddEntry(in, at, "net.key", text.text); });
    }
    Make(path, absl::StrCat(kManyElements, " entries"), Hostility::kMany,
         [](Message* in, const FieldDescriptor* at) {
           for (int i = 0; i < kManyElements; ++i)
             AddEntry(in, at, absl::StrCat("key", i), "value");
         });
  }

  void MakeMany(const Path& path) {
    Make(path, absl::StrCat(kManyElements, " elements"), Hostility::kMany,
         [](Message* in, const FieldDescriptor* at) {
           const Reflection& reflection = *in->GetReflection();
           for (int i = 0; i < kManyElements; ++i) {
             if (at->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
               reflection.AddMessage(in, at);
             } else if (at->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
               reflection.AddString(in, at, "value");
             } else if (at->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
               reflection.AddInt64(in, at, i);
             } else if (at->cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
               reflection.AddInt32(in, at, i);
             }
           }
         });
  }

  void MakeMissing(const Path& path) {
    Make(path, "is not there", Hostility::kMissing,
         [](Message* in, const FieldDescriptor* at) { in->GetReflection()->ClearField(in, at); });
    Make(path, "is empty", Hostility::kMissing, [](Message* in, const FieldDescriptor* at) {
      const Reflection& reflection = *in->GetReflection();
      reflection.ClearField(in, at);
      if (at->is_repeated()) {
        reflection.AddMessage(in, at);
      } else {
        reflection.MutableMessage(in, at);
      }
    });
  }

  const Message& good_;
  const std::function<void(const HostileRequest&)>& visit_;
};

}  // namespace

void ForEachHostileRequest(const Message& good,
                           const std::function<void(const HostileRequest&)>& visit) {
  Maker(good, visit).Walk(*good.GetDescriptor(), {});
}

}  // namespace berth::e2e
