"""The measurement of power itself: it runs, and a bar that isn't kept is seen."""

from __future__ import annotations

import json

import pytest

from tests.outcome import power
from tests.outcome.power import Figure, main, told


def test_a_bar_is_kept_or_not() -> None:
    assert Figure(what="free", value=5).kept
    assert Figure(what="low enough", value=5, most=5).kept
    assert not Figure(what="too low", value=5, least=6).kept
    assert told(Figure(what="too high", value=5, most=4)).endswith("at most 4  NOT KEPT")
    assert "KEPT" not in told(Figure(what="free", value=5))


@pytest.mark.slow
def test_the_long_form_measures_all_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a size that says little, so that only its shape is looked at."""
    monkeypatch.setattr("sys.argv", ["power", "--messages", "2000", "--runs", "2", "--json"])
    with pytest.raises(SystemExit):
        main()
    figures = json.loads(capsys.readouterr().out)
    assert len(figures) > 50
    assert all(each.keys() == {"what", "value", "least", "most", "kept"} for each in figures)
    monkeypatch.setattr(power, "measured", lambda *_: iter([Figure(what="x", value=1, most=0)]))
    monkeypatch.setattr("sys.argv", ["power"])
    with pytest.raises(SystemExit, match="True"):
        main()
    assert capsys.readouterr().out.endswith("NOT KEPT\n")
