#!/usr/bin/python3
# Pulls every image of a corpus of hostile and odd ones with a real berth-pull, and compares what comes out.
"""The corpus of hostile and odd layers and manifests.

The tables below say of each image its name, how it is made, and what must come of it: a tree, entry by entry, or an
error by its code and words. The images are served by a small registry on loopback; berth-pull is started for each as
the daemon starts it (docs/formats/pull-protocol.md). Needs root.

usage: image_corpus.py --berth-pull PROGRAM [--list] [--write DIR] [NAME...]

  --list       only print the names
  --write DIR  write the archives there, as seeds for the fuzz target
"""
import argparse
import gzip
import hashlib
import http.server
import json
import os
import pathlib
import platform
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import zlib

CODES = {"CANCELLED": 1, "UNKNOWN": 2, "INVALID": 3, "NOT_FOUND": 5, "EXHAUSTED": 8, "PRECONDITION": 9,
         "UNIMPLEMENTED": 12, "INTERNAL": 13, "DATA_LOSS": 15}
TIME = 1000000000

# --- how archives are made, byte by byte -----------------------------------------------------------------------------


def octal(value, digits):
    return b"%0*o" % (digits, value)


def header(path, type=b"0", size=0, link="", mode=0o644, uid=0, gid=0, mtime=TIME, major=0, minor=0, prefix="",
           magic=b"ustar\x0000", raw=None):
    """One header block. `raw` puts bytes at offsets, before the checksum is made."""
    block = bytearray(512)

    def put(at, data):
        block[at:at + len(data)] = data

    put(0, os.fsencode(path)[:100])
    put(100, octal(mode, 7))
    put(108, octal(uid & 0o7777777, 7))
    put(116, octal(gid & 0o7777777, 7))
    put(124, octal(size, 11))
    put(136, octal(mtime, 11))
    put(156, type)
    put(157, os.fsencode(link)[:100])
    put(257, magic)
    put(329, octal(major, 7))
    put(337, octal(minor, 7))
    put(345, os.fsencode(prefix))
    for at, data in (raw or {}).items():
        put(at, data)
    put(148, b" " * 8)
    put(148, octal(sum(block), 6) + b"\0")
    return bytes(block)


def padded(content):
    return content + bytes(-len(content) % 512)


def f(path, content=b"", **more):
    return header(path, size=len(content), **more) + padded(content)


def d(path, mode=0o755, **more):
    return header(path, b"5", mode=mode, **more)


def sym(path, target, **more):
    return header(path, b"2", link=target, **more)


def link(path, target, **more):
    return header(path, b"1", link=target, **more)


def pax_records(records):
    body = b""
    for key, value in records:
        value = value if isinstance(value, bytes) else os.fsencode(value)
        tail = b" " + key.encode() + b"=" + value + b"\n"
        size = len(tail) + 1
        while len(b"%d" % size) + len(tail) != size:
            size += 1
        body += b"%d" % size + tail
    return body


def pax(records, type=b"x"):
    body = pax_records(records.items() if isinstance(records, dict) else records)
    return header("PaxHeaders/x", type, size=len(body)) + padded(body)


def long_name(name, type=b"L"):
    return f("././@LongLink", os.fsencode(name) + b"\0", type=type)


GNU = b"ustar  \0"
END = bytes(1024)


def sparse(path, content, ranges, size, more_ranges=None):
    raw = {386 + 24 * i: octal(at, 11) + b"\0" + octal(n, 11) for i, (at, n) in enumerate(ranges)}
    raw[482] = b"\1" if more_ranges else b"\0"
    raw[483] = octal(size, 11)
    blocks = b""
    if more_ranges:
        block = bytearray(512)
        for i, (at, n) in enumerate(more_ranges):
            block[24 * i:24 * i + 24] = octal(at, 11) + b"\0" + octal(n, 11) + b"\0"
        blocks = bytes(block)
    return header(path, b"S", size=len(content), magic=GNU, raw=raw) + blocks + padded(content)


def sparse10(path, content, ranges, size, numbers=None):
    table = "\n".join(str(n) for n in (numbers or [len(ranges)] + [n for one in ranges for n in one])) + "\n"
    keys = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": path,
            "GNU.sparse.realsize": str(size)}
    return pax(keys) + f("GNUSparseFile.1/x", padded(table.encode()) + content)


# --- what is expected ------------------------------------------------------------------------------------------------


def FILE(content=b"", mode=0o644, uid=0, gid=0, **more):
    return dict(kind="f", content=content, mode=mode, uid=uid, gid=gid, **more)


def DIR(mode=0o755, uid=0, gid=0, **more):
    return dict(kind="d", mode=mode, uid=uid, gid=gid, **more)


def SYM(target):
    return dict(kind="l", link=target)


WHITEOUT = dict(kind="w")


def NODE(kind, major=0, minor=0, mode=0o644):
    return dict(kind=kind, rdev=(major, minor), mode=mode)


class Case:
    """One image: its layers, lowest first, and the trees of its layers or the error."""

    def __init__(self, name, layers, trees=None, error=None, pack=gzip.compress, change=None, opaque=None):
        self.name, self.layers, self.trees, self.error = name, layers, trees, error
        self.pack, self.change, self.opaque = pack, change, opaque


CASES = []


def tree(name, entries, **expected):
    """A single layer and all that lies in it."""
    CASES.append(Case(name, [entries + END], trees=[{k: v for k, v in expected.pop("is_").items()}], **expected))


def bad(name, entries, code, words="", **more):
    CASES.append(Case(name, [entries + END], error=(CODES[code], words), **more))


def raw_bad(name, archive, code, words="", **more):
    CASES.append(Case(name, [archive], error=(CODES[code], words), **more))


# --- the archives that mean something --------------------------------------------------------------------------------

tree("plain-file", f("a", b"x"), is_={"a": FILE(b"x")})
tree("empty-archive", b"", is_={})
tree("kinds", d("d/") + f("d/f", b"1") + sym("s", "d/f") + link("h", "d/f") + header("p", b"6") +
     header("c", b"3", major=1, minor=3) + header("b", b"4", major=7, minor=9),
     is_={"d": DIR(), "d/f": FILE(b"1"), "s": SYM("d/f"), "h": FILE(b"1", same_as="d/f"), "p": NODE("p"),
          "c": NODE("c", 1, 3), "b": NODE("b", 7, 9)})
