#include "src/sandbox/network/pod_bandwidth.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace berth {
namespace {

constexpr char kIngress[] = "kubernetes.io/ingress-bandwidth";
constexpr char kEgress[] = "kubernetes.io/egress-bandwidth";

TEST(ParsePodBandwidth, NoAnnotationIsNoLimit) {
  const auto bandwidth = ParsePodBandwidth({{"other", "1M"}});
  ASSERT_TRUE(bandwidth.ok());
  EXPECT_EQ(bandwidth->ingress_bits, 0u);
  EXPECT_EQ(bandwidth->egress_bits, 0u);
}

TEST(ParsePodBandwidth, ReadsQuantitiesOfKubernetes) {
  const std::pair<const char*, uint64_t> cases[] = {
      {"1k", 1'000},     {"10M", 10'000'000},           {"1.5G", 1'500'000'000},
      {"2Ki", 2048},     {"1P", 1'000'000'000'000'000}, {"5000", 5000},
      {"2000000m", 2000}};
  for (const auto& [text, bits] : cases) {
    const auto bandwidth = ParsePodBandwidth({{kIngress, text}, {kEgress, "1M"}});
    ASSERT_TRUE(bandwidth.ok()) << bandwidth.status();
    EXPECT_EQ(bandwidth->ingress_bits, bits) << text;
    EXPECT_EQ(bandwidth->egress_bits, 1'000'000u);
  }
}

TEST(ParsePodBandwidth, RefusesWhatIsNoRateAndNamesTheAnnotation) {
  for (const char* text :
       {"", "M", "-1M", "1 M", "1e6", "999", "2P", "1MM", "inf", "nan", "0x10k", "1..5M", "."}) {
    const auto bandwidth = ParsePodBandwidth({{kEgress, text}});
    EXPECT_TRUE(absl::IsInvalidArgument(bandwidth.status())) << text;
    EXPECT_TRUE(absl::StrContains(bandwidth.status().message(), kEgress));
  }
}

}  // namespace
}  // namespace berth
