"""Read `arrivals.toml` whole, or say everything that is wrong with it and how to mend it.

Every setting is a field of one of the tables below, with its bounds and a sentence on what to
write; `arrivals init` writes a file that shows each. Secrets never stand in it: it names
an environment variable or another file that holds them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from arrivals.core.addresses import HOST_AND_PORT
from arrivals.core.catalogue import EXPLORE_MAX, FLOOR, SENDER
from arrivals.core.dialect import PATTERN_CHARS_MAX, PLAIN
from arrivals.tables import Problem, Table, nearest, read_list, read_table

FILE_BYTES_MAX: Final = 4_000_000  # a thousand providers and routes take a tenth of it
LOGIN_CHARS_MAX: Final = 64  # SMPP has room for less; providers give out longer ones
SENDER_FORMS_MAX: Final = 100
DAY_S: Final = 86_400

Port = Annotated[int, Meta(ge=0, le=65_535, description="a port, 1 to 65535, or 0 for any")]
DialPort = Annotated[int, Meta(ge=1, le=65_535, description="the provider's port, 1 to 65535")]
Host = Annotated[
    str, Meta(min_length=1, max_length=253, description='a host name or address in "quotes"')
]
Hosts = Annotated[
    tuple[Annotated[str, Meta(pattern=HOST_AND_PORT, description='as "a" or "b:2776"')], ...],
    Meta(max_length=32, description='up to 32 hosts such as "a" or "b:2776"'),
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
Moment = Annotated[
    str, Meta(max_length=40, description='a day such as "2027-01-31", or RFC 3339')
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


class Server(Table, frozen=True, kw_only=True):
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


class DefaultTimes(Table, frozen=True, kw_only=True):
    """What holds where neither request nor route says it; seconds."""

    valid_for: Validity = DAY_S
    outcome_grace: Grace = 2 * DAY_S
    resend_after: Annotated[int, Meta(ge=10, le=DAY_S, description="seconds, 10 to 86400")] = 60


class SenderTable(Table, frozen=True, kw_only=True):
    """How senders that match a pattern whole are written."""

    pattern: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=PATTERN_CHARS_MAX,
            description="a regular expression of 1 to 64 characters",
        ),
    ]
    ton: Annotated[int, Meta(ge=0, le=6, description="a type of number, 0 to 6")]
    npi: Annotated[int, Meta(ge=0, le=18, description="a numbering plan, 0 to 18")]


def _ascii(octets_max: int) -> Meta:
    return Meta(
        pattern=f"^[\\x20-\\x7e]{{0,{octets_max}}}$",
        description=f"up to {octets_max} ASCII characters",
    )


class DialectTable(Table, frozen=True, kw_only=True):
    """How one provider wants to be spoken to, where it isn't as most do."""

    system_type: Annotated[str, _ascii(12)] = PLAIN.system_type
    service_type: Annotated[str, _ascii(5)] = PLAIN.service_type
    address_range: Annotated[str, _ascii(40)] = PLAIN.address_range
    interface_version: Annotated[
        int, Meta(ge=0, le=0xFF, description="an octet such as 0x33, 0x34 or 0x50")
    ] = PLAIN.interface_version
    optional_parameters: Switch = PLAIN.optional_parameters
    validity: Annotated[
        Literal["relative", "absolute", "none"],
        Meta(description='"relative", "absolute" or "none"'),
    ] = "relative"
    alphabet: Annotated[
        Literal["gsm7", "latin-1", "ascii"],
        Meta(description='"gsm7", "latin-1" or "ascii"'),
    ] = "gsm7"
    senders: Annotated[
        tuple[SenderTable, ...],
        Meta(
            max_length=SENDER_FORMS_MAX,
            description='up to 100 such as { pattern = "[0-9]{4}", ton = 3, npi = 1 }',
        ),
    ] = ()
    unmarked_receipts: Switch = PLAIN.unmarked_receipts
    long_messages: Annotated[
        Literal["udh", "sar", "payload"], Meta(description='"udh", "sar" or "payload"')
    ] = "udh"
    id_form: (
        Annotated[
            Literal["as_given", "leading_zeros", "hex_to_decimal", "decimal_to_hex"],
            Meta(
                description='"as_given", "leading_zeros", "hex_to_decimal" or "decimal_to_hex"'
            ),
        ]
        | None
    ) = None


