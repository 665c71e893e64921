#include "src/cli/event_filter.h"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

v1::Event Event(const char* type, const char* kind, const char* subject) {
  v1::Event event;
  event.set_type(type);
  event.set_kind(kind);
  event.set_subject(subject);
  event.set_id("0123456789");
  event.set_pod_id("abcdef0123");
  return event;
}

bool Accepts(const std::vector<std::string>& filters, const v1::Event& event) {
  const absl::StatusOr<EventFilter> filter = EventFilter::Parse(filters);
  EXPECT_TRUE(filter.ok()) << filter.status();
  return filter.ok() && filter->Accepts(event);
}

TEST(EventFilter, OfOneKeyAnyOfSeveralAllMustMatch) {
  const v1::Event event = Event("started", "container", "team/web/app");
  EXPECT_TRUE(Accepts({}, event));
  EXPECT_TRUE(Accepts({"type=stopped", "type=started"}, event));
  EXPECT_TRUE(Accepts({"type=started", "kind=container", "pod=web", "namespace=team"}, event));
  EXPECT_FALSE(Accepts({"type=started", "kind=pod"}, event));
  EXPECT_TRUE(Accepts({"id=0123"}, event));
  EXPECT_FALSE(Accepts({"id=123"}, event));
  EXPECT_TRUE(Accepts({"pod=abcdef"}, event));
  EXPECT_FALSE(Accepts({"pod=app"}, event));
  EXPECT_FALSE(Accepts({"namespace=registry"}, Event("pulled", "image", "registry/web/app")));
}

TEST(EventFilter, RefusesWhatItDoesNotKnow) {
  for (const char* text : {"", "type", "type=", "colour=red", "=x"}) {
    EXPECT_EQ(EventFilter::Parse({text}).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace berth::cli
