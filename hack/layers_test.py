"""Tests of hack/layers: each rule passes a clean tree and catches a violation planted in it."""
import json
import pathlib
import subprocess
import tempfile
import unittest

LAYERS = pathlib.Path(__file__).resolve().parent / "layers"

CLEAN = {
    "src/base/id.h": "#pragma once\n",
    "src/base/id.cc": '#include "src/base/id.h"\n\n#include <string>\n',
    "src/base/id_test.cc": '#include "src/base/id.h"\n#include <gtest/gtest.h>\n',
    "src/kernel/file.h": '#pragma once\n#include "absl/status/status.h"\n#include "src/base/id.h"\n',
    "src/kernel/vfork.cc": '#include "src/kernel/file.h"\nint p = fork();\n',
    "src/kernel/spawn_child.h": "#pragma once\n",
    "src/kernel/spawn_child.cc": '#include "src/kernel/spawn_child.h"\n',
    "src/store/database.h": '#pragma once\n#include "src/base/id.h"\n',
    "src/metrics/metrics.cc": "#include <prometheus/registry.h>\n",
    "src/image/image_store.h": '#pragma once\n#include "src/kernel/file.h"\n#include "src/store/database.h"\n',
    "src/image/pull/fetch.cc": '#include "src/image/image_store.h"\n',
    "src/runtime/monitor_protocol.h": "#pragma once\n#include <cstdint>\n",
    "src/runtime/launch_plan_wire.h": '#pragma once\n#include "src/runtime/monitor_protocol.h"\n',
    "src/runtime/plan.h": '#pragma once\n#include "src/kernel/file.h"\n',
    "src/runtime/monitor/start.cc": '#include "src/runtime/launch_plan_wire.h"\nint p = syscall(SYS_clone3, 0, 0);\n',
    "src/sandbox/network/bridge.h": '#pragma once\n#include "src/kernel/file.h"\n',
    "src/sandbox/pod.h": '#pragma once\n#include "src/sandbox/network/bridge.h"\n#include "src/image/image_store.h"\n',
    "src/server/server.h": '#pragma once\n#include "src/sandbox/pod.h"\n#include "cri/runtime/v1/api.pb.h"\n',
    "src/server/rpc/version.cc": '#include "src/server/server.h"\n',
    "src/cli/ps.cc": '#include "src/base/id.h"\n#include <grpcpp/grpcpp.h>\n',
    "test/e2e/pod_test.cc": '#include "src/kernel/file.h"\nint p = fork();\n',
}

# (what is planted, path, text, the rule that must speak up)
PLANTED = [
    ("a deadline by wall time", "src/sandbox/stop.cc", "auto t = absl::Now() + kGrace;\n", "clock"),
    ("wall time of the kernel", "src/kernel/wait.cc", "clock_gettime(CLOCK_REALTIME, &t);\n", "clock"),
    ("base includes kernel", "src/base/clock.h", '#include "src/kernel/file.h"\n', "direction"),
    ("store includes kernel", "src/store/row.h", '#include "src/kernel/file.h"\n', "direction"),
    ("metrics includes store", "src/metrics/a.h", '#include "src/store/database.h"\n', "direction"),
    ("image includes runtime", "src/image/a.h", '#include "src/runtime/plan.h"\n', "direction"),
    ("image includes its puller", "src/image/b.cc", '#include "src/image/pull/fetch.h"\n', "direction"),
    ("runtime includes image", "src/runtime/a.h", '#include "src/image/image_store.h"\n', "direction"),
    ("runtime includes store", "src/runtime/b.h", '#include "src/store/database.h"\n', "direction"),
    ("the network includes its pods", "src/sandbox/network/a.cc", '#include "src/sandbox/pod.h"\n', "direction"),
    ("sandbox includes server", "src/sandbox/a.cc", '#include "src/server/server.h"\n', "direction"),
    ("server includes kernel", "src/server/a.cc", '#include "src/kernel/file.h"\n', "direction"),
    ("an rpc includes kernel", "src/server/rpc/a.cc", '#include "src/kernel/file.h"\n', "direction"),
    ("cli includes sandbox", "src/cli/a.cc", '#include "src/sandbox/pod.h"\n', "direction"),
    ("stream includes image", "src/stream/a.cc", '#include "src/image/store.h"\n', "direction"),
    ("the monitor includes base", "src/runtime/monitor/a.cc", '#include "src/base/id.h"\n', "direction"),
    ("the monitor includes the planner", "src/runtime/monitor/b.cc", '#include "src/runtime/plan.h"\n', "direction"),
    ("the wire includes base", "src/runtime/monitor_protocol.h", '#include "src/base/id.h"\n', "direction"),
    ("a folder nobody knows", "src/shelf/a.h", "#pragma once\n", "direction"),
    ("code includes a test's file", "src/base/a.cc", '#include "test/e2e/oracle.h"\n', "direction"),
    ("sandbox uses gRPC", "src/sandbox/a.cc", "#include <grpcpp/grpcpp.h>\n", "library"),
    ("image uses CRI types", "src/image/a.cc", '#include "cri/runtime/v1/api.pb.h"\n', "library"),
    ("server uses prometheus-cpp", "src/server/a.cc", "#include <prometheus/registry.h>\n", "library"),
    ("a circle of two headers", "src/base/id.h", '#include "src/base/loop.h"\n', "circle"),
    ("fork in sandbox", "src/sandbox/a.cc", "void F() { if (fork() == 0) return; }\n", "spawn"),
    ("system in image", "src/image/a.cc", 'int x = std::system("ls");\n', "spawn"),
    ("popen in server", "src/server/a.cc", 'auto* p = ::popen("ls", "r");\n', "spawn"),
    ("posix_spawn in kernel", "src/kernel/a.cc", "int x = posix_spawn(0, 0, 0, 0, 0, 0);\n", "spawn"),
    ("a raw clone3", "src/runtime/a.cc", "long x = syscall(SYS_clone3, 0, 0);\n", "spawn"),
    ("abseil in a child", "src/kernel/spawn_child.cc", '#include "absl/status/status.h"\n', "child"),
    ("abseil in a child's header", "src/kernel/spawn_child.h", '#include "src/kernel/file.h"\n', "child"),
    ("a file called utils", "src/base/string_utils.h", "#pragma once\n", "name"),
    ("a path from the folder", "src/base/a.cc", '#include "id.h"\n', "path"),
    ("a file that is not there", "src/base/a.cc", '#include "src/base/gone.h"\n', "path"),
]

