#include "src/server/reply_cache.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <utility>

namespace berth {
namespace {

constexpr uint32_t kLengthDelimited = 2;  // of the wire format

// Without a copy: the slice owns the string.
grpc::Slice SliceOf(std::string text) {
  auto* owned = new std::string(std::move(text));
  return grpc::Slice(
      owned->data(), owned->size(), [](void* string) { delete static_cast<std::string*>(string); },
      owned);
}

}  // namespace

void ReplyCache::Serialise(const Entry& entry, std::string* reply) {
  message_->Clear();
  entry.fill(message_.get());
  google::protobuf::io::StringOutputStream stream(reply);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.WriteTag(static_cast<uint32_t>(field_) << 3 | kLengthDelimited);
  out.WriteVarint32(static_cast<uint32_t>(message_->ByteSizeLong()));
  message_->SerializeWithCachedSizes(&out);
}

const std::string& ReplyCache::BytesOf(const Entry& entry) {
  std::unique_ptr<Bytes>& known = entries_[entry.record.get()];
  if (known != nullptr) return known->bytes;
  known = std::make_unique<Bytes>();
  known->record = entry.record;
  Serialise(entry, &known->bytes);
  return known->bytes;
}

grpc::Slice ReplyCache::All(const std::shared_ptr<const void>& source,
                            const std::function<std::vector<Entry>()>& entries) {
  absl::MutexLock lock(&mu_);
  if (source_ == source && source != nullptr) return all_;
  const std::vector<Entry> all = entries();
  std::string reply;
  for (const Entry& entry : all) reply += BytesOf(entry);
  if (entries_.size() > all.size()) {
    // What is no longer listed is let go of.
    absl::flat_hash_map<const void*, std::unique_ptr<Bytes>> listed;
    for (const Entry& entry : all) {
      const auto found = entries_.find(entry.record.get());
      if (found != entries_.end()) listed[found->first] = std::move(found->second);
    }
    entries_ = std::move(listed);
  }
  all_ = SliceOf(std::move(reply));
  source_ = source;
  return all_;
}

grpc::Slice ReplyCache::Some(const std::vector<Entry>& entries) {
  absl::MutexLock lock(&mu_);
  std::string reply;
  for (const Entry& entry : entries) {
    const auto known = entries_.find(entry.record.get());
    if (known != entries_.end()) {
      reply += known->second->bytes;
    } else {
      Serialise(entry, &reply);
    }
  }
  return SliceOf(std::move(reply));
}

}  // namespace berth
