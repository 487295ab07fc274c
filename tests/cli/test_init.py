"""`arrivals init`: it writes what works, writes over nothing, and comes with the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from arrivals.cli.init import FILES
from arrivals.config import read_settings
from arrivals.flows.configuration import configuration_of
from tests.cli.typed import type_in
from tests.tidy_checks import ROOT


def test_what_it_writes_can_be_used_as_it_stands(tmp_path: Path) -> None:
    """A folder that isn't there is made; the next commands are named."""
    folder = tmp_path / "new" / "folder"
    found = type_in("init", "--to", folder)
    assert found.code == 0
    assert f"arrivals serve --config {folder / 'arrivals.toml'}" in found.out
    assert sorted(each.name for each in folder.iterdir()) == sorted(FILES)
    wanted = configuration_of(read_settings(folder / "arrivals.toml"), {})
    assert wanted.routes
    assert all(wanted.prices.values())


def test_without_a_word_it_writes_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `serve` looks for it."""
    monkeypatch.chdir(tmp_path)
    assert type_in("init", "--json").json == {"written": list(FILES)}
    assert read_settings(Path("arrivals.toml")).accounts


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("as_link", [False, True])
def test_it_never_writes_over_anything(tmp_path: Path, name: str, *, as_link: bool) -> None:
    """Not over a link that leads nowhere either; the other file isn't written then."""
    if as_link:
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    else:
        (tmp_path / name).write_text("mine")
    found = type_in("init", "--to", tmp_path)
    assert found.code == 74
    assert name in found.err
    assert "What to do: " in found.err
    assert [each.name for each in tmp_path.iterdir()] == [name]
    if not as_link:
        assert (tmp_path / name).read_text() == "mine"


def test_serving_without_a_settings_file_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever types `arrivals serve` first learns how to begin."""
    monkeypatch.chdir(tmp_path)
    found = type_in("serve")
    assert found.code == 64
    assert "arrivals init" in found.err


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_wheel_has_it(tmp_path: Path) -> None:
    """Built, installed into an environment of its own, and typed there."""
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, ROOT],
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    if built.returncode and "hatchling" in built.stderr + built.stdout:
        pytest.skip("there is nothing to build a wheel with: hatchling can't be had")
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("arrivals-*.whl")
    venv.create(tmp_path / "fresh", with_pip=False)
    python = tmp_path / "fresh" / "bin" / "python"
    into = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--target", into, wheel],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    # What it runs on is the test's own; itself comes from the wheel alone.
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [python, "-m", "arrivals", "init", "--json"], cwd=tmp_path, check=False, text=True,
        capture_output=True, env=bare | {"PYTHONPATH": sysconfig.get_path("purelib")},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == {"written": list(FILES)}
    example = ROOT / "src" / "arrivals" / "cli" / "examples"
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (example / name).read_bytes()
    where = subprocess.run(
        [python, "-c", "import arrivals; print(arrivals.__file__)"], cwd=tmp_path,
        capture_output=True, text=True, check=True,
        env=bare | {"PYTHONPATH": sysconfig.get_path("purelib")},
    )  # fmt: skip
    assert where.stdout.startswith(into)
