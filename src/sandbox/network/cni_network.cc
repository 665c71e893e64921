#include "src/sandbox/network/cni_network.h"

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "nlohmann/json.hpp"
#include "src/base/keyed_locks.h"
#include "src/base/ready_pool.h"
#include "src/base/status_macros.h"
#include "src/base/steady_time.h"
#include "src/kernel/file.h"
#include "src/kernel/network_namespace.h"
#include "src/sandbox/network/cni_chain.h"
#include "src/sandbox/network/cni_watch.h"
#include "src/sandbox/network/netns_pin.h"
#include "src/sandbox/network/pod_link.h"
#include "src/sandbox/network/ready_network.h"

namespace berth {
namespace {

constexpr int kWorkers = 4;  // removals that are tried again at the same time
constexpr absl::Duration kGcPause = absl::Hours(1), kGcRetry = absl::Seconds(10),
                         kGcWhileRecovering = absl::Milliseconds(500);
constexpr char kRenderedFile[] = "10-berth.conflist";

// A pod on record, and what is due for it.
struct Entry {
  std::shared_ptr<const CniAttachment> attachment;
  bool busy = false;       // a worker is at it
  bool check_due = false;  // an earlier daemon attached it
  absl::Time next_try = absl::InfiniteFuture();
  absl::Duration pause = absl::ZeroDuration();
  absl::Time failing_since = absl::InfiniteFuture();
  std::string error;
  bool hung = false;       // the last try ended at its deadline
  bool abandoned = false;  // nobody waits for the removal any more
};

class CniNetworkImpl : public CniNetwork {
 public:
  CniNetworkImpl(Options options, Database& database, std::unique_ptr<PluginCgroups> cgroups)
      : options_(std::move(options)),
        database_(database),
        plugins_({.directories = options_.bin_dirs,
                  .timeout = options_.plugin_timeout,
                  .log = options_.log},
                 std::move(cgroups)) {}
  ~CniNetworkImpl() override;

  absl::Status Start();

  absl::StatusOr<NetworkClaim> Begin(const PodBeginning& beginning) override;
  absl::StatusOr<std::vector<std::string>> Attach(const PodAttachment& pod) override;
  absl::Status Detach(absl::string_view pod_id) override;
  void Reconcile(const absl::flat_hash_set<std::string>& live) override;
  absl::Status RemoveIfUnused() override;
  NetworkReadiness Readiness() const override { return watch_->Readiness(); }
  bool HasConfig() const override { return watch_->HasConfig(); }
  bool Has(absl::string_view pod_id) const override { return Find(pod_id) != nullptr; }
  absl::Status SetPodCidrs(const std::vector<std::string>& cidrs) override;
  Counts counts() const override;
  std::string Describe() const override;

 private:
  absl::Status Load();

  // The journal.
  absl::Status Record(std::shared_ptr<const CniAttachment> attachment);
  absl::Status Change(std::shared_ptr<const CniAttachment> attachment);
  absl::Status Forget(const std::string& pod_id);
  std::shared_ptr<const CniAttachment> Find(absl::string_view pod_id) const;
  absl::StatusOr<std::shared_ptr<const CniAttachment>> MarkRemoving(const std::string& pod_id);

  absl::StatusOr<CniResult> Add(const PodAttachment& pod, const CniAttachment& attachment,
                                std::function<void()> meanwhile);
  // Under the pod's lock.
  absl::Status Remove(const std::string& pod_id);
  // Whether whoever stops the pod should come again.
  bool IsWorthWaiting(const std::string& pod_id, const absl::Status& failed) const;
  absl::Status GiveUpWaiting(const std::string& pod_id, const absl::Status& failed);
  void ScheduleRetry(const std::string& pod_id, const absl::Status& failed);
  void TakeBack(const std::string& pod_id, const absl::Status& cause);
  void Abandon(const std::string& pod_id);

  // Workers.
  void Work();
  std::string TakeDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Time EarliestDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CarryOut(const std::string& pod_id);
  void Check(const CniAttachment& attachment);

  // On a thread of the watch's.
  absl::Time CollectGarbage(const CniNetworkList& network, const std::function<bool()>& outdated);
  bool stopping() const {
    absl::MutexLock lock(&mu_);
    return stopping_;
  }

  void Warn(absl::string_view message, absl::string_view pod_id, absl::string_view error) const;

  const Options options_;
  Database& database_;
  CniPlugins plugins_;
  KeyedLocks pod_locks_;
  // Held shared by what adds and exclusively by GC: its list of attachments must be complete.
  absl::Mutex gc_mu_;

