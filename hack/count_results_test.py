"""Tests of hack/count_results.py, which turns result files into the counts that hack/test ends with."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

COUNT = pathlib.Path(__file__).resolve().parent / "count_results.py"

PASSED = '<testcase name="A.Passes" status="run"/>'
FAILED = '<testcase name="A.Fails" status="fail"><failure message=""/></testcase>'
SKIPPED = ('<testcase name="A.Skips" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>'
           "<system-out>[ RUN      ] A.Skips\nsrc/a_test.cc:7: Skipped\nneeds root\n</system-out></testcase>")
NOT_STARTED = '<testcase name="A.Gone" status="notrun"><skipped message="Unable to find executable: /x"/></testcase>'


class CountResults(unittest.TestCase):
    def count(self, **rings):
        """(exit code, lines) for rings given as name = list of <testcase>, or None for no result file."""
        with tempfile.TemporaryDirectory() as folder:
            for ring, cases in rings.items():
                if cases is not None:
                    text = f"<testsuite>{''.join(cases)}</testsuite>"
                    (pathlib.Path(folder) / f"{ring}.xml").write_text(text)
            result = subprocess.run([sys.executable, COUNT, folder, *rings], capture_output=True, text=True,
                                    check=False)
        return result.returncode, result.stdout.splitlines()

    def test_sums_all_rings(self):
        code, lines = self.count(unit=[PASSED, PASSED], root=[PASSED, SKIPPED])
        self.assertEqual((code, lines[-1]), (0, "3 passed, 0 failed, 1 skipped"))

    def test_tells_why_a_test_was_skipped(self):
        _, lines = self.count(unit=[PASSED, SKIPPED])
        self.assertIn("skipped: unit: A.Skips: needs root", lines)

    def test_fails_with_a_failed_test(self):
        code, lines = self.count(unit=[PASSED, FAILED])
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))
        self.assertIn("failed: unit: A.Fails", lines)

    def test_tells_what_a_failed_test_said_behind_all_else(self):
        said = FAILED.replace("</testcase>", "<system-out>[ RUN      ] A.Fails\nnoise\nsrc/a_test.cc:7: Failure\n"
                              "Expected: 1\n" + "more\n" * 100 + "</system-out></testcase>")
        _, lines = self.count(unit=[said, SKIPPED])
        self.assertEqual(lines[:4], ["skipped: unit: A.Skips: needs root", "failed: unit: A.Fails",
                                     "    src/a_test.cc:7: Failure", "    Expected: 1"])
        self.assertLess(len(lines), 50)

    def test_tells_of_a_failed_test_among_others_only_its_own(self):
        said = FAILED.replace("</testcase>", "<system-out>[ RUN      ] A.Fails\nsrc/a_test.cc:7: Failure\n"
                              "[  FAILED  ] A.Fails (1 ms)\n[ RUN      ] B.Passes\n[       OK ] B.Passes\n"
                              "[  FAILED  ] A.Fails\n</system-out></testcase>")
        _, lines = self.count(unit=[said])
        self.assertEqual(lines, ["failed: unit: A.Fails", "    src/a_test.cc:7: Failure",
                                 "    [  FAILED  ] A.Fails (1 ms)", "0 passed, 1 failed, 0 skipped"])

    def test_counts_a_test_that_could_not_start_as_failed(self):
        code, lines = self.count(unit=[PASSED, NOT_STARTED])
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_fails_for_a_ring_without_tests(self):
        code, lines = self.count(unit=[PASSED], root=[])
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_fails_for_a_ring_without_result(self):
        code, lines = self.count(unit=[PASSED], root=None)
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_fails_when_everything_was_skipped(self):
        code, lines = self.count(unit=[SKIPPED])
        self.assertEqual((code, lines[-1]), (1, "0 passed, 0 failed, 1 skipped"))


if __name__ == "__main__":
    unittest.main()
