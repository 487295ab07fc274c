"""Compile the world's numbering plans into src/arrivals/core/numbering.py.

    python scripts/compile_numbering.py          # write it
    python scripts/compile_numbering.py --check  # exit 1 if it's out of date

Reads the metadata of the installed phonenumbers. Where several regions share a calling
code, their patterns are walked as automata, digit by digit, until one region alone can
win; the shortest such prefixes are what's kept.
"""

from __future__ import annotations

import sys
import textwrap
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from phonenumbers import PhoneMetadata
from phonenumbers.phonenumberutil import COUNTRY_CODE_TO_REGION_CODE

# What the standard library reads patterns with: its own, so without types.
ops: Any = import_module("re._constants")
parser: Any = import_module("re._parser")

TARGET = Path(__file__).parent.parent / "src/arrivals/core/numbering.py"
DIGITS = "0123456789"
PREFIX_MAX = 9
PREFIXES_A_WORD = 5  # so that a line of the file stays short
CARRIER_BEHIND_ZERO = {57}  # a digit behind Colombia's 0 may choose a carrier
NO_COUNTRY = "001"  # phonenumbers' word for satellite, freephone and the like
KINDS = (
    "fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number",
    "voip", "pager", "uan", "voicemail",
)  # fmt: skip

Items = tuple[Any, ...]
State = frozenset[Items]
Product = tuple[State, ...]


def metadata(calling_code: int, region: str) -> Any:
    if region == NO_COUNTRY:
        return PhoneMetadata.metadata_for_nongeo_region(calling_code, None)
    return PhoneMetadata.metadata_for_region(region, None)


def frozen(tree: Any) -> Items:
    """Turn a parsed pattern into nested tuples that can be compared and kept in sets."""
    items: list[Any] = []
    for op, value in tree:
        if op is ops.SUBPATTERN:
            items += frozen(value[-1])
        elif op is ops.BRANCH:
            items.append((op, tuple(frozen(branch) for branch in value[1])))
        elif op is ops.MAX_REPEAT:
            low, high, repeated = value
            items.append((op, (low, min(int(high), 20), frozen(repeated))))
        elif op is ops.IN:
            items.append((op, "".join(d for d in DIGITS if in_class(value, d))))
        else:
            items.append((op, chr(value)))
    return tuple(items)


def in_class(members: Any, digit: str) -> bool:
    return any(
        (op is ops.LITERAL and value == ord(digit))
        or (op is ops.RANGE and value[0] <= ord(digit) <= value[1])
        or (op is ops.CATEGORY)  # \d is the only one in the metadata
        for op, value in members
    )


@cache
def step(items: Items, digit: str) -> State:
    """Return what may follow once `digit` was read."""
    if not items:
        return frozenset()
    (op, value), rest = items[0], items[1:]
    if op is ops.BRANCH:
        return frozenset().union(*(step(branch + rest, digit) for branch in value))
    if op is ops.MAX_REPEAT:
        low, high, repeated = value
        after = step(rest, digit) if low == 0 else frozenset()
        if high == 0:
            return after
        again = ((op, (max(low - 1, 0), high - 1, repeated)),)
        return after | step(repeated + again + rest, digit)
    return frozenset({rest}) if digit in value else frozenset()


@cache
def complete(items: Items) -> bool:
    """Tell whether the pattern may end here."""
    for op, value in items:
        if op is ops.BRANCH and any(complete(branch) for branch in value):
            continue
        if op is ops.MAX_REPEAT and (value[0] == 0 or complete(value[2])):
            continue
        return False
    return True


def start(calling_code: int, region: str) -> State:
    """Return the automaton of a region's numbers: its leading digits, else its patterns."""
    plan = metadata(calling_code, region)
    if plan.leading_digits is not None:
        rest = frozen(parser.parse(r"\d{0,15}"))
        return frozenset({frozen(parser.parse(plan.leading_digits)) + rest})
    patterns = (
        getattr(plan, kind).national_number_pattern for kind in KINDS if getattr(plan, kind)
    )
    return frozenset(frozen(parser.parse(pattern)) for pattern in patterns if pattern)


