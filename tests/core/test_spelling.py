"""Digits as people, spreadsheets and data frames write them: read for sure, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.phone import normalise_msisdn
from arrivals.core.spelling import TEXT_MAX, InvalidNumber, Spelt, spelt_digits


@pytest.mark.parametrize(
    ("report", "text", "digits"),
    [
        ("a data frame made the number a fraction", "491711234567.0", "491711234567"),
        ("a spreadsheet prints two decimals", "31612345678.00", "31612345678"),
        ("a program prints with %f", "491711234567.000000", "491711234567"),
        ("a fraction behind a plus", "+31612345678.0", "31612345678"),
        ("decimals with a comma", "31612345678,0", "31612345678"),
        ("decimals behind thousands, in German", "31.612.345.678,00", "31612345678"),
        ("decimals behind thousands, in French", "31 612 345 678,00", "31612345678"),
        ("decimals behind spaces", "31 612 345 678.00", "31612345678"),
        ("dots between groups", "31.612.345.678", "31612345678"),
        ("dots between groups of an American", "1.415.555.0123", "14155550123"),
        ("a dot once, between groups", "+1415555.0123", "14155550123"),
        ("a dot once, between groups of an Englishman", "+44 20 7946.0958", "442079460958"),
        ("dots between pairs, the last of them 00", "33.6.12.34.56.00", "33612345600"),
        ("a dot and six zeros early in it", "+31612.000000", "31612000000"),
        ("a dot at the end of a sentence", "31612345678.", "31612345678"),
        ("marks of the direction of writing", "\u202a+31612345678\u202c", "31612345678"),
        ("isolates of a chat", "\u2068+31612345678\u2069", "31612345678"),
        ("a zero width space", "31\u200b612345678", "31612345678"),
        ("a byte-order mark", "\ufeff31612345678", "31612345678"),
        ("a soft hyphen", "31612\u00ad345678", "31612345678"),
        ("a non-breaking hyphen", "+31\u2011612345678", "31612345678"),
        ("an en dash", "+31\u20136\u201312345678", "31612345678"),
        ("a narrow space that doesn't break", "+31\u202f6\u202f12345678", "31612345678"),
        ("an ideographic space", "+31\u3000612345678", "31612345678"),
        ("full-width digits",
         "\uff0b\uff13\uff11\uff16\uff11\uff12\uff13\uff14\uff15678", "31612345678"),
        ("Arabic digits",
         "\u0663\u0661\u0666\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "31612345678"),
        ("Persian digits", "\u06f3\u06f1612345678", "31612345678"),
        ("an apostrophe that makes a cell a text", "'+31612345678", "31612345678"),
        ("a line break behind it", "31612345678\r\n", "31612345678"),
        ("all of it in parentheses", "(31612345678)", "31612345678"),
        ("a full-width dot", "31\uff0e612\uff0e345678", "31612345678"),
    ],
)  # fmt: skip
def test_what_can_only_be_one_number_is_read(report: str, text: str, digits: str) -> None:
    assert normalise_msisdn(text) == digits, report


@pytest.mark.parametrize(
    ("report", "text", "why"),
    [
        ("a fraction that isn't nothing", "491711234567.5", "fraction"),
        ("a fraction that isn't nothing, with a comma", "491711234567,25", "fraction"),
        ("a fraction of too few digits", "316123.0", "fraction"),
        ("three zeros that could be digits", "4917112345.000", "fraction"),
        ("a mean of numbers", "4.5", "fraction"),
        ("a spreadsheet shortened it", "4.91711E+11", "spreadsheet"),
        ("a data frame shortened it", "4.91711e11", "spreadsheet"),
        ("a spreadsheet shortened it, with a comma", "4,91711E+11", "spreadsheet"),
        ("a spreadsheet shortened it and kept every digit", "4.91711234567E+11", "spreadsheet"),
        ("an exponent without a point", "31612E6", "spreadsheet"),
        ("a formula subtracted its groups", "-612345647", "begins with a minus"),
        ("a minus of another kind", "\u2212612345647", "begins with a minus"),
        ("a formula", "=31612345678", "formula"),
        ("thousands with commas", "31,612,345,678", "comma"),
        ("thousands with commas, and decimals", "31,612,345,678.00", "comma"),
        ("two numbers, with a comma", "31612345678,31687654321", "comma"),
        (
            "two numbers, with a semicolon",
            "31612345678;31687654321",
            "write one number a place",
        ),
        ("two numbers, with a slash", "31612345678/79", "write one number a place"),
        ("two numbers in one cell's lines", "45301234\n4567890", r"U\+000A"),
        ("a tab inside", "31612\t345678", r"U\+0009"),
        ("a second number's end in parentheses", "+49 171 1234567 (8)", "parentheses"),
        ("an extension", "31612345678x12", "letters"),
        ("an extension in words", "+31 20 1234567 ext. 8", "letters"),
        ("a link", "tel:+31612345678", "letters"),
        ("a unit", "31612345678 EUR", "letters"),
        ("no value of a data frame", "nan", "letters"),
        ("letters of a keypad", "1-800-FLOWERS", "letters"),
        ("a letter that looks like a digit", "3161234567O", "letters"),
        ("a number sign", "31612345678#8", r"# \(U\+0023\), which isn't a digit"),
        ("a digit set high", "3161234567\u00b2", r"U\+00B2"),
        ("a key of a telephone", "3161234567" + "8\u20e3", r"U\+20E3"),
        ("quotation marks", '"31612345678"', r"U\+0022"),
        ("a typographer's apostrophe", "\u2019+31612345678", r"U\+2019"),
        ("a NUL of two-octet text", "3\x001\x006", r"U\+0000"),
        ("what is shown in reverse", "\u202e87654321613", r"U\+202E"),
        ("nothing that can be seen", "\u200b", "empty"),
        ("a plus inside", "31+612345678", "before the first digit"),
    ],
)
def test_what_could_be_something_else_is_refused_with_the_reason(
    report: str, text: str, why: str
) -> None:
    with pytest.raises(InvalidNumber, match=why):
        print(report, normalise_msisdn(text))  # noqa: T201 - shown if it's taken after all


@given(st.integers(10_000_000, 10**15 - 1), st.sampled_from([".0", ".00", ",0", ",00"]))
def test_a_fraction_of_nothing_is_never_another_number(number: int, fraction: str) -> None:
    whole = str(number)
    assert spelt_digits(f"{number}{fraction}") == Spelt(whole, plus=False, groups=(whole,))


@given(st.floats(1e7, 1e15, allow_nan=False, allow_infinity=False))
def test_a_float_is_its_whole_number_or_refused(value: float) -> None:
    try:
        digits = spelt_digits(repr(value)).digits
    except InvalidNumber:
        return
    assert digits == str(int(value)) or len(repr(value).partition(".")[2]) > 2


@pytest.mark.parametrize(
    ("text", "plus", "groups"),
    [
        ("+31 6", True, ("31", "6")),
        ("31-6.123", False, ("31", "6", "123")),
        ("44 (0) 7911", False, ("44", "(0)", "7911")),
        ("44\uff08 0 \uff097911", False, ("44", "(0)", "7911")),
        ("(44 7911) 12", False, ("(44", "7911)", "12")),
        ("31\u200b6", False, ("316",)),
    ],
)
def test_a_plus_and_the_groups_are_told(text: str, plus: bool, groups: tuple[str, ...]) -> None:
    digits = "".join(groups).translate({ord("("): None, ord(")"): None})
    assert spelt_digits(text) == Spelt(digits, plus=plus, groups=groups)


def test_a_long_text_is_refused_unread() -> None:
    with pytest.raises(InvalidNumber, match="too long"):
        spelt_digits(" " * (TEXT_MAX + 1))
