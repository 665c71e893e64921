#include "test/api/field_rows.h"

#include <google/protobuf/descriptor.pb.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::EnumDescriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::FileDescriptor;
using ::google::protobuf::MethodDescriptor;
using ::google::protobuf::ServiceDescriptor;

// Columns of the field table: kind parent name number type label oneof extra since.
constexpr size_t kTableColumns = 9;
constexpr size_t kExtra = 7;
constexpr size_t kSince = 8;

struct Row {
  absl::string_view kind;
  std::string parent;
  std::string name;
  std::string number;
  std::string type;
  std::string label;
  std::string oneof;
  std::string extra;
};

std::string Join(const Row& row) {
  return absl::StrCat(row.kind, "|", row.parent, "|", row.name, "|", row.number, "|", row.type, "|",
                      row.label, "|", row.oneof, "|", row.extra);
}

// Name inside the package; a type of another package keeps its full name.
template <typename T>
std::string NameInPackage(const T& descriptor) {
  return std::string(
      absl::StripPrefix(descriptor.full_name(), absl::StrCat(descriptor.file()->package(), ".")));
}

std::string TypeOf(const FieldDescriptor& field) {
  if (field.is_map()) {
    const Descriptor& entry = *field.message_type();
    return absl::StrCat("map<", TypeOf(*entry.map_key()), ",", TypeOf(*entry.map_value()), ">");
  }
  if (field.message_type() != nullptr) return NameInPackage(*field.message_type());
  if (field.enum_type() != nullptr) return NameInPackage(*field.enum_type());
  return field.type_name();
}

std::string LabelOf(const FieldDescriptor& field) {
  if (field.is_map()) return "map";
  if (field.is_required()) return "required";
  return field.is_repeated() ? "repeated" : "singular";
}

std::string ExtraOf(const FieldDescriptor& field) {
  std::vector<absl::string_view> words;
  if (field.has_presence()) words.push_back("has-presence");
  if (field.options().deprecated()) words.push_back("deprecated");
  return absl::StrJoin(words, ",");
}

void AddEnum(const EnumDescriptor& descriptor, std::vector<std::string>& rows) {
  for (int i = 0; i < descriptor.value_count(); ++i) {
    rows.push_back(Join({.kind = "enum",
                         .parent = NameInPackage(descriptor),
                         .name = descriptor.value(i)->name(),
                         .number = absl::StrCat(descriptor.value(i)->number())}));
  }
}

void AddField(const FieldDescriptor& field, std::vector<std::string>& rows) {
  const auto* oneof = field.real_containing_oneof();
  rows.push_back(Join({.kind = "field",
                       .parent = NameInPackage(*field.containing_type()),
                       .name = field.name(),
                       .number = absl::StrCat(field.number()),
                       .type = TypeOf(field),
                       .label = LabelOf(field),
                       .oneof = oneof == nullptr ? "" : oneof->name(),
                       .extra = ExtraOf(field)}));
}

void AddMessage(const Descriptor& message, std::vector<std::string>& rows) {
  rows.push_back(Join({.kind = "message",
                       .parent = NameInPackage(message),
                       .extra = absl::StrCat(message.field_count(), " fields")}));
  for (int i = 0; i < message.field_count(); ++i) AddField(*message.field(i), rows);
  for (int i = 0; i < message.enum_type_count(); ++i) AddEnum(*message.enum_type(i), rows);
  for (int i = 0; i < message.nested_type_count(); ++i) {
    const Descriptor& nested = *message.nested_type(i);
    if (!nested.options().map_entry()) AddMessage(nested, rows);
  }
}

std::string StreamingOf(const MethodDescriptor& method) {
  if (method.client_streaming()) return method.server_streaming() ? "bidi-stream" : "client-stream";
  return method.server_streaming() ? "server-stream" : "unary";
}

void AddService(const ServiceDescriptor& service, std::vector<std::string>& rows) {
  for (int i = 0; i < service.method_count(); ++i) {
    const MethodDescriptor& method = *service.method(i);
    rows.push_back(Join({.kind = "rpc",
                         .parent = NameInPackage(service),
                         .name = method.name(),
                         .type = absl::StrCat(NameInPackage(*method.input_type()), " -> ",
                                              NameInPackage(*method.output_type())),
                         .label = StreamingOf(method)}));
  }
}

}  // namespace

absl::StatusOr<std::vector<std::vector<std::string>>> ReadTable(const std::string& path,
                                                                size_t columns) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("open ", path, ": cannot be read"));
  std::vector<std::vector<std::string>> table;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    std::vector<std::string> cells = absl::StrSplit(line, '\t');
    if (cells.size() != columns) {
      return absl::InvalidArgumentError(absl::StrCat("parse ", path, ":", number, ": ",
                                                     cells.size(), " cells instead of ", columns));
    }
    if (number > 1) table.push_back(std::move(cells));
  }
  return table;
}

absl::StatusOr<std::vector<std::string>> RowsOfTable(const std::string& path) {
  ASSIGN_OR_RETURN(auto table, ReadTable(path, kTableColumns));
  std::vector<std::string> rows;
  for (std::vector<std::string>& cells : table) {
    if (cells[kExtra] == "debug_redact") cells[kExtra].clear();
    cells.resize(kSince);
    rows.push_back(absl::StrJoin(cells, "|"));
  }
  return rows;
}

std::vector<std::string> RowsOfDescriptor(const FileDescriptor& file) {
  std::vector<std::string> rows;
  for (int i = 0; i < file.service_count(); ++i) AddService(*file.service(i), rows);
  for (int i = 0; i < file.message_type_count(); ++i) AddMessage(*file.message_type(i), rows);
  for (int i = 0; i < file.enum_type_count(); ++i) AddEnum(*file.enum_type(i), rows);
  return rows;
}

}  // namespace berth
