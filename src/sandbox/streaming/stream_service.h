// Listens for the clients of Exec, Attach and PortForward. Each connection is given to a
// berth-stream of its own at once, which speaks with the client; here its token is redeemed and its
// session begun (docs/formats/stream-protocol.md). From then on it needs this daemon no more.
// Thread-safe.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "src/base/log.h"
#include "src/base/unique_fd.h"
#include "src/kernel/tcp_listener.h"
#include "src/sandbox/node.h"
#include "src/sandbox/streaming/session_tokens.h"

namespace berth {

class StreamService {
 public:
  struct Options {
    std::string listen;                    // "127.0.0.1:0"
    std::string url;                       // how clients reach it; "": by the address it listens on
    std::string helper_path;               // berth-stream
    std::string certificate, private_key;  // PEM files, read for each connection; "" without TLS
    absl::Duration idle_timeout = absl::Hours(4);
    size_t max_connections = 256;
    const Log* log = nullptr;
  };
  // InvalidArgument: an address or URL that cannot be; else what the system says of the address, of
  // the helper or of the certificate.
  static absl::StatusOr<std::unique_ptr<StreamService>> Start(Options options, const Node& node);
  // Sessions that have begun go on.
  ~StreamService();

  // The URL of a session that has been checked; ResourceExhausted.
  absl::StatusOr<std::string> UrlFor(SessionRequest request);

 private:
  StreamService(Options options, TcpListener listener, UniqueFd helper, const Node& node);
  void Run();
  void Accept();
  absl::Status StartStream(UniqueFd client);
  absl::Status AddTlsFiles(std::vector<UniqueFd>* files) const;
  void Reap(int pidfd);
  void ServeControl(UniqueFd control, const UniqueFd& process);
  // OK once the session has begun, or the berth-stream has ended by itself.
  absl::Status Converse(int control);
  absl::Status Refuse(int control, const absl::Status& why) const;
  absl::StatusOr<MonitorSession> Begin(const SessionRequest& request,
                                       const wire::BeginRequest& begin) const;

  const Options options_;
  const TcpListener listener_;
  const UniqueFd helper_;
  const Node& node_;
  const std::string base_url_;
  SessionTokens tokens_;
  UniqueFd epoll_, stop_;
  absl::flat_hash_map<int, UniqueFd> processes_;  // by pidfd; of the accepting thread only

  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::set<int> controls_ ABSL_GUARDED_BY(mu_);  // connections that a thread serves
  std::thread thread_;
};

}  // namespace berth
