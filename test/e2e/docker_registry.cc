#include "test/e2e/docker_registry.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"
#include "test/e2e/eventually.h"

namespace berth::e2e {
namespace {

constexpr char kProgram[] = "/usr/bin/docker-registry";

// A port that nothing listens on at this moment; the node's network namespace is ours alone.
absl::StatusOr<int> FreePort() {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return ErrnoStatus("bind", "127.0.0.1");
  }
  return ntohs(address.sin_port);
}

bool Accepts(int port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

struct HttpRequest {
  std::string method, url, media_type, body;
};
struct HttpResponse {
  long status = 0;
  std::string location;
};

size_t Discard(char*, size_t size, size_t count, void*) { return size * count; }

absl::StatusOr<HttpResponse> Send(const HttpRequest& request) {
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  HttpResponse response;
  const std::string type = absl::StrCat("Content-Type: ", request.media_type);
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(
      curl_slist_append(curl_slist_append(nullptr, type.c_str()), "Expect:"), curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, request.body.data());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE,
                   static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, Discard);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 60L);
  if (const CURLcode code = curl_easy_perform(curl.get()); code != CURLE_OK) {
    return absl::UnavailableError(
        absl::StrCat(request.method, " ", request.url, ": ", curl_easy_strerror(code)));
  }
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &response.status);
  curl_header* location = nullptr;
  if (curl_easy_header(curl.get(), "Location", 0, CURLH_HEADER, -1, &location) == CURLHE_OK) {
    response.location = location->value;
  }
  if (response.status >= 300) {
    return absl::InternalError(
        absl::StrCat(request.method, " ", request.url, ": HTTP ", response.status));
  }
  return response;
}

absl::Status PushBlob(const std::string& repository, const std::string& digest, const Blob& blob) {
  ASSIGN_OR_RETURN(const HttpResponse upload,
                   Send({"POST", repository + "/blobs/uploads/", "application/json", ""}));
  const char separator = absl::StrContains(upload.location, "?") ? '&' : '?';
  return Send({"PUT", absl::StrCat(upload.location, std::string(1, separator), "digest=", digest),
               "application/octet-stream", blob.content})
      .status();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DockerRegistry>> DockerRegistry::Start(const std::string& dir,
                                                                      const Options& options) {
  if (access(kProgram, X_OK) != 0) return ErrnoStatus("access", kProgram);
  ASSIGN_OR_RETURN(const int port, FreePort());
  std::filesystem::create_directories(dir);
  std::ofstream(dir + "/config.yml")
      << "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: "
      << (options.storage.empty() ? dir + "/data" : options.storage)
      << "}}\nhttp: {addr: \"127.0.0.1:" << port << "\"" << (options.http.empty() ? "" : ", ")
      << options.http << "}\n"
      << options.config;
  ASSIGN_OR_RETURN(Subprocess process,
                   Subprocess::Start({.argv = {kProgram, "serve", dir + "/config.yml"},
                                      .output_path = dir + "/log"}));
  if (!Eventually(absl::Seconds(30), [&] { return Accepts(port); })) {
    return absl::DeadlineExceededError(
        absl::StrCat("docker-registry does not listen: ", process.Output()));
  }
  return std::unique_ptr<DockerRegistry>(
      new DockerRegistry(std::move(process), absl::StrCat("127.0.0.1:", port)));
}

absl::StatusOr<std::string> DockerRegistry::Push(const std::string& name, const std::string& tag,
                                                 const BuiltImage& image) {
  const std::string repository = absl::StrCat("http://", host_, "/v2/", name);
  for (const auto& [digest, blob] : image.blobs)
    RETURN_IF_ERROR(PushBlob(repository, digest, blob));
  for (const Blob& manifest : image.manifests) {
    const bool tagged = &manifest == &image.manifests.back();
    const std::string reference = tagged ? tag : Digest(manifest.content);
    RETURN_IF_ERROR(Send({"PUT", absl::StrCat(repository, "/manifests/", reference),
                          manifest.media_type, manifest.content})
                        .status());
  }
  return absl::StrCat(host_, "/", name, ":", tag);
}

}  // namespace berth::e2e
