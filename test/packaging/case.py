"""What the tests of this folder share: the build folder, and cases that need a program."""
import argparse
import pathlib
import shutil
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def main():
    """Runs the tests of the calling file; `--build` names the build folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    Case.build = options.build.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"{program} is not installed")


class Case(unittest.TestCase):
    build = None

    def run_program(self, *arguments, **options):
        """Its stdout; a failure shows all that it said."""
        done = subprocess.run([str(a) for a in arguments], text=True, capture_output=True, timeout=120, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}\n{done.stdout}{done.stderr}")
        return done.stdout
