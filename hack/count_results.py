"""Sums the JUnit files that ctest wrote, one for each ring of tests: count_results.py FOLDER RING...

Prints what was skipped and why, what failed and what that said, and as its last line "N passed, N failed, N skipped".
Exits with 1 when a test failed, when a ring has no result file, or when a ring ran no test at all.
A test that ctest could not start counts as failed; only a test that skipped itself counts as skipped.
"""
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

OUTPUT_LINES = 40  # of a failed test; who reads only the end of a long run sees them
SKIPPED_ITSELF = ("SKIP_REGULAR_EXPRESSION_MATCHED", "SKIP_RETURN_CODE")


def failure_lines(output):
    """What a failed test said: of gtest's output, from a test's first failure to its end."""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    told, failing = [], False
    for line in lines:
        failing = failing or line.endswith(": Failure")
        if failing:
            told.append(line)
        failing = failing and not line.startswith("[  FAILED  ]")
    return told[:OUTPUT_LINES] or lines[-OUTPUT_LINES:]


def outcome(case):
    """(passed, failed or skipped; what is told behind its name) of one <testcase>."""
    if case.get("status") == "run":
        return "passed", ""
    skipped = case.find("skipped")
    if case.get("status") == "notrun" and skipped is not None:
        message = skipped.get("message", "")
        if message.startswith(SKIPPED_ITSELF):
            reason = skip_reason(case.findtext("system-out", ""))
            return "skipped", f": {reason}" if reason else ""
        return "failed", f": {message or 'not run'}"
    return "failed", "".join(f"\n    {line}" for line in failure_lines(case.findtext("system-out", "")))


def skip_reason(output):
    """What the test printed last before gtest's own lines about the skip."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("[") and not line.startswith("Note:")
                 and not line.startswith("Running main") and not line.endswith("Skipped")), "")


def ring_outcomes(path):
    """[(ring, test, outcome, what is told)] of one result file; one failure for a ring without tests."""
    ring = path.stem
    try:
        cases = ElementTree.parse(path).getroot().findall("testcase")
    except (OSError, ElementTree.ParseError) as error:
        return [(ring, "ctest", "failed", f": left no result: {error}")]
    if not cases:
        return [(ring, "ctest", "failed", ": found no test")]
    return [(ring, case.get("name"), *outcome(case)) for case in cases]


def main():
    folder, rings = pathlib.Path(sys.argv[1]), sys.argv[2:]
    results = [result for ring in rings for result in ring_outcomes(folder / f"{ring}.xml")]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for wanted in ("skipped", "failed", "passed"):
        for ring, test, verdict, told in results:
            if verdict != wanted:
                continue
            counts[verdict] += 1
            if verdict != "passed":
                print(f"{verdict}: {ring}: {test}{told}")
    print(", ".join(f"{number} {verdict}" for verdict, number in counts.items()))
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)


if __name__ == "__main__":
    main()
