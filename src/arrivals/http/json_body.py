"""Read a JSON body strictly, and say in our own words what is wrong with it and where.

A wrong type, a missing, unknown or doubled field is refused by name; a value is never
repeated, for it could be a text or a number. The decoder's words are read here and nowhere
else: they name its types, which nobody who writes JSON knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import msgspec

from arrivals.core.errors import Code, Refusal, body_invalid, refuse
from arrivals.http.charsets import BOM, refuse_charset, refuse_kind, text_of
from arrivals.http.exchange import NEAR

T = TypeVar("T")

NO_JSON: Final = "json_invalid"  # the kind of mistake
_NAME_CHARS_MAX: Final = 64  # of an unknown field, as the refusal repeats it

# What objects call their fields; in a text the quotation marks of such words are escaped.
_NAMES: Final = re.compile(rb'"(\w+)"\s*:')

# Words that other APIs have for a field, by the one that is meant; of several, the first that
# the object has.
_MEANT: Final[dict[str, Sequence[str]]] = {
    "number": ("numbers", "to"),
    "recipient": ("numbers", "to"),
    "recipients": ("numbers",),
    "to": ("numbers",),
    "phone": ("numbers", "to"),
    "msisdn": ("numbers", "to"),
    "sender": ("caller_id",),
    "sender_id": ("caller_id",),
    "from": ("caller_id",),
    "text": ("message",),
    "body": ("message",),
    "content": ("message",),
    "reference": ("client_ref",),
    "route": ("route_id",),
    "schedule_at": ("send_at",),
    "scheduled_at": ("send_at",),
    "validity": ("valid_for",),
    "validity_period": ("valid_for",),
    "ttl": ("valid_for",),
}


def read_json(decoder: msgspec.json.Decoder[T], raw: bytes, charset: str | None = None) -> T:
    """Decode a body, or raise the refusal that names the place and what's wrong there.

    `charset` is one that was declared for it and isn't UTF-8.
    """
    refuse_charset(raw, charset)
    try:
        found = decoder.decode(raw.removeprefix(BOM))
    except msgspec.ValidationError as error:
        raise _not_valid(str(error), decoder.type) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        refuse_kind(raw)
        text_of(raw)
        # The decoder's own words could quote the body.
        raise body_invalid([("", "the body isn't valid JSON", NO_JSON)]) from None
    except RecursionError:
        raise body_invalid([("", "the body is nested too deeply", NO_JSON)]) from None
    refuse_repeated(raw)
    return found


def refuse_repeated(raw: bytes) -> None:
    """Raise the refusal of a name that stands twice in one object of a body that was decoded.

    Decoders keep the last one in silence, and others the first.
    """
    names = _NAMES.findall(raw)
    if len(set(names)) != len(names) or b"\\u" in raw:
        # Numbers stay digits: they may be longer than Python likes to read.
        json.loads(raw, object_pairs_hook=_once, parse_int=str, parse_float=str)


def _once(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        problem = "stands more than once; which one is meant?"
        raise body_invalid([(twice, problem, "repeated")])


# --- the decoder's words --------------------------------------------------------------

_PLACE: Final = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>\w+)`$")
_NUMBERS: Final = re.compile(r"numbers(\.\d+)?|messages(\.\d+)?\.to|to")
_NO_TEXT: Final = re.compile(r"Expected `str`, got `(int|float)`")
_NUMBER_AS_TEXT: Final = (
    "write it as a text, in quotation marks: a JSON number has lost its 0 or + in front, "
    "and may have lost its last digits"
)
_JSON_TYPES: Final = {
    "array": "a list",
    "bool": "true or false",
    "decimal": "an amount such as 0.087",
    "float": "a number with a point or an exponent",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "a text in quotation marks",
}


def _wrong_type(found: re.Match[str]) -> str:
    wanted = [each for each in found["wanted"].split(" | ") if each != "null"]
    return f"must be {_named(wanted)}, not {_named([found['got']])}"


def _named(types: Iterable[str]) -> str:
    return " or ".join(_JSON_TYPES.get(each, "something else") for each in types)


_WORDS: Final[Sequence[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]]] = (
    (re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>\w+)`"), _wrong_type),
    (re.compile(r"Expected `\w+` >= (.+)"), lambda found: f"must be at least {found[1]}"),
    (re.compile(r"Expected `\w+` <= (.+)"), lambda found: f"must be at most {found[1]}"),
    (re.compile(r"Expected `str` of length >= 1"), lambda _: "must not be empty"),
    (
        re.compile(r"Expected `str` of length <= (\d+)"),
        lambda found: f"has at most {int(found[1]):,} characters",
    ),
    (re.compile(r"Number out of range"), lambda _: "is a number out of range"),
    (re.compile(r"Invalid decimal string"), lambda _: "must be an amount such as 0.087"),
)


def _not_valid(words: str, kind: Any) -> Refusal:
    """Turn the decoder's words, which name types and places but no values, into ours."""
    place = _PLACE.search(words)
    path = _dotted(place["path"]) if place else ""
    words = words[: place.start()] if place else words
    unknown = _UNKNOWN.match(words)
    if unknown:
        return _unknown(unknown["name"], path, kind)
    missing = _MISSING.match(words)
    if missing:
        return body_invalid([(_under(path, missing["name"]), "Field required", "missing")])
    if _NUMBERS.fullmatch(path) and _NO_TEXT.match(words):
        return body_invalid([(path, _NUMBER_AS_TEXT, "type")])
    for pattern, said in _WORDS:
        found = pattern.fullmatch(words)
        if found:
            return body_invalid([(path, said(found), "type")])
    return body_invalid([(path, "isn't what can stand here", "type")])


def _unknown(name: str, path: str, kind: Any) -> Refusal:
    """Refuse a field by its name, and say which one was meant where that can be guessed."""
    shown = name[:_NAME_CHARS_MAX]
    refusal = refuse(
        Code.UNKNOWN_FIELD, name=shown, field=_under(path, shown.replace(".", "·"))
    )
    known = _fields_at(path, kind)
    folded = shown.casefold().replace("-", "_")
    meant = [each for each in _MEANT.get(folded, ()) if each in known]
    near = meant or get_close_matches(folded, known, n=1, cutoff=NEAR)
    refusal.fix = (
        f"Did you mean {near[0]}?" if near else f"Take it out; there are {', '.join(known)}."
    )
    return refusal


def _fields_at(path: str, kind: Any) -> Sequence[str]:
    """Return the fields of the object that a path leads to, through fields and lists."""
    for name in (step for step in path.split(".") if step and not step.isdecimal()):
        types = {each.name: each.type for each in msgspec.structs.fields(kind)}
        kind = _struct_in(msgspec.inspect.type_info(types[name])) or kind
    fields: Sequence[str] = kind.__struct_fields__
    return fields


def _struct_in(info: Any) -> Any:
    """Return the struct that a type holds by itself, as an alternative or in a list."""
    if isinstance(info, msgspec.inspect.StructType):
        return info.cls
    inner = [getattr(info, name, None) for name in ("type", "item_type")]
    for each in (*inner, *getattr(info, "types", ())):
        found = None if each is None else _struct_in(each)
        if found is not None:
            return found
    return None


def _dotted(path: str) -> str:
    """Turn `.numbers[3]` into `numbers.3`; an index the decoder doesn't say is left out."""
    return path.replace("[...]", "").replace("[", ".").replace("]", "").strip(".")


def _under(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
