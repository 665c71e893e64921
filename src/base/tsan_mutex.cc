// Tells ThreadSanitizer of absl::Mutex and absl::Notification, which it cannot see: Debian's
// libabsl is not built for it, and waits by futex(2). These definitions stand before those of the
// library, which they call. And of processes that share memory. In other builds there is nothing
// here.
#if defined(__SANITIZE_THREAD__)

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <type_traits>

#include "absl/cleanup/cleanup.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

namespace {

// Calls the library's member function of that (mangled) name. A reference is passed as a pointer.
template <class Result, class Object, class... Arguments>
Result CallLibrary(const char* name, Object* object, Arguments... arguments) {
  using Function = Result (*)(Object*, Arguments...);
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name))(object, arguments...);
}

constexpr unsigned kRead = __tsan_mutex_read_lock, kTry = __tsan_mutex_try_lock;

// Whether this thread is in the library by one of these: what calls another there is told once.
thread_local bool inside = false;

template <class Call>
auto Inside(Call call) {
  inside = true;
  const absl::Cleanup left = [] { inside = false; };
  return call();
}

// Whether it is this program's code that locks, or notifies. What libraries do with their locks is
// theirs: of what they guard by other means, TSan sees too little to tell.
extern "C" const char __executable_start, etext;
bool IsOurs(const void* caller) {
  const auto* const at = static_cast<const char*>(caller);
  return !inside && at >= &__executable_start && at < &etext;
}

// What is between is the library's, with the conditions that it evaluates, and is not watched.
template <class Call>
auto Acquire(const void* caller, absl::Mutex* mutex, unsigned flags, Call call) {
  if (!IsOurs(caller)) return call();
  __tsan_mutex_pre_lock(mutex, flags);
  if constexpr (std::is_void_v<decltype(call())>) {
    Inside(call);
    __tsan_mutex_post_lock(mutex, flags, 0);
  } else {
    const auto result = Inside(call);
    const bool failed = (flags & kTry) != 0 && !result;
    __tsan_mutex_post_lock(mutex, failed ? flags | __tsan_mutex_try_lock_failed : flags, 0);
    return result;
  }
}

template <class Call>
void Release(const void* caller, absl::Mutex* mutex, unsigned flags, Call call) {
  if (!IsOurs(caller)) return call();
  __tsan_mutex_pre_unlock(mutex, flags);
  Inside(call);
  __tsan_mutex_post_unlock(mutex, flags);
}

// Gives the mutex up, and has it again.
template <class Call>
auto Await(const void* caller, absl::Mutex* mutex, Call call) {
  if (!IsOurs(caller)) return call();
  __tsan_mutex_pre_unlock(mutex, 0);
  __tsan_mutex_post_unlock(mutex, 0);
  return Acquire(caller, mutex, 0, call);
}

// The flag that HasBeenNotified() reads, inline.
char* FlagOf(const absl::Notification* notification) {
  return const_cast<char*>(reinterpret_cast<const char*>(notification)) + sizeof(absl::Mutex);
}

}  // namespace

// What is found ends the program, as with the other sanitizers.
extern "C" const char* __tsan_default_options() { return "halt_on_error=1"; }

// Debian's libraries are not built for TSan, and hand memory from thread to thread by atomics and
// locks that it does not see: what they read, write and free is theirs (for gRPC's tags, by which
// it hands over what is ours, see api/tsan_grpc.cc; a slice that is ours it lets go of by a count).
extern "C" const char* __tsan_default_suppressions() {
  return "race:grpc_core::NewSliceRefcount::Destroy\n"
         "called_from_lib:libgrpc_unsecure.so\n"
         "called_from_lib:libgrpc++_unsecure.so\n"
         "called_from_lib:libgpr.so\n"
         "called_from_lib:libupb.so\n"
         "called_from_lib:libprotobuf.so\n"
         "called_from_lib:libabsl_cord.so\n"
         "called_from_lib:libabsl_cord_internal.so\n"
         "called_from_lib:libabsl_status.so\n"
         "called_from_lib:libabsl_strings.so\n"
         "called_from_lib:libabsl_time.so\n"
         "called_from_lib:libabsl_time_zone.so\n";
}

namespace absl {
ABSL_NAMESPACE_BEGIN

Mutex::~Mutex() {
  __tsan_mutex_destroy(this, 0);
  CallLibrary<void>("_ZN4absl7debian35MutexD1Ev", this);
}

void Mutex::Lock() {
  Acquire(__builtin_return_address(0), this, 0,
          [&] { CallLibrary<void>("_ZN4absl7debian35Mutex4LockEv", this); });
}

void Mutex::Unlock() {
  Release(__builtin_return_address(0), this, 0,
          [&] { CallLibrary<void>("_ZN4absl7debian35Mutex6UnlockEv", this); });
}

bool Mutex::TryLock() {
  return Acquire(__builtin_return_address(0), this, kTry,
                 [&] { return CallLibrary<bool>("_ZN4absl7debian35Mutex7TryLockEv", this); });
}

void Mutex::ReaderLock() {
  Acquire(__builtin_return_address(0), this, kRead,
          [&] { CallLibrary<void>("_ZN4absl7debian35Mutex10ReaderLockEv", this); });
}

void Mutex::ReaderUnlock() {
  Release(__builtin_return_address(0), this, kRead,
          [&] { CallLibrary<void>("_ZN4absl7debian35Mutex12ReaderUnlockEv", this); });
}

void Mutex::LockWhen(const Condition& cond) {
  Acquire(__builtin_return_address(0), this, 0, [&] {
    CallLibrary<void>("_ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE", this, &cond);
  });
}

void Mutex::Await(const Condition& cond) {
  ::Await(__builtin_return_address(0), this, [&] {
    CallLibrary<void>("_ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE", this, &cond);
  });
}

bool Mutex::AwaitWithTimeout(const Condition& cond, Duration timeout) {
  return ::Await(__builtin_return_address(0), this, [&] {
    return CallLibrary<bool>(
        "_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE", this, &cond,
        timeout);
  });
}

void Notification::Notify() {
  __tsan_release(this);
  __tsan_release(FlagOf(this));
  Inside([&] { CallLibrary<void>("_ZN4absl7debian312Notification6NotifyEv", this); });
}

void Notification::WaitForNotification() const {
  Inside(
      [&] { CallLibrary<void>("_ZNK4absl7debian312Notification19WaitForNotificationEv", this); });
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  const bool notified = Inside([&] {
    return CallLibrary<bool>(
        "_ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE", this,
        timeout);
  });
  if (notified) __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl

#endif