tree("modes", f("suid", b"x", mode=0o4755) + f("sgid", b"x", mode=0o2755, gid=5) + d("sticky/", 0o1777) +
     f("none", b"x", mode=0), is_={"suid": FILE(b"x", 0o4755), "sgid": FILE(b"x", 0o2755, gid=5),
                                   "sticky": DIR(0o1777), "none": FILE(b"x", 0)})
tree("owners", f("a", uid=1000, gid=2000) + d("d/", uid=7, gid=8), is_={"a": FILE(uid=1000, gid=2000),
                                                                         "d": DIR(uid=7, gid=8)})
tree("owners-beyond-octal", pax({"uid": "3000000000", "gid": "4294967294"}) + f("a"),
     is_={"a": FILE(uid=3000000000, gid=4294967294)})
tree("owners-in-base-256", header("a", raw={108: b"\x80\0\0\0\x7f\xff\xff\xff"}), is_={"a": FILE(uid=0x7fffffff)})
tree("absolute-names", f("/etc/passwd", b"x") + d("/etc/"), is_={"etc": DIR(), "etc/passwd": FILE(b"x")})
tree("dots-in-names", d("./") + d("./a/") + f(".//a/./b", b"x"), is_={"a": DIR(), "a/b": FILE(b"x")})
tree("names-of-dots", f("..."), is_={"...": FILE()})
tree("name-with-newline", f("a\nb", b"x"), is_={"a\nb": FILE(b"x")})
tree("name-with-escape", f("a\x1b[2Jb", b"x"), is_={"a\x1b[2Jb": FILE(b"x")})
tree("name-not-utf8", header("x", raw={0: b"\xff\xfe"}), is_={os.fsdecode(b"\xff\xfe"): FILE()})
tree("name-with-backslash", f("a\\b"), is_={"a\\b": FILE()})
tree("name-of-255", pax({"path": "n" * 255}) + f("x"), is_={"n" * 255: FILE()})
tree("ustar-prefix", f("name", b"x", prefix="dir") + d("dir/"), is_={"dir": DIR(), "dir/name": FILE(b"x")})
tree("gnu-long-name", long_name("d/" + "n" * 200) + f("cut", b"x") + d("d/"),
     is_={"d": DIR(), "d/" + "n" * 200: FILE(b"x")})
tree("gnu-long-link", long_name("t" * 300, b"K") + sym("s", "cut"), is_={"s": SYM("t" * 300)})
tree("gnu-and-pax-agree", long_name("same") + pax({"path": "same"}) + f("x"), is_={"same": FILE()})
tree("pax-path", pax({"path": "p"}) + f("x", b"1"), is_={"p": FILE(b"1")})
tree("pax-mtime", pax({"mtime": "5.25"}) + f("a"), is_={"a": FILE(mtime=5250000000)})
tree("pax-mtime-negative", pax({"mtime": "-1.5"}) + f("a"), is_={"a": FILE(mtime=-1500000000)})
tree("pax-empty-value", pax({"path": "", "uname": ""}) + f("a"), is_={"a": FILE()})
tree("pax-unknown-keys", pax({"comment": "c", "VENDOR.key": "v"}) + f("a"), is_={"a": FILE()})
tree("global-comment", pax({"comment": "0123"}, b"g") + f("a"), is_={"a": FILE()})
tree("global-that-changes-nothing", pax({"mtime": str(TIME), "uid": "3"}, b"g") + f("a", uid=3),
     is_={"a": FILE(uid=3)})
tree("v7-directory", header("d/", b"\0", magic=b""), is_={"d": DIR(0o644)})
tree("contiguous-file", f("a", b"x", type=b"7"), is_={"a": FILE(b"x")})
tree("size-in-base-256", header("a", size=0, raw={124: b"\x80" + bytes(10) + b"\3"}) + padded(b"abc"),
     is_={"a": FILE(b"abc")})
tree("fields-with-spaces", header("a", raw={100: b"  644 \0 "}), is_={"a": FILE()})
tree("time-zero", f("a", mtime=0), is_={"a": FILE(mtime=0)})
tree("root-entry", d("./", 0o711, uid=3) + f("a"), is_={"": DIR(0o711, uid=3), "a": FILE()})
tree("implied-parents", f("a/b/c", b"x"), is_={"a": DIR(), "a/b": DIR(), "a/b/c": FILE(b"x")})
tree("directory-after-content", f("a/f") + d("a/", 0o700), is_={"a": DIR(0o700), "a/f": FILE()})
tree("directory-twice", d("a/", 0o700) + d("a/", 0o750), is_={"a": DIR(0o750)})
tree("last-entry-wins", f("a", b"old") + f("a", b"new"), is_={"a": FILE(b"new")})
tree("file-over-directory", d("a/") + f("a/x") + f("a", b"f"), is_={"a": FILE(b"f")})
tree("directory-over-file", f("a") + d("a/"), is_={"a": DIR()})
tree("directory-over-symlink", sym("a", "/etc") + d("a/") + f("a/f", b"x"), is_={"a": DIR(), "a/f": FILE(b"x")})
tree("file-over-symlink", sym("a", "/etc/berth-escape") + f("a", b"x"), is_={"a": FILE(b"x")})
tree("symlink-over-file", f("a") + sym("a", "b"), is_={"a": SYM("b")})
tree("file-over-hard-link", f("a", b"1") + link("b", "a") + f("b", b"2"), is_={"a": FILE(b"1"), "b": FILE(b"2")})
tree("fifo-over-directory", d("a/") + header("a", b"6"), is_={"a": NODE("p")})
tree("hard-link-chain", f("a", b"x") + link("b", "a") + link("c", "b"),
     is_={"a": FILE(b"x"), "b": FILE(b"x", same_as="a"), "c": FILE(b"x", same_as="a")})
tree("hard-link-to-itself", f("a", b"x") + link("a", "a"), is_={"a": FILE(b"x")})
tree("hard-link-to-symlink", sym("s", "/etc/passwd") + link("h", "s"), is_={"s": SYM("/etc/passwd"),
                                                                           "h": SYM("/etc/passwd")})
tree("hard-link-absolute", f("a", b"x") + link("b", "/a"), is_={"a": FILE(b"x"), "b": FILE(b"x", same_as="a")})
tree("symlink-up-is-only-text", sym("s", "../../../../etc/passwd"), is_={"s": SYM("../../../../etc/passwd")})
tree("parent-is-symlink-of-the-layer", d("usr/") + d("usr/lib/") + sym("lib", "usr/lib") + f("lib/x", b"1"),
     is_={"usr": DIR(), "usr/lib": DIR(), "lib": SYM("usr/lib"), "usr/lib/x": FILE(b"1")})
