// /metrics with a real Prometheus, and what the command line tells of what happened.
#include <gmock/gmock.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "test/e2e/berth_command.h"
#include "test/e2e/e2e_test.h"
#include "test/e2e/own_node.h"

namespace berth::e2e {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kPrometheus[] = "/usr/bin/prometheus", kPromtool[] = "/usr/bin/promtool";
constexpr char kMetrics[] = "127.0.0.1:9476", kPrometheusAddress[] = "127.0.0.1:9477";

// What a program prints and how it ends; 60 s at most.
struct Ran {
  int code = -1;
  std::string output;
};

class MonitoringTest : public E2eTest {
 protected:
  Ran Run(const std::vector<std::string>& argv) {
    const std::string path = absl::StrCat(NodeDir(), "/ran-", Name(), "-", ++runs_);
    auto process = Subprocess::Start({.argv = argv, .output_path = path});
    EXPECT_OK(process);
    if (!process.ok()) return {};
    const int code = process->Wait(absl::Seconds(60)).value_or(-1);
    return {code, process->Output()};
  }
  Ran Fetch(const std::string& url, const std::vector<std::string>& options = {}) {
    std::vector<std::string> argv = {"/usr/bin/curl", "-sS", "--max-time", "20"};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.push_back(url);
    return Run(argv);
  }
  Ran Berth(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {BERTH_BIN_DIR "/berth", "--socket", node().daemon().socket()});
    return Run(arguments);
  }

 private:
  int runs_ = 0;
};

TEST_F(MonitoringTest, EndpointSpeaksBothFormatsAndTellsItsHealth) {
  const std::string socket = NodeDir() + "/metrics.sock";
  ASSERT_OK_AND_ASSIGN(
      OwnNode own,
      OwnNode::Start("metrics", absl::StrCat("[metrics]\nlisten = \"unix://", socket, "\"\n")));
  const auto fetch = [&](const std::string& path, std::vector<std::string> options = {}) {
    options.insert(options.end(), {"--unix-socket", socket, "-i"});
    return Fetch("http://berth" + path, options).output;
  };
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeProbe("app", {"sleep"})));
  const std::string text = fetch("/metrics");
  EXPECT_THAT(text, HasSubstr("200 OK"));
  EXPECT_THAT(text, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  const std::string of_container = absl::StrCat("pod=\"", Name(), "\",container=\"app\"");
  for (const std::string& part :
       {std::string("berth_build_info{version="), std::string("process_cpu_seconds_total "),
        std::string("berth_pods{state=\"ready\"} 1"),
        std::string("berth_containers{state=\"running\"} 1"),
        std::string(
            "berth_stage_duration_seconds_count{operation=\"RunPodSandbox\",stage=\"network\"} 1"),
        std::string("berth_network_operation_duration_seconds_count{operation=\"attach\","
                    "result=\"ok\"} 1"),
        std::string("berth_store_transaction_duration_seconds_count{kind=\"sync\"}"),
        std::string("berth_image_pull_duration_seconds_count{result=\"succeeded\"} 1"),
        std::string("berth_grpc_in_flight{kind=\"events\"} 0"), of_container})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_THAT(text, Not(HasSubstr("# EOF")));
  const std::string open =
      fetch("/metrics", {"-H", "Accept: application/openmetrics-text;version=1.0.0"});
  EXPECT_THAT(open, HasSubstr("Content-Type: application/openmetrics-text; version=1.0.0"));
  EXPECT_THAT(open, HasSubstr("# TYPE berth_container_cpu_usage_seconds counter"));
  EXPECT_TRUE(absl::EndsWith(open, "# EOF\n"));
  EXPECT_THAT(fetch("/healthz"), HasSubstr("200 OK"));
  EXPECT_THAT(fetch("/readyz"), HasSubstr("200 OK"));
  EXPECT_THAT(fetch("/other"), HasSubstr("404"));
  EXPECT_THAT(fetch("/metrics", {"-X", "DELETE"}), HasSubstr("405"));
}

