"""Clients that two published generators make of our OpenAPI document, against a running app."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.peers.conftest import HERE, install, one_at_a_time
from tests.peers.development import Platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RUN_TIMEOUT_S = 120
SAID = {
    "estimated": 0.01,
    "cost": 0.01,
    "state": "delivered",
    "refused": ["body_invalid", "numbers"],
    "batch": [2, 0, 2],
    "page": 1,
    "currency": "EUR",
}


@pytest.fixture(scope="session")
def generators(pytestconfig: pytest.Config) -> Path:
    """The programs of an environment with both generators, as generators.txt locks them."""
    cache = pytestconfig.cache
    assert cache is not None
    folder = Path(cache.mkdir("generators"))
    locked = HERE / "generators.txt"
    wanted = hashlib.sha256(locked.read_bytes()).hexdigest()
    stamp = folder / ".installed-from"
    with one_at_a_time("generators"):
        if not stamp.exists() or stamp.read_text() != wanted:
            install([sys.executable, "-m", "venv", "--clear", str(folder)])
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            install([*pip, "--no-deps", "--require-hashes", "-r", str(locked)])
            stamp.write_text(wanted)
    return folder / "bin"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    platform = Platform(tmp_path_factory.mktemp("generated"))
    platform.start()
    yield platform
    platform.stop()


@pytest.fixture(scope="module")
def described(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document as it is served, in a file."""
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(httpx.get(f"{platform.url}/openapi.json").content)
    return path


def run(*command: object) -> str:
    done = subprocess.run(
        [*map(str, command)], check=False, capture_output=True, text=True, timeout=RUN_TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def told(python: Path, script: str, folder: Path, platform: Platform) -> dict[str, Any]:
    said = run(python, HERE / script, folder, platform.url, platform.facts["keys"]["main"])
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    name, state = found.pop("read")
    assert name.startswith("BX-")
    assert state == found["state"]
    return found


def test_openapi_python_client(
    generators: Path, described: Path, platform: Platform, tmp_path: Path
) -> None:
    """Leaves out no operation and no answer but those that aren't JSON."""
    said = run(
        generators / "openapi-python-client", "generate", "--meta", "none",
        "--path", described, "--output-path", tmp_path / "arrivals_client",
    )  # fmt: skip
    assert "Endpoint will not be generated" not in said
    assert "Unable to process schema" not in said
    assert told(generators / "python", "generated_client.py", tmp_path, platform) == SAID


def test_datamodel_code_generator(
    generators: Path, described: Path, platform: Platform, tmp_path: Path
) -> None:
    """Makes one module of it, with a model for every schema under its own name."""
    module = tmp_path / "arrivals_models.py"
    run(
        generators / "datamodel-codegen", "--input", described, "--input-file-type", "openapi",
        "--output", module, "--output-model-type", "pydantic_v2.BaseModel",
        "--formatters", "builtin",
    )  # fmt: skip
    made = module.read_text("utf-8")
    for name in json.loads(described.read_bytes())["components"]["schemas"]:
        assert f"class {name}(" in made
    assert told(generators / "python", "generated_models.py", tmp_path, platform) == SAID
