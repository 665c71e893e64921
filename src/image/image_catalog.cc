#include "src/image/image_catalog.h"

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"
#include "src/image/digest.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr size_t kMaxBytes = 64 << 20;

struct Entry {
  ImageRow image;
  std::vector<LayerRow> layers;
};

std::string FileName(const std::string& id) {
  return absl::StrCat(id.substr(id.find(':') + 1), ".json");
}

// The image itself is what its id says; this is all else.
std::string ChangingPart(const ImageRow& image) {
  return absl::StrCat(image.pulled_at, "\n", image.size_bytes, "\n",
                      absl::StrJoin(image.layers, ","), "\n", absl::StrJoin(image.names, "\n"));
}

json LayerJson(const LayerRow& layer) {
  return {{"number", layer.number},           {"key", layer.key},
          {"size_bytes", layer.size_bytes},   {"inodes", layer.inodes},
          {"opaque_root", layer.opaque_root}, {"blob_digest", layer.blob_digest},
          {"blob_bytes", layer.blob_bytes}};
}

std::string Encode(const Entry& entry) {
  json layers = json::array();
  for (const LayerRow& layer : entry.layers) layers.push_back(LayerJson(layer));
  return json{{"version", kVersion},
              {"id", entry.image.id},
              {"config", absl::Base64Escape(entry.image.config)},
              {"manifest", absl::Base64Escape(entry.image.manifest)},
              {"manifest_type", entry.image.manifest_type},
              {"size_bytes", entry.image.size_bytes},
              {"pulled_at", entry.image.pulled_at},
              {"names", entry.image.names},
              {"layers", layers}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string BytesAt(const json& value, const char* key) {
  std::string bytes;
  if (!absl::Base64Unescape(value.at(key).get_ref<const std::string&>(), &bytes))
    throw json::other_error::create(501, absl::StrCat(key, " is not base64"), &value);
  return bytes;
}

Entry EntryFrom(const json& value) {
  Entry entry;
  value.at("id").get_to(entry.image.id);
  entry.image.config = BytesAt(value, "config");
  entry.image.manifest = BytesAt(value, "manifest");
  value.at("manifest_type").get_to(entry.image.manifest_type);
  value.at("size_bytes").get_to(entry.image.size_bytes);
  value.at("pulled_at").get_to(entry.image.pulled_at);
  value.at("names").get_to(entry.image.names);
  for (const json& each : value.at("layers")) {
    LayerRow& layer = entry.layers.emplace_back();
    each.at("number").get_to(layer.number);
    each.at("key").get_to(layer.key);
    each.at("size_bytes").get_to(layer.size_bytes);
    each.at("inodes").get_to(layer.inodes);
    each.at("opaque_root").get_to(layer.opaque_root);
    each.at("blob_digest").get_to(layer.blob_digest);
    each.at("blob_bytes").get_to(layer.blob_bytes);
    entry.image.layers.push_back(layer.number);
  }
  return entry;
}

// Its config must be the one that its id is the digest of.
absl::StatusOr<Entry> Read(int directory, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text, ReadFileAt(directory, name, kMaxBytes));
  try {
    const json value = json::parse(text);
    Entry entry = EntryFrom(value);
    if (value.at("version").get<int>() == kVersion && name == FileName(entry.image.id) &&
        Digest::Sha256(entry.image.config).text() == entry.image.id)
      return entry;
    return absl::DataLossError(absl::StrCat("read images/", name, ": not what its name says"));
  } catch (const json::exception& error) {
    return absl::DataLossError(absl::StrCat("read images/", name, ": ", error.what()));
  }
}

}  // namespace

absl::StatusOr<ImageCatalog> ImageCatalog::Open(const std::string& data_dir) {
  RETURN_IF_ERROR(MakeDirs(data_dir + "/images", 0700));
  ASSIGN_OR_RETURN(UniqueFd directory, OpenDir(AT_FDCWD, data_dir + "/images"));
  return ImageCatalog(std::move(directory));
}

absl::Status ImageCatalog::Follow(const std::vector<LayerRow>& layers,
                                  const std::vector<ImageRow>& images) {
  std::map<int64_t, const LayerRow*> by_number;
  for (const LayerRow& layer : layers) by_number[layer.number] = &layer;
  std::map<std::string, std::string> now;
  absl::Status status;
  for (const ImageRow& image : images) {
    const std::string name = FileName(image.id);
    std::string changing = ChangingPart(image);
    if (const auto before = written_.find(name);
        before == written_.end() || before->second != changing) {
      Entry entry{.image = image};
      for (const int64_t number : image.layers) {
        if (const auto layer = by_number.find(number); layer != by_number.end())
          entry.layers.push_back(*layer->second);
      }
      const absl::Status written = ReplaceFileAt(directory_.get(), name, Encode(entry), 0600);
      status.Update(written);
      if (!written.ok()) changing.clear();
    }
    now[name] = std::move(changing);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> present, ListDir(directory_.get(), "."));
  for (const std::string& name : present) {
    if (now.count(name) == 0) ::unlinkat(directory_.get(), name.c_str(), 0);
  }
  written_ = std::move(now);
  return status;
}

absl::StatusOr<int> ImageCatalog::Rebuild(Database& database) const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDir(directory_.get(), "."));
  std::map<int64_t, LayerRow> layers;
  std::vector<ImageRow> images;
  std::set<std::string> keys;
  for (const std::string& name : names) {
    absl::StatusOr<Entry> entry = Read(directory_.get(), name);
    if (!entry.ok()) continue;
    bool fits = true;
    for (const LayerRow& layer : entry->layers) {
      const auto known = layers.find(layer.number);
      fits &= known == layers.end() ? keys.count(layer.key) == 0 : known->second.key == layer.key;
    }
    if (!fits) continue;
    for (const LayerRow& layer : entry->layers) {
      layers[layer.number] = layer;
      keys.insert(layer.key);
    }
    images.push_back(std::move(entry->image));
  }
  RETURN_IF_ERROR(database.Write(Durability::kPowerLoss,
                                 [&](Database::Transaction& transaction) -> absl::Status {
                                   for (const auto& [number, layer] : layers)
                                     RETURN_IF_ERROR(InsertLayerRow(transaction, layer));
                                   for (const ImageRow& image : images)
                                     RETURN_IF_ERROR(PutImageRow(transaction, image));
                                   return absl::OkStatus();
                                 }));
  return static_cast<int>(images.size());
}

}  // namespace berth
