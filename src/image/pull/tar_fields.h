// The fields of a tar header block and of PAX records as numbers and strings. Pure; every malformed
// field is InvalidArgument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth {

// Offsets and lengths in a header block (POSIX.1-2017 pax, "ustar Interchange Format").
struct TarField {
  size_t offset, length;
  const char* name;
};
inline constexpr TarField kTarName{0, 100, "name"}, kTarMode{100, 8, "mode"},
    kTarUid{108, 8, "uid"}, kTarGid{116, 8, "gid"}, kTarSize{124, 12, "size"},
    kTarMtime{136, 12, "mtime"}, kTarChecksum{148, 8, "checksum"}, kTarLink{157, 100, "linkname"},
    kTarMagic{257, 8, "magic"}, kTarMajor{329, 8, "devmajor"}, kTarMinor{337, 8, "devminor"},
    kTarPrefix{345, 155, "prefix"}, kTarStarPrefix{345, 131, "prefix"};
inline constexpr size_t kTarType = 156;

// Up to the first NUL.
absl::string_view TarText(absl::string_view block, const TarField& field);

// Octal digits between spaces and NULs, or GNU's base-256. An empty field is 0.
absl::StatusOr<int64_t> TarNumber(absl::string_view block, const TarField& field);

// `value` if it is from 0 to `max`.
absl::StatusOr<uint32_t> TarNumberInRange(int64_t value, int64_t max, absl::string_view what);

absl::Status CheckTarChecksum(absl::string_view block);

// Decimal digits only, at most 2^63-1.
absl::StatusOr<int64_t> PaxNumber(absl::string_view key, absl::string_view value);
// "[-]seconds[.fraction]"
absl::StatusOr<timespec> PaxTime(absl::string_view key, absl::string_view value);

// Calls `take` for each "length key=value\n".
absl::Status ForEachPaxRecord(
    absl::string_view records,
    absl::FunctionRef<absl::Status(absl::string_view, absl::string_view)> take);

}  // namespace berth
