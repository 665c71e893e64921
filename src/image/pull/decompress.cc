#include "src/image/pull/decompress.h"

#define ZSTD_STATIC_LINKING_ONLY  // ZSTD_getFrameHeader
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {
namespace {

constexpr size_t kOutBytes =
    128 << 10;                     // stays in the second-level cache on the way to hash and disk
constexpr int kMaxWindowLog = 27;  // zstd: 128 MiB of memory at most

class PlainCodec : public Decompressor::Codec {
 public:
  absl::Status Feed(absl::string_view bytes, ByteSink out) override { return out(bytes); }
  absl::Status Finish() override { return absl::OkStatus(); }
};

class GzipCodec : public Decompressor::Codec {
 public:
  GzipCodec() : out_(kOutBytes), state_(std::make_unique<inflate_state>()) { Restart(); }

  absl::Status Feed(absl::string_view bytes, ByteSink out) override {
    // ISA-L reads through a pointer to non-const and does not write.
    state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
    state_->avail_in = static_cast<uint32_t>(bytes.size());
    bool output_full = false;
    while (state_->avail_in > 0 || output_full) {
      if (state_->block_state == ISAL_BLOCK_FINISH) {
        uint8_t* const rest = state_->next_in;
        const uint32_t left = state_->avail_in;
        Restart();
        state_->next_in = rest;
        state_->avail_in = left;
      }
      in_member_ = true;
      state_->next_out = out_.data();
      state_->avail_out = static_cast<uint32_t>(out_.size());
      if (const int code = isal_inflate(state_.get()); code != ISAL_DECOMP_OK) {
        return absl::DataLossError(absl::StrCat("gunzip: corrupt data (", Cause(code), ")"));
      }
      const size_t made = out_.size() - state_->avail_out;
      if (made > 0) RETURN_IF_ERROR(out({reinterpret_cast<const char*>(out_.data()), made}));
      if (state_->block_state == ISAL_BLOCK_FINISH) in_member_ = false;
      output_full = in_member_ && state_->avail_out == 0;
    }
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    if (in_member_) return absl::DataLossError("gunzip: unexpected end of data");
    return absl::OkStatus();
  }

 private:
  void Restart() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

  static absl::string_view Cause(int code) {
    switch (code) {
      case ISAL_INCORRECT_CHECKSUM:
        return "wrong checksum";
      case ISAL_INVALID_WRAPPER:
        return "no gzip header";
      case ISAL_UNSUPPORTED_METHOD:
        return "unsupported method";
      default:
        return "malformed deflate stream";
    }
  }

  std::vector<uint8_t> out_;
  std::unique_ptr<inflate_state> state_;
  bool in_member_ = true;
};

class ZstdCodec : public Decompressor::Codec {
 public:
  explicit ZstdCodec(WindowBudget& windows)
      : share_(windows), out_(kOutBytes), context_(ZSTD_createDCtx()) {
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  }

  absl::Status Feed(absl::string_view bytes, ByteSink out) override {
    while (!bytes.empty()) {
      if (in_frame_) {
        RETURN_IF_ERROR(Decode(&bytes, out));
        continue;
      }
      ASSIGN_OR_RETURN(in_frame_, ReadHeader(&bytes));
      if (!in_frame_) return absl::OkStatus();
      absl::string_view header = header_;
      RETURN_IF_ERROR(Decode(&header, out));
      header_.clear();
    }
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    if (in_frame_ || !header_.empty()) return absl::DataLossError("unzstd: unexpected end of data");
    return absl::OkStatus();
  }

 private:
  // Takes bytes until the header of a frame is whole, and the memory that it asks for. False if
  // more bytes are needed.
  absl::StatusOr<bool> ReadHeader(absl::string_view* bytes) {
    while (true) {
      ZSTD_frameHeader header;
      const size_t wanted = ZSTD_getFrameHeader(&header, header_.data(), header_.size());
      if (ZSTD_isError(wanted)) return Corrupt(wanted);
      if (wanted == 0) {
        share_.GrowTo(static_cast<int64_t>(
            std::min<unsigned long long>(header.windowSize, 1ull << kMaxWindowLog)));
        return true;
      }
      const size_t more = std::min(wanted - header_.size(), bytes->size());
      if (more == 0) return false;
      header_.append(bytes->data(), more);
      bytes->remove_prefix(more);
    }
  }

  // To the end of the bytes or of the frame.
  absl::Status Decode(absl::string_view* bytes, ByteSink out) {
    ZSTD_inBuffer in = {bytes->data(), bytes->size(), 0};
    bool output_full = false;
    while (in_frame_ && (in.pos < in.size || output_full)) {
      ZSTD_outBuffer made = {out_.data(), out_.size(), 0};
      const size_t hint = ZSTD_decompressStream(context_.get(), &made, &in);
      if (ZSTD_isError(hint)) return Corrupt(hint);
      if (made.pos > 0)
        RETURN_IF_ERROR(out({reinterpret_cast<const char*>(out_.data()), made.pos}));
      in_frame_ = hint != 0;
      output_full = made.pos == made.size;
    }
    bytes->remove_prefix(in.pos);
    return absl::OkStatus();
  }

  static absl::Status Corrupt(size_t code) {
    return absl::DataLossError(absl::StrCat("unzstd: ", ZSTD_getErrorName(code)));
  }

  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  WindowBudget::Share share_;
  std::vector<uint8_t> out_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  std::string header_;  // of the frame that begins, until it is whole
  bool in_frame_ = false;
};

std::unique_ptr<Decompressor::Codec> MakeGzip(WindowBudget&) {
  return std::make_unique<GzipCodec>();
}
std::unique_ptr<Decompressor::Codec> MakeZstd(WindowBudget& windows) {
  return std::make_unique<ZstdCodec>(windows);
}

struct Format {
  absl::string_view magic, name;
  std::unique_ptr<Decompressor::Codec> (*make)(
      WindowBudget& windows);  // null: known, not supported
};
constexpr std::array kFormats = {
    Format{absl::string_view("\x1f\x8b\x08", 3), "gzip", MakeGzip},
    Format{absl::string_view("\x28\xb5\x2f\xfd", 4), "zstd", MakeZstd},
    Format{absl::string_view("\xfd\x37zXZ", 5), "xz", nullptr},
    Format{absl::string_view("BZh", 3), "bzip2", nullptr},
};
constexpr size_t kLongestMagic = 5;

// A zstd stream may begin with a skippable frame: 0x184D2A50 to 0x184D2A5F, little-endian.
bool IsSkippableFrame(absl::string_view start) {
  return start.size() >= 4 && (static_cast<unsigned char>(start[0]) & 0xf0) == 0x50 &&
         start.substr(1, 3) == absl::string_view("\x2a\x4d\x18", 3);
}

}  // namespace

Decompressor::Decompressor(WindowBudget& windows, const DecompressLimits& limits)
    : windows_(windows), limits_(limits) {}
Decompressor::~Decompressor() = default;

absl::Status Decompressor::Choose() {
  for (const Format& format : kFormats) {
    if (!absl::StartsWith(start_, format.magic)) continue;
    if (format.make == nullptr) {
      return absl::UnimplementedError(
          absl::StrCat("decompress: ", format.name, " is not supported"));
    }
    codec_ = format.make(windows_);
    return absl::OkStatus();
  }
  if (IsSkippableFrame(start_)) {
    codec_ = MakeZstd(windows_);
  } else {
    codec_ = std::make_unique<PlainCodec>();
  }
  return absl::OkStatus();
}

absl::Status Decompressor::Pass(absl::string_view bytes, ByteSink out) {
  return codec_->Feed(bytes, [&](absl::string_view plain) -> absl::Status {
    out_bytes_ += static_cast<int64_t>(plain.size());
    if (out_bytes_ > limits_.output_bytes) {
      over_limit_ = true;
      return absl::ResourceExhaustedError(
          absl::StrCat("decompress: more than ", limits_.output_bytes, " bytes come out"));
    }
    if (out_bytes_ > limits_.ratio_from_bytes && out_bytes_ / limits_.ratio > in_bytes_) {
      over_limit_ = true;
      return absl::ResourceExhaustedError(absl::StrCat("decompress: ", in_bytes_,
                                                       " bytes grow to more than ", limits_.ratio,
                                                       " times their size"));
    }
    return out(plain);
  });
}

absl::Status Decompressor::Feed(absl::string_view bytes, ByteSink out) {
  in_bytes_ += static_cast<int64_t>(bytes.size());
  if (codec_ != nullptr) return Pass(bytes, out);
  start_.append(bytes.data(), bytes.size());
  if (start_.size() < kLongestMagic) return absl::OkStatus();
  RETURN_IF_ERROR(Choose());
  return Pass(std::exchange(start_, {}), out);
}

absl::Status Decompressor::Finish(ByteSink out) {
  if (codec_ == nullptr) {
    RETURN_IF_ERROR(Choose());
    RETURN_IF_ERROR(Pass(start_, out));
  }
  return codec_->Finish();
}

}  // namespace berth
