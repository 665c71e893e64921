// The client against a scripted registry: what it asks, how often, and what it makes of answers.
#include "src/image/pull/registry.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/image/registry_hosts.h"
#include "src/image/testing/registry_stub.h"

namespace berth {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing_image::RegistryStub;
using testing_image::StubAnswer;
using testing_image::StubRequest;

// Not compressible, and different everywhere.
std::string Noise(size_t size) {
  std::string noise;
  noise.reserve(size + 64);
  for (int i = 0; noise.size() < size; ++i) noise += Digest::Sha256(absl::StrCat(i)).text();
  noise.resize(size);
  return noise;
}

class RegistryTest : public testing::Test {
 protected:
  // Asks the stubs in this order; the last is the registry itself.
  void Open(const std::vector<RegistryStub*>& stubs) {
    const auto reference = ParseReference(stubs.back()->host() + "/a/b:v1");
    ASSERT_TRUE(reference.ok()) << reference.status();
    std::vector<RegistryEndpoint> endpoints;
    for (RegistryStub* stub : stubs) {
      endpoints.push_back(RegistryItself(stub->host(), false));
      endpoints.back().mirror = stub != stubs.back();
    }
    options_.retry_delay = absl::Milliseconds(1);
    auto registry = Registry::Open(*reference, endpoints, options_);
    ASSERT_TRUE(registry.ok()) << registry.status();
    registry_ = *std::move(registry);
  }
  absl::StatusOr<std::string> Stream(const std::string& bytes) {
    std::string got;
    const absl::Status status =
        registry_->StreamBlob(http_, Blob(bytes), [&](absl::string_view more) -> absl::Status {
          got.append(more.data(), more.size());
          return absl::OkStatus();
        });
    if (!status.ok()) return status;
    return got;
  }
  static Descriptor Blob(const std::string& bytes) {
    return {.digest = Digest::Sha256(bytes), .size = static_cast<int64_t>(bytes.size())};
  }
  static std::string BlobPath(const std::string& bytes) {
    return "/v2/a/b/blobs/" + Digest::Sha256(bytes).text();
  }
  static StubAnswer Part(const std::string& bytes, const StubRequest& request) {
    const std::string range = request.Header("range");
    if (range.empty()) return {.body = bytes};
    size_t from = 0, to = bytes.size() - 1;
    const size_t dash = range.find('-');
    EXPECT_TRUE(absl::SimpleAtoi(range.substr(6, dash - 6), &from)) << range;
    if (size_t end = 0; absl::SimpleAtoi(range.substr(dash + 1), &end)) to = std::min(to, end);
    return {.status = 206,
            .headers = {absl::StrCat("Content-Range: bytes ", from, "-", to, "/", bytes.size())},
            .body = bytes.substr(from, to - from + 1)};
  }

