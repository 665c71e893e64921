// For tests: a daemon in this process that keeps pods, containers and images in maps and answers on
// a unix socket. It runs nothing: a started container writes a given log and exits, or stays
// running. Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "berth/v1/berth.grpc.pb.h"
#include "cri/runtime/v1/api.grpc.pb.h"

namespace berth::cli {

namespace cri = ::runtime::v1;

class FakeBerthd : public cri::RuntimeService::Service,
                   public cri::ImageService::Service,
                   public v1::BerthService::Service {
 public:
  struct Pod {
    cri::PodSandboxConfig config;
    bool ready = true;
  };
  struct Container {
    std::string pod_id;
    cri::ContainerConfig config;
    cri::ContainerState state = cri::CONTAINER_CREATED;
    int exit_code = 0;
  };

  // What a started container does.
  struct Script {
    std::string log;  // in CRI format
    int exit_code = 0;
    bool stays = false;  // keeps running until it is stopped; then its exit code is 143
    grpc::Status start_status;
    grpc::Status remove_status;  // of RemovePodSandbox
  };

  explicit FakeBerthd(const std::string& dir) : socket_(dir + "/berth.sock") {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
    builder.RegisterService(static_cast<cri::RuntimeService::Service*>(this));
    builder.RegisterService(static_cast<cri::ImageService::Service*>(this));
    builder.RegisterService(static_cast<v1::BerthService::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~FakeBerthd() override { server_->Shutdown(); }

  const std::string& socket() const { return socket_; }

  void SetScript(Script script) {
    const absl::MutexLock lock(&mu_);
    script_ = std::move(script);
  }
  void AddImage(const std::string& tag, const std::string& id) {
    const absl::MutexLock lock(&mu_);
    images_[tag] = id;
  }
  std::string AddPod(const std::string& id, const cri::PodSandboxConfig& config) {
    const absl::MutexLock lock(&mu_);
    pods_[id] = {.config = config};
    return id;
  }
  void AddContainer(const std::string& id, const Container& container) {
    const absl::MutexLock lock(&mu_);
    containers_[id] = container;
  }
  std::map<std::string, Pod> pods() const {
    const absl::MutexLock lock(&mu_);
    return pods_;
  }
  std::map<std::string, Container> containers() const {
    const absl::MutexLock lock(&mu_);
    return containers_;
  }
  std::map<std::string, std::string> images() const {
    const absl::MutexLock lock(&mu_);
    return images_;
  }

  grpc::Status Version(grpc::ServerContext*, const cri::VersionRequest*,
                       cri::VersionResponse* reply) override {
    reply->set_runtime_name("berthd");
    reply->set_runtime_version("9.9.9");
    reply->set_runtime_api_version("v1");
    return grpc::Status::OK;
  }

  grpc::Status ListPodSandbox(grpc::ServerContext*, const cri::ListPodSandboxRequest*,
                              cri::ListPodSandboxResponse* reply) override {
    const absl::MutexLock lock(&mu_);
    for (const auto& [id, pod] : pods_) {
      cri::PodSandbox* item = reply->add_items();
      item->set_id(id);
      *item->mutable_metadata() = pod.config.metadata();
      *item->mutable_labels() = pod.config.labels();
      item->set_state(pod.ready ? cri::SANDBOX_READY : cri::SANDBOX_NOTREADY);
    }
    return grpc::Status::OK;
  }

  grpc::Status PodSandboxStatus(grpc::ServerContext*, const cri::PodSandboxStatusRequest* request,
                                cri::PodSandboxStatusResponse* reply) override {
    const absl::MutexLock lock(&mu_);
    const auto pod = pods_.find(request->pod_sandbox_id());
    if (pod == pods_.end()) return {grpc::NOT_FOUND, "pod is not there"};
    reply->mutable_status()->set_id(pod->first);
    reply->mutable_status()->mutable_network()->set_ip("10.88.0.2");
    return grpc::Status::OK;
  }

  grpc::Status RunPodSandbox(grpc::ServerContext*, const cri::RunPodSandboxRequest* request,
                             cri::RunPodSandboxResponse* reply) override {
    const absl::MutexLock lock(&mu_);
    reply->set_pod_sandbox_id(NextId());
    pods_[reply->pod_sandbox_id()] = {.config = request->config()};
    std::filesystem::create_directories(request->config().log_directory());
    return grpc::Status::OK;
  }

  grpc::Status StopPodSandbox(grpc::ServerContext*, const cri::StopPodSandboxRequest* request,
                              cri::StopPodSandboxResponse*) override {
    const absl::MutexLock lock(&mu_);
    const auto pod = pods_.find(request->pod_sandbox_id());
    if (pod != pods_.end()) pod->second.ready = false;
    for (auto& [id, container] : containers_) {
      if (container.pod_id == request->pod_sandbox_id()) End(&container, 137);
    }
    return grpc::Status::OK;
  }

  grpc::Status RemovePodSandbox(grpc::ServerContext*, const cri::RemovePodSandboxRequest* request,
                                cri::RemovePodSandboxResponse*) override {
    const absl::MutexLock lock(&mu_);
    if (!script_.remove_status.ok()) return script_.remove_status;
    pods_.erase(request->pod_sandbox_id());
    std::erase_if(containers_, [&](const auto& entry) {
      return entry.second.pod_id == request->pod_sandbox_id();
    });
    return grpc::Status::OK;
  }

  grpc::Status ListContainers(grpc::ServerContext*, const cri::ListContainersRequest* request,
                              cri::ListContainersResponse* reply) override {
    const absl::MutexLock lock(&mu_);
    const cri::ContainerFilter& filter = request->filter();
    for (const auto& [id, container] : containers_) {
      if (filter.has_state() && filter.state().state() != container.state) continue;
      if (!filter.pod_sandbox_id().empty() && filter.pod_sandbox_id() != container.pod_id) continue;
      cri::Container* item = reply->add_containers();
      item->set_id(id);
      item->set_pod_sandbox_id(container.pod_id);
      item->set_state(container.state);
      *item->mutable_metadata() = container.config.metadata();
      *item->mutable_image() = container.config.image();
    }
    return grpc::Status::OK;
  }

  grpc::Status ContainerStatus(grpc::ServerContext*, const cri::ContainerStatusRequest* request,
                               cri::ContainerStatusResponse* reply) override {
    const absl::MutexLock lock(&mu_);
    const auto found = containers_.find(request->container_id());
    if (found == containers_.end()) return {grpc::NOT_FOUND, "container is not there"};
    const Container& container = found->second;
    cri::ContainerStatus* status = reply->mutable_status();
    status->set_id(found->first);
    status->set_state(container.state);
    status->set_exit_code(container.exit_code);
    if (!container.config.log_path().empty()) status->set_log_path(LogPath(container));
    return grpc::Status::OK;
  }

  grpc::Status CreateContainer(grpc::ServerContext*, const cri::CreateContainerRequest* request,
                               cri::CreateContainerResponse* reply) override {
    const absl::MutexLock lock(&mu_);
    reply->set_container_id(NextId());
    containers_[reply->container_id()] = {.pod_id = request->pod_sandbox_id(),
                                          .config = request->config()};
    return grpc::Status::OK;
  }

  grpc::Status StartContainer(grpc::ServerContext*, const cri::StartContainerRequest* request,
                              cri::StartContainerResponse*) override {
    const absl::MutexLock lock(&mu_);
    if (!script_.start_status.ok()) return script_.start_status;
    Container& container = containers_[request->container_id()];
    std::ofstream(LogPath(container)) << script_.log;
    container.state = cri::CONTAINER_RUNNING;
    if (!script_.stays) End(&container, script_.exit_code);
    return grpc::Status::OK;
  }

  grpc::Status StopContainer(grpc::ServerContext*, const cri::StopContainerRequest* request,
                             cri::StopContainerResponse*) override {
    const absl::MutexLock lock(&mu_);
    const auto container = containers_.find(request->container_id());
    if (container != containers_.end()) End(&container->second, 143);
    return grpc::Status::OK;
  }

  grpc::Status RemoveContainer(grpc::ServerContext*, const cri::RemoveContainerRequest* request,
                               cri::RemoveContainerResponse*) override {
    const absl::MutexLock lock(&mu_);
    containers_.erase(request->container_id());
    return grpc::Status::OK;
  }

  // Says what it was asked to run on stdout; "missing" is no command; exits with 3.
  grpc::Status ExecSync(grpc::ServerContext*, const cri::ExecSyncRequest* request,
                        cri::ExecSyncResponse* reply) override {
    if (request->cmd(0) == "missing")
      return {grpc::UNKNOWN, "exec missing: No such file or directory"};
    for (const std::string& word : request->cmd()) *reply->mutable_stdout() += "<" + word + ">";
    reply->set_stderr("to stderr");
    reply->set_exit_code(3);
    return grpc::Status::OK;
  }

  grpc::Status ListImages(grpc::ServerContext*, const cri::ListImagesRequest*,
                          cri::ListImagesResponse* reply) override {
    const absl::MutexLock lock(&mu_);
    for (const auto& [tag, id] : images_) {
      cri::Image* image = reply->add_images();
      image->set_id(id);
      image->add_repo_tags(tag);
    }
    return grpc::Status::OK;
  }

  grpc::Status ImageStatus(grpc::ServerContext*, const cri::ImageStatusRequest* request,
                           cri::ImageStatusResponse* reply) override {
    const absl::MutexLock lock(&mu_);
    for (const auto& [tag, id] : images_) {
      if (tag == request->image().image() || id == request->image().image())
        reply->mutable_image()->set_id(id);
    }
    return grpc::Status::OK;
  }

  grpc::Status RemoveImage(grpc::ServerContext*, const cri::RemoveImageRequest* request,
                           cri::RemoveImageResponse*) override {
    const absl::MutexLock lock(&mu_);
    const std::string& name = request->image().image();
    std::erase_if(images_,
                  [&](const auto& entry) { return entry.first == name || entry.second == name; });
    return grpc::Status::OK;
  }

  // "absent..." is in no registry; "endless..." waits until the caller cancels.
  grpc::Status PullImage(grpc::ServerContext* context, const v1::PullImageRequest* request,
                         grpc::ServerWriter<v1::PullImageProgress>* writer) override {
    if (request->reference().rfind("absent", 0) == 0)
      return {grpc::NOT_FOUND, "no such image\x1b[2J"};
    v1::PullImageProgress progress;
    progress.set_layer("sha256:abc");
    progress.set_state("downloading");
    progress.set_total_bytes(1000);
    writer->Write(progress);
    if (request->reference().rfind("endless", 0) == 0) {
      kill(getpid(), SIGINT);
      while (!context->IsCancelled()) std::this_thread::yield();
      return grpc::Status::CANCELLED;
    }
    progress.set_state("done");
    writer->Write(progress);
    progress.Clear();
    progress.set_image_id("sha256:feed");
    writer->Write(progress);
    AddImage(request->reference(), "sha256:feed");
    return grpc::Status::OK;
  }

  grpc::Status InspectImage(grpc::ServerContext*, const v1::InspectImageRequest* request,
                            v1::InspectImageResponse* reply) override {
    const absl::MutexLock lock(&mu_);
    const auto found = images_.find(request->reference());
    if (found == images_.end()) return {grpc::NOT_FOUND, "no such image"};
    reply->set_id(found->second);
    reply->set_config(R"({"history":[{"created_by":"ADD rootfs /"},)"
                      R"({"created_by":"ENV A=1","empty_layer":true}]})");
    reply->set_manifest(R"({"schemaVersion":2})");
    v1::ImageLayer* layer = reply->add_layers();
    layer->set_diff_id("sha256:0123456789abcdef0123");
    layer->set_size_bytes(4096);
    return grpc::Status::OK;
  }

  grpc::Status TagImage(grpc::ServerContext*, const v1::TagImageRequest* request,
                        v1::TagImageResponse*) override {
    const absl::MutexLock lock(&mu_);
    const auto found = images_.find(request->reference());
    if (found == images_.end()) return {grpc::NOT_FOUND, "no such image"};
    images_[request->name()] = found->second;
    return grpc::Status::OK;
  }

  grpc::Status UntagImage(grpc::ServerContext*, const v1::UntagImageRequest* request,
                          v1::UntagImageResponse*) override {
    const absl::MutexLock lock(&mu_);
    if (images_.erase(request->name()) == 0) return {grpc::NOT_FOUND, "no such name"};
    return grpc::Status::OK;
  }

  // One layer, which is damaged until it is repaired.
  grpc::Status VerifyImages(grpc::ServerContext*, const v1::VerifyImagesRequest* request,
                            grpc::ServerWriter<v1::VerifyImagesResponse>* writer) override {
    v1::VerifyImagesResponse layer;
    layer.set_diff_id("sha256:0123456789abcdef0123");
    layer.set_state(request->repair() ? "repaired" : "damaged");
    layer.set_detail("etc/passwd: size 0, not 12");
    writer->Write(layer);
    return grpc::Status::OK;
  }

  grpc::Status CollectGarbage(grpc::ServerContext*, const v1::CollectGarbageRequest*,
                              v1::CollectGarbageResponse* reply) override {
    v1::GarbageItem* removed = reply->add_items();
    removed->set_kind("layer");
    removed->set_name("layers/7");
    removed->set_bytes(12'300'000);
    removed->set_why("no image holds it");
    v1::GarbageItem* kept = reply->add_items();
    kept->set_kind("layer");
    kept->set_name("layers/8");
    kept->set_kept(true);
    kept->set_why("a pull uses it");
    return grpc::Status::OK;
  }

  grpc::Status ListPulls(grpc::ServerContext*, const v1::ListPullsRequest*,
                         v1::ListPullsResponse* reply) override {
    v1::Pull* pull = reply->add_pulls();
    pull->set_reference("shop/web:1");
    pull->set_bytes(1000);
    pull->set_total_bytes(4000);
    pull->add_layers()->set_state("downloading");
    pull->add_layers()->set_state("exists");
    return grpc::Status::OK;
  }

  grpc::Status ContainerPlan(grpc::ServerContext*, const v1::ContainerPlanRequest*,
                             v1::ContainerPlanResponse* reply) override {
    reply->add_steps("mount proc");
    reply->add_steps("exec /bin/true");
    return grpc::Status::OK;
  }

 private:
  static void End(Container* container, int exit_code) {
    if (container->state != cri::CONTAINER_RUNNING) return;
    container->state = cri::CONTAINER_EXITED;
    container->exit_code = exit_code;
  }

  std::string NextId() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return absl::StrCat(absl::Hex(++last_id_, absl::kZeroPad16), std::string(48, 'f'));
  }

  std::string LogPath(const Container& container) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto pod = pods_.find(container.pod_id);
    const std::string dir = pod == pods_.end() ? "" : pod->second.config.log_directory();
    return absl::StrCat(dir, "/", container.config.log_path());
  }

  const std::string socket_;
  std::unique_ptr<grpc::Server> server_;
  mutable absl::Mutex mu_;
  std::map<std::string, Pod> pods_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Container> containers_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string> images_ ABSL_GUARDED_BY(mu_);  // tag to id
  Script script_ ABSL_GUARDED_BY(mu_);
  uint64_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace berth::cli