def advanced(product: Product, digit: str) -> Product:
    return tuple(frozenset().union(*(step(i, digit) for i in state)) for state in product)


def winners(product: Product, regions: tuple[str, ...]) -> set[str]:
    """Return every region that some completion would be given to: the first that matches."""
    found: set[str] = set()
    seen = {product}
    todo = [product]
    while todo:
        here = todo.pop()
        for region, state in zip(regions, here, strict=True):
            if any(complete(items) for items in state):
                found.add(region)
                break
        for digit in DIGITS:
            there = advanced(here, digit)
            if there not in seen and any(there):
                seen.add(there)
                todo.append(there)
    return found


def split(product: Product, regions: tuple[str, ...], prefix: str) -> dict[str, str]:
    """Return the prefixes under `prefix` that one region other than the main one wins."""
    found = winners(product, regions)
    if len(found) > 1 and len(prefix) >= PREFIX_MAX:
        raise SystemExit(f"{prefix} is still shared by {found} after {PREFIX_MAX} digits")
    if len(found) <= 1:
        return dict.fromkeys([prefix] if found - {regions[0]} else [], "".join(found))
    parts: dict[str, str] = {}
    for digit in DIGITS:
        parts |= split(advanced(product, digit), regions, prefix + digit)
    return parts


def zero_led(calling_code: int, region: str) -> bool:
    """Tell whether a region has numbers that begin with 0."""
    pattern = metadata(calling_code, region).general_desc.national_number_pattern
    return bool(step(frozen(parser.parse(pattern)), "0"))


def wrapped(name: str, note: str, words: list[str]) -> str:
    lines = textwrap.wrap(" ".join(words), width=86, break_long_words=False)
    body = "\n".join(f'    "{line} "' for line in lines)
    return f"# {note}\n{name}: Final = (\n{body}\n)\n"


def compiled() -> str:
    plans = sorted(COUNTRY_CODE_TO_REGION_CODE.items(), key=lambda item: str(item[0]))
    main: list[str] = []
    shared: list[str] = []
    lengths: list[str] = []
    trunk: list[str] = []
    zero: list[str] = []
    for code, regions in plans:
        main.append(f"{code}:{'XN' if regions[0] == NO_COUNTRY else regions[0]}")
        possible = {n for r in regions for n in metadata(code, r).general_desc.possible_length}
        lengths.append(f"{code}:{','.join(str(n) for n in sorted(possible))}")
        dialled = {metadata(code, region).national_prefix for region in regions}
        if dialled == {"0"} and code not in CARRIER_BEHIND_ZERO:
            trunk.append(str(code))
        if any(zero_led(code, region) for region in regions):
            zero.append(str(code))
        if len(regions) > 1:
            product = tuple(start(code, region) for region in regions)
            by_region: dict[str, list[str]] = {}
            for prefix, region in split(product, regions, "").items():
                by_region.setdefault(region, []).append(f"{code}{prefix}")
            for region, prefixes in sorted(by_region.items()):
                for at in range(0, len(prefixes), PREFIXES_A_WORD):
                    word = ",".join(prefixes[at : at + PREFIXES_A_WORD])
                    shared.append(f"{region}:{word}")
    release = version("phonenumberslite")
    head = f'''"""Hold the world's numbering plans.

Data only, compiled from phonenumbers {release} by scripts/compile_numbering.py;
`phone` reads it. The metadata is libphonenumber's (Apache-2.0).
"""

from __future__ import annotations

from typing import Final

'''
    return head + "\n".join(
        (
            wrapped("MAIN_REGIONS", "Calling code : the region it stands for first.", main),
            wrapped(
                "SHARED_PREFIXES", "Region : prefixes it has within a shared code.", shared
            ),
            wrapped("NATIONAL_LENGTHS", "Calling code : possible lengths after it.", lengths),
            wrapped("TRUNK_ZERO", "Calling codes with a 0 that isn't dialled abroad.", trunk),
            wrapped("ZERO_LED", "Calling codes whose numbers may begin with 0.", zero),
        )
    )


def run(arguments: list[str]) -> int:
    text = compiled()
    if "--check" in arguments:
        return 0 if TARGET.read_text() == text else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