TEST_F(MonitoringTest, SeriesOfContainersCanBeSwitchedOff) {
  ASSERT_OK_AND_ASSIGN(OwnNode own,
                       OwnNode::Start("noseries", absl::StrCat("[metrics]\nlisten = \"", kMetrics,
                                                               "\"\ncontainers = \"false\"\n")));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeProbe("app", {"sleep"})));
  const std::string text = Fetch(absl::StrCat("http://", kMetrics, "/metrics")).output;
  EXPECT_THAT(text, AllOf(HasSubstr("berth_pods"), Not(HasSubstr("pod=\""))));
}

TEST_F(MonitoringTest, AnAddressOfTheNetworkIsRefused) {
  const auto own = OwnNode::Start("exposed", "[metrics]\nlisten = \"0.0.0.0:9476\"\n");
  EXPECT_FALSE(own.ok());
}

TEST_F(MonitoringTest, WhatIsNotLoggedIsCountedWhileItIsLost) {
  ASSERT_OK_AND_ASSIGN(OwnNode own,
                       OwnNode::Start("lossy", absl::StrCat("[metrics]\nlisten = \"", kMetrics,
                                                            "\"\n[container]\nlog_max_bytes = "
                                                            "\"20\"\n")));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeProbe("app", {"eat-memory", "4096"})));
  EXPECT_TRUE(Eventually(absl::Seconds(60), [&] {
    const std::string text = Fetch(absl::StrCat("http://", kMetrics, "/metrics")).output;
    return absl::StrContains(text, "\nberth_container_log_dropped_bytes_total ") &&
           !absl::StrContains(text, "\nberth_container_log_dropped_bytes_total 0\n");
  }));
}

TEST_F(MonitoringTest, PrometheusTakesAllAndTheDashboardHasData) {
  if (access(kPrometheus, X_OK) != 0 || access(kPromtool, X_OK) != 0)
    GTEST_SKIP() << "needs Debian's prometheus package";
  const std::string monitoring = BERTH_SOURCE_DIR "/contrib/monitoring";
  EXPECT_EQ(Run({kPromtool, "check", "rules", monitoring + "/alerts.yaml"}).code, 0);
  const Ran rules = Run({kPromtool, "test", "rules", monitoring + "/alerts_test.yaml"});
  EXPECT_EQ(rules.code, 0) << rules.output;

  ASSERT_OK_AND_ASSIGN(OwnNode own, OwnNode::Start("scraped", absl::StrCat("[metrics]\nlisten = \"",
                                                                           kMetrics, "\"\n")));
  const std::string metrics = NodeDir() + "/scrape.txt";
  const Ran scrape = Fetch(absl::StrCat("http://", kMetrics, "/metrics"), {"-o", metrics});
  ASSERT_EQ(scrape.code, 0) << scrape.output;
  const Ran lint = Run({"/bin/sh", "-c", absl::StrCat(kPromtool, " check metrics < ", metrics)});
  EXPECT_EQ(lint.code, 0) << lint.output;

  const std::string directory = NodeDir() + "/prometheus";
  ASSERT_EQ(mkdir(directory.c_str(), 0755), 0);
  std::ofstream(directory + "/config.yaml")
      << "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
      << "rule_files: ['" << monitoring << "/alerts.yaml']\n"
      << "scrape_configs:\n  - job_name: berth\n    static_configs: [{targets: ['" << kMetrics
      << "']}]\n";
  ASSERT_OK_AND_ASSIGN(
      Subprocess prometheus,
      Subprocess::Start({.argv = {kPrometheus, "--config.file=" + directory + "/config.yaml",
                                  "--storage.tsdb.path=" + directory + "/data",
                                  absl::StrCat("--web.listen-address=", kPrometheusAddress)},
                         .output_path = directory + "/log"}));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(own.client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeProbe("app", {"sleep"})));
  // One of each that went wrong, so that its counter is there.
  EXPECT_FALSE(
      own.client().Pull(absl::StrReplaceAll(node().probe_image(), {{":latest", ":no"}})).ok());

  const auto query = [&](const std::string& expression) -> Json {
    const Ran ran = Fetch(absl::StrCat("http://", kPrometheusAddress, "/api/v1/query"),
                          {"-G", "--data-urlencode", "query=" + expression});
    const Json reply = Json::parse(ran.output, nullptr, false);
    if (reply.is_discarded() || reply.value("status", "") != "success") return Json::array();
    return reply["data"]["result"];
  };
  ASSERT_TRUE(Eventually(absl::Seconds(90), [&] { return !query("up == 1").empty(); }))
      << prometheus.Output();
  std::ifstream file(monitoring + "/dashboard.json");
  const Json dashboard = Json::parse(file);
  int queries = 0;
  for (const Json& panel : dashboard["panels"]) {
    for (const Json& target : panel["targets"]) {
      const std::string expression = absl::StrReplaceAll(
          target["expr"].get<std::string>(), {{"$__rate_interval", "60s"}, {"$instance", ".*"}});
      // Each poll of an answer with NaN or none: a rate needs two scrapes after the first event.
      const bool has_data = Eventually(absl::Seconds(60), [&] {
        // What makes the counters of calls move.
        own.client().Call(&Runtime::Version, {}).IgnoreError();
        EXPECT_FALSE(own.client().ContainerStatus("0123456789abcdef").ok());
        auto short_lived = Pod::Run(own.client(), MakePodConfig(Name("-short")));
        if (short_lived.ok()) short_lived->RunContainer(MakeProbe("c", {"sleep"})).IgnoreError();
        return !query(expression).empty();
      });
      EXPECT_TRUE(has_data) << panel["title"] << ": " << expression;
      ++queries;
    }
  }
  EXPECT_GT(queries, 15);
  prometheus.Signal(SIGTERM);
  EXPECT_EQ(prometheus.Wait(absl::Seconds(30)).value_or(-1), 0);
}

