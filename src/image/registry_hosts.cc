#include "src/image/registry_hosts.h"

#include <fcntl.h>

#include <toml++/toml.h>
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/status_macros.h"
#include "src/image/reference.h"
#include "src/kernel/file.h"

namespace berth {
namespace {

constexpr char kFile[] = "hosts.toml";

// One hosts.toml while it is read.
struct Source {
  std::string dir;
  std::string Path() const { return absl::StrCat(dir, "/", kFile); }
};

absl::Status Invalid(const Source& source, const toml::node& at, absl::string_view cause) {
  return absl::InvalidArgumentError(absl::StrCat(
      kFile, " ", source.Path(), ":", static_cast<int64_t>(at.source().begin.line), ": ", cause));
}

absl::StatusOr<std::string> ReadNamed(const Source& source, const std::string& path) {
  return ReadFileAt(AT_FDCWD,
                    absl::StartsWith(path, "/") ? path : absl::StrCat(source.dir, "/", path));
}

// A string, or a list of strings.
absl::StatusOr<std::vector<std::string>> Strings(const Source& source, absl::string_view key,
                                                 const toml::node& node) {
  if (const auto* text = node.as_string(); text != nullptr) return std::vector{text->get()};
  std::vector<std::string> texts;
  const toml::array* list = node.as_array();
  if (list == nullptr) {
    return Invalid(source, node, absl::StrCat(key, " is neither a string nor a list of strings"));
  }
  for (const toml::node& item : *list) {
    const auto* text = item.as_string();
    if (text == nullptr) return Invalid(source, item, absl::StrCat(key, " holds no string"));
    texts.push_back(text->get());
  }
  return texts;
}

absl::Status SetCapabilities(const Source& source, const toml::node& node,
                             RegistryEndpoint* endpoint) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, Strings(source, "capabilities", node));
  endpoint->can_pull = endpoint->can_resolve = false;
  for (const std::string& name : names) {
    if (name == "pull") {
      endpoint->can_pull = true;
    } else if (name == "resolve") {
      endpoint->can_resolve = true;
    } else if (name != "push") {
      return Invalid(source, node, absl::StrCat("capabilities: \"", name, "\" is unknown"));
    }
  }
  return absl::OkStatus();
}

absl::Status SetCa(const Source& source, const toml::node& node, RegistryEndpoint* endpoint) {
  ASSIGN_OR_RETURN(const std::vector<std::string> paths, Strings(source, "ca", node));
  for (const std::string& path : paths) {
    absl::StatusOr<std::string> pem = ReadNamed(source, path);
    if (!pem.ok()) return Annotate(pem.status(), absl::StrCat(source.Path(), ": ca"));
    endpoint->ca.push_back(*std::move(pem));
  }
  return absl::OkStatus();
}

absl::Status SetClientFiles(const Source& source, const std::string& certificate,
                            const std::string& key, RegistryEndpoint* endpoint) {
  for (const auto& [path, bytes] : {std::pair{&certificate, &endpoint->client.certificate},
                                    std::pair{&key, &endpoint->client.key}}) {
    if (path->empty()) continue;
    absl::StatusOr<std::string> pem = ReadNamed(source, *path);
    if (!pem.ok()) return Annotate(pem.status(), absl::StrCat(source.Path(), ": client"));
    *bytes = *std::move(pem);
  }
  return absl::OkStatus();
}

// "both.pem", ["both.pem"] or [["certificate.pem", "key.pem"]]. A connection shows one certificate.
absl::Status SetClient(const Source& source, const toml::node& node, RegistryEndpoint* endpoint) {
  const toml::array* list = node.as_array();
  const bool pairs = list != nullptr && !list->empty() && list->front().is_array();
  if (list != nullptr && list->size() > 1) {
    return Invalid(source, node, "client: more than one certificate is not supported");
  }
  if (!pairs) {
    ASSIGN_OR_RETURN(const std::vector<std::string> paths, Strings(source, "client", node));
    return paths.empty() ? absl::OkStatus() : SetClientFiles(source, paths[0], "", endpoint);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> pair, Strings(source, "client", list->front()));
  if (pair.size() != 2 || pair[0].empty()) {
    return Invalid(source, node, "client: a pair is a certificate and its key");
  }
  return SetClientFiles(source, pair[0], pair[1], endpoint);
}

