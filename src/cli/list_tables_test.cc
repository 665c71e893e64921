#include "src/cli/list_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cli {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);
const std::string kId = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

int64_t Before(absl::Duration duration) { return absl::ToUnixNanos(kNow - duration); }

ContainerRow MakeRow(cri::ContainerState state) {
  ContainerRow row;
  row.container.set_id(kId);
  row.container.set_created_at(Before(absl::Hours(2)));
  row.container.mutable_metadata()->set_name("web");
  row.container.mutable_image()->set_image("sha256:" + kId);
  row.status.set_state(state);
  row.status.set_started_at(Before(absl::Minutes(90)));
  row.status.set_finished_at(Before(absl::Minutes(5)));
  row.pod_name = "web-0";
  return row;
}

TEST(PodsTable, ShowsStateAddressAndAge) {
  cri::PodSandbox ready;
  ready.set_id(kId);
  ready.mutable_metadata()->set_name("web-0");
  ready.mutable_metadata()->set_namespace_("shop");
  ready.set_created_at(Before(absl::Minutes(3)));
  cri::PodSandbox stopped = ready;
  stopped.set_id("fff");
  stopped.set_state(cri::SANDBOX_NOTREADY);
  stopped.set_runtime_handler("kata");
  EXPECT_EQ(
      PodsTable({ready, stopped}, {{kId, "10.88.0.2,fd00::2"}}, {.now = kNow}).Render(false),
      "POD ID          NAME    NAMESPACE   STATUS    ADDRESS             CREATED         RUNTIME\n"
      "0123456789abc   web-0   shop        Ready     10.88.0.2,fd00::2   3 minutes ago   default\n"
      "fff             web-0   shop        Stopped   -                   3 minutes ago   kata\n");
}

TEST(ContainersTable, TellsHowAContainerIsDoing) {
  ContainerRow killed = MakeRow(cri::CONTAINER_EXITED);
  killed.status.set_exit_code(137);
  killed.status.set_reason("OOMKilled");
  killed.container.mutable_image()->set_user_specified_image("shop/web:1");
  EXPECT_EQ(ContainersTable({MakeRow(cri::CONTAINER_RUNNING), killed,
                             MakeRow(cri::CONTAINER_CREATED), MakeRow(cri::CONTAINER_UNKNOWN)},
                            {.now = kNow})
                .Render(false),
            "CONTAINER ID    IMAGE           NAME   POD     CREATED       STATUS\n"
            "0123456789abc   0123456789abc   web    web-0   2 hours ago   Up 1 hour\n"
            "0123456789abc   shop/web:1      web    web-0   2 hours ago   Exited (137) 5 minutes "
            "ago OOMKilled\n"
            "0123456789abc   0123456789abc   web    web-0   2 hours ago   Created\n"
            "0123456789abc   0123456789abc   web    web-0   2 hours ago   Unknown\n");
}

TEST(ContainersTable, ShowsFullIdsWhenAsked) {
  EXPECT_THAT(ContainersTable({MakeRow(cri::CONTAINER_RUNNING)}, {.now = kNow, .no_trunc = true})
                  .Render(false),
              testing::HasSubstr("\n" + kId + "   sha256:" + kId + " "));
}

TEST(ImagesTable, HasARowForEachTag) {
  cri::ListImagesResponse images;
  cri::Image* tagged = images.add_images();
  tagged->set_id("sha256:" + kId);
  tagged->set_size(5'100'000);
  tagged->add_repo_tags("localhost:5000/b:2");
  tagged->add_repo_tags("localhost:5000/a:1");
  cri::Image* untagged = images.add_images();
  untagged->set_id("sha256:fff");
  untagged->add_repo_digests("localhost:5000/c@sha256:1");
  EXPECT_EQ(ImagesTable(images, {.now = kNow}).Render(false),
            "REPOSITORY         TAG      IMAGE ID        SIZE\n"
            "localhost:5000/a   1        0123456789abc   5.1MB\n"
            "localhost:5000/b   2        0123456789abc   5.1MB\n"
            "localhost:5000/c   <none>   fff             0B\n");
}

cri::ContainerStats* AddStats(cri::ListContainerStatsResponse* reply, const std::string& id,
                              int64_t seconds, uint64_t cpu_seconds) {
  cri::ContainerStats* stats = reply->add_stats();
  stats->mutable_attributes()->set_id(id);
  stats->mutable_attributes()->mutable_metadata()->set_name("web");
  stats->mutable_cpu()->set_timestamp(seconds * 1'000'000'000);
  stats->mutable_cpu()->mutable_usage_core_nano_seconds()->set_value(cpu_seconds * 1'000'000'000);
  return stats;
}

TEST(StatsTable, ComputesCpuBetweenTheSamples) {
  cri::ListContainerStatsResponse before, after;
  AddStats(&before, kId, 100, 10);
  cri::ContainerStats* busy = AddStats(&after, kId, 102, 13);
  busy->mutable_memory()->mutable_working_set_bytes()->set_value(16 << 20);
  busy->mutable_memory()->mutable_available_bytes()->set_value(48 << 20);
  busy->mutable_writable_layer()->mutable_used_bytes()->set_value(4096);
  busy->mutable_writable_layer()->mutable_inodes_used()->set_value(3);
  AddStats(&after, "new", 102, 13)->mutable_memory()->mutable_working_set_bytes()->set_value(1024);
  EXPECT_EQ(StatsTable(before, after, {.now = kNow}).Render(false),
            "CONTAINER ID    NAME   CPU       MEMORY          DISK    INODES\n"
            "0123456789abc   web    150.00%   16MiB / 64MiB   4.1kB   3\n"
            "new             web    -         1KiB            -       -\n");
}

TEST(StatsTable, ShowsNoCpuWhereTheSampleIsTheSame) {
  cri::ListContainerStatsResponse sample;
  AddStats(&sample, "a", 100, 10);
  EXPECT_THAT(StatsTable(sample, sample, {.now = kNow}).Render(false),
              testing::HasSubstr("web    -"));
}

TEST(PodAddresses, ListsAllOfThem) {
  cri::PodSandboxStatus status;
  EXPECT_EQ(PodAddresses(status), "-");
  status.mutable_network()->set_ip("10.0.0.1");
  status.mutable_network()->add_additional_ips()->set_ip("fd00::1");
  EXPECT_EQ(PodAddresses(status), "10.0.0.1,fd00::1");
}

}  // namespace
}  // namespace berth::cli
