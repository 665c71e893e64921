// LocalImageStore: whether the layers are still what was pulled, their repair, and what is not
// needed any more.
#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "src/base/log.h"
#include "src/base/status_macros.h"
#include "src/image/local_image_store.h"
#include "src/image/pull_process.h"

namespace berth {
namespace {

std::string Told(const LayerVerification& found) {
  if (found.ok()) return "";
  const LayerDifference& first = found.first.front();
  const std::string path = EscapeForLog(first.path.empty() ? "the root" : first.path);
  if (found.differences == 1) return absl::StrCat(path, " ", first.what);
  return absl::StrCat(path, " ", first.what, ", and ", found.differences - 1, " more");
}

std::string NameOf(const Image& image) {
  if (!image.repo_tags.empty()) return image.repo_tags.front();
  return image.repo_digests.empty() ? image.id : image.repo_digests.front();
}

}  // namespace

// Nobody waits for it: images are used meanwhile as they are.
void LocalImageStore::CheckLayers() {
  bool whole = true;
  const auto report = [&](const LayerState& state) {
    if (state.verdict == LayerState::Verdict::kOk) return;
    whole = whole && state.verdict != LayerState::Verdict::kDamaged;
    Warn("layer after an unclean stop", {{"layer", state.directory},
                                         {"state", VerdictName(state.verdict)},
                                         {"detail", state.detail}});
  };
  absl::Status status = Verify("", /*repair=*/true, report, [this] { return stopping_.load(); });
  // What could not be repaired is tried again by the next run.
  if (status.ok() && whole) status = unclean_stop_->Verified(database_);
  if (!status.ok() && !stopping_)
    Warn("layers are not verified", {{"error", std::string(status.message())}});
}

absl::Status LocalImageStore::Verify(absl::string_view reference, bool repair,
                                     absl::FunctionRef<void(const LayerState&)> report,
                                     const std::function<bool()>& cancelled) {
  ImageLease lease;
  std::set<int64_t> wanted;
  if (!reference.empty()) {
    ASSIGN_OR_RETURN(auto leased, Lease(reference));
    lease = std::move(leased.second);
    const SnapshotPtr now = snapshot();
    const auto numbers = now->layer_numbers.find(leased.first.id);
    if (numbers == now->layer_numbers.end())
      return absl::NotFoundError(absl::StrCat("verify ", leased.first.id, ": removed meanwhile"));
    wanted.insert(numbers->second.begin(), numbers->second.end());
  }
  std::vector<LayerRow> layers = layers_.PinAll();
  std::vector<int64_t> pinned;
  for (const LayerRow& layer : layers) pinned.push_back(layer.number);
  const auto unpin = absl::MakeCleanup([&] { Unpin(pinned); });
  if (!reference.empty())
    std::erase_if(layers, [&](const LayerRow& layer) { return wanted.count(layer.number) == 0; });
  return VerifyLayers(layers, repair, report, cancelled);
}

absl::Status LocalImageStore::VerifyLayers(const std::vector<LayerRow>& layers, bool repair,
                                           absl::FunctionRef<void(const LayerState&)> report,
                                           const std::function<bool()>& cancelled) {
  for (const LayerRow& layer : layers) {
    ASSIGN_OR_RETURN(LayerState state, VerifyLayer(layer, cancelled));
    if (state.verdict == LayerState::Verdict::kDamaged) {
      RETURN_IF_ERROR(MarkDamaged(layer));
      if (repair) {
        const absl::Status repaired = RepairImagesWith(layer.number, cancelled);
        if (absl::IsCancelled(repaired)) return repaired;
        if (repaired.ok()) {
          state.verdict = LayerState::Verdict::kRepaired;
        } else {
          absl::StrAppend(&state.detail, "; ", repaired.message());
        }
      }
    }
    report(state);
  }
  return absl::OkStatus();
}

absl::StatusOr<LayerState> LocalImageStore::VerifyLayer(const LayerRow& layer,
                                                        const std::function<bool()>& cancelled) {
  LayerState state{.directory = LayerPath(layer.number)};
  const SnapshotPtr now = snapshot();
  if (const auto known = now->layers.find(layer.number); known != now->layers.end())
    state.diff_id = known->second.diff_id;
  const absl::StatusOr<LayerVerification> found =
      RunVerification({.helper = options_.pull_helper,
                       .work_dir = trees_dir_.get(),
                       .layers_dir = layers_dir_.get(),
                       .cgroups = options_.pull_cgroups,
                       .job = EncodeVerifyJob({.dir = absl::StrCat(layer.number)}),
                       .cancelled = cancelled});
  if (found.ok()) {
    state.detail = Told(*found);
    if (!found->ok()) state.verdict = LayerState::Verdict::kDamaged;
    return state;
  }
  state.detail = std::string(found.status().message());
  if (absl::IsDataLoss(found.status())) {
    state.verdict = LayerState::Verdict::kDamaged;
  } else if (absl::IsNotFound(found.status())) {  // of a version that wrote no trees
    state.verdict = LayerState::Verdict::kUnknown;
  } else {
    return found.status();
  }
  return state;
}

absl::Status LocalImageStore::MarkDamaged(const LayerRow& layer) {
  if (IsDamaged(layer)) return absl::OkStatus();
  absl::MutexLock lock(&write_mu_);
  RETURN_IF_ERROR(database_.Write(Durability::kPowerLoss, [&](Database::Transaction& transaction) {
    return MarkLayerDamaged(transaction, layer.number);
  }));
  return Reload();
}

// Brings anew what has lost its name: from its blob where that was kept, else from the registry.
// Containers that run from the damaged layer keep it.
absl::Status LocalImageStore::RepairImagesWith(int64_t damaged,
                                               const std::function<bool()>& cancelled) {
  const SnapshotPtr now = snapshot();
  const auto layer = now->layers.find(damaged);
  if (layer == now->layers.end()) return absl::OkStatus();
  std::vector<ImageRow> rows;
  RETURN_IF_ERROR(database_.Read([&](Database::Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(rows, ReadImageRows(transaction));
    return absl::OkStatus();
  }));
  absl::Status failure;
  for (const std::string& id : layer->second.images) {
    const std::vector<std::string>& digests = now->images.at(id).repo_digests;
    if (digests.empty()) {
      failure.Update(absl::FailedPreconditionError(
          absl::StrCat("repair ", id, ": no registry is known that has it")));
      continue;
    }
    const PullRequest request{.reference = digests.front(), .cancelled = cancelled};
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&](const ImageRow& one) { return one.id == id; });
    if (row == rows.end() || row->manifest.empty()) {
      failure.Update(Pull(request).status());
      continue;
    }
    ASSIGN_OR_RETURN(const Reference reference, ParseReference(digests.front()));
    failure.Update(PullAlone(reference, request, &*row, nullptr).status());
  }
  return failure;
}

