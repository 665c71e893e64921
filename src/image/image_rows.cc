#include "src/image/image_rows.h"

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace berth {

namespace {

constexpr absl::string_view kDamagedKey = "damaged/";

}  // namespace

bool IsDamaged(const LayerRow& layer) { return absl::StartsWith(layer.key, kDamagedKey); }

absl::StatusOr<std::vector<LayerRow>> ReadLayerRows(Database::Transaction& transaction) {
  ASSIGN_OR_RETURN(Statement select,
                   transaction.Prepare("SELECT number, diff_id, size_bytes, inodes, "
                                       "opaque_root, blob_digest, blob_bytes FROM layers"));
  std::vector<LayerRow> rows;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return rows;
    rows.push_back({.number = select.Int(0),
                    .key = select.Text(1),
                    .size_bytes = select.Int(2),
                    .inodes = select.Int(3),
                    .opaque_root = select.Int(4) != 0,
                    .blob_digest = select.Text(5),
                    .blob_bytes = select.Int(6)});
  }
}

absl::StatusOr<std::vector<ImageRow>> ReadImageRows(Database::Transaction& transaction) {
  std::map<std::string, ImageRow> images;
  ASSIGN_OR_RETURN(Statement select,
                   transaction.Prepare("SELECT id, config, size_bytes, pulled_at, manifest, "
                                       "manifest_type FROM images"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    images[select.Text(0)] = {.id = select.Text(0),
                              .config = select.Text(1),
                              .manifest = select.Text(4),
                              .manifest_type = select.Text(5),
                              .size_bytes = select.Int(2),
                              .pulled_at = select.Int(3)};
  }
  ASSIGN_OR_RETURN(
      select,
      transaction.Prepare("SELECT image_id, layer FROM image_layers ORDER BY image_id, position"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    images[select.Text(0)].layers.push_back(select.Int(1));
  }
  ASSIGN_OR_RETURN(select,
                   transaction.Prepare("SELECT image_id, name FROM image_names ORDER BY name"));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) break;
    images[select.Text(0)].names.push_back(select.Text(1));
  }
  std::vector<ImageRow> rows;
  rows.reserve(images.size());
  for (auto& [id, image] : images) rows.push_back(std::move(image));
  return rows;
}

absl::Status InsertLayerRow(Database::Transaction& transaction, const LayerRow& layer) {
  ASSIGN_OR_RETURN(Statement insert,
                   transaction.Prepare("INSERT INTO layers (number, diff_id, size_bytes, inodes, "
                                       "opaque_root, blob_digest, blob_bytes) "
                                       "VALUES (?, ?, ?, ?, ?, ?, ?)"));
  return insert.Bind(1, layer.number)
      .Bind(2, layer.key)
      .Bind(3, layer.size_bytes)
      .Bind(4, layer.inodes)
      .Bind(5, int64_t{layer.opaque_root})
      .Bind(6, layer.blob_digest)
      .Bind(7, layer.blob_bytes)
      .Run();
}

absl::Status MarkLayerDamaged(Database::Transaction& transaction, int64_t number) {
  ASSIGN_OR_RETURN(Statement update,
                   transaction.Prepare("UPDATE layers SET diff_id = ? WHERE number = ?"));
  return update.Bind(1, absl::StrCat(kDamagedKey, number)).Bind(2, number).Run();
}

absl::Status DeleteLayerRow(Database::Transaction& transaction, int64_t number) {
  ASSIGN_OR_RETURN(Statement remove, transaction.Prepare("DELETE FROM layers WHERE number = ?"));
  return remove.Bind(1, number).Run();
}

absl::Status PutImageRow(Database::Transaction& transaction, const ImageRow& image) {
  ASSIGN_OR_RETURN(
      Statement insert,
      transaction.Prepare(
          "INSERT INTO images (id, config, size_bytes, pulled_at, manifest, manifest_type) "
          "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
          "size_bytes = excluded.size_bytes, pulled_at = excluded.pulled_at, "
          "manifest = excluded.manifest, manifest_type = excluded.manifest_type"));
  RETURN_IF_ERROR(insert.Bind(1, image.id)
                      .BindBlob(2, image.config)
                      .Bind(3, image.size_bytes)
                      .Bind(4, image.pulled_at)
                      .BindBlob(5, image.manifest)
                      .Bind(6, image.manifest_type)
                      .Run());
  ASSIGN_OR_RETURN(Statement clear,
                   transaction.Prepare("DELETE FROM image_layers WHERE image_id = ?"));
  RETURN_IF_ERROR(clear.Bind(1, image.id).Run());
  ASSIGN_OR_RETURN(
      Statement layer,
      transaction.Prepare("INSERT INTO image_layers (image_id, position, layer) VALUES (?, ?, ?)"));
  for (size_t i = 0; i < image.layers.size(); ++i) {
    RETURN_IF_ERROR(
        layer.Bind(1, image.id).Bind(2, static_cast<int64_t>(i)).Bind(3, image.layers[i]).Run());
  }
  for (const std::string& name : image.names)
    RETURN_IF_ERROR(PutImageName(transaction, name, image.id));
  return absl::OkStatus();
}

absl::Status PutImageName(Database::Transaction& transaction, absl::string_view name,
                          absl::string_view image_id) {
  ASSIGN_OR_RETURN(
      Statement put,
      transaction.Prepare("INSERT INTO image_names (name, image_id) VALUES (?, ?) "
                          "ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id"));
  return put.Bind(1, name).Bind(2, image_id).Run();
}

absl::Status DeleteImageName(Database::Transaction& transaction, absl::string_view name) {
  ASSIGN_OR_RETURN(Statement remove, transaction.Prepare("DELETE FROM image_names WHERE name = ?"));
  return remove.Bind(1, name).Run();
}

absl::Status DeleteImageRow(Database::Transaction& transaction, absl::string_view id) {
  for (const char* sql :
       {"DELETE FROM image_names WHERE image_id = ?", "DELETE FROM image_layers WHERE image_id = ?",
        "DELETE FROM images WHERE id = ?"}) {
    ASSIGN_OR_RETURN(Statement remove, transaction.Prepare(sql));
    RETURN_IF_ERROR(remove.Bind(1, id).Run());
  }
  return absl::OkStatus();
}

}  // namespace berth
