"""Read `arrivals.toml` whole, or say everything that is wrong with it and how to mend it.

Every setting is a field of one of the tables below, with its bounds and a sentence on what to
write; `arrivals.example.toml` shows each of them. Secrets never stand in the file: it names an
environment variable or another file that holds them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from arrivals.core.catalogue import EXPLORE_MAX, FLOOR, SENDER

FILE_BYTES_MAX: Final = 4_000_000  # a thousand providers and routes take a tenth of it
TABLES_MAX: Final = 10_000  # of one kind
SMPP_PASSWORD_CHARS_MAX: Final = 8  # SMPP 3.4, 4.1: nine octets with the closing NUL
DAY_S: Final = 86_400

Port = Annotated[int, Meta(ge=0, le=65_535, description="a port, 1 to 65535, or 0 for any")]
DialPort = Annotated[int, Meta(ge=1, le=65_535, description="the provider's port, 1 to 65535")]
Host = Annotated[
    str, Meta(min_length=1, max_length=253, description='a host name or address in "quotes"')
]
Name = Annotated[
    str, Meta(min_length=1, max_length=80, description="1 to 80 characters of text")
]
# The published bot prints route names as Telegram Markdown.
PlainName = Annotated[
    str,
    Meta(
        pattern=r"^[^_*\[`\x00-\x1f]{1,80}$", description="1 to 80 characters, none of _ * [ `"
    ),
]
ProviderId = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="up to 32 lower-case letters, digits, - and _",
    ),
]
Currency = Annotated[
    str, Meta(pattern=r"^[A-Z]{3}$", description='three letters such as "EUR"')
]
Money = Annotated[str, Meta(max_length=24, description='an amount in quotes such as "0.087"')]
Sender = Annotated[
    str,
    Meta(
        pattern=f"^({SENDER})$",
        description="3 to 11 letters and digits, or a number",
    ),
]
RouteId = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1")]
AccountId = Annotated[int, Meta(ge=1, le=1_000_000_000, description="a whole number from 1")]
KeepDays = Annotated[int, Meta(ge=7, le=36_500, description="days, 7 to 36500")]
Connections = Annotated[int, Meta(ge=16, le=1_000_000, description="16 to 1000000")]
DatabaseUrl = Annotated[
    str,
    Meta(
        pattern=r"^postgres(ql)?://",
        description="postgresql://USER@HOST:PORT/NAME; the password may come from PGPASSWORD",
    ),
]
FileName = Annotated[
    str, Meta(min_length=1, max_length=4096, description="a path, from the folder of this file")
]
Variable = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="an environment variable's name"
    ),
]
Switch = Annotated[bool, Meta(description="true or false")]
Validity = Annotated[
    int, Meta(ge=1, le=3 * DAY_S, description="seconds, 1 to 259200 (72 hours)")
]
Grace = Annotated[int, Meta(ge=0, le=30 * DAY_S, description="seconds, 0 to 2592000 (30 days)")]
Category = Annotated[
    Literal["otp", "alert", "bulk"], Meta(description='one of "otp", "alert", "bulk"')
]
Ambiguity = Annotated[
    Literal["wait", "query", "resend", "fail"],
    Meta(description='one of "wait", "query", "resend", "fail"'),
]


Probes = Annotated[
    tuple[
        Annotated[
            str,
            Meta(
                pattern=r"^\+[1-9][0-9]{7,14}$", description='numbers such as "+4915112345678"'
            ),
        ],
        ...,
    ],
    Meta(max_length=1_000, description='up to 1000 numbers such as "+4915112345678"'),
]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file."""


class Server(_Table, frozen=True, kw_only=True):
    """Where the API listens and where the data is."""

    host: Host = "127.0.0.1"
    port: Port = 8025
    metrics_port: Port = 9025
    connections: Connections = 10_000
    connections_per_address: Connections = 5_000
    data: FileName = "arrivals-data"
    database: DatabaseUrl | None = None
    keep_days: KeepDays | None = None
    verify_every: Annotated[
        int, Meta(ge=0, le=DAY_S, description="seconds, 0 (never) to 86400")
    ] = 60
    probes: Probes = ()


