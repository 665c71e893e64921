// What of the node decides whether a request can be served: given to the parsers of requests, and
// told by the Status rpc.
#pragma once

#include <string>
#include <vector>

namespace berth {

// What a RuntimeClass can name.
struct RequestHandler {
  std::string name;  // "" is what pods without a RuntimeClass get
  bool recursive_read_only_mounts = false;
  bool user_namespaces = false;
};

struct RequestPolicy {
  std::vector<RequestHandler> handlers = {{}};
  bool systemd_cgroups = false;            // cgroup_parent is a slice
  bool apparmor = false, selinux = false;  // the kernel has them
  bool user_namespaces_host_network = false;
};

// nullptr: no such handler.
inline const RequestHandler* FindHandler(const RequestPolicy& policy, const std::string& name) {
  for (const RequestHandler& handler : policy.handlers) {
    if (handler.name == name) return &handler;
  }
  return nullptr;
}

}  // namespace berth