tree("parent-is-symlink-up", sym("s", "../../..") + f("s/f", b"x"), is_={"s": SYM("../../.."), "f": FILE(b"x")})
tree("parent-is-symlink-to-etc", sym("s", "/etc") + f("s/berth-escape", b"x"),
     is_={"s": SYM("/etc"), "etc": DIR(), "etc/berth-escape": FILE(b"x")})
tree("parent-is-symlink-chain", sym("a", "b") + sym("b", "/tmp") + f("a/berth-escape", b"x"),
     is_={"a": SYM("b"), "b": SYM("/tmp"), "tmp": DIR(), "tmp/berth-escape": FILE(b"x")})
tree("symlink-swapped-for-directory", d("d/") + f("d/1") + sym("d", "/tmp") + f("d/berth-escape"),
     is_={"d": SYM("/tmp"), "tmp": DIR(), "tmp/berth-escape": FILE()})
tree("whiteout", f(".wh.gone"), is_={"gone": WHITEOUT})
tree("whiteout-in-directory", d("d/") + f("d/.wh.gone"), is_={"d": DIR(), "d/gone": WHITEOUT})
tree("whiteout-with-content", f(".wh.gone", b"means nothing"), is_={"gone": WHITEOUT})
tree("whiteout-before-file", f(".wh.a") + f("a", b"x"), is_={"a": FILE(b"x")})
tree("whiteout-after-file", f("a", b"x") + f(".wh.a"), is_={"a": FILE(b"x")})
tree("whiteout-before-directory", f(".wh.d") + d("d/") + f("d/x"), is_={"d": DIR(opaque=True), "d/x": FILE()})
tree("whiteout-after-directory", d("d/") + f("d/x") + f(".wh.d"), is_={"d": DIR(opaque=True), "d/x": FILE()})
tree("whiteout-twice", f(".wh.a") + f(".wh.a"), is_={"a": WHITEOUT})
tree("whiteout-through-symlink", sym("s", "/tmp") + f("s/.wh.x"), is_={"s": SYM("/tmp"), "tmp": DIR(),
                                                                      "tmp/x": WHITEOUT})
tree("opaque-directory", d("d/") + f("d/.wh..wh..opq") + f("d/x"), is_={"d": DIR(opaque=True), "d/x": FILE()})
tree("opaque-after-content", d("d/") + f("d/x") + f("top") + f("d/.wh..wh..opq"),
     is_={"d": DIR(opaque=True), "d/x": FILE(), "top": FILE()})
tree("opaque-root", f("a") + f(".wh..wh..opq"), is_={"": DIR(opaque=True), "a": FILE()}, opaque=[True])
tree("aufs-metadata", f(".wh..wh.aufs", b"x") + d(".wh..wh.plnk/") + f("a"), is_={"a": FILE()})
tree("xattrs", pax({"SCHILY.xattr.user.note": b"a\0b"}) + f("a"), is_={"a": FILE(xattrs={"user.note": b"a\0b"})})
tree("xattrs-of-overlay-dropped", pax({"SCHILY.xattr.trusted.overlay.redirect": "/etc",
                                        "SCHILY.xattr.trusted.overlay.opaque": "y",
                                        "SCHILY.xattr.trusted.overlay.metacopy": "",
                                        "SCHILY.xattr.user.overlay.opaque": "y"}) + d("d/"), is_={"d": DIR(xattrs={})})
tree("xattrs-of-policies-dropped", pax({"SCHILY.xattr.security.selinux": "label", "SCHILY.xattr.security.ima": "x",
                                         "SCHILY.xattr.system.posix_acl_access": "x",
                                         "SCHILY.xattr.trusted.berth.borrowed": "y"}) + f("a"),
     is_={"a": FILE(xattrs={})})
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
tree("capability", pax({"SCHILY.xattr.security.capability": CAPABILITY}) + f("a", b"x", mode=0o755, uid=5),
     is_={"a": FILE(b"x", 0o755, uid=5, xattrs={"security.capability": CAPABILITY})})
tree("directory-times", d("a/", mtime=5) + d("a/b/", mtime=6) + f("a/b/f") + f("top") + f("a/g"),
     is_={"a": DIR(mtime=5 * 10**9), "a/b": DIR(mtime=6 * 10**9), "a/b/f": FILE(), "a/g": FILE(), "top": FILE()})
tree("setgid-directory", d("d/", 0o2755, gid=50) + f("d/f") + d("d/s/"),
     is_={"d": DIR(0o2755, gid=50), "d/f": FILE(), "d/s": DIR()})
HOLED = b"abc" + bytes(5) + b"de" + bytes(10)
tree("sparse-old-gnu", sparse("a", b"abcde", [(0, 3), (8, 2)], 20) + f("b"), is_={"a": FILE(HOLED), "b": FILE()})
tree("sparse-old-gnu-continued", sparse("a", b"abcde", [(0, 1), (1, 1), (2, 1), (3, 0)], 20, [(8, 1), (9, 1)]),
     is_={"a": FILE(HOLED)})
tree("sparse-pax-0.0", pax([("GNU.sparse.size", "20"), ("GNU.sparse.numblocks", "2"), ("GNU.sparse.offset", "0"),
                            ("GNU.sparse.numbytes", "3"), ("GNU.sparse.offset", "8"), ("GNU.sparse.numbytes", "2")]) +
     f("a", b"abcde"), is_={"a": FILE(HOLED)})
tree("sparse-pax-0.1", pax({"GNU.sparse.size": "20", "GNU.sparse.numblocks": "2", "GNU.sparse.name": "a",
                            "GNU.sparse.map": "0,3,8,2"}) + f("GNUSparseFile.1/a", b"abcde"), is_={"a": FILE(HOLED)})
tree("sparse-pax-1.0", sparse10("a", b"abcde", [(0, 3), (8, 2)], 20) + f("b"), is_={"a": FILE(HOLED), "b": FILE()})
tree("sparse-of-one-hole", sparse("a", b"", [], 1 << 20), is_={"a": FILE(bytes(1 << 20))})
DEEP = ["/".join("d" * n) for n in range(1, 1025)]
tree("deep-directories", b"".join(pax({"path": path}) + d("x") for path in DEEP) + pax({"path": DEEP[-1] + "/f"}) +
     f("x"), is_={**{path: DIR() for path in DEEP}, DEEP[-1] + "/f": FILE()})
