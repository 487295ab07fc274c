"""Numbers as carriers write them beside a destination of ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.handsets import Fit, fit_of, is_same_handset


@pytest.mark.parametrize(
    ("kind", "ours", "source", "other", "fit"),
    [
        ("as it is", "31612345678", "31612345678", "", Fit.SOURCE),
        ("nationally", "31612345678", "0612345678", "", Fit.SOURCE),
        ("without its zero", "31612345678", "612345678", "", Fit.SOURCE),
        ("with an international prefix", "31612345678", "0031612345678", "", Fit.SOURCE),
        ("too short to be national", "31612345678", "345678", "", Fit.APART),
        ("as sent, from a number", "31612345678", "31201234567", "31612345678", Fit.OTHER),
        ("as sent, from a name", "31612345678", "", "31612345678", Fit.OTHER),
        ("from a name to a name", "31612345678", "", "", Fit.UNTOLD),
        ("from a name to a stranger", "31612345678", "", "31201234567", Fit.UNTOLD),
        ("Mexico's mobile digit", "525512345678", "5215512345678", "", Fit.ALIKE),
        ("Argentina's mobile digit", "5491123456789", "541123456789", "", Fit.ALIKE),
        ("a routing prefix", "31612345678", "99931612345678", "", Fit.ALIKE),
        ("a prefix in the other address", "31612345678", "4455", "7731612345678", Fit.ALIKE),
        ("a stranger", "31612345678", "31600000000", "31201234567", Fit.APART),
        ("a short code", "31612345678", "1234", "", Fit.APART),
        ("zeros", "31612345678", "0000000", "", Fit.APART),
        ("a destination that is short itself", "12345", "9912345", "", Fit.APART),
    ],
)
def test_how_a_number_fits(kind: str, ours: str, source: str, other: str, fit: Fit) -> None:
    assert fit_of(ours, source, other) is fit, kind


digits = st.text("0123456789", max_size=15)


@given(st.text("123456789", min_size=8, max_size=15), digits)
def test_the_number_itself_fits_wherever_it_stands(ours: str, other: str) -> None:
    assert fit_of(ours, ours, other) is Fit.SOURCE
    assert fit_of(ours, other, ours) in {Fit.SOURCE, Fit.OTHER}
    assert is_same_handset(ours, ours)
