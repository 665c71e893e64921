// Tells ThreadSanitizer what gRPC promises of a tag: what was done before an operation was handed
// in with it has happened before the tag comes out of the queue. Debian's gRPC is not built for it,
// and hands over by atomics and locks that TSan does not see. These definitions stand before those
// of the library, which they call. In TSan builds only (CMakeLists.txt).
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

namespace {

template <class Function>
Function* OfLibrary(const char* name, Function*) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

#define BERTH_LIBRARY(function) OfLibrary(#function, &function)

extern "C" {

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                      void* reserved) {
  static auto* const next = BERTH_LIBRARY(grpc_completion_queue_next);
  const grpc_event event = next(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

grpc_event grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                       gpr_timespec deadline, void* reserved) {
  static auto* const pluck = BERTH_LIBRARY(grpc_completion_queue_pluck);
  const grpc_event event = pluck(queue, tag, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t count, void* tag,
                                      void* reserved) {
  static auto* const start = BERTH_LIBRARY(grpc_call_start_batch);
  __tsan_release(tag);
  return start(call, ops, count, tag, reserved);
}

grpc_call_error grpc_server_request_call(grpc_server* server, grpc_call** call,
                                         grpc_call_details* details, grpc_metadata_array* metadata,
                                         grpc_completion_queue* bound_to,
                                         grpc_completion_queue* told_to, void* tag) {
  static auto* const request = BERTH_LIBRARY(grpc_server_request_call);
  __tsan_release(tag);
  return request(server, call, details, metadata, bound_to, told_to, tag);
}

grpc_call_error grpc_server_request_registered_call(grpc_server* server, void* method,
                                                    grpc_call** call, gpr_timespec* deadline,
                                                    grpc_metadata_array* metadata,
                                                    grpc_byte_buffer** payload,
                                                    grpc_completion_queue* bound_to,
                                                    grpc_completion_queue* told_to, void* tag) {
  static auto* const request = BERTH_LIBRARY(grpc_server_request_registered_call);
  __tsan_release(tag);
  return request(server, method, call, deadline, metadata, payload, bound_to, told_to, tag);
}

}  // extern "C"