  mutable absl::Mutex mu_;
  std::map<std::string, Entry, std::less<>> entries_ ABSL_GUARDED_BY(mu_);
  // Network and pod of rows that cannot be read: what they were given may be in use.
  std::vector<std::pair<std::string, std::string>> damaged_ ABSL_GUARDED_BY(mu_);
  std::string gc_error_ ABSL_GUARDED_BY(mu_);
  Counts counts_ ABSL_GUARDED_BY(mu_);
  bool recovering_ ABSL_GUARDED_BY(mu_) = true;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  // Last: their threads use what is above.
  std::unique_ptr<ReadyPool<ReadyNetwork>> ready_;
  std::unique_ptr<CniWatch> watch_;
  std::vector<std::thread> workers_;
};

CniNetworkImpl::~CniNetworkImpl() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  plugins_.Stop();
  watch_.reset();
  for (std::thread& worker : workers_) worker.join();
  plugins_.RemoveCgroups().IgnoreError();
}

absl::Status CniNetworkImpl::Start() {
  RETURN_IF_ERROR(Load());
  ASSIGN_OR_RETURN(ready_,
                   ReadyPool<ReadyNetwork>::Create(
                       {.what = "pod network", .size = options_.pool_size, .log = options_.log},
                       [this]() -> absl::StatusOr<ReadyNetwork> {
                         ASSIGN_OR_RETURN(MadeNamespace made, MakeNetworkNamespace({}));
                         RETURN_IF_ERROR(SetLoopbackUp(made.netlink.get()));
                         return ReadyNetwork{.id = "", .netns = std::move(made.netns)};
                       }));
  ASSIGN_OR_RETURN(watch_, CniWatch::Start({.conf_dir = options_.conf_dir,
                                            .bin_dirs = options_.bin_dirs,
                                            .default_network = options_.default_network,
                                            .log = options_.log},
                                           plugins_,
                                           [this](const CniNetworkList& network,
                                                  const std::function<bool()>& outdated) {
                                             return CollectGarbage(network, outdated);
                                           }));
  for (int i = 0; i < kWorkers; ++i) workers_.emplace_back([this] { Work(); });
  return absl::OkStatus();
}

void CniNetworkImpl::Warn(absl::string_view message, absl::string_view pod_id,
                          absl::string_view error) const {
  if (options_.log == nullptr) return;
  options_.log->Warning(message, {{"pod", pod_id}, {"error", error}});
}

// --- The journal ---

absl::Status CniNetworkImpl::Load() {
  ASSIGN_OR_RETURN(const std::vector<AttachmentRow> rows, LoadAttachments(database_));
  absl::MutexLock lock(&mu_);
  for (const AttachmentRow& row : rows) {
    absl::StatusOr<CniAttachment> attachment = DecodeCniAttachment(row);
    if (!attachment.ok()) {  // it stays where it is, and is told
      if (options_.log != nullptr)
        options_.log->Error("damaged attachment is left aside",
                            {{"error", attachment.status().message()}});
      damaged_.push_back({row.network, row.pod_id});
      continue;
    }
    entries_[row.pod_id].attachment = std::make_shared<const CniAttachment>(*std::move(attachment));
  }
  return absl::OkStatus();
}

std::shared_ptr<const CniAttachment> CniNetworkImpl::Find(absl::string_view pod_id) const {
  absl::MutexLock lock(&mu_);
  const auto entry = entries_.find(pod_id);
  return entry == entries_.end() ? nullptr : entry->second.attachment;
}

absl::Status CniNetworkImpl::Record(std::shared_ptr<const CniAttachment> attachment) {
  RETURN_IF_ERROR(InsertAttachment(database_, EncodeCniAttachment(*attachment)));
  absl::MutexLock lock(&mu_);
  entries_[attachment->pod_id].attachment = attachment;
  return absl::OkStatus();
}

absl::Status CniNetworkImpl::Change(std::shared_ptr<const CniAttachment> attachment) {
  RETURN_IF_ERROR(UpdateAttachment(database_, EncodeCniAttachment(*attachment)));
  absl::MutexLock lock(&mu_);
  entries_[attachment->pod_id].attachment = attachment;
  return absl::OkStatus();
}

absl::Status CniNetworkImpl::Forget(const std::string& pod_id) {
  RETURN_IF_ERROR(DeleteAttachment(database_, pod_id));
  absl::MutexLock lock(&mu_);
  entries_.erase(pod_id);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const CniAttachment>> CniNetworkImpl::MarkRemoving(
    const std::string& pod_id) {
  std::shared_ptr<const CniAttachment> known = Find(pod_id);
  if (known == nullptr || known->state == AttachmentState::kRemoving) return known;
  auto removing = std::make_shared<CniAttachment>(*known);
  removing->state = AttachmentState::kRemoving;
  RETURN_IF_ERROR(Change(removing));
  return removing;
}

// --- Pods come and go ---

absl::StatusOr<NetworkClaim> CniNetworkImpl::Begin(const PodBeginning& beginning) {
  RETURN_IF_ERROR(watch_->Usable().status());
  NetworkClaim claim;
  if (!beginning.made_in_advance) return claim;
  ready_->Start();
  if (std::optional<ReadyNetwork> ready = ready_->Take()) claim.netns = std::move(ready->netns);
  return claim;
}

absl::StatusOr<std::vector<std::string>> CniNetworkImpl::Attach(const PodAttachment& pod) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const CniNetworkList> network, watch_->Usable());
  const KeyedLocks::Hold hold = pod_locks_.Lock(pod.pod_id);
  if (Find(pod.pod_id) != nullptr)
    return absl::AlreadyExistsError(absl::StrCat("attach pod ", pod.pod_id, ": it is attached"));
  ASSIGN_OR_RETURN(CniAttachment made,
                   MakeCniAttachment(pod, *network, NewNetnsPath(options_.netns_dir)));
  RETURN_IF_ERROR(PrepareNetnsDirectory(options_.netns_dir));
  absl::ReaderMutexLock adding(&gc_mu_);
  const auto attachment = std::make_shared<const CniAttachment>(std::move(made));
  RETURN_IF_ERROR(Record(attachment));
  // A power cut must not take the record of what the plugins wrote to disk: synced while they work.
  absl::Status synced;
  absl::StatusOr<CniResult> result =
      Add(pod, *attachment, [&] { synced = SyncAttachment(database_, pod.pod_id); });
  absl::Status status = result.status();
  status.Update(synced);
  if (status.ok()) {
    auto added = std::make_shared<CniAttachment>(*attachment);
    added->state = AttachmentState::kAdded;
    added->result = std::move(result->document);
    status = Change(std::move(added));
  }
  {
    absl::MutexLock lock(&mu_);
    ++(status.ok() ? counts_.adds : counts_.failed_adds);
  }
  if (status.ok()) return OrderAddresses(std::move(result->addresses), options_.preference);
  TakeBack(pod.pod_id, status);
  return status;
}

