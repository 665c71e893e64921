// A container's output: read, written to its log, and given to those who are attached.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>

#include "src/runtime/monitor/objects.h"
#include "src/runtime/monitor/pod.h"

namespace berth::monitor {
namespace {

char read_buffer[64 << 10];

// To be woken for each small write of a flood costs more than what was written: it gathers in a
// larger pipe meanwhile. A writer that fills even that is read without a pause.
constexpr int kFloodReads = 8;
constexpr size_t kSmallBytes = 16 << 10;  // that are not worth waking up for, often
constexpr int64_t kLookMs = 2;
constexpr size_t kFloodPipeBytes = 512 << 10;

// What a process that outlives the container may still write is no reason to read for ever.
constexpr int kMaxLastReads = 64;

LogWriter::Stream StreamOf(int which) {
  return which == 0 ? LogWriter::kStdout : LogWriter::kStderr;
}

}  // namespace

// One read at most. Who is attached is asked first whether there is room for PIPE_BUF bytes, which
// a pipe or a socket that can be written to always takes (pipe(7)): so nothing has to be kept here.
Pod::Pumped Pod::Pump(Container* container, int which, size_t* bytes) {
  if (Hold(container, which)) return Pumped::kHeld;
  const size_t most = HasSink(*container, which) ? PIPE_BUF : sizeof(read_buffer);
  const ssize_t n = read(container->output[which], read_buffer, most);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Pumped::kNothing;
  if (n <= 0) {  // end of file; EIO from a terminal without a slave
    CloseOutput(container, which);
    return Pumped::kEnded;
  }
  container->log.Write(StreamOf(which), read_buffer, n);
  CountDropped(container);
  Give(container, which, read_buffer, n);
  if (bytes != nullptr) *bytes += static_cast<size_t>(n);
  return Pumped::kData;
}

void Pod::ListenToOutput(Container* container, int which) {
  container->output_handler[which] = {[](void* owner, int each) {
                                        auto* self = static_cast<Container*>(owner);
                                        self->pod->OutputReady(self, each);
                                      },
                                      container, which};
  constexpr void (*kLook[])(void*) = {[](void* owner) {
                                        auto* self = static_cast<Container*>(owner);
                                        self->pod->LookAgain(self, 0);
                                      },
                                      [](void* owner) {
                                        auto* self = static_cast<Container*>(owner);
                                        self->pod->LookAgain(self, 1);
                                      }};
  container->flood[which].look = {.fire = kLook[which], .owner = container};
  loop_->Add(container->output[which], &container->output_handler[which]);
}

void Pod::OutputReady(Container* container, int which) {
  size_t bytes = 0;
  const Pumped pumped = Pump(container, which, &bytes);
  if (pumped == Pumped::kEnded) OutputEnded(container);
  if (pumped == Pumped::kData && bytes < kSmallBytes) LookLater(container, which);
}

void Pod::OutputEnded(Container* container) {
  if (container->state == Container::State::kDraining && container->output[0] < 0 &&
      container->output[1] < 0) {
    FinishExit(container);
  }
}

// Those who are attached are not kept waiting.
void Pod::LookLater(Container* container, int which) {
  Flood& flood = container->flood[which];
  const int64_t now = BootMilliseconds();
  flood.quick_reads = now - flood.read_at_ms <= kLookMs ? flood.quick_reads + 1 : 0;
  flood.read_at_ms = now;
  if (flood.quick_reads < kFloodReads || !flood.possible || HasSink(*container, which)) return;
  flood.possible = fcntl(container->output[which], F_SETPIPE_SZ, kFloodPipeBytes) > 0;
  if (!flood.possible) return;
  loop_->Remove(container->output[which]);
  loop_->Arm(&flood.look, kLookMs);
}

void Pod::LookAgain(Container* container, int which) {
  size_t bytes = 0;
  Pumped pumped = Pumped::kData;
  while (pumped == Pumped::kData && bytes < kFloodPipeBytes)
    pumped = Pump(container, which, &bytes);
  if (pumped == Pumped::kEnded) return OutputEnded(container);
  if (pumped == Pumped::kHeld) return;
  Flood& flood = container->flood[which];
  if (bytes >= kSmallBytes && bytes < kFloodPipeBytes && !HasSink(*container, which))
    return loop_->Arm(&flood.look, kLookMs);
  flood.quick_reads = 0;
  loop_->Add(container->output[which], &container->output_handler[which]);
}

// What is left in the pipe goes to the log, even if somebody who is attached does not keep up.
void Pod::DrainLog(Container* container, int which) {
  for (int reads = 0; container->output[which] >= 0 && reads < kMaxLastReads; ++reads) {
    const ssize_t n = read(container->output[which], read_buffer, sizeof(read_buffer));
    if (n <= 0) return;
    container->log.Write(StreamOf(which), read_buffer, n);
  }
}

void Pod::CloseOutput(Container* container, int which) {
  if (container->output[which] < 0) return;
  if (!container->held[which]) loop_->Remove(container->output[which]);
  container->held[which] = false;
  loop_->Disarm(&container->flood[which].look);
  CloseFd(&container->output[which]);
  container->log.Finish(StreamOf(which));
  for (Attachment* each = attachments_; each != nullptr; each = each->next) {
    if (each->container == container) CloseSink(&each->sinks[which]);
  }
}

bool Pod::HasSink(const Container& container, int which) const {
  for (const Attachment* each = attachments_; each != nullptr; each = each->next) {
    if (each->container == &container && each->sinks[which].fd >= 0) return true;
  }
  return false;
}

// Whether somebody has no room: then the output is not read until there is, which SinkReady tells.
bool Pod::Hold(Container* container, int which) {
  if (container->held[which]) return true;
  bool full = false;
  for (Attachment* each = attachments_; each != nullptr; each = each->next) {
    Attachment::Sink* sink = &each->sinks[which];
    if (each->container != container || sink->fd < 0) continue;
    pollfd room = {.fd = sink->fd, .events = POLLOUT, .revents = 0};
    if (poll(&room, 1, 0) != 0) continue;  // an error shows at the write
    full = true;
    sink->waiting = true;
    loop_->AddWriter(sink->fd, &sink->handler);
    loop_->Arm(&sink->late, sink->patience.Begin(BootMilliseconds()));
  }
  if (!full) return false;
  container->held[which] = true;
  loop_->Remove(container->output[which]);
  return true;
}

void Pod::Release(Container* container, int which) {
  if (container == nullptr || !container->held[which] || container->output[which] < 0) return;
  for (const Attachment* each = attachments_; each != nullptr; each = each->next) {
    if (each->container == container && each->sinks[which].waiting) return;
  }
  container->held[which] = false;
  loop_->Add(container->output[which], &container->output_handler[which]);
}

void Pod::SinkReady(Attachment::Sink* sink) {
  loop_->Remove(sink->fd);
  loop_->Disarm(&sink->late);
  sink->patience.End(BootMilliseconds());
  sink->waiting = false;
  Release(sink->attachment->container, sink->which);
}

void Pod::Give(Container* container, int which, const char* data, size_t bytes) {
  for (Attachment* each = attachments_; each != nullptr;) {
    Attachment* next = each->next;
    Attachment::Sink* sink = &each->sinks[which];
    if (each->container == container && sink->fd >= 0) {
      const ssize_t n = write(sink->fd, data, bytes);
      if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
        CloseSink(sink);
      } else if (n != static_cast<ssize_t>(bytes)) {
        CutOff(each, EIO);
      } else {
        sink->patience.Take(bytes);
      }
    }
    each = next;
  }
}

void Pod::CloseSink(Attachment::Sink* sink) {
  if (sink->fd < 0) return;
  if (sink->waiting) loop_->Remove(sink->fd);
  sink->waiting = false;
  loop_->Disarm(&sink->late);
  CloseFd(&sink->fd);
  Release(sink->attachment->container, sink->which);
}

}  // namespace berth::monitor
