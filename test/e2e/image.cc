#include "test/e2e/image.h"

#include "absl/strings/str_cat.h"
#include "test/e2e/text_file.h"

namespace berth::e2e {
namespace {

using Json = nlohmann::json;

struct MediaTypes {
  const char *index, *manifest, *config, *layer[3];  // layer: by Compression
};
constexpr MediaTypes kMediaTypes[] = {
    {"application/vnd.oci.image.index.v1+json",
     "application/vnd.oci.image.manifest.v1+json",
     "application/vnd.oci.image.config.v1+json",
     {"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip",
      "application/vnd.oci.image.layer.v1.tar+zstd"}},
    {"application/vnd.docker.distribution.manifest.list.v2+json",
     "application/vnd.docker.distribution.manifest.v2+json",
     "application/vnd.docker.container.image.v1+json",
     {"application/vnd.docker.image.rootfs.diff.tar",
      "application/vnd.docker.image.rootfs.diff.tar.gzip",
      "application/vnd.docker.image.rootfs.diff.tar.zstd"}},
};

const MediaTypes& TypesOf(Format format) { return kMediaTypes[static_cast<int>(format)]; }

Json Descriptor(const Blob& blob) {
  return {{"mediaType", blob.media_type},
          {"digest", Digest(blob.content)},
          {"size", blob.content.size()}};
}

TarEntry ProbeFile() { return File("probe", ContentOf(BERTH_E2E_PROBE), 0755); }

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "app:x:1000:1000:app:/home/app:/bin/sh\n"
    "worker:x:1001:1001:worker:/home/worker:/bin/sh\n";
constexpr char kGroup[] =
    "root:x:0:\n"
    "app:x:1000:\n"
    "worker:x:1001:\n"
    "staff:x:2000:worker\n"
    "wheel:x:2001:app,worker\n";

constexpr const char* kApplets[] = {"sh",   "cat",      "echo", "ls",    "sleep", "true", "false",
                                    "id",   "ps",       "wget", "ping",  "top",   "env",  "touch",
                                    "grep", "head",     "dd",   "mount", "kill",  "stat", "find",
                                    "seq",  "hostname", "ip",   "nc",    "date",  "yes"};

}  // namespace

BuiltImage Build(const ImageRecipe& recipe) {
  const MediaTypes& types = TypesOf(recipe.format);
  BuiltImage image;
  Json layers = Json::array();
  for (const Layer& layer : recipe.layers) {
    const std::string tar = Tar(layer.entries);
    image.diff_ids.push_back(Digest(tar));
    Blob blob{types.layer[static_cast<int>(layer.compression)], Compress(tar, layer.compression)};
    layers.push_back(Descriptor(blob));
    image.blobs.emplace(Digest(blob.content), std::move(blob));
  }
  const Json config = {{"os", "linux"},
                       {"architecture", recipe.architecture},
                       {"config", recipe.config},
                       {"rootfs", {{"type", "layers"}, {"diff_ids", image.diff_ids}}}};
  Blob config_blob{types.config, config.dump()};
  const Json config_descriptor = Descriptor(config_blob);
  image.id = Digest(config_blob.content);
  image.blobs.emplace(image.id, std::move(config_blob));
  const Json manifest = {{"schemaVersion", 2},
                         {"mediaType", types.manifest},
                         {"config", config_descriptor},
                         {"layers", layers}};
  image.manifests.push_back({types.manifest, manifest.dump()});
  return image;
}

BuiltImage BuildIndex(const std::vector<PlatformImage>& platforms, Format format) {
  BuiltImage index;
  Json manifests = Json::array();
  for (const PlatformImage& platform : platforms) {
    Json descriptor = Descriptor(platform.image.manifests.back());
    descriptor["platform"] = {{"os", platform.os}, {"architecture", platform.architecture}};
    if (!platform.variant.empty()) descriptor["platform"]["variant"] = platform.variant;
    manifests.push_back(descriptor);
    index.blobs.insert(platform.image.blobs.begin(), platform.image.blobs.end());
    index.manifests.push_back(platform.image.manifests.back());
  }
  const Json body = {
      {"schemaVersion", 2}, {"mediaType", TypesOf(format).index}, {"manifests", manifests}};
  index.manifests.push_back({TypesOf(format).index, body.dump()});
  return index;
}

ImageRecipe ProbeRecipe() {
  TarEntry setuid = ProbeFile();
  setuid.path = "probe-setuid";
  setuid.mode = 04755;
  TarEntry temp = Dir("tmp", 01777);
  return {.layers = {{{Dir("etc"), File("etc/passwd", kPasswd), File("etc/group", kGroup),
                       Dir("home"), Dir("home/app", 0700), temp, Dir("data"), Dir("secret"),
                       File("secret/file", "secret\n")}},
                     {{ProbeFile(), setuid}}},
          .config = {{"Entrypoint", {"/probe"}},
                     {"Cmd", {"report"}},
                     {"Env", {"PATH=/usr/bin:/bin:/", "IMAGE_VARIABLE=from image"}}}};
}

ImageRecipe BusyboxRecipe() {
  Layer layer{{Dir("bin"), File("bin/busybox", ContentOf("/bin/busybox"), 0755), Dir("etc"),
               Dir("root", 0700), Dir("tmp", 01777), File("etc/passwd", kPasswd),
               File("etc/group", kGroup)}};
  for (const char* applet : kApplets)
    layer.entries.push_back(Symlink(absl::StrCat("bin/", applet), "busybox"));
  return {
      .layers = {std::move(layer)},
      .config = {{"Cmd", {"sh"}},
                 {"Env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}}}};
}

ImageRecipe LayersRecipe() {
  const std::string long_name = "long/" + std::string(120, 'n') + "/" + std::string(80, 'f');
  TarEntry owned = File("tree/owned", "owned\n", 0640);
  owned.uid = 1000;
  owned.gid = 2000;
  TarEntry setuid = File("tree/setuid", "s\n", 04755);
  TarEntry setgid_dir = Dir("tree/sticky", 03775);
  TarEntry attributes = File("tree/attributes", "x\n");
  attributes.xattrs = {{"user.berth", "value"}, {"trusted.berth", "kept"}};
  TarEntry device{.path = "tree/device", .type = '3', .mode = 0666, .major = 1, .minor = 3};
  TarEntry fifo{.path = "tree/fifo", .type = '6', .mode = 0600};
  Layer base{{ProbeFile(),
              Dir("tree"),
              File("tree/keep", "keep\n"),
              File("tree/gone", "gone\n"),
              File("tree/changed", "old\n"),
              Dir("tree/gone-dir"),
              File("tree/gone-dir/file", "x"),
              Dir("opaque"),
              File("opaque/one", "1"),
              Dir("opaque/two"),
              File("opaque/two/three", "3"),
              Dir("becomes-file"),
              File("becomes-file/inside", "x"),
              File("becomes-dir", "x"),
              Symlink("becomes-real", "tree/keep"),
              owned,
              setuid,
              setgid_dir,
              attributes,
              device,
              fifo,
              Symlink("tree/link", "keep"),
              Symlink("tree/absolute", "/tree/keep"),
              Symlink("tree/dangling", "../../../../nowhere"),
              Hardlink("tree/hard", "tree/keep"),
              Dir("long"),
              Dir("long/" + std::string(120, 'n')),
              File(long_name, "long\n"),
              File("tree/empty", ""),
              File("tree/sp ace", "s\n"),
              File("tree/\xc3\xbc", "u\n"),
              Dir("later", 0700)},
             Compression::kNone};
  Layer changes{
      {File("tree/.wh.gone", ""), File("tree/.wh.gone-dir", ""),
       File("tree/changed", "new\n", 0600), Dir("opaque"), File("opaque/.wh..wh..opq", ""),
       File("opaque/four", "4"), File("becomes-file", "file now\n"), Dir("becomes-dir"),
       File("becomes-dir/inside", "i\n"), File("becomes-real", "real\n")},
      Compression::kGzip};
  Layer again{{File("tree/gone", "back\n"), Dir("later", 0711), File("later/file", "l\n"),
               Hardlink("later/hard", "later/file")},
              Compression::kZstd};
  Layer last{{File(".wh.opaque", ""), Dir("tree/gone-dir"), File("tree/gone-dir/new", "n\n"),
              File("implied/dir/file", "i\n")},
             Compression::kGzip};
  return {.layers = {base, changes, again, last}, .config = {{"Cmd", {"/probe", "tree", "/tree"}}}};
}

}  // namespace berth::e2e