absl::StatusOr<CniResult> CniNetworkImpl::Add(const PodAttachment& pod,
                                              const CniAttachment& attachment,
                                              std::function<void()> meanwhile) {
  RETURN_IF_ERROR(PinNetns(pod.netns_fd, attachment.netns));
  RETURN_IF_ERROR(SetLoopbackUp(pod.netlink_fd));
  return CniAdd(plugins_, attachment, std::move(meanwhile));
}

// A plugin that hung once would hang the caller once more.
void CniNetworkImpl::TakeBack(const std::string& pod_id, const absl::Status& cause) {
  absl::Status removed = cause;
  if (!absl::IsDeadlineExceeded(cause)) removed = Remove(pod_id);
  if (removed.ok()) return;
  MarkRemoving(pod_id).IgnoreError();  // if not, the next start finds a pod that does not live
  ScheduleRetry(pod_id, removed);
  Abandon(pod_id);
}

void CniNetworkImpl::Abandon(const std::string& pod_id) {
  absl::MutexLock lock(&mu_);
  if (const auto entry = entries_.find(pod_id); entry != entries_.end())
    entry->second.abandoned = true;
}

absl::Status CniNetworkImpl::Remove(const std::string& pod_id) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const CniAttachment> attachment, MarkRemoving(pod_id));
  if (attachment == nullptr) return absl::OkStatus();
  absl::Status deleted = CniDel(plugins_, *attachment);
  if (deleted.ok()) deleted = UnpinNetns(attachment->netns);
  if (deleted.ok()) deleted = Forget(pod_id);
  absl::MutexLock lock(&mu_);
  ++(deleted.ok() ? counts_.deletions : counts_.failed_deletions);
  return deleted;
}

