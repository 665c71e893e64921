"""The compile commands of a build, one for each source: those that are compiled several as one have their own here.

usage: hack/compile_commands.py BUILD-DIR >FILE
"""
import json
import pathlib
import re
import sys


def per_source(build):
    """The entries of BUILD/compile_commands.json, a unity source replaced by what it includes."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        unity = pathlib.Path(entry["directory"], entry["file"])
        if unity.parent.name != "Unity":
            yield entry
            continue
        for member in re.findall(r'#include "(.+)"', unity.read_text()):
            yield {**entry, "file": member, "command": entry["command"].replace(entry["file"], member)}


if __name__ == "__main__":
    json.dump(list(per_source(pathlib.Path(sys.argv[1]))), sys.stdout, indent=1)