# What looks like a violation and is none.
HARMLESS = {
    "src/sandbox/words.cc": '// fork() is never called here\nconst char* kText = "system(";\nint x = plan.fork();\n'
                            "int y = SpawnSystem(1); int z = ecosystem(2);\n",
    "src/base/loop.h": "#pragma once\n",
}


class Layers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        for path, text in CLEAN.items():
            self.plant(path, text)

    def plant(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def run_layers(self, *arguments):
        return subprocess.run([LAYERS, "--root", self.root, *arguments], capture_output=True, text=True, check=False)

    def write_commands(self, paths):
        (self.root / "build").mkdir()
        entries = [{"directory": str(self.root), "file": path, "command": "c++"} for path in paths]
        (self.root / "build" / "compile_commands.json").write_text(json.dumps(entries))

    def test_passes_a_clean_tree(self):
        result = self.run_layers()
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)

    def test_passes_what_only_looks_wrong(self):
        for path, text in HARMLESS.items():
            self.plant(path, text)
        result = self.run_layers()
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)

    def test_names_each_planted_violation(self):
        for what, path, text, rule in PLANTED:
            with self.subTest(what):
                before = CLEAN.get(path)
                self.plant("src/base/loop.h", '#pragma once\n#include "src/base/id.h"\n')
                self.plant(path, text)
                result = self.run_layers()
                self.assertEqual(result.returncode, 1, result.stderr)
                self.assertIn(f": {rule}: ", result.stdout)
                if before is None:
                    (self.root / path).unlink()
                else:
                    self.plant(path, before)

    def test_passes_when_every_test_is_compiled(self):
        self.write_commands(["src/base/id_test.cc", "test/e2e/pod_test.cc"])
        result = self.run_layers("--build-dir", self.root / "build")
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)

    def test_knows_the_members_of_a_unity_source(self):
        self.write_commands(["src/base/id_test.cc", "build/Unity/unity_0_cxx.cxx"])
        member = self.root / "test" / "e2e" / "pod_test.cc"
        self.plant("build/Unity/unity_0_cxx.cxx", f'/* generated */\n\n#include "{member}"\n')
        result = self.run_layers("--build-dir", self.root / "build")
        self.assertEqual((result.returncode, result.stdout), (0, ""), result.stderr)

    def test_names_a_test_outside_the_build(self):
        self.write_commands(["src/base/id_test.cc"])
        result = self.run_layers("--build-dir", self.root / "build")
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("test/e2e/pod_test.cc: build: ", result.stdout)

    def test_refuses_an_empty_tree(self):
        with tempfile.TemporaryDirectory() as empty:
            result = subprocess.run([LAYERS, "--root", empty], capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no sources below", result.stderr)


if __name__ == "__main__":
    unittest.main()
