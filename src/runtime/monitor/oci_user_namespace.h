// berth-monitor --oci-user-namespace UID_MAP GID_MAP: makes a user namespace with these mappings
// (user_namespaces(7)), sends its descriptor over fd 3 and ends.
#pragma once

namespace berth::monitor {

int SendUserNamespace(const char* uid_map, const char* gid_map);

}  // namespace berth::monitor