class ProviderTable(Table, frozen=True, kw_only=True):
    """One upstream connection over SMPP."""

    id: ProviderId
    host: Host | None = None
    hosts: Hosts = ()
    binds: Annotated[int, Meta(ge=1, le=32, description="1 to 32, of each kind")] = 1
    port: DialPort = 2775
    sandbox: Switch = False
    bind: Annotated[
        Literal["transceiver", "transmitter+receiver"],
        Meta(description='"transceiver" or "transmitter+receiver"'),
    ] = "transceiver"
    system_id: Annotated[
        str, Meta(min_length=1, max_length=LOGIN_CHARS_MAX, description="1 to 64 characters")
    ]
    password: (
        Annotated[str, Meta(max_length=LOGIN_CHARS_MAX, description="up to 64 characters")]
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
    ids_of: ProviderId | None = None  # another login at the same carrier
    error_namespace: Annotated[
        str, Meta(pattern=r"^[a-z0-9_]{1,32}$", description="lower-case letters, digits and _")
    ] = "generic"
    dialect: Annotated[
        DialectTable, Meta(description='a table such as { alphabet = "latin-1" }')
    ] = DialectTable()


class RouteTable(Table, frozen=True, kw_only=True):
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
    throttle_failover: (
        Annotated[int, Meta(ge=0, le=DAY_S, description="seconds, 0 (never) to 86400")] | None
    ) = None
    active: Switch = True


class KeyTable(Table, frozen=True, kw_only=True):
    """An API key that was made elsewhere; where its text is, never the text."""

    name: Name = ""
    key_env: Variable | None = None
    key_file: FileName | None = None
    scopes: Annotated[
        tuple[
            Annotated[
                Literal["send", "read", "support", "admin"],
                Meta(description='of "send", "read", "support", "admin"'),
            ],
            ...,
        ],
        Meta(min_length=1, max_length=4, description='of "send", "read", "support", "admin"'),
    ] = ("send", "read")
    expires: Moment | None = None


class AccountTable(Table, frozen=True, kw_only=True):
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
    flows/configuration.py. With `problems` it is what could be read, and good for finding more.
    """

    path: Path
    problems: tuple[Problem, ...] = ()
    server: Server
    defaults: DefaultTimes
    providers: Mapping[int, ProviderTable]  # by place in the file, as routes and accounts are
    routes: Mapping[int, RouteTable]
    accounts: Mapping[int, AccountTable]

    def read_whole(self, name: str) -> bool:
        """Tell whether each table of a list could be read: what isn't there then is absent."""
        return not any(each.key.startswith(name) for each in self.problems)

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


_TABLES: Final[dict[str, type[Table]]] = {"server": Server, "defaults": DefaultTimes}
_LISTS: Final[dict[str, type[Table]]] = {
    "providers": ProviderTable,
    "routes": RouteTable,
    "accounts": AccountTable,
}


def read_settings(path: Path) -> Settings:
    """Read a file and check each of its tables; raises InvalidConfig with every problem."""
    found = read_tables(path)
    if found.problems:
        raise InvalidConfig(path, found.problems)
    return found


def read_tables(path: Path) -> Settings:
    """Read a file's tables, but for those with problems; raises InvalidConfig if not TOML."""
    document = _document(path)
    problems = [
        Problem(
            key=name, problem="there is no such table", fix=nearest(name, [*_TABLES, *_LISTS])
        )
        for name in sorted(document.keys() - _TABLES.keys() - _LISTS.keys())
    ]
    server = read_table(document.get("server", {}), "server", Server, problems)
    defaults = read_table(document.get("defaults", {}), "defaults", DefaultTimes, problems)
    providers = read_list(document, "providers", ProviderTable, problems)
    routes = read_list(document, "routes", RouteTable, problems)
    accounts = read_list(document, "accounts", AccountTable, problems)
    return Settings(
        path=path,
        problems=tuple(problems),
        server=server or Server(),
        defaults=defaults or DefaultTimes(),
        providers=providers,
        routes=routes,
        accounts=accounts,
    )


def problems_of_account(settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return what is wrong with an account's settings that stand in no file."""
    problems: list[Problem] = []
    read_table(dict(settings), "account", AccountTable, problems)
    return tuple(problems)


def _document(path: Path) -> dict[str, Any]:
    def refused(problem: str, fix: str) -> InvalidConfig:
        return InvalidConfig(path, (Problem(key="file", problem=problem, fix=fix),))

    try:
        octets = path.read_bytes()
    except OSError as error:
        raise refused(
            f"the file can't be read: {error.strerror}",
            "name an existing file with --config; `arrivals init` writes one to begin with",
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