TEST_F(MonitoringTest, WhyNamesTheFailingStepAndWhatToDo) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  cri::ContainerConfig config = MakeProbe("broken", {});
  config.clear_command();
  config.add_command("/no-such-program");
  ASSERT_OK_AND_ASSIGN(const std::string id, pod.Create(config));
  EXPECT_FALSE(client().Start(id).ok());
  for (const std::string& object : {pod.id().substr(0, 13), Name(), id}) {
    const Ran why = Berth({"why", object});
    EXPECT_EQ(why.code, 1) << why.output;
    EXPECT_THAT(why.output,
                AllOf(HasSubstr("FAILED in launch"), HasSubstr("cause: "),
                      HasSubstr("no-such-program"), HasSubstr("the image has no such program")));
  }
  EXPECT_THAT(Berth({"why", pod.id()}).output, HasSubstr("RunPodSandbox"));
  const Ran json = Berth({"why", id, "-o", "json"});
  EXPECT_EQ(Json::parse(json.output)["operations"].back()["code"], "NOT_FOUND") << json.output;
  const Ran unknown = Berth({"why", "no-such-pod"});
  EXPECT_NE(unknown.code, 0);
  EXPECT_THAT(unknown.output, HasSubstr("nothing is known"));
}

TEST_F(MonitoringTest, WhyKnowsAPodThatNeverCameUp) {
  cri::PodSandboxConfig config = MakePodConfig(Name());
  config.set_log_directory("/proc/no/such/place");
  EXPECT_FALSE(Pod::Run(client(), config).ok());
  const Ran why = Berth({"why", Name()});
  EXPECT_EQ(why.code, 1);
  EXPECT_THAT(why.output, HasSubstr("RunPodSandbox of"));
  EXPECT_THAT(why.output, HasSubstr("failed in its step \"files\""));
}

TEST_F(MonitoringTest, EventsAreShownAndFiltered) {
  std::string id;
  {
    ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
    ASSERT_OK_AND_ASSIGN(id, pod.RunContainer(MakeProbe("c", {"exit", "3"})));
    ASSERT_OK(client().WaitExit(id));
  }
  ASSERT_TRUE(Eventually(absl::Seconds(20), [&] {
    return absl::StrContains(Berth({"events", "--filter", "id=" + id}).output, "deleted");
  }));
  const Ran all = Berth({"events", "--filter", "id=" + id});
  EXPECT_THAT(all.output, HasSubstr("exit 3, Error"));
  const Ran stopped =
      Berth({"events", "--filter", "id=" + id, "--filter", "type=stopped", "-o", "json"});
  const Json event = Json::parse(stopped.output, nullptr, false);
  ASSERT_FALSE(event.is_discarded()) << "one line: " << stopped.output;
  EXPECT_EQ(event["kind"], "container");
  EXPECT_EQ(event["detail"], "exit 3, Error");
  EXPECT_NE(Berth({"events", "--filter", "colour=red"}).code, 0);
}

