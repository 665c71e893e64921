#include <gtest/gtest.h>
#include <signal.h>

#include "src/kernel/signal_name.h"

namespace berth {
namespace {

TEST(ParseSignal, TakesNamesNumbersAndTheRealTimeOnes) {
  const struct {
    const char* text;
    int number;
  } cases[] = {{"SIGTERM", SIGTERM},
               {"TERM", SIGTERM},
               {"sigquit", SIGQUIT},
               {"9", 9},
               {"64", 64},
               {"SIGIO", SIGIO},
               {"SIGPOLL", SIGPOLL},
               {"SIGIOT", SIGABRT},
               {"SIGCLD", SIGCHLD},
               {"SIGRTMIN", SIGRTMIN},
               {"RTMIN+3", SIGRTMIN + 3},
               {"SIGRTMAX", SIGRTMAX},
               {"SIGRTMAX-14", SIGRTMAX - 14},
               {"RTMIN+0", SIGRTMIN}};
  for (const auto& each : cases) {
    const absl::StatusOr<int> signal = ParseSignal(each.text);
    ASSERT_TRUE(signal.ok()) << signal.status();
    EXPECT_EQ(*signal, each.number) << each.text;
  }
}

TEST(ParseSignal, RefusesWhatIsNone) {
  for (const char* text :
       {"", "SIG", "SIGNOPE", "0", "-1", "65", "99999999999", "TERM ", "SIGSIGTERM", "RTMIN+31",
        "RTMIN+-1", "RTMIN++1", "RTMAX+1", "RTMIN-1", "RTMAX-99", "RTMIN+", "15x"}) {
    EXPECT_EQ(ParseSignal(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace berth
