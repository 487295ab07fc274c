"""Run the command line with `python -m arrivals`."""

from __future__ import annotations

from arrivals.cli import main

if __name__ == "__main__":
    main()