tree("many-names-of-one-file", f("a", b"x") + b"".join(link("l%d" % i, "a") for i in range(500)),
     is_={"a": FILE(b"x"), **{"l%d" % i: FILE(b"x", same_as="a") for i in range(500)}})
CASES.append(Case("archive-without-end", [f("a", b"x")], trees=[{"a": FILE(b"x")}]))
CASES.append(Case("archive-without-padding", [f("a", b"abc")[:515]], trees=[{"a": FILE(b"abc")}]))
CASES.append(Case("archive-of-nothing", [b""], trees=[{}]))
CASES.append(Case("archive-padded-to-a-record", [f("a") + bytes(10240)], trees=[{"a": FILE()}]))
CASES.append(Case("gzip-of-two-members", [f("a", b"x") + f("b", b"y") + END],
                  pack=lambda t: gzip.compress(t[:700]) + gzip.compress(t[700:]),
                  trees=[{"a": FILE(b"x"), "b": FILE(b"y")}]))
CASES.append(Case("not-compressed", [f("a", b"x") + END], pack=lambda t: t, trees=[{"a": FILE(b"x")}]))
CASES.append(Case("gzip-stored-blocks", [f("a", b"x") + END], pack=lambda t: gzip.compress(t, 0),
                  trees=[{"a": FILE(b"x")}]))

# --- layers over layers ----------------------------------------------------------------------------------------------


def stack(name, layers, trees=None, error=None, **more):
    CASES.append(Case(name, [one + END for one in layers], trees=trees,
                      error=error and (CODES[error[0]], error[1]), **more))


BASE = d("usr/", 0o711) + d("usr/lib/", 0o750, uid=4) + sym("lib", "usr/lib") + f("tool", b"tool", mode=0o4755, uid=9)
BASE_TREE = {"usr": DIR(0o711), "usr/lib": DIR(0o750, uid=4), "lib": SYM("usr/lib"), "tool": FILE(b"tool", 0o4755, 9)}
stack("parents-from-below", [BASE, f("usr/lib/x", b"1")],
      [BASE_TREE, {"usr": DIR(0o711), "usr/lib": DIR(0o750, uid=4), "usr/lib/x": FILE(b"1")}])
stack("parent-is-symlink-below", [BASE, f("lib/x", b"1")],
      [BASE_TREE, {"usr": DIR(0o711), "usr/lib": DIR(0o750, uid=4), "usr/lib/x": FILE(b"1")}])
stack("whiteout-through-symlink-below", [BASE, f("lib/.wh.x")],
      [BASE_TREE, {"usr": DIR(0o711), "usr/lib": DIR(0o750, uid=4), "usr/lib/x": WHITEOUT}])
stack("opaque-through-symlink-below", [BASE, f("lib/.wh..wh..opq")],
      [BASE_TREE, {"usr": DIR(0o711), "usr/lib": DIR(0o750, uid=4, opaque=True)}])
stack("symlink-below-leads-up", [sym("s", "../../../../etc"), f("s/berth-escape", b"x")],
      [{"s": SYM("../../../../etc")}, {"etc": DIR(), "etc/berth-escape": FILE(b"x")}])
stack("symlink-below-loops", [sym("a", "b") + sym("b", "a"), f("a/x")], error=("INVALID", "symbolic link"))
stack("symlink-below-into-itself", [sym("a", "a/b"), f("a/x")], error=("INVALID", "symbolic link"))
stack("directory-replaces-symlink-below", [BASE, d("lib/") + f("lib/x")],
      [BASE_TREE, {"lib": DIR(), "lib/x": FILE()}])
stack("one-name-by-two-ways", [BASE, f("lib/x", b"1") + d("usr/") + d("usr/lib/") + f("usr/lib/x", b"2")],
      error=("INVALID", "usr/lib/x"))
stack("hard-link-to-below", [BASE, link("alias", "tool")],
      [BASE_TREE, {"alias": FILE(b"tool", 0o4755, 9), "tool": FILE(b"tool", 0o4755, 9, same_as="alias")}])
stack("hard-link-through-symlink-below", [BASE + f("usr/lib/y", b"y"), link("h", "lib/y")],
      [{**BASE_TREE, "usr/lib/y": FILE(b"y")},
       {"h": FILE(b"y"), "usr": DIR(0o711), "usr/lib": DIR(0o750, uid=4), "usr/lib/y": FILE(b"y", same_as="h")}])
stack("hard-link-to-deleted-below", [BASE, f(".wh.tool"), link("h", "tool")], error=("INVALID", "in no layer"))
stack("hard-link-to-hidden-below", [d("d/") + f("d/f"), d("d/") + f("d/.wh..wh..opq") + link("h", "d/f")],
      error=("INVALID", "in no layer"))
stack("hard-link-to-directory-below", [BASE, link("h", "usr")], error=("INVALID", "in no layer"))
stack("hard-link-below-then-replaced", [BASE, link("h", "tool") + f("h", b"own")],
      [BASE_TREE, {"h": FILE(b"own")}])
stack("opaque-root-over-layers", [BASE, f("a") + f(".wh..wh..opq")],
      [BASE_TREE, {"": DIR(opaque=True), "a": FILE()}], opaque=[False, True])
stack("needs-above-opaque-root", [BASE, f("a") + f(".wh..wh..opq"), f("usr/x")],
      [BASE_TREE, {"": DIR(opaque=True), "a": FILE()}, {"usr": DIR(), "usr/x": FILE()}])

# --- the archives that are refused -----------------------------------------------------------------------------------

for name, entry in {"up": f("../escape"), "up-inside": f("a/../../escape"), "up-directory": d("../"),
                    "up-at-the-end": f("a/.."), "up-absolute": f("/../escape"), "up-in-pax": pax(
                        {"path": "../escape"}) + f("x"), "up-in-gnu": long_name("../escape") + f("x"),
                    "up-in-prefix": f("x", prefix=".."), "whiteout-up": f("../.wh.x")}.items():
    bad("name-" + name, entry, "INVALID", "out of the layer")
