#!/usr/bin/python3
"""A CNI plugin for tests: records what it is called with, leases addresses of a /28, misbehaves as told.

It lies in a directory of its own beside `state/`:
  state/calls        one JSON object a call, appended: command, container, netns, args, env, input
  state/leases/IP    the container that has the address
  state/modes        lines "COMMAND MODE": fail, late (works, then fails), hang, flood, crash, garbage
  state/versions     supported versions, one a line; without it all up to 1.1.0
"""
import json
import os
import signal
import sys
import time

STATE = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "state")
LEASES = os.path.join(STATE, "leases")
VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]


def read(name):
    try:
        with open(os.path.join(STATE, name)) as file:
            return file.read().split("\n")
    except FileNotFoundError:
        return []


def fail(code, message):
    print(json.dumps({"cniVersion": "1.0.0", "code": code, "msg": message, "details": "as told"}))
    sys.exit(1)


def record(command, config):
    call = {"command": command, "container": os.environ.get("CNI_CONTAINERID"),
            "netns": os.environ.get("CNI_NETNS"), "args": os.environ.get("CNI_ARGS"),
            "plugin": os.path.basename(sys.argv[0]), "env": sorted(os.environ), "input": config}
    line = (json.dumps(call) + "\n").encode()
    fd = os.open(os.path.join(STATE, "calls"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, line)
    os.close(fd)


def add(container):
    for last in range(2, 15):
        try:
            fd = os.open(os.path.join(LEASES, f"10.209.0.{last}"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            continue
        os.write(fd, container.encode())
        os.close(fd)
        return f"10.209.0.{last}"
    fail(100, "no address left")


def release(keep):
    for name in os.listdir(LEASES):
        path = os.path.join(LEASES, name)
        with open(path) as file:
            if not keep(file.read()):
                os.unlink(path)


def misbehave(mode):
    if mode in ("fail", "late"):
        fail(11 if mode == "late" else 101, "told to fail")
    if mode == "hang":
        if os.fork() == 0:  # a child that outlives a plugin which is killed alone
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.setsid()
        while True:
            time.sleep(60)
    if mode == "flood":
        while True:
            os.write(1, b"x" * 65536)
    if mode == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "garbage":
        print('{"cniVersion": "1.0.0", "ips": [{"address": "not an address"}]}')
        sys.exit(0)


def main():
    command = os.environ["CNI_COMMAND"]
    if command == "VERSION":
        versions = [line for line in read("versions") if line] or VERSIONS
        print(json.dumps({"cniVersion": versions[-1], "supportedVersions": versions}))
        return
    config = json.load(sys.stdin)
    modes = dict(line.split() for line in read("modes") if line)
    record(command, config)  # and whoever sees that may change the modes
    mode = modes.get(command)
    container = os.environ.get("CNI_CONTAINERID", "")
    if mode not in (None, "late"):
        misbehave(mode)
    if command == "ADD":
        address = add(container)
    elif command == "DEL":
        release(lambda owner: owner != container)
    elif command == "GC":
        valid = {each["containerID"] for each in config["cni.dev/valid-attachments"]}
        release(lambda owner: owner in valid)
    if mode == "late":
        misbehave(mode)
    if command == "ADD":
        version = config["cniVersion"]
        if version < "0.3.0":
            print(json.dumps({"cniVersion": version, "ip4": {"ip": address + "/28"}}))
            return
        ip = {"address": address + "/28", "gateway": "10.209.0.1", "interface": 1}
        if version < "1.0.0":
            ip["version"] = "4"
        result = config.get("prevResult") or {
            "cniVersion": version, "ips": [ip],
            "interfaces": [{"name": "host0"}, {"name": "eth0", "sandbox": os.environ["CNI_NETNS"]}]}
        print(json.dumps(result))


main()
