"""Fuzz for as long as one likes: `python -m tests.fuzz --minutes 10 [--only api]`.

It runs the properties of this folder and of tests/smpp/test_fuzz.py again and again with ten
times the examples; what fails is printed with a line that replays it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Final

# A process for each: pytest refuses plugins that were imported before it began.
PYTEST: Final = (
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "-x",
    "--timeout=0",
    "-p",
    "tests.fuzz.longer",
)
SUITES: Final = {
    "octets": ["tests/fuzz/test_octets.py", "tests/smpp/test_fuzz.py"],
    "api": ["tests/fuzz/test_api.py"],
}


def main() -> None:
    """Run round after round until the time is up; end with what failed, if anything did."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", choices=SUITES)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    asked = parser.parse_args()
    until = time.monotonic() + asked.minutes * 60
    rounds = 0
    while time.monotonic() < until:
        rounds += 1
        print(f"round {rounds}", file=sys.stderr, flush=True)
        for name, files in SUITES.items():
            if asked.only in {None, name}:
                done = subprocess.run([*PYTEST, *files], stdout=sys.stderr, check=False)
                if done.returncode:
                    sys.exit(done.returncode)
    told = f"{rounds} rounds, and nothing failed"
    print(json.dumps({"rounds": rounds}) if asked.json else told)


if __name__ == "__main__":
    main()