absl::Status CniNetworkImpl::Detach(absl::string_view pod_id) {
  const std::string id(pod_id);
  if (Find(id) == nullptr) return absl::OkStatus();
  {
    absl::MutexLock lock(&mu_);
    if (recovering_) {
      entries_[id].next_try = SteadyNow();
      return absl::OkStatus();
    }
  }
  const KeyedLocks::Hold hold = pod_locks_.Lock(id);
  std::string hung;
  {
    absl::MutexLock lock(&mu_);
    const auto entry = entries_.find(id);
    if (entry == entries_.end() || entry->second.abandoned) return absl::OkStatus();
    // What hangs is waited for by a worker, not by each caller.
    if (entry->second.hung && entry->second.next_try > SteadyNow()) hung = entry->second.error;
  }
  const absl::Status removed = hung.empty() ? Remove(id) : absl::DeadlineExceededError(hung);
  if (removed.ok()) return removed;
  if (hung.empty()) ScheduleRetry(id, removed);
  return GiveUpWaiting(id, removed);
}

bool CniNetworkImpl::IsWorthWaiting(const std::string& pod_id, const absl::Status& failed) const {
  if (absl::IsFailedPrecondition(failed)) return false;  // no plugin comes back by being waited for
  absl::MutexLock lock(&mu_);
  const auto entry = entries_.find(pod_id);
  return entry != entries_.end() &&
         SteadyNow() - entry->second.failing_since < options_.stop_patience;
}

absl::Status CniNetworkImpl::GiveUpWaiting(const std::string& pod_id, const absl::Status& failed) {
  if (IsWorthWaiting(pod_id, failed))
    return absl::UnavailableError(absl::StrCat("take down network: ", failed.message()));
  Warn("pod stops with its network not taken down; that is tried on", pod_id, failed.message());
  Abandon(pod_id);
  const std::shared_ptr<const CniAttachment> attachment = Find(pod_id);
  return attachment == nullptr ? absl::OkStatus() : UnpinNetns(attachment->netns);
}

void CniNetworkImpl::ScheduleRetry(const std::string& pod_id, const absl::Status& failed) {
  absl::MutexLock lock(&mu_);
  const auto found = entries_.find(pod_id);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  const absl::Time now = SteadyNow();
  entry.failing_since = std::min(entry.failing_since, now);
  entry.pause = std::min(options_.longest_pause, std::max(options_.first_pause, entry.pause * 2));
  entry.next_try = now + entry.pause;
  entry.error = std::string(failed.message());
  entry.hung = absl::IsDeadlineExceeded(failed);
}

void CniNetworkImpl::Reconcile(const absl::flat_hash_set<std::string>& live) {
  absl::MutexLock lock(&mu_);
  for (auto& [pod_id, entry] : entries_) {
    const bool lives = live.contains(pod_id) && entry.attachment->state == AttachmentState::kAdded;
    entry.check_due = lives;
    if (!lives) entry.next_try = SteadyNow();
  }
  recovering_ = false;
}

absl::Status CniNetworkImpl::RemoveIfUnused() {
  ready_->Drain();
  {
    absl::MutexLock lock(&mu_);
    if (!entries_.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("CNI networks: ", entries_.size(), " pods are attached"));
    }
  }
  return plugins_.RemoveCgroups();
}

// --- Workers: removals that failed, and checks after a restart ---

absl::Time CniNetworkImpl::EarliestDue() const {
  absl::Time earliest = absl::InfiniteFuture();
  if (recovering_) return earliest;
  for (const auto& [pod_id, entry] : entries_) {
    if (entry.busy) continue;
    earliest = std::min(earliest, entry.check_due ? absl::InfinitePast() : entry.next_try);
  }
  return earliest;
}

std::string CniNetworkImpl::TakeDue() {
  const absl::Time now = SteadyNow();
  if (recovering_) return "";
  for (auto& [pod_id, entry] : entries_) {
    if (entry.busy || (entry.next_try > now && !entry.check_due)) continue;
    entry.busy = true;
    return pod_id;
  }
  return "";
}

void CniNetworkImpl::Work() {
  absl::MutexLock lock(&mu_);
  while (true) {
    const absl::Time earliest = EarliestDue();
    const auto sooner = [this, earliest]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return stopping_ || EarliestDue() < earliest;
    };
    AwaitUntil(mu_, absl::Condition(&sooner), earliest);
    if (stopping_) return;
    const std::string pod_id = TakeDue();
    if (pod_id.empty()) continue;
    mu_.Unlock();
    CarryOut(pod_id);
    mu_.Lock();
    if (const auto entry = entries_.find(pod_id); entry != entries_.end())
      entry->second.busy = false;
  }
}