TEST_F(MonitoringTest, EventsAreFollowed) {
  const std::string path = NodeDir() + "/followed-" + Name();
  ASSERT_OK_AND_ASSIGN(Subprocess follow,
                       Subprocess::Start({.argv = {BERTH_BIN_DIR "/berth", "--socket",
                                                   node().daemon().socket(), "events", "-f"},
                                          .output_path = path}));
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  EXPECT_TRUE(Eventually(absl::Seconds(20), [&] {
    return absl::StrContains(follow.Output(), pod.id().substr(0, 13));
  })) << follow.Output();
  follow.Signal(SIGINT);
  EXPECT_EQ(follow.Wait(absl::Seconds(20)).value_or(-1), 0);
}

TEST_F(MonitoringTest, TopPrintsOnceIntoAPipe) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeProbe("app", {"sleep"})));
  const Ran top = Berth({"top"});
  EXPECT_EQ(top.code, 0) << top.output;
  EXPECT_THAT(top.output, AllOf(HasSubstr("1 pods, 1 containers"), HasSubstr("/app"),
                                HasSubstr("MEMORY"), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(Berth({"top", "--pods"}).output, HasSubstr(Name()));
}

TEST_F(MonitoringTest, TopIsDrivenByKeysOnATerminal) {
  ASSERT_OK_AND_ASSIGN(Pod pod, Pod::Run(client(), MakePodConfig(Name())));
  ASSERT_OK(pod.RunContainer(MakeProbe("talker", {"eat-memory", "4096"})));
  ASSERT_OK(pod.RunContainer(MakeProbe("other", {"sleep"})));
  ASSERT_OK_AND_ASSIGN(
      Terminal top, Terminal::Start(node().daemon().socket(), {"top", "--delay", "0.2"}, 24, 160));
  ASSERT_OK(top.Expect("/other"));
  ASSERT_OK(top.Type("m"));
  ASSERT_OK(top.Expect(">MEMORY"));
  ASSERT_OK(top.Type("/talk\r"));
  ASSERT_OK(top.Expect("1 shown"));
  ASSERT_OK(top.Type("l"));
  ASSERT_OK(top.Expect("eaten"));
  ASSERT_OK(top.Expect("a key goes back"));
  ASSERT_OK(top.Type(" i"));
  ASSERT_OK(top.Expect("\"talker\""));
  ASSERT_OK(top.Expect("a key goes back"));
  ASSERT_OK(top.Type(" p"));
  ASSERT_OK(top.Expect("RECEIVED"));
  ASSERT_OK(top.Type("q"));
  EXPECT_EQ(top.Wait(), 0);
  EXPECT_TRUE(top.IsCooked());
  ASSERT_OK_AND_ASSIGN(Terminal interrupted,
                       Terminal::Start(node().daemon().socket(), {"top"}, 24, 160));
  ASSERT_OK(interrupted.Expect("/other"));
  ASSERT_OK(interrupted.Type("\x03"));
  EXPECT_EQ(interrupted.Wait(), 0);
  EXPECT_TRUE(interrupted.IsCooked());
}

TEST_F(MonitoringTest, DoctorLooksAtDaemonAndNode) {
  const Ran doctor = Berth({"doctor"});
  for (const char* part : {"berthd", "RuntimeReady", "NetworkReady", "kernel", "cgroups", "disk",
                           "socket", "kubelet", "crictl", "OK"})
    EXPECT_THAT(doctor.output, HasSubstr(part));
  EXPECT_THAT(doctor.output, HasSubstr("driver cgroupfs"));
}

}  // namespace
}  // namespace berth::e2e
