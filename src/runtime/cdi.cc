// The registry: which spec files there are, and what names mean.
#include "src/runtime/cdi.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/status_macros.h"
#include "src/kernel/file.h"
#include "src/runtime/config_document.h"
#include "src/runtime/hooks.h"
#include "src/runtime/trusted_file.h"

namespace berth {
namespace {

constexpr size_t kMaxFiles = 4096;      // of one directory
constexpr size_t kMaxToldProblems = 3;  // in one error

struct Suffix {
  absl::string_view text;
  CdiFormat format;
};
constexpr Suffix kSuffixes[] = {
    {".json", CdiFormat::kJson}, {".yaml", CdiFormat::kYaml}, {".yml", CdiFormat::kYaml}};

// What of a file changes when it is written or replaced.
struct FileStamp {
  std::string path;
  CdiFormat format = CdiFormat::kJson;
  std::tuple<dev_t, ino_t, off_t, int64_t, int64_t> identity;  // with the times of change
  bool operator==(const FileStamp& other) const {
    return path == other.path && identity == other.identity;
  }
};

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

// The spec files of a directory, sorted.
absl::StatusOr<std::vector<FileStamp>> ListSpecFiles(const std::string& directory) {
  std::vector<FileStamp> files;
  absl::StatusOr<std::vector<std::string>> names = ListDir(AT_FDCWD, directory);
  if (absl::IsNotFound(names.status())) return files;
  if (!names.ok()) return names.status();
  std::sort(names->begin(), names->end());
  for (const std::string& name : *names) {
    if (absl::StartsWith(name, ".")) continue;
    for (const Suffix& suffix : kSuffixes) {
      if (!absl::EndsWith(name, suffix.text)) continue;
      FileStamp file{.path = absl::StrCat(directory, "/", name), .format = suffix.format};
      struct stat info;
      if (::stat(file.path.c_str(), &info) == 0) {
        file.identity = {info.st_dev, info.st_ino, info.st_size, Nanoseconds(info.st_mtim),
                         Nanoseconds(info.st_ctim)};
      }
      files.push_back(std::move(file));
    }
  }
  if (files.size() > kMaxFiles) {
    return absl::ResourceExhaustedError(
        absl::StrCat("list ", directory, ": more than ", kMaxFiles, " CDI specs"));
  }
  return files;
}

absl::StatusOr<CdiSpec> ReadSpec(const FileStamp& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadTrustedFile(file.path, kDocumentMaxBytes));
  absl::StatusOr<CdiSpec> spec = ParseCdiSpec(text, file.format);
  if (!spec.ok()) return Annotate(spec.status(), absl::StrCat("parse CDI spec ", file.path));
  return spec;
}

}  // namespace

struct CdiRegistry::Snapshot {
  struct Device {
    std::vector<const CdiSpec*>
        specs;  // of the last directory that has it; one, unless in conflict
    std::vector<std::string> paths;
    size_t directory = 0;
  };

  std::vector<std::vector<FileStamp>> files;  // of each directory
  std::vector<std::unique_ptr<const CdiSpec>> specs;
  std::map<std::string, Device> devices;  // by qualified name
  std::vector<std::string> problems;

  void AddSpec(CdiSpec spec, const std::string& path, size_t directory) {
    specs.push_back(std::make_unique<const CdiSpec>(std::move(spec)));
    const CdiSpec* added = specs.back().get();
    for (const auto& [name, edits] : added->devices) {
      Device& device = devices[absl::StrCat(added->kind, "=", name)];
      if (device.directory != directory) device = {.directory = directory};
      device.specs.push_back(added);
      device.paths.push_back(path);
    }
  }

  void ReadDirectory(size_t directory) {
    for (const FileStamp& file : files[directory]) {
      absl::StatusOr<CdiSpec> spec = ReadSpec(file);
      if (spec.ok()) {
        AddSpec(*std::move(spec), file.path, directory);
      } else {
        problems.emplace_back(spec.status().message());
      }
    }
  }

  absl::Status Missing(const std::string& name) const {
    std::string message = absl::StrCat("resolve CDI device ", name, ": no spec has it");
    for (size_t i = 0; i < problems.size() && i < kMaxToldProblems; ++i)
      absl::StrAppend(&message, "; ", problems[i]);
    return absl::NotFoundError(message);
  }
};

CdiRegistry::CdiRegistry(std::vector<std::string> directories)
    : directories_(std::move(directories)) {}

std::shared_ptr<const CdiRegistry::Snapshot> CdiRegistry::Current(bool rescan) {
  auto fresh = std::make_shared<Snapshot>();
  for (const std::string& directory : directories_) {
    absl::StatusOr<std::vector<FileStamp>> files = ListSpecFiles(directory);
    if (!files.ok()) {
      fresh->problems.emplace_back(files.status().message());
      files = std::vector<FileStamp>();
      rescan = true;
    }
    fresh->files.push_back(*std::move(files));
  }
  if (!rescan) {
    absl::MutexLock lock(&mu_);
    if (snapshot_ != nullptr && snapshot_->files == fresh->files) return snapshot_;
  }
  for (size_t i = 0; i < directories_.size(); ++i) fresh->ReadDirectory(i);
  absl::MutexLock lock(&mu_);
  snapshot_ = fresh;
  return fresh;
}

absl::StatusOr<CdiEdits> CdiRegistry::Resolve(const std::vector<std::string>& names) {
  CdiEdits edits;
  if (names.empty()) return edits;
  for (const std::string& name : names) RETURN_IF_ERROR(CheckCdiDeviceName(name));
  if (directories_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("resolve CDI device ", names[0], ": no CDI directory is configured"));
  }
  std::shared_ptr<const Snapshot> snapshot = Current(/*rescan=*/false);
  // A file written twice within one tick of the clock may look unchanged.
  const bool miss = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return snapshot->devices.count(name) == 0;
  });
  if (miss) snapshot = Current(/*rescan=*/true);

  std::vector<const CdiEdits*> used;
  const auto add = [&](const CdiEdits& more) {
    if (std::find(used.begin(), used.end(), &more) != used.end()) return;
    used.push_back(&more);
    edits.Append(more);
  };
  for (const std::string& name : names) {
    const auto device = snapshot->devices.find(name);
    if (device == snapshot->devices.end()) return snapshot->Missing(name);
    if (device->second.specs.size() > 1) {
      return absl::FailedPreconditionError(
          absl::StrCat("resolve CDI device ", name,
                       ": more than one spec has it: ", absl::StrJoin(device->second.paths, ", ")));
    }
    const CdiSpec& spec = *device->second.specs[0];
    add(spec.edits);
    add(spec.devices.at(name.substr(name.find('=') + 1)));
    if (!edits.refused.empty()) {
      return absl::UnimplementedError(
          absl::StrCat("resolve CDI device ", name, ": ", edits.refused[0], " is not supported"));
    }
    if (absl::Status hooks = CheckHooks(edits.hooks); !hooks.ok())
      return Annotate(hooks, absl::StrCat("resolve CDI device ", name));
  }
  return edits;
}

}  // namespace berth