class DefaultTimes(_Table, frozen=True, kw_only=True):
    """What holds where neither request nor route says it; seconds."""

    valid_for: Validity = DAY_S
    outcome_grace: Grace = 2 * DAY_S
    resend_after: Annotated[int, Meta(ge=10, le=DAY_S, description="seconds, 10 to 86400")] = 60


class ProviderTable(_Table, frozen=True, kw_only=True):
    """One upstream connection over SMPP."""

    id: ProviderId
    host: Host
    port: DialPort = 2775
    sandbox: Switch = False
    bind: Annotated[
        Literal["transceiver", "transmitter+receiver"],
        Meta(description='"transceiver" or "transmitter+receiver"'),
    ] = "transceiver"
    system_id: Annotated[
        str, Meta(min_length=1, max_length=15, description="1 to 15 characters")
    ]
    password: (
        Annotated[
            str, Meta(max_length=SMPP_PASSWORD_CHARS_MAX, description="up to 8 characters")
        ]
        | None
    ) = None  # sandbox only
    password_env: Variable | None = None
    password_file: FileName | None = None
    tls: Switch = False
    tls_ca: FileName | None = None
    window: Annotated[int, Meta(ge=1, le=1_000, description="unanswered PDUs, 1 to 1000")] = 10
    throughput: (
        Annotated[float, Meta(gt=0, le=100_000, description="PDUs a second, above 0")] | None
    ) = None
    response_timeout: Annotated[float, Meta(ge=1, le=120, description="seconds, 1 to 120")] = (
        10.0
    )
    enquire_link: Annotated[float, Meta(ge=1, le=600, description="seconds, 1 to 600")] = 15.0
    cost: Money = "0"
    receipts_per: Annotated[
        Literal["segment", "message", "unknown"],
        Meta(description='"segment", "message" or "unknown"'),
    ] = "segment"
    receipt_depth: Annotated[
        Literal["submitted", "carrier", "handset"],
        Meta(description='"submitted", "carrier" or "handset"'),
    ] = "carrier"
    acceptd_is_own: Switch = False
    expired_is_final: Switch = False
    error_namespace: Annotated[
        str, Meta(pattern=r"^[a-z0-9_]{1,32}$", description="lower-case letters, digits and _")
    ] = "generic"


class RouteTable(_Table, frozen=True, kw_only=True):
    """One published way to send."""

    id: RouteId
    name: PlainName
    display_name: PlainName | None = None
    category: Category = "alert"
    access: Annotated[
        Literal["public", "restricted"], Meta(description='"public" or "restricted"')
    ] = "public"
    sender_policy: Annotated[
        Literal["any", "registered"], Meta(description='"any" or "registered"')
    ] = "any"
    currency: Currency = "EUR"
    providers: Annotated[
        tuple[ProviderId, ...],
        Meta(min_length=1, max_length=32, description="the ids of 1 to 32 providers, in order"),
    ]
    prices: FileName
    strategy: Annotated[
        Literal["priority", "outcome", "thompson"],
        Meta(description='one of "priority", "outcome", "thompson"'),
    ] = "priority"
    floor: Annotated[float, Meta(gt=0, lt=1, description="a share between 0 and 1")] = FLOOR
    explore: Annotated[float, Meta(ge=0, le=EXPLORE_MAX, description="a share, 0 to 0.2")] = 0.0
    failover: Switch = True
    on_ambiguous: Ambiguity = "wait"
    valid_for: Validity | None = None
    outcome_grace: Grace | None = None
    active: Switch = True


class KeyTable(_Table, frozen=True, kw_only=True):
    """An API key that was made elsewhere; where its text is, never the text."""

    name: Name = ""
    key_env: Variable | None = None
    key_file: FileName | None = None


