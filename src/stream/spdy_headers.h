// Header blocks of SPDY/3.1: name/value pairs behind one zlib stream for each direction of a
// connection, with the dictionary of the protocol. Pure; not thread-safe.
#pragma once

#include <zlib.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

inline constexpr size_t kMaxSpdyHeaders = 100;
inline constexpr size_t kMaxSpdyField = 8 << 10;         // a name or a value
inline constexpr size_t kMaxSpdyHeaderBlock = 64 << 10;  // inflated

struct SpdyHeader {
  std::string name;   // lower case
  std::string value;  // several values of one name are joined by NUL
  bool operator==(const SpdyHeader&) const = default;
};
using SpdyHeaders = std::vector<SpdyHeader>;

// The value of `name`; "" if it is absent.
absl::string_view FindHeader(const SpdyHeaders& headers, absl::string_view name);

// InvalidArgument for a malformed block, upper case, an empty or repeated name, and beyond the
// limits.
absl::StatusOr<SpdyHeaders> ParseSpdyHeaders(absl::string_view inflated);
std::string SerializeSpdyHeaders(const SpdyHeaders& headers);

class HeaderInflater {
 public:
  HeaderInflater();
  ~HeaderInflater();
  HeaderInflater(const HeaderInflater&) = delete;
  HeaderInflater& operator=(const HeaderInflater&) = delete;

  // The next block of the stream. After an error the stream is lost: the connection must end.
  absl::StatusOr<std::string> Inflate(absl::string_view block);

 private:
  z_stream stream_ = {};
};

class HeaderDeflater {
 public:
  HeaderDeflater();
  ~HeaderDeflater();
  HeaderDeflater(const HeaderDeflater&) = delete;
  HeaderDeflater& operator=(const HeaderDeflater&) = delete;

  std::string Deflate(absl::string_view block);

 private:
  z_stream stream_ = {};
};

}  // namespace berth
