"""Manual pages and units, as the tools that read them see them."""
import pathlib
import tempfile

from case import SOURCE, Case, main, needs

PAGES = ("berth.1", "berth.toml.5", "berthd.8")


class Documents(Case):
    @needs("groff")
    def test_groff_finds_no_fault(self):
        for page in PAGES:
            with self.subTest(page):
                done = self.run_program("sh", "-c", 'groff -man -Tutf8 -ww -z "$0" 2>&1', self.build / "packaging" / page)
                self.assertEqual(done, "")

    @needs("mandoc")
    def test_mandoc_finds_no_fault(self):
        for page in PAGES:
            with self.subTest(page):
                said = self.run_program("sh", "-c", 'mandoc -Tlint -Wwarning "$0" 2>&1 || true',
                                        self.build / "packaging" / page)
                # A date would be that of the build, and no two builds the same.
                faults = [line for line in said.splitlines() if "missing date" not in line]
                self.assertEqual(faults, [])

    @needs("systemd-analyze")
    def test_systemd_finds_no_fault(self):
        with tempfile.TemporaryDirectory() as folder:
            # The program of the unit is one that is there.
            for unit in (SOURCE / "contrib/systemd").iterdir():
                text = unit.read_text().replace("/usr/sbin/berthd", str(self.build / "bin/berthd"))
                (pathlib.Path(folder) / unit.name).write_text(text)
            units = sorted(pathlib.Path(folder).iterdir())
            self.assertEqual(len(units), 2)
            said = self.run_program("sh", "-c", 'systemd-analyze verify --man=no "$@" 2>&1', "sh", *units)
            self.assertEqual(said, "")

    def test_scripts_are_shell(self):
        for script in ("postinst", "prerm", "postrm", "init.d/berthd"):
            self.run_program("sh", "-n", SOURCE / "contrib/debian" / script)


if __name__ == "__main__":
    main()