bad("hard-link-up", link("h", "../../etc/passwd"), "INVALID", "out of the layer")
bad("hard-link-to-nothing", link("h", "missing"), "INVALID", "in no layer")
bad("hard-link-to-root", f("a") + link("h", "/"), "INVALID", "root of the layer")
bad("hard-link-to-directory", d("d/") + link("h", "d"), "INVALID", "directory")
bad("hard-link-to-whiteout", f(".wh.a") + link("h", "a"), "INVALID", "deleted")
bad("hard-link-to-itself-alone", link("h", "h"), "INVALID", "itself")
bad("hard-link-to-host-by-symlink", sym("s", "/etc") + link("h", "s/passwd"), "INVALID", "in no layer")
bad("symlink-loop-on-the-way", sym("a", "a") + f("a/f"), "INVALID", "symbolic links")
bad("symlink-to-nothing", header("s", b"2"), "INVALID", "symbolic link")
bad("file-on-the-way", f("a") + f("a/b"), "INVALID", "in the way")
bad("fifo-on-the-way", header("a", b"6") + f("a/b"), "INVALID", "in the way")
bad("root-is-a-file", f("./", b"x"), "INVALID", "root of the layer")
for name, path in {"empty": ".wh.", "dot": ".wh..", "dotdot": ".wh...", "below": "d/.wh.x/y",
                   "below-opaque": ".wh..wh..opq/x"}.items():
    bad("whiteout-" + name, f(path), "INVALID", "whiteout")
bad("device-0-0", header("c", b"3"), "INVALID", "whiteout")
bad("device-too-big", header("c", b"3", major=5000), "INVALID", "out of range")
bad("device-without-magic", header("c", b"3", major=1, minor=3, magic=b""), "INVALID", "magic")
bad("magic-nearly", f("a", magic=b"ustarX00"), "INVALID", "magic")
bad("name-empty", f(""), "INVALID", "without a name")
bad("name-with-nul", pax({"path": b"a\0b"}) + f("x"), "INVALID", "NUL")
bad("name-of-256", pax({"path": "n" * 256}) + f("x"), "EXHAUSTED", "longer than 255")
bad("path-of-5000", pax({"path": "d/" * 2500}) + d("x"), "EXHAUSTED", "longer than")
bad("depth-of-1500", pax({"path": "d/" * 1500}) + d("x"), "EXHAUSTED", "nested")
bad("link-with-nul", pax({"linkpath": b"a\0b"}) + sym("x", "y"), "INVALID", "NUL")
bad("type-unknown", header("a", b"Z"), "INVALID", "type")
bad("type-multivolume", header("a", b"M"), "INVALID", "type")
bad("type-volume-label", header("a", b"V"), "INVALID", "type")
bad("content-in-a-link", f("a", b"x") + f("h", b"abc", type=b"1", link="a"), "INVALID", "no file")
bad("content-in-a-directory", f("d/", b"abc", type=b"5"), "INVALID", "no file")
bad("content-in-a-symlink", f("s", b"abc", type=b"2", link="a"), "INVALID", "no file")
for name, field in {"negative": b"\xff" * 12, "letters": b"zz", "minus": b"-0000000001", "tail": b"1\0x",
                    "huge": b"\x80" + b"\x7f" * 11, "eight": b"00000000008\0"}.items():
    bad("size-" + name, header("a", raw={124: field}), "INVALID", "size")
bad("mode-letters", header("a", raw={100: b"rwx"}), "INVALID", "mode")
bad("uid-negative", header("a", raw={108: b"\xff" * 8}), "INVALID", "uid")
bad("uid-minus-one", pax({"uid": "4294967295"}) + f("a"), "INVALID", "uid")
bad("uid-wraps", pax({"uid": "4294967296"}) + f("a"), "INVALID", "uid")
bad("gid-wraps", pax({"gid": "18446744073709551616"}) + f("a"), "INVALID", "gid")
bad("mtime-overflows", pax({"mtime": "92233720368547758080"}) + f("a"), "INVALID", "mtime")
bad("mtime-text", pax({"mtime": "now"}) + f("a"), "INVALID", "mtime")
bad("pax-size-disagrees", pax({"size": "3"}) + f("a", b"abcd"), "INVALID", "size")
bad("pax-size-alone", pax({"size": "3"}) + header("a") + padded(b"abc"), "INVALID", "size")
bad("pax-size-negative", pax({"size": "-1"}) + f("a"), "INVALID", "size")
bad("pax-size-plus", pax({"size": "+1"}) + f("a", b"x"), "INVALID", "size")
bad("pax-names-disagree", long_name("one") + pax({"path": "two"}) + f("x"), "INVALID", "disagree")
bad("pax-key-twice", pax([("path", "a"), ("path", "b")]) + f("x"), "INVALID", "twice")
bad("pax-two-headers", pax({"uid": "1"}) + pax({"uid": "2"}) + f("x"), "INVALID", "two PAX")
bad("pax-without-entry", pax({"uid": "1"}), "INVALID", "without an entry")
bad("pax-length-zero", f("p", b"0 a=b\n", type=b"x") + f("a"), "INVALID", "length")
bad("pax-length-beyond", f("p", b"99 a=b\n", type=b"x") + f("a"), "INVALID", "length")
bad("pax-length-huge", f("p", b"99999999999999999999 a=b\n", type=b"x") + f("a"), "INVALID", "length")
bad("pax-without-equals", f("p", b"7 abcd\n", type=b"x") + f("a"), "INVALID", "without key")
bad("pax-without-newline", f("p", b"7 a=bcd", type=b"x") + f("a"), "INVALID", "length")
bad("pax-of-2-mib", header("p", b"x", size=2 << 20), "INVALID", "extended header")
bad("pax-empty", header("p", b"x") + f("a"), "INVALID", "extended header")
bad("gnu-name-twice", long_name("a") + long_name("b") + f("x"), "INVALID", "two GNU")
bad("gnu-name-of-5000", header("p", b"L", size=5000), "INVALID", "extended header")
for key, value in {"path": "all", "uid": "7", "gid": "7", "mtime": "7", "size": "9", "linkpath": "l",
                   "SCHILY.xattr.user.a": "v", "GNU.sparse.size": "9"}.items():
    bad("global-" + key.lower(), pax({key: value}, b"g") + f("x"), "INVALID", "global PAX header")
