#include "src/cli/completion_names.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth::cli {
namespace {

struct OperandKind {
  absl::string_view operand;
  Accept accept;
  absl::string_view suffix = "";  // what is typed next belongs to the same word
};
constexpr OperandKind kTargetOperands[] = {{"CONTAINER", Accept::kContainers},
                                           {"POD", Accept::kPods},
                                           {"ID", Accept::kBoth},
                                           {"OBJECT", Accept::kBoth},
                                           {"SOURCE", Accept::kContainers, ":"},
                                           {"DESTINATION", Accept::kContainers, ":"}};
constexpr absl::string_view kImageOperands[] = {"IMAGE", "NAME", "OBJECT"};

const OperandKind* KindOf(absl::string_view operand) {
  for (const OperandKind& kind : kTargetOperands) {
    if (kind.operand == operand) return &kind;
  }
  return nullptr;
}

bool IsPod(const Target& target) { return target.kind == TargetKind::kPod; }

// From the shortest to the one that says most.
std::vector<std::string> NamesOf(const Target& target) {
  const std::string in_pod =
      IsPod(target) ? target.name : absl::StrCat(target.pod_name, "/", target.name);
  return {target.name, in_pod, absl::StrCat(target.pod_namespace, "/", in_pod), target.id};
}

}  // namespace

std::vector<Candidate> TargetCandidates(const std::vector<Target>& targets,
                                        absl::string_view operand) {
  const OperandKind* kind = KindOf(operand);
  if (kind == nullptr) return {};
  std::vector<Candidate> candidates;
  for (const Target& target : targets) {
    if (kind->accept != Accept::kBoth && (kind->accept == Accept::kPods) != IsPod(target)) continue;
    // The pod of a `berth run` has its container's name, which means the container.
    if (kind->accept == Accept::kBoth && IsPod(target) && target.run_pod) continue;
    const std::vector<std::string> names = NamesOf(target);
    const auto name = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
      const auto found = FindTarget(targets, name, kind->accept);
      return found.ok() && found->id == target.id;
    });
    if (name == names.end()) continue;
    candidates.push_back({absl::StrCat(*name, kind->suffix),
                          absl::StrCat(IsPod(target) ? "pod " : "container ", ShortId(target.id))});
  }
  return candidates;
}

std::vector<Candidate> ImageCandidates(const cri::ListImagesResponse& images) {
  std::vector<Candidate> candidates;
  for (const cri::Image& image : images.images()) {
    for (const std::string& tag : image.repo_tags())
      candidates.push_back({tag, absl::StrCat("image ", ShortId(image.id()))});
  }
  return candidates;
}

std::vector<Candidate> NamesFor(absl::string_view operand, absl::string_view typed,
                                const std::string& socket) {
  const bool takes_target = KindOf(operand) != nullptr;
  const bool takes_image =
      std::count(std::begin(kImageOperands), std::end(kImageOperands), operand);
  if (!takes_target && !takes_image) return {};
  absl::StatusOr<Client> client = Client::Connect(socket);
  if (!client.ok()) return {};
  std::vector<Candidate> candidates;
  if (takes_target) {
    if (const auto targets = ListTargets(*client); targets.ok())
      candidates = TargetCandidates(*targets, operand);
  }
  if (takes_image) {
    if (const auto images = client->ListImages(); images.ok()) {
      const std::vector<Candidate> more = ImageCandidates(*images);
      candidates.insert(candidates.end(), more.begin(), more.end());
    }
  }
  std::erase_if(candidates, [&](const Candidate& c) { return !absl::StartsWith(c.word, typed); });
  return candidates;
}

}  // namespace berth::cli