// A line break would end the header and begin one of somebody else's choice.
bool IsHeaderText(absl::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

absl::Status SetHeaders(const Source& source, const toml::node& node, RegistryEndpoint* endpoint) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return Invalid(source, node, "header is no table");
  for (const auto& [key, values] : *table) {
    const std::string name(key.str());
    ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                     Strings(source, absl::StrCat("header.", name), values));
    for (const std::string& text : texts) {
      if (name.empty() || absl::StrContains(name, ':') || !IsHeaderText(name) ||
          !IsHeaderText(text)) {
        return Invalid(source, values, "header: a name or value that HTTP does not allow");
      }
      endpoint->headers.emplace_back(name, text);
    }
  }
  return absl::OkStatus();
}

absl::Status SetDialTimeout(const Source& source, const toml::node& node,
                            RegistryEndpoint* endpoint) {
  const auto* text = node.as_string();
  if (text == nullptr || !absl::ParseDuration(text->get(), &endpoint->dial_timeout) ||
      endpoint->dial_timeout <= absl::ZeroDuration() ||
      endpoint->dial_timeout == absl::InfiniteDuration()) {
    return Invalid(source, node, "dial_timeout is no duration like \"5s\"");
  }
  return absl::OkStatus();
}

absl::Status SetBool(const Source& source, absl::string_view key, const toml::node& node,
                     bool* value) {
  const auto* given = node.as_boolean();
  if (given == nullptr) return Invalid(source, node, absl::StrCat(key, " is no boolean"));
  *value = given->get();
  return absl::OkStatus();
}

absl::Status SetKey(const Source& source, absl::string_view key, const toml::node& node,
                    RegistryEndpoint* endpoint, bool* override_path) {
  if (key == "capabilities") return SetCapabilities(source, node, endpoint);
  if (key == "ca") return SetCa(source, node, endpoint);
  if (key == "client") return SetClient(source, node, endpoint);
  if (key == "header") return SetHeaders(source, node, endpoint);
  if (key == "dial_timeout") return SetDialTimeout(source, node, endpoint);
  if (key == "skip_verify") return SetBool(source, key, node, &endpoint->skip_verify);
  if (key == "override_path") return SetBool(source, key, node, override_path);
  return Invalid(source, node, absl::StrCat("unknown key \"", key, "\""));
}

// "mirror:5000", "https://mirror/prefix/" -> "https://mirror:5000/v2", "https://mirror/prefix/v2"
absl::StatusOr<std::string> EndpointUrl(const Source& source, const toml::node& at,
                                        const std::string& text, bool plain_http,
                                        bool override_path) {
  std::string url = text;
  if (!absl::StrContains(url, "://")) {
    const std::string host = url.substr(0, url.find('/'));
    url = absl::StrCat(plain_http || IsLoopbackHost(host) ? "http" : "https", "://", url);
  }
  const absl::string_view rest = absl::string_view(url).substr(url.find("://") + 3);
  const bool known = absl::StartsWith(url, "http://") || absl::StartsWith(url, "https://");
  if (!known || rest.empty() || rest[0] == '/' || rest.find_first_of("@?# ") != rest.npos) {
    return Invalid(source, at, "a host is no http or https URL (without user, query, fragment)");
  }
  url = std::string(absl::StripSuffix(url, "/"));
  if (!override_path && !absl::EndsWith(url, "/v2")) absl::StrAppend(&url, "/v2");
  return url;
}

std::string DefaultServer(absl::string_view host) {
  return host == "docker.io" ? "registry-1.docker.io" : std::string(host);
}

absl::StatusOr<RegistryEndpoint> ParseEndpoint(const Source& source, const toml::table& table,
                                               const std::string& url, bool plain_http,
                                               bool top_level) {
  RegistryEndpoint endpoint;
  bool override_path = false;
  for (const auto& [key, node] : table) {
    if (top_level && (key == "server" || key == "host")) continue;
    RETURN_IF_ERROR(SetKey(source, absl::string_view(key.data(), key.length()), node, &endpoint,
                           &override_path));
  }
  ASSIGN_OR_RETURN(endpoint.url, EndpointUrl(source, table, url, plain_http, override_path));
  return endpoint;
}

// The TOML library keeps tables by name: the file's order is that of the lines.
std::vector<std::pair<std::string, const toml::table*>> InFileOrder(const toml::table& hosts) {
  std::vector<std::pair<std::string, const toml::table*>> ordered;
  for (const auto& [key, node] : hosts) {
    ordered.emplace_back(std::string(key.str()), node.as_table());
  }
  const auto place = [](const toml::table* table) {
    const toml::source_position begin =
        table == nullptr ? toml::source_position{} : table->source().begin;
    return std::pair(begin.line, begin.column);
  };
  std::stable_sort(ordered.begin(), ordered.end(),
                   [&](const auto& a, const auto& b) { return place(a.second) < place(b.second); });
  return ordered;
}

