// Who is attached to a container, from the request until one of the two ends.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "src/runtime/monitor/objects.h"
#include "src/runtime/monitor/pod.h"

namespace berth::monitor {
namespace {

constexpr int kMaxAttachments = 64;
constexpr int kStreams = wire::kAttachStdin | wire::kAttachStdout | wire::kAttachStderr;
// A terminal that does not take what is typed (its reader sleeps) is asked again after this.
constexpr int64_t kRetryInputMs = 20;

void SetSize(int terminal, uint16_t rows, uint16_t columns) {
  const winsize size = {.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  if (terminal >= 0 && rows != 0 && columns != 0) ioctl(terminal, TIOCSWINSZ, &size);
}

bool MakeNonBlocking(int fd) { return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0; }

}  // namespace

Attachment* Pod::FindAttachment(int connection) {
  for (Attachment* each = attachments_; each != nullptr; each = each->next) {
    if (each->connection == connection) return each;
  }
  return nullptr;
}

// One socket for both ways of the terminal; a second descriptor of it, because reading and writing
// are waited for apart.
bool Pod::OpenTerminalEnds(Attachment* attachment, uint32_t flags, int* theirs) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  theirs[0] = ends[1];
  attachment->input = ends[0];
  if (!MakeNonBlocking(ends[0])) return false;
  if ((flags & wire::kAttachStdout) == 0) return true;
  attachment->sinks[0].fd = fcntl(ends[0], F_DUPFD_CLOEXEC, 3);
  return attachment->sinks[0].fd >= 0;
}

bool Pod::OpenSinks(Attachment* attachment, uint32_t flags, int* theirs, int* count) {
  for (int which = 0; which < 2; ++which) {
    if ((flags & (which == 0 ? wire::kAttachStdout : wire::kAttachStderr)) == 0) continue;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    theirs[(*count)++] = ends[0];
    attachment->sinks[which].fd = ends[1];
    if (!MakeNonBlocking(ends[1])) return false;
  }
  return true;
}

// The container's own pipe: what the client writes does not pass through here, and its end is the
// end of stdin once nobody else holds it. False with errno.
bool Pod::TakeStdin(Attachment* attachment, uint32_t* flags, int* theirs, int* count) {
  if ((*flags & wire::kAttachStdin) == 0) return true;
  Container* container = attachment->container;
  int* write_end = container == nullptr ? &attachment->stdin_write : &container->stdin_write;
  if (container == nullptr) {
    int ends[2];
    if (!OpenPipe(ends)) return false;
    attachment->stdin_read = ends[0];
    attachment->stdin_write = ends[1];
    if (!MakeNonBlocking(ends[1])) return false;
  }
  if (*write_end < 0) {
    *flags &= ~wire::kAttachStdin;
    return true;
  }
  theirs[*count] = fcntl(*write_end, F_DUPFD_CLOEXEC, 3);
  if (theirs[*count] < 0) return false;
  ++*count;
  if (container != nullptr && container->stdin_once) CloseFd(&container->stdin_write);
  return true;
}

void Pod::Attach(int connection, const Packet& packet) {
  wire::AttachRequest request;
  if (!packet.Read(&request) || (request.flags & kStreams) == 0)
    return SendError(connection, -1, EBADMSG, "attach request");
  const bool terminal = (request.flags & wire::kAttachTerminal) != 0;
  Container* container = Find(request.container_id);
  if (container != nullptr && container->state != Container::State::kStarting &&
      container->state != Container::State::kRunning)
    return SendError(connection, -1, ESRCH, "attach");
  if (container != nullptr && container->terminal != terminal)
    return SendError(connection, -1, terminal ? ENOTTY : EINVAL, "attach");
  int others = 0;
  for (const Attachment* each = attachments_; each != nullptr; each = each->next) ++others;
  Attachment* attachment = others < kMaxAttachments ? Make<Attachment>() : nullptr;
  if (attachment == nullptr)
    return SendError(connection, -1, others < kMaxAttachments ? ENOMEM : EUSERS, "attach");
  attachment->pod = this;
  attachment->container = container;
  attachment->connection = connection;
  attachment->terminal = terminal;
  attachment->rows = request.rows;
  attachment->columns = request.columns;
  memcpy(attachment->id, request.container_id, wire::kIdBytes);
  SetHandlers(attachment);

  wire::AttachedReply reply = {.flags = request.flags & kStreams};
  int theirs[3] = {-1, -1, -1}, count = 0;
  bool opened;
  if (terminal) {
    if (container != nullptr && container->stdin_once && container->stdin_taken)
      reply.flags &= ~wire::kAttachStdin;
    opened = OpenTerminalEnds(attachment, reply.flags, theirs);
    count = 1;
  } else {
    opened = TakeStdin(attachment, &reply.flags, theirs, &count) &&
             OpenSinks(attachment, reply.flags, theirs, &count);
  }
  const int error = errno;
  attachment->next = attachments_;
  attachments_ = attachment;
  if (opened) {
    if (terminal && (reply.flags & wire::kAttachStdin) == 0) CloseFd(&attachment->input);
    if (container != nullptr) Join(attachment, container);
    opened = Send(connection, wire::Type::kAttached, &reply, sizeof(reply), theirs, count);
  } else {
    SendError(connection, -1, error, "attach");
  }
  for (int& fd : theirs) CloseFd(&fd);
  if (!opened) RemoveAttachment(attachment);
}

void Pod::SetHandlers(Attachment* attachment) {
  for (int which = 0; which < 2; ++which) {
    Attachment::Sink* sink = &attachment->sinks[which];
    sink->attachment = attachment;
    sink->which = which;
    sink->handler = {[](void* owner, int) {
                       auto* self = static_cast<Attachment::Sink*>(owner);
                       self->attachment->pod->SinkReady(self);
                     },
                     sink, 0};
    sink->late = {.fire =
                      [](void* owner) {
                        auto* self = static_cast<Attachment::Sink*>(owner);
                        self->attachment->pod->CutOff(self->attachment, ETIMEDOUT);
                      },
                  .owner = sink};
  }
  attachment->input_handler = {[](void* owner, int) {
                                 auto* self = static_cast<Attachment*>(owner);
                                 self->pod->InputReady(self);
                               },
                               attachment, 0};
  attachment->retry_input = {.fire =
                                 [](void* owner) {
                                   auto* self = static_cast<Attachment*>(owner);
                                   self->pod->WriteTyped(self);
                                 },
                             .owner = attachment};
}

// The container is there: it may be in its start still, and its terminal not made yet.
void Pod::Join(Attachment* attachment, Container* container) {
  attachment->container = container;
  if (!attachment->terminal) return;
  SetSize(container->output[0], attachment->rows, attachment->columns);
  if (attachment->input < 0) return;
  container->stdin_taken = true;
  loop_->Add(attachment->input, &attachment->input_handler);
}

// Those who came before the container. The first that brought a stdin gives it to the container.
void Pod::JoinWaiting(Container* container, bool with_stdin) {
  for (Attachment* each = attachments_; each != nullptr;) {
    Attachment* next = each->next;
    if (each->container == nullptr && SameId(each->id, container->id)) {
      if (each->terminal != container->terminal) {
        CutOff(each, EINVAL);
        each = next;
        continue;
      }
      if (with_stdin && !container->terminal && container->stdin_read < 0 &&
          each->stdin_read >= 0) {
        container->stdin_read = each->stdin_read;
        container->stdin_write = each->stdin_write;
        each->stdin_read = each->stdin_write = -1;
        if (container->stdin_once) CloseFd(&container->stdin_write);
      }
      CloseFd(&each->stdin_read);
      CloseFd(&each->stdin_write);
      Join(each, container);
    }
    each = next;
  }
}

void Pod::TerminalCame(Container* container) {
  for (const Attachment* each = attachments_; each != nullptr; each = each->next) {
    if (each->container == container) SetSize(container->output[0], each->rows, each->columns);
  }
}

void Pod::InputReady(Attachment* attachment) {
  const ssize_t n = read(attachment->input, attachment->typed, sizeof(attachment->typed));
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  loop_->Remove(attachment->input);
  if (n <= 0) return CloseFd(&attachment->input);
  attachment->typed_bytes = n;
  WriteTyped(attachment);
}

void Pod::WriteTyped(Attachment* attachment) {
  const int terminal = attachment->container->output[0];
  const ssize_t n = terminal < 0 ? 0 : write(terminal, attachment->typed, attachment->typed_bytes);
  if (n > 0) {
    attachment->typed_bytes -= n;
    memmove(attachment->typed, attachment->typed + n, attachment->typed_bytes);
  }
  if (attachment->typed_bytes > 0) return loop_->Arm(&attachment->retry_input, kRetryInputMs);
  loop_->Add(attachment->input, &attachment->input_handler);
}

void Pod::ResizeAttached(int connection, const Packet& packet) {
  wire::ResizeRequest request;
  if (!packet.Read(&request)) return SendError(connection, -1, EBADMSG, "resize request");
  Attachment* attachment = FindAttachment(connection);
  if (attachment == nullptr || !attachment->terminal)
    return SendError(connection, -1, ENOTTY, "resize");
  attachment->rows = request.rows;
  attachment->columns = request.columns;
  if (attachment->container != nullptr)
    SetSize(attachment->container->output[0], request.rows, request.columns);
  SendOk(connection);
}

void Pod::EndAttachments(const char* id, const wire::ExitEvent& exit) {
  for (Attachment* each = attachments_; each != nullptr;) {
    Attachment* next = each->next;
    if (SameId(each->id, id)) {
      Send(each->connection, wire::Type::kExit, exit);
      RemoveAttachment(each);
    }
    each = next;
  }
}

// The connection is the client's to close; what it is told it may still read.
void Pod::CutOff(Attachment* attachment, int error) {
  SendError(attachment->connection, -1, error, "attach");
  shutdown(attachment->connection, SHUT_RDWR);
  RemoveAttachment(attachment);
}

void Pod::RemoveAttachment(Attachment* attachment) {
  Unlink(&attachments_, attachment);
  for (Attachment::Sink& sink : attachment->sinks) CloseSink(&sink);
  loop_->Disarm(&attachment->retry_input);
  if (attachment->input >= 0) loop_->Remove(attachment->input);
  CloseFd(&attachment->input);
  CloseFd(&attachment->stdin_read);
  CloseFd(&attachment->stdin_write);
  Destroy(attachment);
}

}  // namespace berth::monitor
