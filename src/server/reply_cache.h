// List replies as bytes: an entry is serialised once for as long as its record is the same object,
// and a whole list for as long as its source is. What a kubelet asks for every second costs little
// more than sending it. Thread-safe.
#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/slice.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace berth {

class ReplyCache {
 public:
  // An entry: the record it is made of, and how it becomes a message.
  struct Entry {
    std::shared_ptr<const void> record;
    std::function<void(google::protobuf::MessageLite* out)> fill;
  };

  // `field` is the number of the reply's repeated field, `entry` an empty one of it.
  ReplyCache(int field, std::unique_ptr<google::protobuf::MessageLite> entry)
      : field_(field), message_(std::move(entry)) {}

  // The reply with all entries of `source`; `entries` is asked only where it has changed.
  grpc::Slice All(const std::shared_ptr<const void>& source,
                  const std::function<std::vector<Entry>()>& entries);
  // Keeps nothing: nobody may ever ask for all, which is what lets go of what is old.
  grpc::Slice Some(const std::vector<Entry>& entries);

 private:
  struct Bytes {
    std::shared_ptr<const void> record;  // held, so that no other object gets its address
    std::string bytes;                   // with tag and length
  };
  // Appends it, with tag and length.
  void Serialise(const Entry& entry, std::string* reply) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  const std::string& BytesOf(const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const int field_;
  absl::Mutex mu_;
  // Filled again for each entry: its parts need not be made each time.
  const std::unique_ptr<google::protobuf::MessageLite> message_ ABSL_PT_GUARDED_BY(mu_);
  absl::flat_hash_map<const void*, std::unique_ptr<Bytes>> entries_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const void> source_ ABSL_GUARDED_BY(mu_);
  grpc::Slice all_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth
