#include "src/image/layer_claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <optional>

namespace berth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

bool IsReadable(int fd) {
  struct pollfd ready = {.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&ready, 1, 0) == 1;
}

TEST(LayerClaimsTest, OfTwoThatWantALayerOneFetchesIt) {
  LayerClaims claims;
  LayerClaims::Party first(claims), second(claims);
  first.Want({"a", "b"});
  second.Want({"b", "c"});
  EXPECT_THAT(first.Take(), ElementsAre("a", "b"));
  EXPECT_THAT(second.Take(), ElementsAre("c"));
  EXPECT_TRUE(first.IsAwaited("b"));
  EXPECT_FALSE(first.IsAwaited("a"));
  EXPECT_FALSE(second.IsAwaited("b")) << "it does not have it";

  first.GiveUp("b");
  EXPECT_THAT(second.Take(), ElementsAre("b"));
  EXPECT_FALSE(second.IsAwaited("b"));
}

TEST(LayerClaimsTest, APullThatEndsGivesUpWhatItHasAndWhatItWaitsFor) {
  LayerClaims claims;
  std::optional<LayerClaims::Party> first(claims), second(claims);
  LayerClaims::Party third(claims);
  first->Want({"a"});
  second->Want({"a"});
  third.Want({"a"});
  second.reset();
  EXPECT_THAT(third.Take(), IsEmpty());
  first.reset();
  EXPECT_THAT(third.Take(), ElementsAre("a"));
}

TEST(LayerClaimsTest, TheOneThatHasALayerIsWokenWhenAnotherWantsItAndTheOtherWhenItGetsIt) {
  LayerClaims claims;
  LayerClaims::Party first(claims), second(claims);
  first.Want({"a"});
  (void)first.Take();
  EXPECT_FALSE(IsReadable(first.wake_fd()));
  second.Want({"a"});
  EXPECT_TRUE(IsReadable(first.wake_fd()));
  EXPECT_FALSE(IsReadable(second.wake_fd()));
  first.GiveUp("a");
  EXPECT_TRUE(IsReadable(second.wake_fd()));
  EXPECT_THAT(second.Take(), ElementsAre("a"));
  EXPECT_FALSE(IsReadable(second.wake_fd()));
}

}  // namespace
}  // namespace berth