class AccountTable(_Table, frozen=True, kw_only=True):
    """One customer."""

    id: AccountId
    name: Name
    username: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="letters, digits, dots, - and _"),
    ]
    currency: Currency = "EUR"
    credit_limit: Money = "0"
    opening_funds: Money = "0"
    refund_on: tuple[
        Annotated[
            Literal["failed", "filtered", "expired", "unknown"],
            Meta(description='of "failed", "filtered", "expired", "unknown"'),
        ],
        ...,
    ] = ()
    recharge: Switch = False
    default_route: RouteId | None = None
    routes: tuple[RouteId, ...] = ()
    denied_routes: tuple[RouteId, ...] = ()
    senders: Annotated[
        tuple[Sender, ...],
        Meta(
            max_length=1_000,
            description="up to 1000 of 3 to 11 letters and digits, or a number",
        ),
    ] = ()
    async_answers: Switch = False
    operator: Switch = False
    keys: Annotated[
        tuple[KeyTable, ...], Meta(max_length=100, description="up to 100 tables")
    ] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong with the file."""

    key: str  # such as providers[0].port
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}; {self.fix}"


class InvalidConfig(ValueError):
    """The file can't be used; nothing was changed."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        """Hold every problem, and print them with the file's name, one a line."""
        self.path = path
        self.problems = problems
        super().__init__("\n".join(f"{path}: {each}" for each in problems))


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything a file says, table by table, each within its bounds.

    Paths in it start from the file's folder. What the tables mean together is for
    flows/configuration.py.
    """

    path: Path
    server: Server
    defaults: DefaultTimes
    providers: tuple[ProviderTable, ...]
    routes: tuple[RouteTable, ...]
    accounts: tuple[AccountTable, ...]

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.beside(self.server.data)

    @property
    def place(self) -> str | Path:
        """Where everything is kept: the URL of a PostgreSQL database, or the data folder."""
        return self.server.database or self.data

    def beside(self, name: str) -> Path:
        """Return the path of a file that is named from the folder of the settings."""
        return self.path.absolute().parent / Path(name).expanduser()


T = TypeVar("T", bound=_Table)
_TABLES: Final[dict[str, type[_Table]]] = {"server": Server, "defaults": DefaultTimes}
_LISTS: Final[dict[str, type[_Table]]] = {
    "providers": ProviderTable,
    "routes": RouteTable,
    "accounts": AccountTable,
}


def read_settings(path: Path) -> Settings:
    """Read a file and check each of its tables; raises InvalidConfig with every problem."""
    document = _document(path)
    problems = [
        Problem(
            key=name, problem="there is no such table", fix=nearest(name, [*_TABLES, *_LISTS])
        )
        for name in sorted(document.keys() - _TABLES.keys() - _LISTS.keys())
    ]
    server = _table(document.get("server", {}), "server", Server, problems)
    defaults = _table(document.get("defaults", {}), "defaults", DefaultTimes, problems)
    providers = _list(document, "providers", ProviderTable, problems)
    routes = _list(document, "routes", RouteTable, problems)
    accounts = _list(document, "accounts", AccountTable, problems)
    if problems or server is None or defaults is None:
        raise InvalidConfig(path, tuple(problems))
    return Settings(
        path=path,
        server=server,
        defaults=defaults,
        providers=providers,
        routes=routes,
        accounts=accounts,
    )


