// Names of the node's pods, containers and images, as a shell completes them.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/cli/targets.h"
#include "src/command_line/completion.h"

namespace berth::cli {

// What a positional argument of that name takes: a name where it is one object's alone, else with
// its pod's or namespace's in front (targets.h). Pure.
std::vector<Candidate> TargetCandidates(const std::vector<Target>& targets,
                                        absl::string_view operand);
std::vector<Candidate> ImageCandidates(const cri::ListImagesResponse& images);

// All for a positional argument of that name that begin with `typed`. None where berthd does not
// answer: a shell is no place for its failures.
std::vector<Candidate> NamesFor(absl::string_view operand, absl::string_view typed,
                                const std::string& socket);

}  // namespace berth::cli
