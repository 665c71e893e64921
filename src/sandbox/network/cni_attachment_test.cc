#include "src/sandbox/network/cni_attachment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/sandbox/network/cni_network.h"

namespace berth {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

PodAttachment Pod() {
  PodAttachment pod;
  pod.pod_id = "id1";
  pod.name = "web";
  pod.pod_namespace = "shop";
  pod.uid = "u1";
  return pod;
}

CniNetworkList List() {
  return ParseCniConfig(R"({"name": "pods", "cniVersion": "1.0.0", "plugins": [
      {"type": "a", "capabilities": {"portMappings": true, "bandwidth": true, "dns": true, "mac": true,
                                     "ips": true, "io.kubernetes.cri.pod-annotations": true}},
      {"type": "b"}]})")
      .value();
}

TEST(CniEnvironment, IsMinimalAndComplete) {
  const CniAttachment attachment = MakeCniAttachment(Pod(), List(), "/run/netns/x").value();
  EXPECT_THAT(CniEnvironment(CniCommand::kAdd, "/a:/b", attachment, "/run/netns/x"),
              ElementsAre(HasSubstr("PATH=/"), "CNI_COMMAND=ADD", "CNI_PATH=/a:/b",
                          "CNI_CONTAINERID=id1", "CNI_NETNS=/run/netns/x", "CNI_IFNAME=eth0",
                          "CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;"
                          "K8S_POD_INFRA_CONTAINER_ID=id1;K8S_POD_UID=u1"));
}

TEST(CniInput, HasTheRuntimeConfigThatThePluginDeclares) {
  PodAttachment pod = Pod();
  pod.ports = {
      {.protocol = PortProtocol::kSctp, .container_port = 80, .host_port = 8080, .host_ip = "::1"}};
  pod.dns = {.servers = {"10.0.0.10"}, .searches = {"svc"}, .options = {}};
  pod.annotations = {{"kubernetes.io/ingress-bandwidth", "1M"},
                     {"cni.berth.dev/mac", "02:00:00:00:00:01"},
                     {"cni.berth.dev/ips", R"(["10.0.0.7/24"])"}};
  const CniNetworkList list = List();
  const CniAttachment attachment = MakeCniAttachment(pod, list, "/n").value();
  const Json input = Json::parse(CniInput(list, list.plugins[0], attachment.capabilities, nullptr));
  EXPECT_EQ(input["name"], "pods");
  EXPECT_EQ(input["cniVersion"], "1.0.0");
  EXPECT_FALSE(input.contains("prevResult"));
  const Json& runtime = input["runtimeConfig"];
  EXPECT_EQ(runtime["portMappings"], Json::parse(R"([{"hostPort": 8080, "containerPort": 80,
                                                      "protocol": "sctp", "hostIP": "::1"}])"));
  EXPECT_EQ(runtime["bandwidth"]["ingressRate"], 1'000'000);
  EXPECT_FALSE(runtime["bandwidth"].contains("egressRate"));
  EXPECT_EQ(runtime["dns"], Json::parse(R"({"servers": ["10.0.0.10"], "searches": ["svc"]})"));
  EXPECT_EQ(runtime["mac"], "02:00:00:00:00:01");
  EXPECT_EQ(runtime["ips"], Json::array({"10.0.0.7/24"}));
  EXPECT_EQ(runtime["io.kubernetes.cri.pod-annotations"].size(), 3u);

  const Json other =
      Json::parse(CniInput(list, list.plugins[1], attachment.capabilities, {{"ips", 1}}));
  EXPECT_FALSE(other.contains("runtimeConfig"));
  EXPECT_EQ(other["prevResult"]["ips"], 1);
}

TEST(CniGcInput, ListsWhatIsAlive) {
  const CniNetworkList list = List();
  EXPECT_EQ(Json::parse(CniGcInput(list, list.plugins[1], {"p"}))["cni.dev/valid-attachments"],
            Json::parse(R"([{"containerID": "p", "ifname": "eth0"}])"));
}

TEST(MakeCniAttachment, RefusesNamesThatWouldForgeArguments) {
  for (const char* name : {"a;K8S_POD_NAME=b", "a=b"}) {
    PodAttachment pod = Pod();
    pod.name = name;
    EXPECT_TRUE(absl::IsInvalidArgument(MakeCniAttachment(pod, List(), "/n").status())) << name;
  }
}

TEST(MakeCniAttachment, RefusesWhatCouldNotBeReadBack) {
  PodAttachment pod = Pod();
  pod.annotations["large"] = std::string(2 << 20, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(MakeCniAttachment(pod, List(), "/n").status()));
  pod.annotations = {{"cni.berth.dev/ips", std::string(60, '[') + std::string(60, ']')}};
  const auto deep = MakeCniAttachment(pod, List(), "/n");
  ASSERT_TRUE(deep.ok()) << deep.status();
  EXPECT_TRUE(DecodeCniAttachment(EncodeCniAttachment(*deep)).ok());
}

TEST(DecodeCniAttachment, GivesBackWhatWasStoredAndRefusesDamage) {
  CniAttachment attachment = MakeCniAttachment(Pod(), List(), "/n").value();
  attachment.state = AttachmentState::kRemoving;
  attachment.result = {{"ips", Json::array()}};
  const AttachmentRow row = EncodeCniAttachment(attachment);
  const auto again = DecodeCniAttachment(row);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->pod_id, "id1");
  EXPECT_EQ(again->pod_namespace, "shop");
  EXPECT_EQ(again->state, AttachmentState::kRemoving);
  EXPECT_EQ(again->netns, "/n");
  EXPECT_EQ(again->result, attachment.result);
  EXPECT_EQ(CniConfigJson(again->network), CniConfigJson(attachment.network));
  for (const char* text : {"", "{}", "[]", R"({"network": {"name": "x"}})", R"({"name": 7})"}) {
    EXPECT_TRUE(absl::IsDataLoss(
        DecodeCniAttachment({.pod_id = "a", .network = "n", .record = text}).status()))
        << text;
  }
}

TEST(RenderCniTemplate, FillsInSubnetsAndRefusesWhatItDoesNotKnow) {
  const auto rendered = RenderCniTemplate(
      R"({"name": "n", "type": "t", "subnet": "{{.PodCIDR}}", "ranges": {{.PodCIDRRanges}}, "routes": {{.Routes}}})",
      {"10.1.0.0/24", "fd00::/64"});
  ASSERT_TRUE(rendered.ok()) << rendered.status();
  const Json config = Json::parse(*rendered);
  EXPECT_EQ(config["subnet"], "10.1.0.0/24");
  EXPECT_EQ(config["ranges"],
            Json::parse(R"([[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]])"));
  EXPECT_EQ(config["routes"], Json::parse(R"([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])"));
  EXPECT_FALSE(RenderCniTemplate(R"({"name": "n", "type": "{{.Other}}"})", {"10.1.0.0/24"}).ok());
  EXPECT_FALSE(RenderCniTemplate(R"({"name": "n", "type": "t"})", {"nonsense"}).ok());
  EXPECT_FALSE(RenderCniTemplate(R"({"name": "n", "type": "t"})", {}).ok());
  EXPECT_FALSE(RenderCniTemplate("{", {"10.1.0.0/24"}).ok());
}

}  // namespace
}  // namespace berth
