// berth.v1.BerthService: archives of a container's files.
#include <algorithm>

#include "src/base/status_macros.h"
#include "src/server/runtime_service.h"

namespace berth {

namespace v1 = berth::v1;
namespace {

void FillStat(const CopyStat& from, v1::FileStat* to) {
  to->set_mode(from.mode);
  to->set_size(from.size);
  to->set_mtime(from.mtime_ns);
  to->set_name(from.name);
  to->set_link_target(from.link_target);
}

absl::Status SendArchive(CopyProcess& process, const CopyProcess::Cancelled& cancelled,
                         grpc::ServerWriter<v1::CopyOutResponse>* writer) {
  while (true) {
    ASSIGN_OR_RETURN(CopyProcess::Packet packet, process.Next(cancelled));
    v1::CopyOutResponse message;
    switch (packet.type) {
      case CopyPacket::kStat: {
        ASSIGN_OR_RETURN(const CopyStat stat, DecodeCopyStat(packet.payload));
        FillStat(stat, message.mutable_stat());
        break;
      }
      case CopyPacket::kData:
        message.set_data(std::move(packet.payload));
        break;
      case CopyPacket::kEnd:
        return absl::OkStatus();
      case CopyPacket::kFailed:
        return absl::InternalError("copy: a failure within");
    }
    if (!writer->Write(message)) return absl::CancelledError("copy: the caller is gone");
  }
}

absl::Status TakeArchive(CopyProcess& process, const CopyProcess::Cancelled& cancelled,
                         grpc::ServerReader<v1::CopyInRequest>* reader) {
  v1::CopyInRequest message;
  while (reader->Read(&message)) {
    if (!message.has_data()) return absl::InvalidArgumentError("copy: a second beginning");
    absl::string_view bytes = message.data();
    while (!bytes.empty()) {
      const absl::string_view piece = bytes.substr(0, kMaxCopyData);
      RETURN_IF_ERROR(process.SendData(piece, cancelled));
      bytes.remove_prefix(piece.size());
    }
  }
  if (cancelled()) return absl::CancelledError("copy: cancelled");
  return process.SendEnd(cancelled);
}

CopyJob JobOf(const v1::CopyInBegin& begin) {
  CopyJob job{
      .direction = CopyJob::Direction::kIn, .path = begin.path(), .keep_owner = begin.keep_owner()};
  if (!begin.has_source()) return job;
  job.plan_by_source = true;
  job.source_directory = begin.source().directory();
  job.source_contents = begin.source().contents_only();
  job.source_name = begin.source().name();
  return job;
}

}  // namespace

grpc::Status AdminService::CopyOut(grpc::ServerContext* context, const v1::CopyOutRequest* request,
                                   grpc::ServerWriter<v1::CopyOutResponse>* writer) {
  return calls_.Serve("CopyOut", context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(
        const std::unique_ptr<RunningCopies::Hold> copy,
        node_.StartCopy(request->container_id(), {.direction = CopyJob::Direction::kOut,
                                                  .path = request->path(),
                                                  .follow_link = request->follow_link()}));
    return SendArchive(
        copy->process(), [context] { return context->IsCancelled(); }, writer);
  });
}

grpc::Status AdminService::CopyIn(grpc::ServerContext* context,
                                  grpc::ServerReader<v1::CopyInRequest>* reader,
                                  v1::CopyInResponse* response) {
  return calls_.Serve("CopyIn", context, [&]() -> absl::Status {
    const CopyProcess::Cancelled cancelled = [context] { return context->IsCancelled(); };
    v1::CopyInRequest first;
    if (!reader->Read(&first) || !first.has_begin())
      return absl::InvalidArgumentError("copy: the first message does not say where to");
    ASSIGN_OR_RETURN(const std::unique_ptr<RunningCopies::Hold> copy,
                     node_.StartCopy(first.begin().container_id(), JobOf(first.begin())));
    const absl::Status taken = TakeArchive(copy->process(), cancelled, reader);
    // A helper that has ended says why.
    if (!taken.ok() && !absl::IsUnavailable(taken)) return taken;
    ASSIGN_OR_RETURN(const CopyProcess::Packet end, copy->process().Next(cancelled));
    if (end.type != CopyPacket::kEnd) return absl::InternalError("copy: an unexpected packet");
    ASSIGN_OR_RETURN(const CopyOutcome outcome, DecodeCopyOutcome(end.payload));
    response->set_entries(outcome.entries);
    response->set_bytes(outcome.bytes);
    response->set_skipped_devices(outcome.skipped_devices);
    response->set_first_skipped(outcome.first_skipped);
    return absl::OkStatus();
  });
}

}  // namespace berth
