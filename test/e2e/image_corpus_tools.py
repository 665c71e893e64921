#!/usr/bin/python3
# Images made by umoci, buildah and skopeo, pulled by a real berth-pull, beside what umoci unpacks of them.
"""Compares pulled images with umoci's trees, file by file.

Images are made with the tools that people make images with, and pushed to Debian's docker-registry by skopeo. Each is
pulled by berth-pull, its layers are merged by overlayfs, and the tree must be the one of `umoci unpack`: kinds, content,
mode, owner, times, extended attributes, symbolic and hard links. Needs root.

usage: image_corpus_tools.py --berth-pull PROGRAM
"""
import argparse
import copy
import ctypes
import os
import pathlib
import re
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request

import image_corpus

CLONE_NEWNS = 0x20000
TOOLS = ("umoci", "buildah", "skopeo", "docker-registry")


def command(*argv, cwd=None):
    done = subprocess.run(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise AssertionError("%s: %s" % (" ".join(argv), done.stdout.decode(errors="replace")))
    return done.stdout.decode().strip()


def fill(root):
    """All kinds of things that a root file system holds."""
    for name, mode in {"etc": 0o755, "tmp": 0o1777, "home": 0o711, "home/user": 0o2750, "usr": 0o755, "usr/lib": 0o755,
                       "gone": 0o755, "wiped": 0o755}.items():
        os.mkdir(root / name)
        os.chmod(root / name, mode)
    os.chown(root / "home/user", 1000, 1000)
    os.chmod(root / "home/user", 0o2750)
    for name, content, mode, owner in (("etc/passwd", b"root:x:0:0::/:/bin/sh\n", 0o644, 0),
                                       ("usr/lib/big", os.urandom(3 << 20), 0o644, 0),
                                       ("usr/tool", b"#!/bin/sh\n", 0o4755, 0), ("home/user/f", b"x", 0o600, 1000),
                                       ("gone/f", b"", 0o644, 0), ("wiped/f", b"old", 0o644, 0),
                                       ("etc/changed", b"before", 0o644, 0), ("usr/" + "n" * 200, b"long", 0o444, 0),
                                       ("etc/na\u00efve", b"name", 0o644, 3000000)):
        (root / name).write_bytes(content)
        os.chown(root / name, owner, owner)
        os.chmod(root / name, mode)
    with open(root / "usr/lib/holes", "wb") as holes:
        holes.write(b"begin")
        holes.truncate(1 << 20)
    os.symlink("usr/lib", root / "lib")
    os.symlink("/nowhere", root / "dangling")
    os.link(root / "usr/tool", root / "usr/alias")
    os.mkfifo(root / "pipe", 0o620)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.setxattr(root / "etc/passwd", "user.note", b"v\0w")
    os.setxattr(root / "usr/tool", "security.capability", image_corpus.CAPABILITY)
    for directory, directories, files in os.walk(root, topdown=False):
        for name in files + directories:
            os.utime(os.path.join(directory, name), ns=(10**18, 10**18 + 5 * 10**9), follow_symlinks=False)


def change(root):
    """What a second layer says of the first."""
    shutil.rmtree(root / "gone")
    (root / "etc/changed").write_bytes(b"after")
    shutil.rmtree(root / "wiped")
    os.mkdir(root / "wiped")
    (root / "wiped/new").write_bytes(b"new")
    os.unlink(root / "dangling")
    os.chmod(root / "home", 0o700)
    os.link(root / "usr/tool", root / "usr/third")
    (root / "lib/x").write_bytes(b"through the link")


def by_umoci(base):
    layout = base / "umoci"
    image = "%s:v1" % layout
    command("umoci", "init", "--layout", str(layout))
    command("umoci", "new", "--image", image)
    for step, do in enumerate((fill, change)):
        bundle = base / ("bundle%d" % step)
        command("umoci", "unpack", "--image", image, str(bundle))
        do(bundle / "rootfs")
        command("umoci", "repack", "--image", image, str(bundle))
        shutil.rmtree(bundle)
    more = base / "more"
    more.mkdir()
    (more / "inserted").write_bytes(b"by insert")
    command("umoci", "insert", "--image", image, str(more), "/usr/lib/deep/more")
    command("umoci", "insert", "--image", image, "--whiteout", "/etc/passwd")
    return image


def by_buildah(base):
    rootfs = base / "for-buildah"
    rootfs.mkdir()
    fill(rootfs)
    store = ["buildah", "--storage-driver", "vfs", "--root", str(base / "storage"), "--runroot", str(base / "run")]
    first = command(*store, "from", "scratch")
    command(*store, "add", first, str(rootfs), "/")
    command(*store, "commit", "--quiet", first, "one")
    second = command(*store, "from", "--pull-never", "one")
    mounted = pathlib.Path(command(*store, "mount", second))
    os.unlink(mounted / "etc/changed")
    (mounted / "usr/lib/second").write_bytes(b"2")
    shutil.rmtree(mounted / "wiped")
    command(*store, "umount", second)
    image = "%s:v1" % (base / "buildah")
    command(*store, "commit", "--quiet", second, "oci:" + image)
    return image


class DockerRegistry:
    def __init__(self, base):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = "127.0.0.1:%d" % probe.getsockname()[1]
        config = base / "registry.yml"
        config.write_text("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s}}\n"
                          "http: {addr: %s}\n" % (base / "registry", self.host))
        self.process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while True:
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open("http://%s/v2/" % self.host).close()
                return
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise
                select.select([], [], [], 0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def merged(layers, base):
    """The layers, lowest first, one over the other, as a container sees them."""
    libc = ctypes.CDLL(None, use_errno=True)
    view = base / "view"
    view.mkdir(exist_ok=True)
    empty = base / "empty"
    empty.mkdir(exist_ok=True)
    stacked = list(dict.fromkeys(reversed(layers)))
    options = "lowerdir=" + ":".join(map(str, stacked + [empty]))
    if libc.mount(b"overlay", os.fsencode(view), b"overlay", 1, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount overlay")
    try:
        return image_corpus.tree_at(view)
    finally:
        libc.umount2(os.fsencode(view), 0)


def differences(expected, found, unpacked_at):
    told = []
    # The root of a layer without an entry for it has no time of its own.
    del expected[""]["mtime"]
    for entry in list(expected.values())[1:]:
        # A directory without an entry of its own in the last archive that put something there: umoci leaves it with
        # the time at which it did so.
        if entry["kind"] == "d" and entry["mtime"] >= unpacked_at:
            del entry["mtime"]
    for path in sorted(set(expected) | set(found)):
        if path not in expected or path not in found:
            told.append("%r is only %s" % (path, "pulled" if path in found else "umoci's"))
            continue
        ours = found[path]
        for key, value in expected[path].items():
            if key == "same_as":
                value, ours = sorted(value), dict(ours, same_as=sorted(ours["same_as"]))
            if key == "mtime":
                # umoci makes archives with whole seconds, and sets them as such.
                value, ours = value // 10**9, dict(ours, mtime=ours["mtime"] // 10**9)
            if ours.get(key) != value:
                told.append("%r has %s %.80r instead of %.80r" % (path, key, ours.get(key), value))
    return told


def run(program, base):
    version = int(re.search(r"kPullProtocolVersion = (\d+)", (
        pathlib.Path(__file__).resolve().parents[2] / "src/image/pull_protocol.h").read_text())[1])
    registry = DockerRegistry(base)
    failed = compared = 0
    try:
        for name, image in (("umoci", by_umoci(base)), ("buildah", by_buildah(base))):
            unpacked_at = int(time.time()) * 10**9
            command("umoci", "unpack", "--image", image, str(base / ("of-" + name)))
            expected = image_corpus.tree_at(base / ("of-" + name) / "rootfs")
            for form in ((), ("--format", "v2s2"), ("--dest-compress-format", "zstd")):
                tag = form[-1] if form else "oci"
                command("skopeo", "copy", "--dest-tls-verify=false", *form, "oci:" + image,
                        "docker://%s/%s:%s" % (registry.host, name, tag))
                work, layers = base / "work", base / "layers"
                work.mkdir(mode=0o700)
                layers.mkdir(mode=0o700, exist_ok=True)
                last, _ = image_corpus.pull(program, version, "%s/%s:%s" % (registry.host, name, tag), str(work),
                                            str(layers))
                if "error" in last:
                    told = [last["error"]["message"]]
                else:
                    dirs = {one["diff_id"]: one["dir"] for one in last["result"]["layers"] if one["dir"]}
                    told = differences(copy.deepcopy(expected), merged(
                        [work / dirs[one["diff_id"]] for one in last["result"]["layers"]], base), unpacked_at)
                compared += len(expected)
                failed += bool(told)
                for one in told[:10]:
                    print("%s %s: %s" % (name, tag, one))
                shutil.rmtree(work)
    finally:
        registry.stop()
    print("6 images, %d entries compared, %d images not alike" % (compared, failed))
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--berth-pull", required=True)
    options = parser.parse_args()
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if os.geteuid() != 0 or missing:
        print("needs root and %s" % ", ".join(missing or TOOLS))
        return 77
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(None, b"/", None, 0x4000 | 0x40000, None) != 0:
        raise OSError(ctypes.get_errno(), "mount namespace")
    os.umask(0o22)
    base = pathlib.Path(tempfile.mkdtemp(prefix="berth-image-tools-"))
    try:
        return run(options.berth_pull, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
