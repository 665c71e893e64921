// The tables of the metadata database. docs/formats/store.md explains each column and the migration
// rule.
#pragma once

namespace berth {

// PRAGMA user_version of this schema. A lower one is migrated, a higher one is refused.
inline constexpr int kSchemaVersion = 4;

inline constexpr char kSchema[] = R"sql(
CREATE TABLE node (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE pods (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,          -- "<name>/<namespace>/<uid>/<attempt>"
  created_at INTEGER NOT NULL,        -- ns since the epoch, for people only
  config BLOB NOT NULL,               -- runtime.v1.RunPodSandboxRequest
  status TEXT NOT NULL                -- JSON, see docs/formats/store.md
) WITHOUT ROWID;

CREATE TABLE containers (
  id TEXT PRIMARY KEY,
  pod_id TEXT NOT NULL REFERENCES pods(id),
  name TEXT NOT NULL UNIQUE,          -- "<name>/<attempt>/<pod id>"
  created_at INTEGER NOT NULL,
  config BLOB NOT NULL,               -- runtime.v1.CreateContainerRequest
  image TEXT NOT NULL,                -- JSON: what ContainerStatus must tell after the image is gone
  status TEXT NOT NULL                -- JSON, see docs/formats/store.md
) WITHOUT ROWID;

CREATE TABLE layers (
  number INTEGER PRIMARY KEY,         -- names the directory layers/<number>
  diff_id TEXT NOT NULL UNIQUE,       -- sha256 of the uncompressed tar; "@<chain id below>" is added where the
                                      -- archive leaves out parent directories that the layers below define
  size_bytes INTEGER NOT NULL,
  inodes INTEGER NOT NULL,
  opaque_root INTEGER NOT NULL DEFAULT 0, -- 1: hides all layers below it
  blob_digest TEXT NOT NULL DEFAULT '',   -- of the compressed layer
  blob_bytes INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE images (
  id TEXT PRIMARY KEY,                -- "sha256:<digest of the config>"
  config BLOB NOT NULL,               -- the OCI image config as pulled
  size_bytes INTEGER NOT NULL,        -- compressed layers + config + manifest
  pulled_at INTEGER NOT NULL,
  manifest BLOB NOT NULL DEFAULT x'',     -- exact bytes
  manifest_type TEXT NOT NULL DEFAULT ''  -- its media type
) WITHOUT ROWID;

CREATE TABLE image_layers (
  image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,          -- 0 is the lowest
  layer INTEGER NOT NULL REFERENCES layers(number),
  PRIMARY KEY (image_id, position)
) WITHOUT ROWID;

CREATE TABLE image_names (
  name TEXT PRIMARY KEY,              -- "docker.io/library/busybox:1.36" or "...@sha256:..."
  image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE addresses (
  address TEXT PRIMARY KEY,           -- text form, IPv4 or IPv6, without prefix length
  pod_id TEXT NOT NULL,
  released INTEGER NOT NULL DEFAULT 0 -- 1: the pod is gone, its link not yet known to be
) WITHOUT ROWID;

CREATE TABLE attachments (
  pod_id TEXT PRIMARY KEY,
  network TEXT NOT NULL,              -- name of the CNI network
  state INTEGER NOT NULL,             -- 0 plugins are adding, 1 added, 2 to be removed
  record TEXT NOT NULL,               -- JSON, see docs/formats/store.md
  synced INTEGER NOT NULL DEFAULT 0   -- 1: a power cut does not take the row
) WITHOUT ROWID;
)sql";

// What takes all rows away.
inline constexpr char kNoRows[] =
    "DELETE FROM node; DELETE FROM containers; DELETE FROM pods; DELETE FROM image_names;"
    "DELETE FROM image_layers; DELETE FROM images; DELETE FROM layers; DELETE FROM addresses;"
    "DELETE FROM attachments;";

// What makes version n+2 of version n+1, for n from 0.
inline constexpr const char* kMigrations[kSchemaVersion - 1] = {
    "ALTER TABLE layers ADD COLUMN opaque_root INTEGER NOT NULL DEFAULT 0;",
    "ALTER TABLE layers ADD COLUMN blob_digest TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE layers ADD COLUMN blob_bytes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE images ADD COLUMN manifest BLOB NOT NULL DEFAULT x'';"
    "ALTER TABLE images ADD COLUMN manifest_type TEXT NOT NULL DEFAULT '';",
    "CREATE TABLE attachments (pod_id TEXT PRIMARY KEY, network TEXT NOT NULL,"
    " state INTEGER NOT NULL, record TEXT NOT NULL, synced INTEGER NOT NULL DEFAULT 0)"
    " WITHOUT ROWID;",
};

}  // namespace berth