  RegistryStub stub_;
  Registry::Options options_;
  std::unique_ptr<Registry> registry_;
  Http http_{Http::Options{}};
};

const std::string kManifest = "/v2/a/b/manifests/v1";

TEST_F(RegistryTest, LargeBlobIsFetchedInRangesAndComesInOrder) {
  const std::string bytes = Noise(20'000'001);
  absl::Notification never;
  stub_.Handle(BlobPath(bytes), [&](const StubRequest& request) {
    // A wire that is slower than the sink, which is what makes ranges worth while.
    if (request.Header("range") == "bytes=0-2097151")
      never.WaitForNotificationWithTimeout(absl::Milliseconds(100));
    return Part(bytes, request);
  });
  Open({&stub_});
  const auto got = Stream(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(*got == bytes);
  std::set<std::string> ranges;
  for (const StubRequest& request : stub_.requests()) ranges.insert(request.Header("range"));
  EXPECT_EQ(ranges.size(), 10u) << "each chunk of 2 MiB once";
  EXPECT_EQ(stub_.requests().size(), 10u);
  EXPECT_EQ(ranges.count("bytes=0-2097151"), 1u);
}

TEST_F(RegistryTest, LargeBlobOfAServerWithoutRangesIsOneRequest) {
  const std::string bytes = Noise(17 << 20);
  stub_.Serve(BlobPath(bytes), {.body = bytes});
  Open({&stub_});
  const auto got = Stream(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(*got == bytes);
  EXPECT_EQ(stub_.requests().size(), 1u);
}

TEST_F(RegistryTest, ChunkThatFailsIsFetchedAgain) {
  const std::string bytes = Noise(20 << 20);
  std::atomic<int> failures = 0;
  stub_.Handle(BlobPath(bytes), [&](const StubRequest& request) -> StubAnswer {
    StubAnswer answer = Part(bytes, request);
    const bool late = !absl::StartsWith(request.Header("range"), "bytes=0-");
    if (late && failures++ < 3) answer.cut_after = 1000;
    return answer;
  });
  Open({&stub_});
  const auto got = Stream(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(*got == bytes);
}

TEST_F(RegistryTest, SinkThatRefusesEndsALargeBlob) {
  const std::string bytes = Noise(20 << 20);
  stub_.Handle(BlobPath(bytes), [&](const StubRequest& r) { return Part(bytes, r); });
  Open({&stub_});
  int64_t taken = 0;
  const absl::Status status =
      registry_->StreamBlob(http_, Blob(bytes), [&](absl::string_view more) -> absl::Status {
        taken += static_cast<int64_t>(more.size());
        return taken > 5'000'000 ? absl::DataLossError("enough") : absl::OkStatus();
      });
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("enough"));
}

TEST_F(RegistryTest, ResumptionNamesTheEntityItMeans) {
  const std::string bytes = Noise(300'000);
  stub_.Handle(BlobPath(bytes), [&](const StubRequest& request) -> StubAnswer {
    StubAnswer answer = Part(bytes, request);
    answer.headers.push_back("ETag: \"tag\"");
    if (request.Header("range").empty()) answer.cut_after = 100'000;
    return answer;
  });
  Open({&stub_});
  const auto got = Stream(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(*got == bytes);
  const std::vector<StubRequest> requests = stub_.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].Header("if-range"), "");
  EXPECT_EQ(requests[1].Header("if-range"), "\"tag\"");
}

TEST_F(RegistryTest, WholeAnswerToARangeIsSkippedThrough) {
  const std::string bytes = Noise(300'000);
  stub_.Handle(BlobPath(bytes), [&](const StubRequest& request) -> StubAnswer {
    StubAnswer answer{.body = bytes};
    if (request.Header("range").empty()) answer.cut_after = 100'000;
    return answer;
  });
  Open({&stub_});
  const auto got = Stream(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(*got == bytes);
}

TEST_F(RegistryTest, AnotherRangeThanAskedForIsRefused) {
  const std::string bytes = Noise(300'000);
  stub_.Handle(BlobPath(bytes), [&](const StubRequest& request) -> StubAnswer {
    if (request.Header("range").empty()) return {.body = bytes, .cut_after = 100'000};
    return {.status = 206, .headers = {"Content-Range: bytes 5-9/300000"}, .body = "12345"};
  });
  Open({&stub_});
  const auto got = Stream(bytes);
  EXPECT_TRUE(absl::IsDataLoss(got.status())) << got.status();
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("another range"));
}

TEST_F(RegistryTest, FewBytesPerConnectionAreNoProgress) {
  const std::string bytes = Noise(300'000);
  stub_.Handle(BlobPath(bytes), [&](const StubRequest& request) -> StubAnswer {
    StubAnswer answer = Part(bytes, request);
    answer.cut_after = 10;
    return answer;
  });
  Open({&stub_});
  const auto got = Stream(bytes);
  EXPECT_TRUE(absl::IsUnavailable(got.status())) << got.status();
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("after 40 of 300000 bytes"));
}

TEST_F(RegistryTest, ResumesOnTheNextEndpoint) {
  const std::string bytes = Noise(300'000);
  RegistryStub mirror;
  mirror.Serve(BlobPath(bytes), {.body = bytes, .cut_after = 100'000});
  stub_.Handle(BlobPath(bytes), [&](const StubRequest& r) { return Part(bytes, r); });
  Open({&mirror, &stub_});
  const auto got = Stream(bytes);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(*got == bytes);
  EXPECT_THAT(stub_.requests().at(0).Header("range"), testing::StartsWith("bytes="));
}

TEST_F(RegistryTest, EndpointWhoseContentWasWrongIsNotAskedForItAgain) {
  const std::string bytes = Noise(1000);
  RegistryStub mirror;
  mirror.Serve(BlobPath(bytes), {.body = std::string(1000, 'x')});
  stub_.Serve(BlobPath(bytes), {.body = bytes});
  Open({&mirror, &stub_});
  EXPECT_EQ(Stream(bytes).value_or(""), std::string(1000, 'x')) << "the digest is the sink's";
  EXPECT_TRUE(registry_->DistrustServers(Digest::Sha256(bytes)));
  EXPECT_EQ(Stream(bytes).value_or(""), bytes);
  EXPECT_FALSE(registry_->DistrustServers(Digest::Sha256(bytes))) << "nobody is left";
}

TEST_F(RegistryTest, BusyRegistryIsAskedAgainWhenItSaysSo) {
  std::atomic<int> asked = 0;
  stub_.Handle(kManifest, [&](const StubRequest&) -> StubAnswer {
    if (asked++ < 2) return {.status = 429, .headers = {"Retry-After: 0"}};
    return {.headers = {"Content-Type: t"}, .body = "{}"};
  });
  Open({&stub_});
  const auto document = registry_->FetchManifest(http_, "v1");
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(asked, 3);
}

TEST_F(RegistryTest, BusyForLongerThanWeWaitIsTheEndAtOnce) {
  stub_.Serve(kManifest, {.status = 429,
                          .headers = {"Retry-After: 3600"},
                          .body = R"({"errors":[{"code":"TOOMANYREQUESTS","message":"later"}]})"});
  Open({&stub_});
  const auto document = registry_->FetchManifest(http_, "v1");
  EXPECT_TRUE(absl::IsResourceExhausted(document.status())) << document.status();
  EXPECT_THAT(std::string(document.status().message()),
              AllOf(HasSubstr("429"), HasSubstr("TOOMANYREQUESTS: later")));
  EXPECT_EQ(stub_.CountRequests(kManifest), 1);
}

TEST_F(RegistryTest, StormOfServerErrorsEndsAfterItsAttempts) {
  stub_.Serve(kManifest, {.status = 502});
  Open({&stub_});
  const auto document = registry_->FetchManifest(http_, "v1");
  EXPECT_TRUE(absl::IsUnavailable(document.status())) << document.status();
  EXPECT_EQ(stub_.CountRequests(kManifest), 4);
}

TEST_F(RegistryTest, PauseEndsWhenThePullIsCancelled) {
  std::atomic<bool> cancelled = false;
  stub_.Handle(kManifest, [&](const StubRequest&) -> StubAnswer {
    cancelled = true;
    return {.status = 429, .headers = {"Retry-After: 25"}};
  });
  options_.http.cancelled = [&] { return cancelled.load(); };
  Open({&stub_});
  EXPECT_TRUE(absl::IsCancelled(registry_->FetchManifest(http_, "v1").status()));
}

TEST_F(RegistryTest, RegistrysOwnNoIsNotAskedForTwice) {
  RegistryStub mirror;
  mirror.Serve(kManifest, {.status = 503});
  Open({&mirror, &stub_});
  const auto document = registry_->FetchManifest(http_, "v1");
  EXPECT_TRUE(absl::IsNotFound(document.status())) << document.status();
  EXPECT_THAT(
      std::string(document.status().message()),
      AllOf(HasSubstr(mirror.host()), HasSubstr("503"), HasSubstr(stub_.host()), HasSubstr("404")));
  EXPECT_EQ(mirror.CountRequests(kManifest), 1);
}

TEST_F(RegistryTest, RedirectsAreFollowedFiveTimesAndNotInCircles) {
  for (int i = 0; i < 7; ++i) {
    stub_.Serve(i == 0 ? kManifest : absl::StrCat("/hop", i),
                {.status = 307, .headers = {absl::StrCat("Location: /hop", i + 1)}});
  }
  stub_.Serve("/hop5", {.headers = {"Content-Type: t"}, .body = "{}"});
  Open({&stub_});
  EXPECT_TRUE(registry_->FetchManifest(http_, "v1").ok());
  stub_.Serve("/hop5", {.status = 302, .headers = {"Location: /hop1"}});
  const auto document = registry_->FetchManifest(http_, "v1");
  EXPECT_TRUE(absl::IsFailedPrecondition(document.status())) << document.status();
  EXPECT_THAT(std::string(document.status().message()), HasSubstr("redirects"));
}

TEST_F(RegistryTest, HeadersAreBounded) {
  stub_.Serve(kManifest, {.headers = std::vector<std::string>(
                              2000, absl::StrCat("X-Big: ", std::string(90, 'x')))});
  Open({&stub_});
  const auto document = registry_->FetchManifest(http_, "v1");
  EXPECT_TRUE(absl::IsResourceExhausted(document.status())) << document.status();
  EXPECT_THAT(std::string(document.status().message()), HasSubstr("headers"));
}

class HostileChallengeTest : public RegistryTest,
                             public testing::WithParamInterface<const char*> {};

TEST_P(HostileChallengeTest, IsRefusedWithoutAskingAnybody) {
  const std::string challenge = absl::StrReplaceAll(
      GetParam(), {{"LONG", std::string(20'000, 'a')}, {"MANY", [] {
                                                          std::string many;
                                                          for (int i = 0; i < 5000; ++i)
                                                            absl::StrAppend(&many, "Basic a=b, ");
                                                          return many;
                                                        }()}});
  stub_.Serve(kManifest,
              {.status = 401, .headers = {absl::StrCat("WWW-Authenticate: ", challenge)}});
  Open({&stub_});
  const auto document = registry_->FetchManifest(http_, "v1");
  EXPECT_FALSE(document.ok());
  EXPECT_FALSE(absl::IsUnavailable(document.status())) << document.status();
  EXPECT_LE(document.status().message().size(), 4096u);
  EXPECT_EQ(stub_.requests().size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(All, HostileChallengeTest,
                         testing::Values("", "Bearer", "Bearer realm=", "Bearer realm=\"",
                                         "Bearer realm=\"\"", "Bearer realm=\"file:///etc/passwd\"",
                                         "Bearer realm=\"http://169.254.169.254/\"",
                                         "Bearer realm=\"http://[::1]:1/\"",
                                         "Bearer realm=\"http://elsewhere.test/\"",
                                         "Bearer realm=\"http://user:secret@127.0.0.1/\"",
                                         "Bearer realm=\"LONG\"",
                                         "Bearer realm=\"gopher://127.0.0.1\"", "Basic", "MANY",
                                         "Negotiate LONG", "\xff\xfe\x01", "Bearer realm=\"\\"));

}  // namespace
}  // namespace berth
