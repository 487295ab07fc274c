"""Fuzz for as long as one likes: `python -m tests.fuzz --minutes 10 [--only api]`.

It runs the properties of this folder and of tests/smpp/test_fuzz.py again and again with ten
times the examples; what fails is printed with a line that replays it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Final

import pytest
from hypothesis import settings

MORE: Final = 1_000  # examples of each property in one round
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
                failed = pytest.main(["-q", "-x", "--timeout=0", *files], [_More()])
                if failed:
                    sys.exit(int(failed))
    told = f"{rounds} rounds, and nothing failed"
    print(json.dumps({"rounds": rounds}) if asked.json else told)


class _More:
    """Give each property more examples than a test run has time for."""

    def pytest_collection_finish(self) -> None:
        settings.register_profile("long", deadline=None, print_blob=True, max_examples=MORE)
        settings.load_profile("long")


if __name__ == "__main__":
    main()
