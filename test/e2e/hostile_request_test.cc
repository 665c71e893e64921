// S-45, I-16: a request with one hostile value, for every field of every request of the CRI. It is
// refused by its field, or served where the value is of no harm; it is never an unknown or internal
// error, and the node is as it was.
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/e2e/hostile_request.h"
#include "test/e2e/raw_call.h"
#include "test/e2e/with_pod.h"

namespace berth::e2e {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

// Text that is the client's own: kept and given back as it is.
constexpr std::array kAnyText = {"PodSandboxConfig.labels", "PodSandboxConfig.annotations",
                                 "ContainerConfig.labels", "ContainerConfig.annotations",
                                 // Secrets go to the registry as they are.
                                 "AuthConfig.username", "AuthConfig.password", "AuthConfig.auth",
                                 "AuthConfig.server_address", "AuthConfig.identity_token",
                                 "AuthConfig.registry_token",
                                 // Counts only without the field that replaced it.
                                 "LinuxContainerSecurityContext.seccomp_profile_path"};
// A process may be given any byte but NUL.
constexpr std::array kAnyByteButNul = {"ContainerConfig.command",
                                       "ContainerConfig.args",
                                       "KeyValue.key",
                                       "KeyValue.value",
                                       "ExecSyncRequest.cmd",
                                       "ExecRequest.cmd",
                                       "LinuxContainerResources.unified"};

template <class Table>
bool Contains(const Table& table, const std::string& name) {
  return std::find(table.begin(), table.end(), name) != table.end();
}

// What is only compared with what there is: nothing is found. What there is not is stopped and
// removed already.
bool IsOnlyLookedFor(const std::string& method, const std::string& path) {
  return absl::StartsWith(path, "filter.") || method == "ImageStatus" ||
         absl::StartsWith(method, "Stop") || absl::StartsWith(method, "Remove");
}

// Fields that Berth does not look at: their values cannot be refused.
std::set<std::string> IgnoredFields() {
  std::set<std::string> ignored;
  std::ifstream file(BERTH_SOURCE_DIR "/api/cri/coverage.tsv");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> cells = absl::StrSplit(line, '\t');
    if (cells.size() == 4 && cells[2] == "ignored") ignored.insert(cells[0] + "." + cells[1]);
  }
  EXPECT_FALSE(ignored.empty());
  return ignored;
}

class HostileRequestTest : public WithPod<E2eTest> {
 protected:
  void SetUp() override {
    WithPod<E2eTest>::SetUp();
    if (HasFatalFailure()) return;
    ASSERT_OK_AND_ASSIGN(container_, pod().RunContainer(MakeKubeletProbe("subject", {"sleep"})));
    daemon_ = node().daemon().pid();
    raw_.emplace(node().daemon().socket());
  }
  void TearDown() override {
    EXPECT_EQ(node().daemon().pid(), daemon_);
    EXPECT_OK(client().Call(&Runtime::Version, cri::VersionRequest())) << "after " << last_;
    raw_.reset();
    WithPod<E2eTest>::TearDown();
  }

  // Sends each hostile form of each method's request that `wanted` names.
  void SendAll(const std::function<bool(const std::string& method)>& wanted) {
    const std::set<std::string> ignored = IgnoredFields();
    const auto& file = *cri::VersionRequest::descriptor()->file();
    for (int i = 0; i < file.service_count(); ++i) {
      for (int j = 0; j < file.service(i)->method_count(); ++j) {
        const MethodDescriptor& method = *file.service(i)->method(j);
        if (!wanted(method.name())) continue;
        const std::unique_ptr<Message> good = GoodRequest(method);
        ForEachHostileRequest(*good, [&](const HostileRequest& hostile) {
          const auto first =
              std::find_if(hostile.fields.begin(), hostile.fields.end(),
                           [&](const std::string& field) { return ignored.contains(field); });
          const bool unseen = first != hostile.fields.end();
          // A pull takes its time, and what is in an ignored field is all the same.
          if (unseen && method.name() == "PullImage" && first + 1 != hostile.fields.end()) return;
          SendOne(method, hostile, unseen || IsOnlyLookedFor(method.name(), hostile.path));
        });
      }
    }
    RecordProperty("requests", absl::StrCat(sent_));
  }

