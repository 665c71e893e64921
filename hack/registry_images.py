#!/usr/bin/env python3
"""Fills a registry on loopback with the images that the quickstart, the tests and the benchmarks use.

    registry_images.py --url http://127.0.0.1:5000 --work DIR [--big]

    busybox:latest      Debian's busybox-static, one layer, Docker schema 2
    layers:latest       five kinds of things a layer can do, OCI index for two platforms
    layers:zstd         the same with a zstd layer, where the zstd command is installed
    bench/pause:latest  a process that only waits, for runtimes that need one per pod
    bench/big:latest    six layers of files from /usr, 300 MB and more (only with --big)
    bench/huge:latest   one layer of 1 GiB in 64 files (only with --big)

Only the Python standard library is used. What is already there and unchanged is not made again.
"""

import argparse
import collections
import gzip
import hashlib
import http.client
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import urllib.parse

MTIME = 1704067200  # every entry bears the same date, so that a layer has the same digest everywhere
CREATED = "2024-01-01T00:00:00Z"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BIG_LAYERS = 6
BIG_LAYER_BYTES = 52 << 20

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
ACCEPT = ", ".join([DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST])

# A finished layer: the compressed file, its digest and size, and the digest of the tar inside.
Layer = collections.namedtuple("Layer", "path digest size diff_id compression")


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class HashingFile:
    """A write-only file that counts and hashes what passes through it."""

    def __init__(self, out):
        self.out, self.size, self.hash = out, 0, hashlib.sha256()

    def write(self, data):
        self.size += len(data)
        self.hash.update(data)
        return self.out.write(data)

    def flush(self):
        self.out.flush()

    def digest(self):
        return "sha256:" + self.hash.hexdigest()


class LayerWriter:
    """Writes one layer: tar entries in the order given, compressed and hashed on the way."""

    def __init__(self, path, compression="gzip"):
        self.path, self.compression = path, compression
        self.file = open(path, "wb")
        self.outer = HashingFile(self.file)
        if compression == "gzip":
            self.packer = gzip.GzipFile("", "wb", 6, self.outer, mtime=0)
        else:
            self.packer = self.outer  # zstd is packed when the layer is finished
        self.inner = HashingFile(self.packer)
        self.tar = tarfile.open(fileobj=self.inner, mode="w|", format=tarfile.PAX_FORMAT)

    def entry(self, path, kind, mode, uid=0, gid=0, **fields):
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, uid, gid, MTIME
        for key, value in fields.items():
            setattr(info, key, value)
        return info

    def dir(self, path, mode=0o755, uid=0, gid=0):
        self.tar.addfile(self.entry(path, tarfile.DIRTYPE, mode, uid, gid))

    def file_at(self, path, data, mode=0o644, uid=0, gid=0, xattrs=None):
        data = data.encode() if isinstance(data, str) else data
        info = self.entry(path, tarfile.REGTYPE, mode, uid, gid, size=len(data))
        info.pax_headers = {"SCHILY.xattr." + key: value for key, value in (xattrs or {}).items()}
        self.tar.addfile(info, io.BytesIO(data))

    def symlink(self, path, target):
        self.tar.addfile(self.entry(path, tarfile.SYMTYPE, 0o777, linkname=target))

    def hardlink(self, path, target):
        self.tar.addfile(self.entry(path, tarfile.LNKTYPE, 0o644, linkname=target))

    def fifo(self, path):
        self.tar.addfile(self.entry(path, tarfile.FIFOTYPE, 0o644))

    def char_device(self, path, major, minor):
        numbers = {"devmajor": major, "devminor": minor}
        self.tar.addfile(self.entry(path, tarfile.CHRTYPE, 0o666, **numbers))

    def whiteout(self, path):
        parent, name = os.path.split(path)
        self.file_at(os.path.join(parent, ".wh." + name), b"")

    def opaque(self, path):
        self.file_at(os.path.join(path, ".wh..wh..opq"), b"")

    def from_host(self, path, kind, name=None):
        """One file, folder or link of this machine, with its mode and owner, under its own or another name."""
        name, status = name or path.lstrip("/"), os.lstat(path)
        mode = stat.S_IMODE(status.st_mode)
        info = self.entry(name, kind, mode, status.st_uid, status.st_gid)
        if kind == tarfile.SYMTYPE:
            info.linkname = os.readlink(path)
        if kind != tarfile.REGTYPE:
            self.tar.addfile(info)
            return
        info.size = status.st_size
        with open(path, "rb") as source:
            self.tar.addfile(info, source)

    def finish(self):
        self.tar.close()
        if self.compression == "gzip":
            self.packer.close()
        self.file.close()
        digest, size = self.outer.digest(), self.outer.size
        if self.compression == "zstd":
            subprocess.run(["zstd", "-q", "-f", "--rm", self.path, "-o", self.path + ".zst"], check=True)
            os.rename(self.path + ".zst", self.path)
            with open(self.path, "rb") as packed:
                data = packed.read()
            digest, size = digest_of(data), len(data)
        return Layer(self.path, digest, size, self.inner.digest(), self.compression)