def problems_of_account(settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return what is wrong with an account's settings that stand in no file."""
    problems: list[Problem] = []
    _table(dict(settings), "account", AccountTable, problems)
    return tuple(problems)


def _document(path: Path) -> dict[str, Any]:
    def refused(problem: str, fix: str) -> InvalidConfig:
        return InvalidConfig(path, (Problem(key="file", problem=problem, fix=fix),))

    try:
        octets = path.read_bytes()
    except OSError as error:
        raise refused(
            f"the file can't be read: {error.strerror}",
            "name an existing file; arrivals.example.toml is one to begin with",
        ) from None
    if len(octets) > FILE_BYTES_MAX:
        raise refused("the file is larger than 4 MB", "remove what isn't needed")
    try:
        return tomllib.loads(octets.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise refused(
            f"this isn't TOML: {error}",
            "mend that place; texts stand in quotes, tables under [name] or [[name]]",
        ) from None


def _table(found: Any, key: str, kind: type[T], problems: list[Problem]) -> T | None:
    """Return a table, or note everything that is wrong with it.

    Reading stops at the first mistake; so the setting it is in is noted, taken out, and the
    rest is read again.
    """
    noted: set[str] = set()
    for each in msgspec.structs.fields(kind):
        if isinstance(found, dict) and each.required and each.name not in found:
            noted.add(each.name)
            fix = f"write {_wanted([kind], each.name)}"
            missing = "it is needed and isn't there"
            problems.append(Problem(key=f"{key}.{each.name}", problem=missing, fix=fix))
    while True:
        try:
            table = msgspec.convert(found, kind)
        except msgspec.ValidationError as error:
            problem, setting = _translated(str(error), key, kind)
            if setting not in noted:
                problems.append(problem)
            if not isinstance(found, dict) or setting not in found:
                return None  # the whole table, or a setting that it lacks
            noted.add(setting)
            found = {name: value for name, value in found.items() if name != setting}
        else:
            return None if noted else table


def _list(
    document: dict[str, Any], name: str, kind: type[T], problems: list[Problem]
) -> tuple[T, ...]:
    """Return the tables of a list that can be read; the rest are problems."""
    found = document.get(name, [])
    if not isinstance(found, list) or len(found) > TABLES_MAX:
        fix = f"write each under [[{name}]], at most {TABLES_MAX:,}"
        problems.append(Problem(key=name, problem="this isn't a list of tables", fix=fix))
        return ()
    tables = [
        _table(each, f"{name}[{number}]", kind, problems) for number, each in enumerate(found)
    ]
    return tuple(each for each in tables if each is not None)


_UNKNOWN: Final = re.compile(r"unknown field `(.+?)`")
_MISSING: Final = re.compile(r"missing required field `(.+?)`")
_PLACE: Final = re.compile(r" - at `\$(.*?)`$")
_INDEX: Final = re.compile(r"\[[^]]*\]")
_TYPE: Final = re.compile(r"`(\w+)(?: \| \w+)*`")
_FORM: Final = re.compile(r"Expected text matching regex .*", re.DOTALL)
_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def _translated(message: str, key: str, kind: type[_Table]) -> tuple[Problem, str]:
    """Say in an editor's words what is wrong with a table; return the setting it is in, too."""
    place = _PLACE.search(message)
    path = place[1] if place else ""
    message = _PLACE.sub("", message)
    tables = _tables_on(path, kind)
    if match := _UNKNOWN.search(message):
        path, problem = f"{path}.{match[1]}", "there is no such setting"
        fix = nearest(match[1], tables[-1].__struct_fields__)
    elif match := _MISSING.search(message):  # told already
        path, problem, fix = f"{path}.{match[1]}", "it is needed and isn't there", ""
    else:
        problem = _FORM.sub("it hasn't the right form", _TYPE.sub(_type_in_words, message))
        problem = problem.replace("Expected", "expected").replace("Invalid enum value", "not")
        fix = f"write {_wanted(tables, re.sub(_INDEX, '', path).rpartition('.')[2])}"
    setting = re.sub(_INDEX, "", path).lstrip(".").partition(".")[0]
    return Problem(key=f"{key}{path}", problem=problem, fix=fix), setting


def _type_in_words(found: re.Match[str]) -> str:
    return _TYPES.get(found[1], found[0])


def _tables_on(path: str, kind: type[_Table]) -> list[type[_Table]]:
    """Return the tables that a path leads through, the outermost first."""
    return [kind, KeyTable] if path.startswith(".keys[") else [kind]


def _wanted(tables: list[type[_Table]], name: str) -> str:
    """Return what to write for a setting, from its own description."""
    for table in reversed(tables):
        hint = typing.get_type_hints(table, include_extras=True).get(name)
        if hint is not None:
            return _description(hint) or "another value"
    return f"a table: [{name}]" if name else "a table of settings"


def _description(hint: Any) -> str | None:
    for each in getattr(hint, "__metadata__", ()):
        if isinstance(each, Meta) and each.description:
            return each.description
    for part in typing.get_args(hint):
        if (found := _description(part)) is not None:
            return found
    return None


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a fix for a name that isn't among the known ones: the one that was meant."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(known)}" if known else "remove it"