 private:
  std::unique_ptr<Message> GoodRequest(const MethodDescriptor& method) {
    std::unique_ptr<Message> request(google::protobuf::MessageFactory::generated_factory()
                                         ->GetPrototype(method.input_type())
                                         ->New());
    // What ends something is asked for what there is not.
    const bool ends = absl::StartsWith(method.name(), "Stop") ||
                      absl::StartsWith(method.name(), "Remove") ||
                      method.name() == "StartContainer";
    SetString(*request, "container_id", ends ? std::string(64, 'e') : container_);
    SetString(*request, "pod_sandbox_id", ends ? std::string(64, 'e') : pod().id());
    FillIn(*request);
    return request;
  }
  static void SetString(Message& message, const std::string& field, const std::string& value) {
    const auto* found = message.GetDescriptor()->FindFieldByName(field);
    if (found != nullptr) message.GetReflection()->SetString(&message, found, value);
  }
  void FillIn(Message& message) {
    if (auto* run = dynamic_cast<cri::RunPodSandboxRequest*>(&message)) {
      *run->mutable_config() = MakeKubeletPodConfig(Name("-made"));
      run->mutable_config()->mutable_port_mappings(0)->set_host_port(29480);
      (*run->mutable_config()->mutable_linux()->mutable_sysctls())["net.ipv4.ip_forward"] = "0";
    } else if (auto* create = dynamic_cast<cri::CreateContainerRequest*>(&message)) {
      *create->mutable_config() = MakeKubeletProbe("made", {"exit", "0"});
      *create->mutable_sandbox_config() = pod().config();
    } else if (auto* sync = dynamic_cast<cri::ExecSyncRequest*>(&message)) {
      for (const char* word : {"/probe", "exit", "0"}) sync->add_cmd(word);
      sync->set_timeout(30);
    } else if (auto* exec = dynamic_cast<cri::ExecRequest*>(&message)) {
      for (const char* word : {"/probe", "exit", "0"}) exec->add_cmd(word);
      exec->set_stdout(true);
    } else if (auto* attach = dynamic_cast<cri::AttachRequest*>(&message)) {
      attach->set_stdout(true);
    } else if (auto* forward = dynamic_cast<cri::PortForwardRequest*>(&message)) {
      forward->add_port(80);
    } else if (auto* pull = dynamic_cast<cri::PullImageRequest*>(&message)) {
      pull->mutable_image()->set_image(node().probe_image());
    } else if (auto* remove = dynamic_cast<cri::RemoveImageRequest*>(&message)) {
      remove->mutable_image()->set_image("registry.invalid/none:v1");
    } else if (auto* image = dynamic_cast<cri::ImageStatusRequest*>(&message)) {
      image->mutable_image()->set_image(node().probe_image());
    } else if (auto* stop = dynamic_cast<cri::StopContainerRequest*>(&message)) {
      stop->set_timeout(1);
    }
  }

  // `harmless`: no value of the field can be refused.
  void SendOne(const MethodDescriptor& method, const HostileRequest& hostile, bool harmless) {
    ++sent_;
    last_ = absl::StrCat(method.name(), " ", hostile.path, ": ", hostile.what);
    const std::string name = absl::StrCat("/", method.service()->full_name(), "/", method.name());
    const auto answers = raw_->Call(name, hostile.bytes);
    ExpectRightCode(method, hostile, answers.status(), harmless);
    if (answers.ok() && !answers->empty()) Undo(method, (*answers)[0]);
  }

  void ExpectRightCode(const MethodDescriptor& method, const HostileRequest& hostile,
                       const absl::Status& status, bool harmless) {
    // A kubelet knows this sentinel only with this code.
    const bool registry = method.name() == "PullImage" && absl::IsUnknown(status) &&
                          absl::StartsWith(status.message(), "RegistryUnavailable: ");
    if (!registry) {
      EXPECT_CODE(status, kOk, kInvalidArgument, kNotFound, kFailedPrecondition, kAlreadyExists,
                  kUnimplemented, kPermissionDenied)
          << last_;
    }
    EXPECT_LE(status.message().size(), 4096u) << last_;
    const bool unimplemented = absl::IsUnimplemented(status);
    if (hostile.hostility == Hostility::kNotUtf8) {
      EXPECT_CODE(status, kInvalidArgument) << last_;
    } else if (hostile.hostility == Hostility::kControl && !harmless && !unimplemented &&
               !Contains(kAnyText, hostile.fields.back()) &&
               (absl::StrContains(hostile.what, "NUL") ||
                !Contains(kAnyByteButNul, hostile.fields.back()))) {
      EXPECT_CODE(status, kInvalidArgument, kNotFound) << last_;
    }
  }