void CniNetworkImpl::CarryOut(const std::string& pod_id) {
  const KeyedLocks::Hold hold = pod_locks_.Lock(pod_id);
  bool remove = false;
  std::shared_ptr<const CniAttachment> attachment;
  {
    absl::MutexLock lock(&mu_);
    const auto entry = entries_.find(pod_id);
    if (entry == entries_.end()) return;
    remove = entry->second.next_try != absl::InfiniteFuture();
    entry->second.check_due = false;
    attachment = entry->second.attachment;
  }
  if (!remove) return Check(*attachment);
  const absl::Status removed = Remove(pod_id);
  if (removed.ok() || stopping()) return;
  ScheduleRetry(pod_id, removed);
  Warn("network of a pod not taken down, tried again later", pod_id, removed.message());
  if (!IsWorthWaiting(pod_id, removed)) UnpinNetns(attachment->netns).IgnoreError();
}

void CniNetworkImpl::Check(const CniAttachment& attachment) {
  const absl::Status checked = CniCheck(plugins_, attachment);
  if (checked.ok() || stopping()) return;
  Warn("network of a pod is not as it was made", attachment.pod_id, checked.message());
  absl::MutexLock lock(&mu_);
  ++counts_.failed_checks;
  if (const auto entry = entries_.find(attachment.pod_id); entry != entries_.end())
    entry->second.error = std::string(checked.message());
}

// --- Garbage ---

absl::Time CniNetworkImpl::CollectGarbage(const CniNetworkList& network,
                                          const std::function<bool()>& outdated) {
  if (!network.VersionAtLeast(kCniHasStatus)) return absl::InfiniteFuture();
  {
    absl::MutexLock lock(&mu_);
    if (recovering_) return SteadyNow() + kGcWhileRecovering;
  }
  if (!gc_mu_.TryLock()) return SteadyNow() + kGcRetry;
  std::vector<std::string> pod_ids;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [pod_id, entry] : entries_) {
      if (entry.attachment->network.name == network.name) pod_ids.push_back(pod_id);
    }
    for (const auto& [name, pod_id] : damaged_) {
      if (name == network.name) pod_ids.push_back(pod_id);
    }
  }
  const absl::Status collected = CniGc(plugins_, network, pod_ids, outdated);
  gc_mu_.Unlock();
  if (outdated() || stopping()) return absl::InfinitePast();
  if (!collected.ok()) Warn("CNI garbage collection", "", collected.message());
  absl::MutexLock lock(&mu_);
  gc_error_ = std::string(collected.message());
  return SteadyNow() + kGcPause;
}

// --- What is known ---

absl::Status CniNetworkImpl::SetPodCidrs(const std::vector<std::string>& cidrs) {
  if (options_.conf_template.empty() || HasConfig()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string text, ReadFileAt(AT_FDCWD, options_.conf_template));
  ASSIGN_OR_RETURN(const std::string rendered, RenderCniTemplate(text, cidrs));
  RETURN_IF_ERROR(MakeDirs(options_.conf_dir, 0700));
  return ReplaceFileAt(AT_FDCWD, absl::StrCat(options_.conf_dir, "/", kRenderedFile), rendered,
                       0644);
}

CniNetwork::Counts CniNetworkImpl::counts() const {
  absl::MutexLock lock(&mu_);
  Counts counts = counts_;
  counts.ready = static_cast<int64_t>(ready_->ready());
  for (const auto& [pod_id, entry] : entries_) {
    const bool removing = entry.attachment->state == AttachmentState::kRemoving ||
                          entry.next_try != absl::InfiniteFuture();
    ++(removing ? counts.pending_deletions : counts.attached);
  }
  return counts;
}

std::string CniNetworkImpl::Describe() const {
  nlohmann::json failing = nlohmann::json::object();
  nlohmann::json described = {{"readyNamespaces", ready_->ready()}};
  watch_->Describe(&described);
  absl::MutexLock lock(&mu_);
  for (const auto& [pod_id, entry] : entries_) {
    if (!entry.error.empty()) failing[pod_id] = entry.error;
  }
  described["failing"] = std::move(failing);
  if (!gc_error_.empty()) described["gcError"] = gc_error_;
  return described.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CniNetwork>> CniNetwork::Open(Options options, Database& database) {
  ASSIGN_OR_RETURN(std::unique_ptr<PluginCgroups> cgroups,
                   PluginCgroups::Open(options.cgroup, options.log));
  auto network = std::make_unique<CniNetworkImpl>(std::move(options), database, std::move(cgroups));
  RETURN_IF_ERROR(network->Start());
  return network;
}

}  // namespace berth
