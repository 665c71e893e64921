#!/usr/bin/env python3
"""Makes the images that the CRI validation suite (critest) asks for, and pushes them to a registry on loopback.

    conformance_images.py --url http://127.0.0.1:5000 --work DIR

All are made from Debian's packages of this machine's release, unpacked into DIR and not installed. They bear the
names that they have below registry.k8s.io, k8s.gcr.io and gcr.io: a hosts.toml that names the registry as the
mirror of these leads there. What the suite pulls by a digest cannot be made.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys

import registry_images as images

# The suite compares messages word by word with busybox's. The shell of busybox-static prefers applets to programs,
# and neither has ipcs and pgrep.
PACKAGES = ["busybox", "procps", "util-linux", "nginx", "apache2-bin"]
PROGRAM_DIRS = ("bin", "sbin", "usr/bin", "usr/sbin")
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/lib/x86_64-linux-gnu/perl",
            "var/lib/dpkg", "var/cache")

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
default-user:x:1000:1000::/home/default-user:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
GROUP = """root:x:0:
daemon:x:1:
www-data:x:33:
default-user:x:1000:
group-defined-in-image:x:50000:default-user
nogroup:x:65534:
"""
NGINX = """daemon off;
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/stderr;
events {}
http {
  access_log /dev/stdout;
  server { listen PORT default_server; root /srv/www; }
}
"""
HTTPD = """ServerRoot /etc
ServerName localhost
PidFile /run/httpd.pid
Listen 80
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
User www-data
Group www-data
DocumentRoot /srv/www
ErrorLog /dev/stderr
"""
# Set-user-ID: says whose rights it has got.
WHO_AM_I = """#include <stdio.h>
#include <unistd.h>
int main(void) { return printf("Effective uid: %d\\n", (int)geteuid()) < 0; }
"""


def unpack_packages(work):
    """The packages and what they depend on, in one tree below `work`."""
    root, archives = os.path.join(work, "root"), os.path.join(work, "archives")
    os.makedirs(os.path.join(archives, "partial"), exist_ok=True)
    options = ["-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache::archives=" + archives,
               "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]
    subprocess.run(["apt-get", "-q", "-y", "--no-install-recommends", "--download-only"] + options +
                   ["install"] + PACKAGES, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(root, ignore_errors=True)
    for package in sorted(glob.glob(os.path.join(archives, "*.deb"))):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    for path in LEFT_OUT:
        shutil.rmtree(os.path.join(root, path), ignore_errors=True)
    return root


def base_layer(work):
    root = unpack_packages(work)
    listed = subprocess.run([os.path.join(root, "bin/busybox"), "--list"], check=True, capture_output=True, text=True)
    applets = set(listed.stdout.split()) - {"busybox"}
    layer = images.LayerWriter(os.path.join(work, "base.layer"))
    for path, kind in images.host_entries(root):
        name = os.path.relpath(path, root)
        folder, program = os.path.split(name)
        if name in (".", "etc/passwd", "etc/group") or (folder in PROGRAM_DIRS and program in applets):
            continue
        layer.from_host(path, kind, name)
    for path in ("dev", "proc", "sys", "srv", "srv/www", "home", "home/default-user", "var/lib/nginx/body", "var/log/nginx", "run"):
        layer.dir(path)
    layer.dir("root", 0o700)
    layer.dir("tmp", 0o1777)
    layer.symlink("var/run", "/run")
    for applet in sorted(applets):
        layer.hardlink("bin/" + applet, "bin/busybox")  # a path that is masked must be that of one of them
    layer.file_at("etc/passwd", PASSWD)
    layer.file_at("etc/group", GROUP)
    layer.file_at("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    layer.file_at("srv/www/index.html", "<html><body><h1>It works!</h1></body></html>\n")
    layer.file_at("etc/httpd.conf", HTTPD)
    return layer.finish()


def file_layer(work, path, data, mode=0o644):
    layer = images.LayerWriter(os.path.join(work, path.replace("/", "-") + ".layer"))
    layer.file_at(path, data, mode)
    return layer.finish()


def who_am_i_layer(work):
    source, binary = os.path.join(work, "nnp.c"), os.path.join(work, "nnp")
    with open(source, "w") as out:
        out.write(WHO_AM_I)
    subprocess.run(["cc", "-Os", "-static", "-s", "-o", binary, source], check=True)
    with open(binary, "rb") as program:
        return file_layer(work, "nnp", program.read(), 0o4755)


def fill(registry, work):
    base = base_layer(work)

    def push(name, layers=(), **config):
        repository, _, tag = name.partition(":")
        registry.push_image(repository, tag or "latest", [base] + list(layers),
                            dict({"Env": [images.PATH], "Cmd": ["sh"]}, **config), style="docker")

    def nginx(port):
        return file_layer(work, "etc/nginx/nginx.conf", NGINX.replace("PORT", str(port)))

    push("e2e-test-images/busybox:1.29-2")
    push("e2e-test-images/nginx:1.14-2", [nginx(80)], Cmd=["nginx"])
    push("e2e-test-images/httpd:2.4.39-4", Cmd=["apache2", "-f", "/etc/httpd.conf", "-DFOREGROUND"])
    push("e2e-test-images/nonewprivs:1.3", [who_am_i_layer(work)], Cmd=["/nnp"])
    push("pause:3.9", Cmd=["sleep", "infinity"])
    tools = "k8s-staging-cri-tools/"
    push(tools + "hostnet-nginx-amd64", [nginx(12003)], Cmd=["nginx"])
    push(tools + "test-image-user-uid", User="1002")
    push(tools + "test-image-user-username", User="www-data")
    push(tools + "test-image-user-uid-group", User="1003:users")
    push(tools + "test-image-user-username-group", User="www-data:100")
    push(tools + "test-image-predefined-group", User="1000")
    marks = {"test-image-latest": ["latest"], "test-image-tag": ["test", "all"], "test-image-1": ["latest"],
             "test-image-2": ["latest"], "test-image-3": ["latest"], "test-image-tags": ["1", "2", "3"]}
    for name, tags in marks.items():
        mark = file_layer(work, name, name + "\n")
        for tag in tags:
            push(tools + name + ":" + tag, [mark])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--work", required=True, help="a folder for packages and layers while they are made")
    options = parser.parse_args()
    registry = images.Registry(options.url)
    if registry.has("e2e-test-images/busybox", "1.29-2") and registry.has("pause", "3.9"):
        return
    os.makedirs(options.work, exist_ok=True)
    fill(registry, options.work)
    shutil.rmtree(options.work)


if __name__ == "__main__":
    sys.exit(main())