  // What was accepted is started, for the same codes, and taken away.
  void Undo(const MethodDescriptor& method, const std::string& answer) {
    if (method.name() == "RunPodSandbox") {
      cri::RunPodSandboxResponse made;
      ASSERT_TRUE(made.ParseFromString(answer));
      if (made.pod_sandbox_id() == pod().id()) return;
      EXPECT_OK(client().RemovePod(made.pod_sandbox_id())) << last_;
    }
    if (method.name() != "CreateContainer") return;
    cri::CreateContainerResponse made;
    ASSERT_TRUE(made.ParseFromString(answer));
    if (made.container_id() == container_) return;
    EXPECT_CODE(client().Start(made.container_id()), kOk, kInvalidArgument, kNotFound,
                kFailedPrecondition, kPermissionDenied)
        << "start of " << last_;
    EXPECT_OK(client().Remove(made.container_id())) << last_;
  }

  std::optional<RawCaller> raw_;
  std::string container_, last_;
  pid_t daemon_ = 0;
  int sent_ = 0;
};

TEST_F(HostileRequestTest, S_45_PodsAreRefusedByTheFieldOrServed) {
  SendAll([](const std::string& method) { return method == "RunPodSandbox"; });
}

TEST_F(HostileRequestTest, S_45_ContainersAreRefusedByTheFieldOrServed) {
  SendAll([](const std::string& method) { return method == "CreateContainer"; });
}

TEST_F(HostileRequestTest, S_45_ImagesAreRefusedByTheFieldOrServed) {
  SendAll([](const std::string& method) { return absl::StrContains(method, "Image"); });
}

TEST_F(HostileRequestTest, S_45_AllOtherRequestsAreRefusedByTheFieldOrServed) {
  SendAll([](const std::string& method) {
    return method != "RunPodSandbox" && method != "CreateContainer" &&
           !absl::StrContains(method, "Image");
  });
}

TEST_F(HostileRequestTest, I_16_BytesThatAreNoMessageAreRefused) {
  RawCaller raw(node().daemon().socket());
  const auto& file = *cri::VersionRequest::descriptor()->file();
  int refused = 0;
  for (int i = 0; i < file.service_count(); ++i) {
    for (int j = 0; j < file.service(i)->method_count(); ++j) {
      const MethodDescriptor& method = *file.service(i)->method(j);
      if (method.name() == "GetContainerEvents") continue;  // its request has no field: not read
      const auto answer = raw.Call(
          absl::StrCat("/", method.service()->full_name(), "/", method.name()), "\x0a\xff\xff\xff");
      EXPECT_CODE(answer, kInvalidArgument) << method.name();
      ++refused;
    }
  }
  EXPECT_GT(refused, 40);
}

TEST_F(HostileRequestTest, MessageBeyondTheLimitIsRefusedAndTheNextIsServed) {
  RawCaller raw(node().daemon().socket());
  EXPECT_CODE(raw.Call("/runtime.v1.RuntimeService/Version", std::string((16 << 20) + 1, 'a')),
              kResourceExhausted);
  EXPECT_OK(raw.Call("/runtime.v1.RuntimeService/Version", ""));
}

TEST_F(HostileRequestTest, MethodsThatAreNotThereAreUnimplemented) {
  RawCaller raw(node().daemon().socket());
  for (const char* method : {"/runtime.v1.RuntimeService/NoSuch", "/no.Service/No", "/", "/a"})
    EXPECT_EQ(raw.Call(method, "").status().code(), absl::StatusCode::kUnimplemented) << method;
}

}  // namespace
}  // namespace berth::e2e
