// A small HTTP/1.1 server for scrapes and probes: GET and HEAD, on a loopback address or a unix
// socket, one thread, a bounded number of connections with a deadline each. Bodies are made piece
// by piece as the client takes them. One owner; the handler runs on the endpoint's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/base/unique_fd.h"

namespace berth {

struct HttpRequest {
  std::string path;    // without the query
  std::string accept;  // the header of that name
};

struct HttpResponse {
  int code = 200;
  std::string content_type = "text/plain; charset=utf-8";
  // Appends the next piece, of some 64 KiB; false once nothing is left.
  std::function<bool(std::string* piece)> body;
};
// With a body that is there already.
HttpResponse TextResponse(int code, std::string text);

// What a complete header block asks for. InvalidArgument: no HTTP; Unimplemented: another method.
absl::StatusOr<HttpRequest> ParseHttpRequest(absl::string_view head, bool* is_head);

class HttpEndpoint {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest& request)>;
  // `listener` is a listening stream socket.
  HttpEndpoint(UniqueFd listener, Handler handler);
  ~HttpEndpoint();

 private:
  struct Connection;
  void Run();
  void Accept();
  // False once it is to be closed.
  bool Progress(Connection& connection);
  void Answer(Connection& connection);

  const UniqueFd listener_, stop_;
  const Handler handler_;
  std::map<int, std::unique_ptr<Connection>> connections_;  // of the thread
  std::thread thread_;
};

}  // namespace berth