bad("xattrs-too-many", pax({"SCHILY.xattr.user.%d" % i: "v" for i in range(65)}) + f("a"), "EXHAUSTED", "attributes")
bad("xattr-too-long", pax({"SCHILY.xattr.user.a": "v" * 70000}) + f("a"), "EXHAUSTED", "attributes")
bad("xattr-twice", pax([("SCHILY.xattr.user.a", "1"), ("SCHILY.xattr.user.a", "2")]) + f("a"), "INVALID", "twice")
bad("sparse-sum", sparse("a", b"abcde", [(0, 3), (8, 3)], 20), "INVALID", "ranges are")
bad("sparse-overlap", sparse("a", b"abcde", [(0, 3), (2, 2)], 20), "INVALID", "overlap")
bad("sparse-beyond", sparse("a", b"abcde", [(0, 3), (19, 2)], 20), "INVALID", "overlap")
bad("sparse-huge", pax({"GNU.sparse.size": str(1 << 50), "GNU.sparse.numblocks": "0", "GNU.sparse.map": ""}) + f("a"),
    "EXHAUSTED", "sparse file")
bad("sparse-million-ranges", sparse10("a", b"", [], 20, numbers=[2000000]), "EXHAUSTED", "ranges")
bad("sparse-map-too-short", sparse10("a", b"", [], 20, numbers=[3, 0, 1]), "INVALID", "")
bad("sparse-map-letters", sparse10("a", b"", [], 20, numbers=["x"]), "INVALID", "malformed")
bad("sparse-version", pax({"GNU.sparse.major": "2", "GNU.sparse.size": "1"}) + f("a"), "UNIMPLEMENTED", "version")
bad("sparse-key", pax({"GNU.sparse.shape": "1"}) + f("a"), "UNIMPLEMENTED", "not known")
bad("sparse-twice-said", pax({"GNU.sparse.size": "20"}) + sparse("a", b"abcde", [(0, 3), (8, 2)], 20), "INVALID",
    "sparse")
broken = bytearray(f("a", b"x") + END)
broken[0] ^= 1
raw_bad("checksum-wrong", bytes(broken), "INVALID", "checksum")
raw_bad("cut-in-header", f("a")[:300], "INVALID", "ends inside")
raw_bad("cut-in-content", f("a", b"y" * 600)[:700], "INVALID", "ends inside")
raw_bad("cut-in-padding", f("a", b"abc")[:520], "INVALID", "ends inside")
raw_bad("cut-after-pax", pax({"uid": "1"}), "INVALID", "extended header")
raw_bad("lone-zero-block", bytes(512) + f("a") + END, "INVALID", "zero block")
raw_bad("bytes-after-the-end", END + f("a"), "INVALID", "after the end")
raw_bad("garbage", b"g" * 5000, "INVALID", "tar")
raw_bad("zip", b"PK\3\4" + b"z" * 2000, "INVALID", "tar")

# --- compression -----------------------------------------------------------------------------------------------------


def cut(archive):
    return gzip.compress(archive)[:-12]


def flipped(archive):
    packed = bytearray(gzip.compress(archive, 0))
    packed[40] ^= 1
    return bytes(packed)


def bomb(_):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(header("zeros", size=3 << 30))
    zeros = bytes(1 << 20)
    for _ in range(3 << 10):
        packed += packer.compress(zeros)
    return packed + packer.flush()


def zstd_window(_):
    return b"\x28\xb5\x2f\xfd\x00\xa8" + bytes(64)


SOME = f("a", b"x" * 5000) + END
raw_bad("gzip-cut", SOME, "DATA_LOSS", "end of data", pack=cut)
raw_bad("gzip-flipped", SOME, "DATA_LOSS", "", pack=flipped)
raw_bad("gzip-garbage-after", SOME, "DATA_LOSS", "gunzip", pack=lambda t: gzip.compress(t) + b"garbage!" * 9)
raw_bad("gzip-bomb", SOME, "EXHAUSTED", "zeros: decompress", pack=bomb)
raw_bad("zstd-huge-window", SOME, "DATA_LOSS", "unzstd", pack=zstd_window)
raw_bad("zstd-garbage", SOME, "DATA_LOSS", "unzstd", pack=lambda t: b"\x28\xb5\x2f\xfd" + b"\xff" * 200)
raw_bad("xz", SOME, "UNIMPLEMENTED", "xz", pack=lambda t: b"\xfd7zXZ\0" + b"x" * 200)
raw_bad("bzip2", SOME, "UNIMPLEMENTED", "bzip2", pack=lambda t: b"BZh9" + b"x" * 200)

# --- manifests and configs -------------------------------------------------------------------------------------------


def changed(name, change, code, words=""):
    CASES.append(Case(name, [f("a", b"x") + END], error=(CODES[code], words), change=change))


def edit(which, apply):
    def change(image):
        document = json.loads(image[which])
        apply(document)
        image[which] = json.dumps(document).encode()
    return change


def text(which, apply):
    def change(image):
        image[which] = apply(image[which])
    return change


def put(*path_and_value):
    *path, last, value = path_and_value

    def apply(document):
        for key in path:
            document = document[key]
        document[last] = value
    return apply


changed("diff-id-wrong", edit("config", lambda c: put("rootfs", "diff_ids", ["sha256:" + "0" * 64])(c)), "DATA_LOSS",
        "diff_id")
changed("layer-size-less", edit("manifest", lambda m: put("layers", 0, "size", 10)(m)), "DATA_LOSS", "")
changed("layer-size-more", edit("manifest", lambda m: put("layers", 0, "size", 99999)(m)), "DATA_LOSS", "")
changed("layer-size-negative", edit("manifest", lambda m: put("layers", 0, "size", -1)(m)), "INVALID", "")
changed("layer-size-text", edit("manifest", lambda m: put("layers", 0, "size", "9")(m)), "INVALID", "")
changed("layer-digest-wrong", lambda image: image.update(layers=[image["layers"][0] + b"!"]), "DATA_LOSS", "")
changed("layer-digest-short", edit("manifest", lambda m: put("layers", 0, "digest", "sha256:abc")(m)), "INVALID",
        "digest")
changed("layer-digest-md5", edit("manifest", lambda m: put("layers", 0, "digest", "md5:" + "0" * 32)(m)), "INVALID",
        "digest")
changed("layer-digest-up", edit("manifest", lambda m: put("layers", 0, "digest", "sha256:../../" + "0" * 58)(m)),
        "INVALID", "digest")
