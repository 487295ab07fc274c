"""Damaged files are never called whole; `python -m tests.proof.damaged_files` tries more."""

from __future__ import annotations

import pytest

from arrivals.store import backup, beside
from arrivals.store.soundness import Looked
from tests.proof.damaged_files import DAMAGES, damaged, ground

PATIENCE_S = 150
SAMPLE = 2 * len(DAMAGES)
FILES = 120


def _wrong(numbers: range) -> list[str]:
    with ground() as here:
        return [each for _, found in damaged(here, numbers) for each in found]


def test_a_few_damaged_files_are_called_damaged():
    assert _wrong(range(SAMPLE)) == []


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_damaged_files_are_called_damaged():
    """Pages of junk, of zeros, in another's place; files cut off; logs of another moment."""
    assert _wrong(range(1_000, 1_000 + FILES)) == []


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S)
def test_the_files_see_who_does_not_look(monkeypatch):
    """The canary: without the look, some of the same files are called whole."""

    def blind(*_: object, **__: object) -> Looked:
        return Looked(troubles=(), finished=True)

    monkeypatch.setattr(backup, "look_at", blind)
    monkeypatch.setattr(beside, "look_at", blind)
    assert len(_wrong(range(SAMPLE))) > len(DAMAGES) // 2