absl::StatusOr<std::vector<GarbageItem>> LocalImageStore::CollectGarbage(bool dry_run) {
  const SnapshotPtr now = snapshot();
  const std::set<int64_t> pinned = layers_.Pinned();
  std::vector<GarbageItem> items;
  for (const auto& [id, image] : now->images) {
    items.push_back({.kind = "image",
                     .name = id,
                     .bytes = image.size_bytes,
                     .kept = true,
                     .why = absl::StrCat("is ", NameOf(image),
                                         image.pinned ? "; pinned by the configuration"
                                                      : "; images are removed by name")});
  }
  for (const auto& [number, layer] : now->layers) {
    GarbageItem item{
        .kind = "layer", .name = LayerPath(number), .bytes = layer.row.size_bytes, .kept = true};
    if (!layer.images.empty()) {
      item.why = absl::StrCat("of ", NameOf(now->images.at(layer.images.front())));
      if (layer.images.size() > 1)
        absl::StrAppend(&item.why, " and ", layer.images.size() - 1, " more");
    } else if (pinned.count(number) > 0) {
      item.why = "a container, a pull or the next try of one uses it";
    } else {
      item.kept = false;
      item.why = "no image, pull or container uses it";
    }
    items.push_back(std::move(item));
  }
  if (!dry_run) RETURN_IF_ERROR(Sweep());
  return items;
}

}  // namespace berth
