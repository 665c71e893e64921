#include "src/cli/pulling.h"

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "src/cli/failure.h"
#include "src/cli/pull_view.h"

namespace berth::cli {
namespace {

constexpr absl::Duration kRedrawEvery = absl::Milliseconds(50);

// Draws the view over what it drew before.
class LiveDisplay {
 public:
  explicit LiveDisplay(Output& output) : output_(output) {}

  void Update(const PullView& view, bool at_once) {
    const absl::Time now = absl::Now();
    if (!at_once && now - drawn_at_ < kRedrawEvery) return;
    drawn_at_ = now;
    const TerminalSize size = SizeOfTerminal(STDERR_FILENO);
    std::string frame;
    if (lines_ > 0) absl::StrAppend(&frame, "\x1b[", lines_, "A");
    const auto lines = view.Draw(size.columns - 1, size.rows - 1, output_.err_colour);
    for (const std::string& line : lines) absl::StrAppend(&frame, "\r\x1b[2K", line, "\n");
    absl::StrAppend(&frame, "\x1b[J");
    lines_ = lines.size();
    output_.err << frame << std::flush;
  }

 private:
  Output& output_;
  size_t lines_ = 0;
  absl::Time drawn_at_ = absl::InfinitePast();
};

absl::Status Explain(const absl::Status& status) {
  if (!HintOf(status).empty()) return status;
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return WithHint(status,
                      "check the name and the tag; berth images lists what is here already");
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return WithHint(status, "if the image is private: berth pull --creds USER:PASSWORD IMAGE");
    case absl::StatusCode::kUnavailable:
      return WithHint(
          status,
          "is the registry up? An image of another registry than Docker Hub begins with its "
          "host, like localhost:5000/app");
    default:
      return status;
  }
}

// The daemon often names the image itself.
absl::Status Name(const absl::Status& status, const std::string& reference) {
  return absl::StrContains(status.message(), reference) ? status : InContext(status, reference);
}

}  // namespace

absl::StatusOr<std::string> PullWithProgress(Client& client, const v1::PullImageRequest& request,
                                             Interrupt& interrupt, Output& output) {
  PullView view;
  LiveDisplay display(output);
  const auto show = [&](const v1::PullImageProgress& progress) {
    const bool changed = view.Update(progress);
    if (output.err_live) {
      display.Update(view, changed);
    } else if (changed) {
      output.err << view.PlainLine(progress) << "\n" << std::flush;
    }
  };
  const auto image_id = client.PullImage(request, show, interrupt.fd());
  if (output.err_live) display.Update(view, true);
  if (interrupt.Take()) {
    return WithExitCode(absl::CancelledError(absl::StrCat(request.reference(), ": interrupted")),
                        kExitInterrupted);
  }
  if (!image_id.ok()) return Name(Explain(image_id.status()), request.reference());
  output.err << absl::StrCat("pulled ", request.reference(), " (", view.Summary(), ")\n")
             << std::flush;
  return *image_id;
}

}  // namespace berth::cli
