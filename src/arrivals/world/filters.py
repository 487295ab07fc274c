"""What carriers' filters see in a text: traits, each found by one small test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Trait = Literal["link", "shortener", "lure", "capitals", "code"]

_CAPITALS_MIN: Final = 12  # letters: an abbreviation is not shouting

_LINK = re.compile(
    r"https?://|\bwww\.|\b[\w-]+\.(?:com|net|org|info|biz|top|xyz)/", re.IGNORECASE
)
_SHORTENER = re.compile(
    r"\b(?:bit\.ly|tinyurl\.com|t\.co|goo\.gl|is\.gd|cutt\.ly|rb\.gy)/", re.IGNORECASE
)
_LURE = re.compile(
    r"\b(?:casino|jackpot|betting|lottery|loans?|payday|crypto|bitcoin|forex|winner|prize)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"(?<!\d)\d{4,8}(?!\d)")
_CODE_WORD = re.compile(r"\b(?:code|otp|pin|password|verification)\b", re.IGNORECASE)


def _shouts(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    return len(letters) >= _CAPITALS_MIN and all(char.isupper() for char in letters)


TRAITS: Final[dict[Trait, Callable[[str], bool]]] = {
    "link": lambda text: _LINK.search(text) is not None,
    "shortener": lambda text: _SHORTENER.search(text) is not None,
    "lure": lambda text: _LURE.search(text) is not None,
    "capitals": _shouts,
    "code": lambda text: bool(_CODE_WORD.search(text) and _CODE.search(text)),
}


def suspicion(text: str, base: float, rules: Mapping[Trait, float]) -> float:
    """Return the chance that a filter stops a text, from 0 to 1."""
    score = base + sum(weight for trait, weight in rules.items() if TRAITS[trait](text))
    return min(1.0, max(0.0, score))
