// The CRI field table and a compiled descriptor, both as the same kind of text rows, so that a test
// can compare them in both directions. Used by the tests of this folder only.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace berth {

// A tab-separated file without its header line: one vector of cells for each line, `columns` long.
// InvalidArgument for a line with another number of cells, naming the line.
absl::StatusOr<std::vector<std::vector<std::string>>> ReadTable(const std::string& path,
                                                                size_t columns);

// The field table as rows "kind parent name number type label oneof extra", the cells joined by
// '|'. Left out: the release a row appeared in, and debug_redact, which this protoc does not know.
absl::StatusOr<std::vector<std::string>> RowsOfTable(const std::string& path);

// Everything `file` defines, as rows of the same form.
std::vector<std::string> RowsOfDescriptor(const google::protobuf::FileDescriptor& file);

}  // namespace berth