absl::StatusOr<std::vector<RegistryEndpoint>> ParseHosts(const Source& source,
                                                         const std::string& text,
                                                         absl::string_view host, bool plain_http) {
  toml::table table;
  try {
    table = toml::parse(text, source.Path());
  } catch (const toml::parse_error& error) {
    const auto line = static_cast<int64_t>(error.source().begin.line);
    return absl::InvalidArgumentError(
        absl::StrCat(kFile, " ", source.Path(), ":", line, ": ",
                     absl::string_view(error.description().data(), error.description().size())));
  }
  std::vector<RegistryEndpoint> endpoints;
  if (const toml::node* hosts = table.get("host"); hosts != nullptr) {
    if (!hosts->is_table()) return Invalid(source, *hosts, "host is no table");
    for (const auto& [url, keys] : InFileOrder(*hosts->as_table())) {
      if (keys == nullptr) {
        return Invalid(source, *hosts, absl::StrCat("host.\"", url, "\" is no table"));
      }
      ASSIGN_OR_RETURN(RegistryEndpoint endpoint,
                       ParseEndpoint(source, *keys, url, plain_http, /*top_level=*/false));
      endpoint.mirror = true;
      endpoints.push_back(std::move(endpoint));
    }
  }
  std::string server = DefaultServer(host);
  if (const toml::node* node = table.get("server"); node != nullptr) {
    if (!node->is_string()) return Invalid(source, *node, "server is no string");
    if (!node->as_string()->get().empty()) server = node->as_string()->get();
  }
  ASSIGN_OR_RETURN(RegistryEndpoint endpoint,
                   ParseEndpoint(source, table, server, plain_http, /*top_level=*/true));
  endpoints.push_back(std::move(endpoint));
  return endpoints;
}

// Docker's way: every *.crt is a CA, every NAME.cert a client certificate with its NAME.key.
absl::Status AddDockerCertificates(const Source& source, std::vector<std::string> names,
                                   RegistryEndpoint* endpoint) {
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (absl::EndsWith(name, ".crt")) {
      ASSIGN_OR_RETURN(std::string pem, ReadNamed(source, name));
      endpoint->ca.push_back(std::move(pem));
    } else if (absl::EndsWith(name, ".cert")) {
      if (!endpoint->client.certificate.empty()) {
        return absl::InvalidArgumentError(absl::StrCat(
            source.dir, "/", name, ": more than one client certificate is not supported"));
      }
      const std::string key = absl::StrCat(absl::StripSuffix(name, ".cert"), ".key");
      RETURN_IF_ERROR(SetClientFiles(source, name, key, endpoint));
    }
  }
  return absl::OkStatus();
}

}  // namespace

RegistryEndpoint RegistryItself(absl::string_view host, bool plain_http) {
  const bool http = plain_http || IsLoopbackHost(host);
  return {.url = absl::StrCat(http ? "http" : "https", "://", DefaultServer(host), "/v2")};
}

absl::StatusOr<std::vector<RegistryEndpoint>> LoadRegistryEndpoints(
    absl::string_view host, const RegistryHostsOptions& options) {
  if (host.empty() || host[0] == '.' || absl::StrContains(host, '/')) {
    return absl::InvalidArgumentError(absl::StrCat("registry host \"", host, "\" is no host"));
  }
  for (const std::string& name : {std::string(host), std::string("_default")}) {
    for (const std::string& certs : options.certs_dirs) {
      const Source source{.dir = absl::StrCat(certs, "/", name)};
      const absl::StatusOr<std::vector<std::string>> names = ListDir(AT_FDCWD, source.dir);
      if (absl::IsNotFound(names.status())) continue;
      if (!names.ok()) return names.status();
      if (std::find(names->begin(), names->end(), kFile) != names->end()) {
        ASSIGN_OR_RETURN(const std::string text, ReadNamed(source, kFile));
        return ParseHosts(source, text, host, options.plain_http);
      }
      if (names->empty()) continue;
      RegistryEndpoint endpoint = RegistryItself(host, options.plain_http);
      RETURN_IF_ERROR(AddDockerCertificates(source, *names, &endpoint));
      // Who keeps certificates for a host wants them looked at, on loopback too.
      const bool certificates = !endpoint.ca.empty() || !endpoint.client.certificate.empty();
      if (certificates && !options.plain_http) {
        endpoint.url = absl::StrCat("https://", DefaultServer(host), "/v2");
      }
      return std::vector{std::move(endpoint)};
    }
  }
  return std::vector{RegistryItself(host, options.plain_http)};
}

}  // namespace berth
