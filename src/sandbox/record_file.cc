#include "src/sandbox/record_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using nlohmann::json;

constexpr char kName[] = "/record.json", kReserved[] = ".tmp";
constexpr mode_t kMode = 0600;
constexpr int kVersion = 1;
constexpr size_t kMaxBytes = 64 << 20;  // a request has 16 MiB at most, and is in base64 here

absl::Status WriteJson(const std::string& directory, const json& value) {
  const std::string path = directory + kName, reserved = absl::StrCat(path, kReserved);
  RETURN_IF_ERROR(OverwriteFileAt(
      AT_FDCWD, reserved, value.dump(-1, ' ', false, json::error_handler_t::replace), kMode));
  if (::rename(reserved.c_str(), path.c_str()) != 0) return ErrnoStatus("rename", reserved);
  return absl::OkStatus();
}

std::string BytesAt(const json& value, const char* key) {
  std::string bytes;
  if (!absl::Base64Unescape(value.at(key).get_ref<const std::string&>(), &bytes))
    throw json::other_error::create(501, absl::StrCat(key, " is not base64"), &value);
  return bytes;
}

// nlohmann's accessors throw: this is their one door.
template <typename T>
absl::StatusOr<T> ReadJson(const std::string& directory, void (*fill)(const json&, T*)) {
  const std::string path = directory + kName;
  ASSIGN_OR_RETURN(const std::string text, ReadFileAt(AT_FDCWD, path, kMaxBytes));
  T result;
  try {
    const json value = json::parse(text);
    if (value.at("version").get<int>() != kVersion)
      return absl::DataLossError(absl::StrCat("read ", path, ": of another version"));
    fill(value, &result);
  } catch (const json::exception& error) {
    return absl::DataLossError(absl::StrCat("read ", path, ": ", error.what()));
  }
  return result;
}

}  // namespace

absl::Status WriteRecordFile(const std::string& directory, const PodRecordFile& pod) {
  json value = {{"version", kVersion},
                {"id", pod.row.id},
                {"name", pod.row.name},
                {"created_at", pod.row.created_at},
                {"config", absl::Base64Escape(pod.row.config)},
                {"status", pod.row.status},
                {"addresses", pod.addresses}};
  if (pod.attachment.has_value()) {
    value["attachment"] = {{"network", pod.attachment->network},
                           {"record", pod.attachment->record}};
  }
  return WriteJson(directory, value);
}

absl::Status WriteRecordFile(const std::string& directory, const ContainerRow& container) {
  return WriteJson(directory, {{"version", kVersion},
                               {"id", container.id},
                               {"pod_id", container.pod_id},
                               {"name", container.name},
                               {"created_at", container.created_at},
                               {"config", absl::Base64Escape(container.config)},
                               {"image", container.image},
                               {"status", container.status}});
}

absl::Status ReserveRecordFile(const std::string& directory) {
  return OverwriteFileAt(AT_FDCWD, absl::StrCat(directory, kName, kReserved), "", kMode);
}

absl::StatusOr<PodRecordFile> ReadPodRecordFile(const std::string& directory) {
  return ReadJson<PodRecordFile>(directory, [](const json& value, PodRecordFile* pod) {
    value.at("id").get_to(pod->row.id);
    value.at("name").get_to(pod->row.name);
    value.at("created_at").get_to(pod->row.created_at);
    pod->row.config = BytesAt(value, "config");
    value.at("status").get_to(pod->row.status);
    value.at("addresses").get_to(pod->addresses);
    const auto attachment = value.find("attachment");
    if (attachment == value.end()) return;
    pod->attachment = {.pod_id = pod->row.id,
                       .network = attachment->at("network"),
                       .state = AttachmentState::kAdded,
                       .record = attachment->at("record")};
  });
}

absl::StatusOr<ContainerRow> ReadContainerRecordFile(const std::string& directory) {
  return ReadJson<ContainerRow>(directory, [](const json& value, ContainerRow* container) {
    value.at("id").get_to(container->id);
    value.at("pod_id").get_to(container->pod_id);
    value.at("name").get_to(container->name);
    value.at("created_at").get_to(container->created_at);
    container->config = BytesAt(value, "config");
    value.at("image").get_to(container->image);
    value.at("status").get_to(container->status);
  });
}

}  // namespace berth
