// The test's side of src/base/failpoint.h: arms points of the programs in build/PRESET/failpoints
// that run on this node, and sees what they came to. One fault at a time.
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"
#include "src/base/failpoint.h"

namespace berth::e2e {

struct ArmedFault {
  std::string point;
  int nth = 1;
  std::string kind;  // "fail", "delay", "kill"
  int value = 0;     // errno, or milliseconds
};

class FailpointFiles {
 public:
  // In a file system of their own, which goes with the node (isolation.h). To be made before a
  // program is started.
  static absl::Status Make();

  // Forgets what points were come to.
  static void Arm(const ArmedFault& fault);
  static void Disarm();
  static bool HasStruck();
  // Since the last Arm or Disarm.
  static std::multiset<std::string> Hits();
};

}  // namespace berth::e2e
