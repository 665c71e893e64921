// berth-pull-floor: the least that a pull costs. Fetches the layers of one image from a registry on
// loopback, hashes what comes, inflates it, hashes that, and writes the files, some layers at a
// time, and ends with one syncfs. No confinement, no choice of platform, no metadata, no database,
// no retry; only layers of one's own may be given to it. A runtime's time divided by this one's
// says how much of it is the runtime's own.
//
//   berth-pull-floor HOST:PORT REPOSITORY TAG DIRECTORY THREADS
#include <curl/curl.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "hack/benchmarks/pull_floor_tar.h"
#include "src/base/status_macros.h"
#include "src/base/unique_fd.h"

namespace berth::bench {
namespace {

constexpr size_t kOutBytes = 128 << 10;
constexpr char kManifestTypes[] =
    "Accept: application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void Update(absl::string_view bytes) {
    EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
  }
  std::string Finish() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_DigestFinal_ex(context_.get(), bytes, &size);
    return absl::StrCat("sha256:",
                        absl::BytesToHexString({reinterpret_cast<const char*>(bytes), size}));
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

// Bytes of a gzip member in, bytes of the tar out, both hashed.
class Layer {
 public:
  explicit Layer(int directory) : tar_(directory), out_(kOutBytes) {
    isal_inflate_init(&state_);
    state_.crc_flag = ISAL_GZIP;
  }

  absl::Status Feed(char* bytes, size_t size) {
    blob_.Update({bytes, size});
    state_.next_in = reinterpret_cast<uint8_t*>(bytes);
    state_.avail_in = static_cast<uint32_t>(size);
    do {
      state_.next_out = out_.data();
      state_.avail_out = kOutBytes;
      if (isal_inflate(&state_) != ISAL_DECOMP_OK) return absl::DataLossError("inflate: failed");
      const absl::string_view made(reinterpret_cast<const char*>(out_.data()),
                                   kOutBytes - state_.avail_out);
      diff_.Update(made);
      RETURN_IF_ERROR(tar_.Feed(made));
    } while (state_.avail_out == 0);
    return absl::OkStatus();
  }
  std::string blob_digest() { return blob_.Finish(); }
  std::string diff_id() { return diff_.Finish(); }

 private:
  FloorTar tar_;
  std::vector<uint8_t> out_;
  inflate_state state_;
  Sha256 blob_, diff_;
};

struct Transfer {
  std::string text;        // without a layer: all of the answer
  Layer* layer = nullptr;  // else what the bytes go to
  absl::Status status;
};

size_t Receive(char* bytes, size_t, size_t size, void* data) {
  auto* transfer = static_cast<Transfer*>(data);
  if (transfer->layer == nullptr) {
    transfer->text.append(bytes, size);
    return size;
  }
  transfer->status = transfer->layer->Feed(bytes, size);
  return transfer->status.ok() ? size : 0;
}

absl::Status Get(const std::string& url, Transfer* transfer) {
  CURL* const curl = curl_easy_init();
  curl_slist* const headers = curl_slist_append(nullptr, kManifestTypes);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Receive);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  if (!transfer->status.ok()) return transfer->status;
  return code == CURLE_OK
             ? absl::OkStatus()
             : absl::UnavailableError(absl::StrCat(url, ": ", curl_easy_strerror(code)));
}

struct Job {
  std::string base, directory;  // "http://HOST/v2/REPOSITORY/"
  std::string tag;
  int threads = 1;
};

absl::StatusOr<nlohmann::json> GetJson(const std::string& url) {
  Transfer transfer;
  RETURN_IF_ERROR(Get(url, &transfer));
  nlohmann::json document = nlohmann::json::parse(transfer.text, nullptr, false);
  if (document.is_discarded()) return absl::DataLossError(absl::StrCat(url, ": not JSON"));
  return document;
}

absl::Status FetchLayer(const Job& job, const std::string& digest, const std::string& diff_id,
                        size_t index) {
  const std::string path = absl::StrCat(job.directory, "/", index);
  if (::mkdir(path.c_str(), 0755) != 0) return ErrnoStatus("mkdir", path);
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoStatus("open", path);
  Layer layer(directory.get());
  Transfer transfer{.text = "", .layer = &layer, .status = absl::OkStatus()};
  RETURN_IF_ERROR(Get(absl::StrCat(job.base, "blobs/", digest), &transfer));
  if (layer.blob_digest() != digest || layer.diff_id() != diff_id)
    return absl::DataLossError(absl::StrCat(digest, ": other bytes came"));
  return absl::OkStatus();
}

absl::Status Pull(const Job& job) {
  ASSIGN_OR_RETURN(const nlohmann::json manifest,
                   GetJson(absl::StrCat(job.base, "manifests/", job.tag)));
  const std::string config_digest = manifest["config"]["digest"];
  ASSIGN_OR_RETURN(const nlohmann::json config,
                   GetJson(absl::StrCat(job.base, "blobs/", config_digest)));
  const nlohmann::json &layers = manifest["layers"], &diff_ids = config["rootfs"]["diff_ids"];
  std::atomic<size_t> next = 0;
  std::vector<absl::Status> results(static_cast<size_t>(job.threads));
  std::vector<std::thread> threads;
  for (absl::Status& result : results) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < layers.size() && result.ok(); i = next++)
        result = FetchLayer(job, layers[i]["digest"], diff_ids[i], i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) RETURN_IF_ERROR(result);
  const UniqueFd directory(::open(job.directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::syncfs(directory.get()) != 0)
    return ErrnoStatus("syncfs", job.directory);
  return absl::OkStatus();
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: berth-pull-floor HOST:PORT REPOSITORY TAG DIRECTORY THREADS\n", stderr);
    return 2;
  }
  ::umask(0);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  const absl::Status pulled =
      berth::bench::Pull({.base = absl::StrCat("http://", argv[1], "/v2/", argv[2], "/"),
                          .directory = argv[4],
                          .tag = argv[3],
                          .threads = std::max(1, std::atoi(argv[5]))});
  if (pulled.ok()) return 0;
  std::fprintf(stderr, "berth-pull-floor: %s\n", std::string(pulled.message()).c_str());
  return 1;
}
