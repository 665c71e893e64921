// How nfnetlink attributes are laid out: numbers in network order, values nested. For the files
// that write nftables messages.
#pragma once

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace berth {

inline void PutNftString(nlmsghdr* request, uint16_t type, absl::string_view text) {
  mnl_attr_put_strz(request, type, std::string(text).c_str());
}

inline void PutNftU32(nlmsghdr* request, uint16_t type, uint32_t value) {
  mnl_attr_put_u32(request, type, htonl(value));
}

inline void PutNftValue(nlmsghdr* request, uint16_t type, const void* data, size_t size) {
  nlattr* nest = mnl_attr_nest_start(request, type);
  mnl_attr_put(request, NFTA_DATA_VALUE, size, data);
  mnl_attr_nest_end(request, nest);
}

}  // namespace berth