class Registry:
    """The few calls of the distribution protocol that a push needs."""

    def __init__(self, url):
        self.host = urllib.parse.urlsplit(url).netloc

    def call(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(self.host, timeout=120)
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        payload = response.read()
        connection.close()
        return response, payload

    def has(self, repository, tag):
        path = "/v2/%s/manifests/%s" % (repository, tag)
        return self.call("HEAD", path, headers={"Accept": ACCEPT})[0].status == 200

    def push_blob(self, repository, digest, size, body):
        path = "/v2/%s/blobs/" % repository
        if self.call("HEAD", path + digest)[0].status == 200:
            return
        started, _ = self.call("POST", path + "uploads/", headers={"Content-Length": "0"})
        place = urllib.parse.urlsplit(started.getheader("Location", ""))
        query = place.query + "&digest=" + urllib.parse.quote(digest)
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        done, text = self.call("PUT", place.path + "?" + query, body, headers)
        if done.status != 201:
            raise SystemExit("push %s to %s: HTTP %d: %s" % (digest, repository, done.status, text))

    def push_manifest(self, repository, reference, manifest):
        data = json.dumps(manifest, indent=2).encode()
        path = "/v2/%s/manifests/%s" % (repository, reference or digest_of(data))
        done, text = self.call("PUT", path, data, {"Content-Type": manifest["mediaType"]})
        if done.status != 201:
            raise SystemExit("push %s:%s: HTTP %d: %s" % (repository, reference, done.status, text))
        return {"mediaType": manifest["mediaType"], "digest": digest_of(data), "size": len(data)}

    def push_image(self, repository, reference, layers, config, architecture="amd64", style="oci"):
        """Pushes layers, configuration and manifest; returns the manifest's descriptor."""
        diff_ids = [layer.diff_id for layer in layers]
        document = {"architecture": architecture, "os": "linux", "created": CREATED, "config": config,
                    "rootfs": {"type": "layers", "diff_ids": diff_ids},
                    "history": [{"created": CREATED, "created_by": "hack/registry"}] * len(layers)}
        data = json.dumps(document).encode()
        self.push_blob(repository, digest_of(data), len(data), data)
        for layer in layers:
            with open(layer.path, "rb") as body:
                self.push_blob(repository, layer.digest, layer.size, body)
        docker = style == "docker"
        suffix = {"gzip": "+gzip", "zstd": "+zstd", "none": ""}
        manifest = {
            "schemaVersion": 2, "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
            "config": {"mediaType": DOCKER_CONFIG if docker else OCI_CONFIG,
                       "digest": digest_of(data), "size": len(data)},
            "layers": [{"mediaType": DOCKER_GZIP if docker else OCI_LAYER + suffix[layer.compression],
                        "digest": layer.digest, "size": layer.size} for layer in layers]}
        return self.push_manifest(repository, reference, manifest)


def busybox_layer(work):
    """The base of all small images: busybox, a link for each applet, and the usual folders."""
    binary = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), None)
    if binary is None:
        raise SystemExit("find busybox: not installed: run hack/setup (Debian package busybox-static)")
    applets = subprocess.run([binary, "--list"], check=True, capture_output=True, text=True)
    layer = LayerWriter(os.path.join(work, "busybox.layer"))
    for path in ("bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var", "var/log"):
        layer.dir(path, 0o700 if path == "root" else 0o755)
    layer.dir("tmp", 0o1777)
    layer.dir("home/app", uid=1000, gid=1000)
    with open(binary, "rb") as data:
        layer.file_at("bin/busybox", data.read(), 0o755)
    for applet in sorted(set(applets.stdout.split()) - {"busybox"}):
        layer.symlink("bin/" + applet, "busybox")
    layer.symlink("usr/bin/env", "../../bin/busybox")
    layer.file_at("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n"
                  "app:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    layer.file_at("etc/group", "root:x:0:\ndaemon:x:1:\nadm:x:4:app\napp:x:1000:\nnogroup:x:65534:\n")
    return layer.finish()


def made_layers(work, last="gzip"):
    """Three layers on top of busybox: the second hides and replaces what the first brought."""
    first = LayerWriter(os.path.join(work, "first.layer"))
    for path in ("srv", "srv/folder", "srv/opaque", "srv/becomes-link", "usr", "usr/share",
                 "usr/share/licenses"):
        first.dir(path)
    first.file_at("srv/keep.txt", "from the first layer\n")
    first.file_at("srv/replaced.txt", "from the first layer\n")
    first.file_at("srv/gone.txt", "a later layer removes this\n")
    first.file_at("srv/folder/gone-with-its-folder.txt", "a later layer removes the folder\n")
    first.file_at("srv/opaque/hidden.txt", "a later layer makes the folder opaque\n")
    first.file_at("srv/becomes-link/file", "a later layer puts a link here\n")
    first.file_at("srv/becomes-folder", "a later layer puts a folder here\n")
    first.file_at("srv/owned.txt", "uid 1000, gid 4, mode 0640\n", 0o640, 1000, 4)
    first.file_at("srv/setuid", "#!/bin/sh\nid\n", 0o4755)
    first.file_at("srv/attribute.txt", "bears user.berth\n", xattrs={"user.berth": "here"})
    first.file_at("srv/" + "long-name-" * 15 + "end.txt", "a name longer than a tar header holds\n")
    first.hardlink("srv/hard.txt", "srv/keep.txt")
    first.symlink("srv/soft.txt", "keep.txt")
    first.fifo("srv/fifo")
    first.char_device("srv/null", 1, 3)
    licenses = "/usr/share/common-licenses"
    for name in sorted(os.listdir(licenses)) if os.path.isdir(licenses) else []:
        with open(os.path.join(licenses, name), "rb") as text:
            first.file_at("usr/share/licenses/" + name, text.read())

    second = LayerWriter(os.path.join(work, "second.layer"), "none")
    second.dir("srv")
    second.file_at("srv/replaced.txt", "from the second layer\n")
    second.whiteout("srv/gone.txt")
    second.whiteout("srv/folder")
    second.dir("srv/opaque")
    second.opaque("srv/opaque")
    second.file_at("srv/opaque/shown.txt", "from the second layer\n")
    second.symlink("srv/becomes-link", "opaque")
    second.dir("srv/becomes-folder")
    second.file_at("srv/becomes-folder/file", "from the second layer\n")

    third = LayerWriter(os.path.join(work, "third.layer"), last)
    third.file_at("etc/layers.txt", "busybox + three layers\n")
    third.file_at("home/app/hello.sh", "#!/bin/sh\ncat /etc/layers.txt\nexec sleep 3600\n",
                  0o755, 1000, 1000)
    return [first.finish(), second.finish(), third.finish()]


def pause_layer(work):
    """A static program that waits for a signal; None where no compiler is installed."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "benchmarks", "pause.c")
    binary = os.path.join(work, "pause")
    subprocess.run([compiler, "-Os", "-static", "-s", "-o", binary, source], check=True)
    layer = LayerWriter(os.path.join(work, "pause.layer"))
    with open(binary, "rb") as data:
        layer.file_at("pause", data.read(), 0o755)
    return layer.finish()


def host_entries(top):
    """Every readable file, folder and link below `top`, folders before what they hold."""
    for folder, folders, files in os.walk(top):
        folders.sort()
        yield folder, tarfile.DIRTYPE
        for name in sorted(files + [name for name in folders if os.path.islink(os.path.join(folder, name))]):
            path = os.path.join(folder, name)
            if os.path.islink(path):
                yield path, tarfile.SYMTYPE
            elif os.path.isfile(path) and os.access(path, os.R_OK):
                yield path, tarfile.REGTYPE


def big_layers(work):
    """Files of this machine's /usr until six layers have the size wanted."""
    entries = (entry for top in ("/usr/bin", "/usr/lib", "/usr/share", "/usr/include", "/usr/sbin")
               for entry in host_entries(top))
    layers = []
    for number in range(BIG_LAYERS):
        layer = LayerWriter(os.path.join(work, "big%d.layer" % number))
        layer.dir("usr")
        for path, kind in entries:
            layer.from_host(path, kind)
            if layer.outer.size >= BIG_LAYER_BYTES:
                break
        layers.append(layer.finish())
        print("bench/big: layer %d of %d, %d MB" % (number + 1, BIG_LAYERS, layers[-1].size >> 20))
    return layers


def huge_layer(work):
    """1 GiB, a quarter of which does not compress."""
    noise, hashed = [], b"berth"
    for _ in range(1 << 15):  # 1 MiB that is the same on every machine
        hashed = hashlib.sha256(hashed).digest()
        noise.append(hashed)
    unit = b"".join(b"".join(noise[at:at + 128]) + bytes(3 << 12) for at in range(0, len(noise), 128))
    layer = LayerWriter(os.path.join(work, "huge.layer"))
    layer.dir("huge")
    for number in range(64):
        layer.file_at("huge/%d" % number, (b"%064d" % number + unit)[:4 << 20] * 4)
    return layer.finish()


def unchanged(work, key):
    """True where the last complete run in this folder had the same inputs; remembers nothing itself."""
    try:
        with open(os.path.join(work, "images.key")) as stored:
            return stored.read() == key
    except FileNotFoundError:
        return False


def inputs_key():
    here = os.path.dirname(os.path.abspath(__file__))
    hashed = hashlib.sha256()
    for path in (os.path.abspath(__file__), os.path.join(here, "benchmarks", "pause.c"), "/bin/busybox"):
        with open(path, "rb") as source:
            hashed.update(source.read())
    return hashed.hexdigest()


def fill_small(registry, work):
    base = busybox_layer(work)
    shell = {"Env": [PATH], "Cmd": ["sh"]}
    registry.push_image("busybox", "latest", [base], shell, style="docker")

    hello = {"Env": [PATH, "GREETING=hello"], "User": "app", "WorkingDir": "/home/app",
             "Entrypoint": ["/bin/sh"], "Cmd": ["/home/app/hello.sh"], "StopSignal": "SIGINT",
             "Labels": {"org.opencontainers.image.title": "layers"}, "ExposedPorts": {"8080/tcp": {}}}
    kinds = [("latest", "gzip")] + ([("zstd", "zstd")] if shutil.which("zstd") else [])
    for tag, last in kinds:
        layers = [base] + made_layers(work, last)
        entries = []
        for architecture in ("arm64", "amd64"):
            entry = registry.push_image("layers", None, layers, hello, architecture)
            entries.append(dict(entry, platform={"os": "linux", "architecture": architecture}))
        registry.push_manifest("layers", tag, {"schemaVersion": 2, "mediaType": OCI_INDEX,
                                               "manifests": entries})

    pause = pause_layer(work)
    if pause is not None:
        config = {"Entrypoint": ["/pause"], "Env": [PATH]}
        registry.push_image("bench/pause", "latest", [pause], config, style="docker")


def fill_big(registry, work):
    config = {"Env": [PATH], "Cmd": ["sh"]}
    if not registry.has("bench/big", "latest"):
        registry.push_image("bench/big", "latest", big_layers(work), config)
    if not registry.has("bench/huge", "latest"):
        registry.push_image("bench/huge", "latest", [huge_layer(work)], config)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--work", required=True, help="a folder for layers while they are made")
    parser.add_argument("--big", action="store_true")
    options = parser.parse_args()
    registry = Registry(options.url)
    scratch = os.path.join(options.work, "layers")
    os.makedirs(scratch, exist_ok=True)
    try:
        key = inputs_key()
        if not (unchanged(options.work, key) and registry.has("busybox", "latest")):
            fill_small(registry, scratch)
            with open(os.path.join(options.work, "images.key"), "w") as stored:
                stored.write(key)
        if options.big:
            fill_big(registry, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