changed("layer-is-missing", edit("manifest", lambda m: put("layers", 0, "digest", "sha256:" + "1" * 64)(m)),
        "NOT_FOUND", "")
changed("fewer-layers-than-diff-ids", edit("manifest", lambda m: put("layers", [])(m)), "INVALID", "layers")
changed("more-layers-than-diff-ids", edit("config", lambda c: put("rootfs", "diff_ids", [])(c)), "INVALID", "layers")
changed("manifest-with-501-layers", edit("manifest", lambda m: put("layers", m["layers"] * 501)(m)), "EXHAUSTED", "")
changed("manifest-of-schema-1", edit("manifest", lambda m: put("schemaVersion", 1)(m)), "UNIMPLEMENTED", "schema 1")
changed("manifest-with-manifests", edit("manifest", lambda m: put("manifests", [])(m)), "INVALID", "")
changed("manifest-media-type-lies", edit(
    "manifest", lambda m: put("mediaType", "application/vnd.oci.image.index.v1+json")(m)), "INVALID", "")
changed("manifest-key-twice", text("manifest", lambda m: m.replace(b'{"schemaVersion"', b'{"layers":[],"schemaVersion"',
                                                                    1)), "INVALID", "")
changed("manifest-cut", text("manifest", lambda m: m[:-5]), "INVALID", "")
changed("manifest-empty", text("manifest", lambda m: b"{}"), "INVALID", "")
changed("manifest-array", text("manifest", lambda m: b"[]"), "INVALID", "")
changed("manifest-deep", text("manifest", lambda m: m[:-1] + b',"x":' + b"[" * 100 + b"]" * 100 + b"}"), "EXHAUSTED",
        "")
changed("manifest-of-5-mib", text("manifest", lambda m: m[:-1] + b" " * (5 << 20) + b"}"), "EXHAUSTED", "")
changed("manifest-not-utf8", text("manifest", lambda m: m[:-1] + b',"x":"\xff\xfe"}'), "INVALID", "")
changed("config-not-json", text("config", lambda c: b"hello"), "INVALID", "")
changed("config-of-9-mib", text("config", lambda c: c[:-1] + b" " * (9 << 20) + b"}"), "EXHAUSTED", "")
changed("config-for-another-machine", edit("config", lambda c: put("architecture", "s390x")(c)), "PRECONDITION",
        "s390x")
changed("config-for-windows", edit("config", lambda c: put("os", "windows")(c)), "PRECONDITION", "windows")
changed("config-key-twice", text("config", lambda c: c.replace(b"{", b'{"os":"linux",', 1)), "INVALID", "")
changed("config-with-many-volumes", edit("config", lambda c: put(
    "config", {"Volumes": {"/v%d" % i: {} for i in range(65)}})(c)), "EXHAUSTED", "")
changed("config-with-much-environment", edit("config", lambda c: put(
    "config", {"Env": ["A=%d" % i for i in range(10001)]})(c)), "EXHAUSTED", "")
changed("config-with-nul", edit("config", lambda c: put("config", {"Env": ["A=\0"]})(c)), "INVALID", "")
changed("config-of-other-types", edit("config", lambda c: put("config", {"Cmd": "sh"})(c)), "INVALID", "")
changed("config-digest-wrong", lambda image: image.update(serve_config=image["config"] + b" "), "DATA_LOSS", "")

# --- the registry ----------------------------------------------------------------------------------------------------


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def architecture():
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def image_of(case):
    """Path -> (media type, bytes)."""
    image = {"layers": [case.pack(one) for one in case.layers]}
    image["config"] = json.dumps({
        "architecture": architecture(), "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in case.layers]}}).encode()
    blobs = {digest(one): one for one in image["layers"]}
    layers = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(one), "size": len(one)}
              for one in image["layers"]]
    # The config first, so that the manifest fits to what a change made of it; then the manifest.
    trial = dict(image, manifest=b'{"layers":[{}]}')
    if case.change:
        try:
            case.change(trial)
            image["config"] = trial["config"]
        except (KeyError, IndexError, ValueError):
            pass
    image["manifest"] = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(image["config"]),
                   "size": len(image["config"])}, "layers": layers}, separators=(",", ":")).encode()
    if case.change:
        served = dict(image)
        kept = image["config"]
        case.change(served)
        image.update(served, config=kept)
    for was, one in zip(list(blobs), image["layers"]):
        blobs[was] = one
    blobs[digest(image["config"])] = image.get("serve_config", image["config"])
    pages = {"/v2/%s/blobs/%s" % (case.name, name): ("application/octet-stream", data)
             for name, data in blobs.items()}
    for reference in ("v1", digest(image["manifest"])):
        pages["/v2/%s/manifests/%s" % (case.name, reference)] = (MANIFEST, image["manifest"])
    return pages


MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that has seen enough closes its connection


class Handler(http.server.BaseHTTPRequestHandler):
    pages = {}
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        media_type, body = self.pages.get(self.path.split("?")[0], (None, b""))
        status, first, last = (200 if media_type else 404), 0, len(body) - 1
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if media_type and wanted and int(wanted[1]) <= last:
            first, last, status = int(wanted[1]), min(int(wanted[2] or last), last), 206
        if self.path in ("/v2", "/v2/"):
            status = 200
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (first, last, len(body)))
        body = body[first:last + 1]
        self.send_header("Content-Type", media_type or "text/plain")
        self.send_header("Content-Length", str(len(body)))
        if media_type and "/manifests/" in self.path:
            self.send_header("Docker-Content-Digest", digest(body))
        self.end_headers()
        try:
            if with_body:
                self.wfile.write(body)
        except OSError:
            pass  # the client has seen enough


# --- berth-pull ------------------------------------------------------------------------------------------------------


def start(program, fds):
    """The program with these files as 0, 1, 2, ...; all others closed."""
    high = [os.dup2(fd, 100 + i, inheritable=True) for i, fd in enumerate(fds)]
    actions = [(os.POSIX_SPAWN_DUP2, fd, i) for i, fd in enumerate(high)]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in high]
    try:
        return os.posix_spawn(program, [program], {}, file_actions=actions)
    finally:
        for fd in high:
            os.close(fd)


