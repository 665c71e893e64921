"""Installs into a prefix, and unpacks the package into a root; a berthd of each serves its own berth."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

from case import Case, main, needs

LINKS = ("sbin/berthd", "bin/berth", "bin/berth-oci")
HELPERS = ("berth-monitor", "berth-pull", "berth-stream", "berth-copy")
PAPERS = ("lib/systemd/system/berthd.service", "lib/systemd/system/berth.slice", "share/man/man1/berth.1",
          "share/man/man5/berth.toml.5", "share/man/man8/berthd.8", "share/bash-completion/completions/berth",
          "share/zsh/vendor-completions/_berth", "share/fish/vendor_completions.d/berth.fish",
          "share/doc/berth/copyright", "share/doc/berth/examples/berth.toml",
          "share/doc/berth/examples/monitoring/dashboard.json")


class Install(Case):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="berth-install-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def check_tree(self, prefix):
        for link in LINKS:
            self.assertEqual(os.readlink(prefix / link), f"../libexec/berth/{pathlib.Path(link).name}")
        for helper in HELPERS:
            self.assertTrue(os.access(prefix / "libexec/berth" / helper, os.X_OK), helper)
        for paper in PAPERS:
            self.assertTrue((prefix / paper).is_file(), paper)
        self.run_program(prefix / "bin/berth-oci", "--version")
        self.run_program(prefix / "sbin/berthd", "--config", prefix / "share/doc/berth/examples/berth.toml",
                         "config", "check")

    @contextlib.contextmanager
    def manager(self):
        """A service manager's socket, and the environment that names it."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(str(self.folder / "notify"))
            notified.settimeout(60)
            yield notified, {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "3000000"}

    def check_serves(self, prefix):
        node = self.folder / "node"
        with self.manager() as (notified, environment), open(self.folder / "log", "w+") as log:
            daemon = subprocess.Popen([prefix / "sbin/berthd", "--dir", node], env=environment, stderr=log)
            try:
                self.assertEqual(notified.recv(4096), b"READY=1")
                version = self.run_program(prefix / "bin/berth", "--socket", node / "berth.sock", "version")
                self.assertIn("Server ", version)
                self.assertEqual(notified.recv(4096), b"WATCHDOG=1")
                (node / "berth.toml").write_text('[log]\nlevel = "debug"\n')
                daemon.send_signal(signal.SIGHUP)
                self.expect(notified, b"RELOADING=1\n", b"READY=1\n")
            except TimeoutError:
                self.fail(f"berthd tells nothing more:\n{(self.folder / 'log').read_text()}")
            finally:
                daemon.terminate()
                self.assertEqual(daemon.wait(timeout=60), 0)
            self.assertIn("taken_over=log.level", (self.folder / "log").read_text())

    def expect(self, notified, *beginnings):
        for beginning in beginnings:
            while (state := notified.recv(4096)) == b"WATCHDOG=1":
                pass
            self.assertTrue(state.startswith(beginning), state)

    def test_prefix(self):
        prefix = self.folder / "opt"
        self.run_program("cmake", "--install", self.build, "--prefix", prefix)
        self.check_tree(prefix)
        self.assertIn(f"ExecStart={prefix}/sbin/berthd\n", (prefix / "lib/systemd/system/berthd.service").read_text())
        self.assertFalse((prefix / "etc").exists())
        self.check_serves(prefix)

    @needs("dpkg-deb")
    def test_package(self):
        self.run_program("cpack", "-G", "DEB", "-B", self.folder / "package", cwd=self.build)
        package, = (self.folder / "package").glob("*.deb")
        root = self.folder / "root"
        self.run_program("dpkg-deb", "--extract", package, root)
        self.run_program("dpkg-deb", "--control", package, self.folder / "control")
        self.assertEqual(sorted(entry.name for entry in root.iterdir()), ["etc", "usr"])
        self.check_tree(root / "usr")
        self.assertIn("ExecStart=/usr/sbin/berthd\n", (root / "usr/lib/systemd/system/berthd.service").read_text())
        self.assertTrue(os.access(root / "etc/init.d/berthd", os.X_OK))
        self.assertEqual((self.folder / "control/conffiles").read_text(), "/etc/init.d/berthd\n")
        for script in ("postinst", "prerm", "postrm"):
            self.assertTrue(os.access(self.folder / "control" / script, os.X_OK), script)
        self.assertIn("libgrpc++", self.run_program("dpkg-deb", "--field", package, "Depends"))
        self.check_serves(root / "usr")


if __name__ == "__main__":
    main()
