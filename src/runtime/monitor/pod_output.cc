// A container's output: read, written to its log, and given to those who are attached.
#include <errno.h>
#include <limits.h>
#include <poll.h>

#include "src/runtime/monitor/objects.h"
#include "src/runtime/monitor/pod.h"

namespace berth::monitor {
namespace {

char read_buffer[64 << 10];

// What a process that outlives the container may still write is no reason to read for ever.
constexpr int kMaxLastReads = 64;

LogWriter::Stream StreamOf(int which) {
  return which == 0 ? LogWriter::kStdout : LogWriter::kStderr;
}

}  // namespace

// One read at most. Who is attached is asked first whether there is room for PIPE_BUF bytes, which
// a pipe or a socket that can be written to always takes (pipe(7)): so nothing has to be kept here.
Pod::Pumped Pod::Pump(Container* container, int which) {
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
  return Pumped::kData;
}

void Pod::OutputReady(Container* container, int which) {
  if (Pump(container, which) == Pumped::kEnded && container->state == Container::State::kDraining &&
      container->output[0] < 0 && container->output[1] < 0) {
    FinishExit(container);
  }
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
    if (!sink->patience.armed) {
      sink->taken = 0;
      loop_->Arm(&sink->patience, kSinkPatienceMs);
    }
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
  sink->waiting = false;
  Release(sink->attachment->container, sink->which);
}

// Who has kept a container waiting, and took less than kSinkMinimum in all that time, is let go of.
void Pod::SinkLate(Attachment::Sink* sink) {
  sink->taken = 0;
  if (sink->waiting) CutOff(sink->attachment, ETIMEDOUT);
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
      } else if (sink->patience.armed && (sink->taken += bytes) >= kSinkMinimum) {
        loop_->Disarm(&sink->patience);
      }
    }
    each = next;
  }
}

void Pod::CloseSink(Attachment::Sink* sink) {
  if (sink->fd < 0) return;
  if (sink->waiting) loop_->Remove(sink->fd);
  sink->waiting = false;
  loop_->Disarm(&sink->patience);
  CloseFd(&sink->fd);
  Release(sink->attachment->container, sink->which);
}

}  // namespace berth::monitor