def pull(program, version, reference, work, layers):
    """The last word of berth-pull, and what layers it told of on the way."""
    ours_in, its_in = socket.socketpair()
    ours_out, its_out = socket.socketpair()
    empty = tempfile.mkdtemp(prefix="blobs", dir=os.path.dirname(work))
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (work, layers, empty)]
    pid = start(program, [its_in.fileno(), its_out.fileno(), 2] + fds)
    for one in fds:
        os.close(one)
    its_in.close()
    its_out.close()
    job = {"version": version, "kind": "pull", "job": "pull", "reference": reference, "existing": [],
           "auth": {"username": "", "password": "", "identity_token": "", "registry_token": "", "server_address": ""},
           "platform": {"os": "linux", "architecture": architecture(), "variant": ""}, "plain_http": True,
           "parallel_layers": 4, "parallel_ranges": 1, "range_bytes": 8 << 20, "stall_seconds": 30}
    ours_in.sendall(json.dumps(job).encode() + b"\n")
    last, early = {}, []
    for line in ours_out.makefile("rb"):
        word = json.loads(line)
        for layer in word.get("claim", {}).get("layers", []):
            ours_in.sendall(json.dumps({"grant": {"diff_id": layer["diff_id"], "dir": ""}}).encode() + b"\n")
        if "layer" in word:
            early.append(word["layer"])
        if "error" in word or "result" in word:
            last = word
    ours_in.close()
    _, status = os.waitpid(pid, 0)
    os.rmdir(empty)
    if not last:
        raise AssertionError("berth-pull ended without a word, status %d" % status)
    return last, early


def entry_at(path, names):
    status = os.lstat(path)
    entry = {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid,
             "mtime": status.st_mtime_ns}
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFCHR and status.st_rdev == 0:
        return {"kind": "w"}
    entry["kind"] = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p", stat.S_IFCHR: "c",
                     stat.S_IFBLK: "b"}[kind]
    if entry["kind"] == "l":
        entry["link"] = os.readlink(path)
    if entry["kind"] in "cbp":
        entry["rdev"] = (os.major(status.st_rdev), os.minor(status.st_rdev))
    if entry["kind"] == "f":
        entry["content"] = pathlib.Path(path).read_bytes()
        entry["same_as"] = names.setdefault(status.st_ino, [])
    if entry["kind"] in "fd":
        entry["xattrs"] = {name: os.getxattr(path, name) for name in os.listxattr(path)}
        entry["opaque"] = entry["xattrs"].pop("trusted.overlay.opaque", None) == b"y"
    return entry


def tree_at(root):
    """Path -> entry; walked by relative names, for the deepest path is longer than PATH_MAX may be."""
    found, names = {}, {}
    here = os.open(".", os.O_RDONLY)
    os.chdir(root)
    found[""] = entry_at(".", names)
    for directory, directories, files in os.walk("."):
        for name in directories + files:
            path = os.path.join(directory, name)[2:]
            found[path] = entry_at(path, names)
            if found[path]["kind"] == "f":
                found[path]["same_as"].append(path)
    os.chdir(here)
    os.close(here)
    return found


def compare(expected, found, told):
    for path in sorted(set(found) - set(expected) - {""}):
        told.append("%r is there" % path)
    for path, entry in expected.items():
        there = found.get(path)
        if there is None:
            told.append("%r is not there" % path)
            continue
        for key, value in dict({"opaque": False} if entry["kind"] == "d" else {}, **entry).items():
            if key == "same_as":
                if value not in there["same_as"]:
                    told.append("%r is no hard link to %r" % (path, value))
            elif there.get(key) != value:
                told.append("%r has %s %r instead of %r" % (path, key, there.get(key), value))


def run(case, program, version, registry, base):
    work, layers = os.path.join(base, "work"), os.path.join(base, "layers")
    os.mkdir(work, 0o700)
    os.mkdir(layers, 0o700)
    told = []
    try:
        last, _ = pull(program, version, "%s/%s:v1" % (registry, case.name), work, layers)
        if case.error:
            code, words = case.error
            error = last.get("error")
            if error is None:
                told.append("it was accepted")
            elif error["code"] != code or words not in error["message"]:
                told.append("error %d %r" % (error["code"], error["message"]))
            elif any(ord(c) < 32 or ord(c) == 127 for c in error["message"]):
                told.append("control characters in %r" % error["message"])
        elif "error" in last:
            told.append("error %d %r" % (last["error"]["code"], last["error"]["message"]))
        else:
            for i, (expected, layer) in enumerate(zip(case.trees, last["result"]["layers"])):
                compare(expected, tree_at(os.path.join(work, layer["dir"])), told)
                if not os.path.getsize(os.path.join(work, layer["dir"] + ".tree")):
                    told.append("layer %d has no tree" % i)
                if case.opaque and layer.get("opaque_root") != case.opaque[i]:
                    told.append("layer %d: opaque_root is %r" % (i, layer.get("opaque_root")))
        for escaped in ("/etc/berth-escape", "/tmp/berth-escape"):
            if os.path.lexists(escaped):
                told.append(escaped + " was made")
                os.unlink(escaped)
        beside = set(os.listdir(base)) - {"work", "layers"}
        if beside:
            told.append("beside the work directory: %r" % beside)
    finally:
        shutil.rmtree(work)
        shutil.rmtree(layers)
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--berth-pull")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--write")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    assert len({case.name for case in CASES}) == len(CASES), "two cases of one name"
    if options.list:
        print("\n".join(case.name for case in CASES))
        return 0
    if options.write:
        for case in CASES:
            if case.pack is not bomb:
                pathlib.Path(options.write, case.name + ".tar").write_bytes(case.layers[-1])
        return 0
    if os.geteuid() != 0:
        print("needs root: layers hold other users' files")
        return 77
    source = pathlib.Path(__file__).resolve().parents[2] / "src/image/pull_protocol.h"
    version = int(re.search(r"kPullProtocolVersion = (\d+)", source.read_text())[1])
    sys.setrecursionlimit(10000)  # of os.walk and shutil.rmtree, in the deepest tree
    os.umask(0)
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registry = "127.0.0.1:%d" % server.server_address[1]
    failed = ran = 0
    base = tempfile.mkdtemp(prefix="berth-image-corpus-")
    try:
        for case in CASES:
            if options.names and case.name not in options.names:
                continue
            ran += 1
            Handler.pages = image_of(case)
            told = run(case, options.berth_pull, version, registry, base)
            failed += bool(told)
            for one in told[:5]:
                print("%s: %s" % (case.name, one))
    finally:
        shutil.rmtree(base)
    print("%d images, %d not as expected" % (ran, failed))
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
