"""Say what a settings file asks for: catalogue documents, prices, keys and opening funds.

The tables were checked one by one when they were read. Here they meet: names must lead
somewhere, and files and variables must hold what they should. Every problem is told at once,
with its key and its fix, and nothing is changed anywhere before there are none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from arrivals.config import (
    LOGIN_CHARS_MAX,
    AccountTable,
    DialectTable,
    InvalidConfig,
    KeyTable,
    ProviderTable,
    RouteTable,
    Settings,
)
from arrivals.core.addresses import address_of
from arrivals.core.catalogue import Account, Provider, Route, Strategy
from arrivals.core.dialect import Dialect, SenderForm, pattern_problem
from arrivals.core.ids import parse_api_key
from arrivals.core.moments import read_end
from arrivals.core.money import InvalidAmount, Micros, parse_amount
from arrivals.core.permissions import DEFAULT_SCOPES, Scope
from arrivals.core.phone import InvalidNumber, normalise_msisdn
from arrivals.core.pricing import InvalidPriceList, PriceRow, read_price_list
from arrivals.flows.plan import Defaults
from arrivals.tables import Problem, nearest

SECRET_BYTES_MAX: Final = 1_000
OTP_THROTTLE_FAILOVER_S: Final = 10  # about as long as somebody waits before asking again
PRICE_PROBLEMS_MAX: Final = 10  # told of one file at once


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyToRegister:
    """An API key whose text came from elsewhere; only its hash is stored."""

    account_id: int
    name: str
    key: str = field(repr=False)
    active: bool = True
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    expires_at_us: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """What an installation shall have, checked for itself but not against the database."""

    providers: tuple[Provider, ...] = ()
    routes: tuple[Route, ...] = ()
    prices: Mapping[int, tuple[PriceRow, ...]] = field(default_factory=dict)  # by route
    accounts: tuple[Account, ...] = ()
    opening_funds: Mapping[int, Micros] = field(default_factory=dict)  # by account
    keys: tuple[KeyToRegister, ...] = ()
    # Digests of what is read at a server's start only, by key such as `server.port`.
    at_start: Mapping[str, str] = field(default_factory=dict)


def configuration_of(
    settings: Settings, environment: Mapping[str, str] | None = None
) -> Configuration:
    """Return what the settings ask for; raises InvalidConfig with every problem.

    Those of tables that couldn't be read are among them.
    """
    return _Meaning(settings, os.environ if environment is None else environment).whole()


def defaults_of(settings: Settings) -> Defaults:
    """Return what the settings say of every message, and of the installation's own phones."""
    server, defaults = settings.server, settings.defaults
    return Defaults(
        valid_for_s=defaults.valid_for,
        outcome_grace_s=defaults.outcome_grace,
        resend_after_s=defaults.resend_after,
        keep_days=server.keep_days,
        probes=frozenset(normalise_msisdn(each) for each in server.probes),
    )


def at_start_of(settings: Settings) -> dict[str, str]:
    """Return each setting that a server reads at its start, as a digest: some hold secrets."""
    tables = {"server": settings.server, "defaults": settings.defaults}
    return {
        f"{table}.{name}": hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:16]
        for table, found in tables.items()
        for name, value in msgspec.structs.asdict(found).items()
    }


class _Meaning:
    """One file's tables, taken together; gathers problems instead of stopping at one."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment
        self._problems: list[Problem] = []

    def whole(self) -> Configuration:
        """Return what the file asks for, or raise InvalidConfig."""
        tables = self._settings
        self._unique("providers", [each.id for each in tables.providers.values()])
        self._unique("routes", [each.id for each in tables.routes.values()])
        self._unique("accounts", [each.id for each in tables.accounts.values()])
        configuration = Configuration(
            providers=tuple(
                self._provider(f"providers[{n}]", each) for n, each in tables.providers.items()
            ),
            routes=tuple(
                self._route(f"routes[{n}]", each) for n, each in tables.routes.items()
            ),
            prices={
                each.id: self._prices(f"routes[{n}].prices", each)
                for n, each in tables.routes.items()
            },
            accounts=tuple(
                self._account(f"accounts[{n}]", each) for n, each in tables.accounts.items()
            ),
            opening_funds={
                each.id: self._money(f"accounts[{n}].opening_funds", each.opening_funds)
                for n, each in tables.accounts.items()
            },
            keys=tuple(self._keys()),
            at_start=at_start_of(tables),
        )
        for n, each in enumerate(tables.server.probes):
            self._number(f"server.probes[{n}]", each)
        if tables.problems or self._problems:
            raise InvalidConfig(tables.path, (*tables.problems, *self._problems))
        return configuration

    def _unique(self, name: str, ids: Sequence[int | str]) -> None:
        for each in dict.fromkeys(each for each in ids if ids.count(each) > 1):
            self._add(name, f"the id {each} stands more than once", "give each its own id")

    def _number(self, key: str, text: str) -> None:
        try:
            normalise_msisdn(text)
        except InvalidNumber as problem:
            self._add(key, f"can't be used: {problem}", "write the country code and the number")

    # --- providers -------------------------------------------------------------------

    def _provider(self, key: str, table: ProviderTable) -> Provider:
        settings: dict[str, object] = {
            **self._addresses(key, table),
            "bind": table.bind,
            "system_id": table.system_id,
            "tls": table.tls,
            "response_timeout_s": table.response_timeout,
            "enquire_link_s": table.enquire_link,
            **self._password(key, table),
        }
        if table.tls_ca is not None:
            settings["tls_ca"] = str(self._readable(f"{key}.tls_ca", table.tls_ca))
            if not table.tls:
                self._add(f"{key}.tls_ca", "it is of use with TLS only", "add tls = true")
        return Provider(
            provider_id=table.id,
            sandbox=table.sandbox,
            window=table.window,
            throughput=table.throughput,
            cost=self._money(f"{key}.cost", table.cost),
            receipts_per=table.receipts_per,
            receipt_depth=table.receipt_depth,
            acceptd_is_own=table.acceptd_is_own,
            expired_is_final=table.expired_is_final,
            ids_of=self._ids_of(f"{key}.ids_of", table),
            error_namespace=table.error_namespace,
            dialect=self._dialect(f"{key}.dialect", table.dialect),
            settings=settings,
        )

    def _addresses(self, key: str, table: ProviderTable) -> dict[str, object]:
        """Return where it listens, and how often it is bound."""
        hosts = [table.host] if table.host is not None else []
        found = [(each, table.port) for each in hosts]
        for number, text in enumerate(table.hosts):
            address = address_of(text, table.port)
            if address is None:
                self._add(f"{key}.hosts[{number}]", f"{text!r} has no such port", "1 to 65535")
            else:
                found.append(address)
        found = list(dict.fromkeys(found))
        if not found:
            fix = 'write host = "…", or hosts = ["…", "…:2776"]'
            self._add(f"{key}.host", "a host is needed and there is none", fix)
            return {}
        where: dict[str, object] = {"host": found[0][0], "port": found[0][1]}
        if len(found) > 1:
            where["hosts"] = [list(each) for each in found]
        if table.binds > 1:
            where["binds"] = table.binds
        return where

    def _ids_of(self, key: str, table: ProviderTable) -> str | None:
        """Return whose ids its receipts may tell: the other login's, and no third one's."""
        name = table.ids_of
        if name is None:
            return None
        known = {each.id: each for each in self._settings.providers.values()}
        other = known.get(name)
        if other is None:
            if not self._settings.read_whole("providers"):
                return name  # it may be the one that couldn't be read
            fix = f'add [[providers]] with id = "{name}"; {nearest(name, known)}'
            self._add(key, f"there is no provider {name!r}", fix)
        elif name == table.id:
            self._add(
                key, "it names the provider itself", "name the other login, or take it out"
            )
        elif other.ids_of not in {None, table.id}:
            problem = f"{name!r} names {other.ids_of!r} itself, and only one step is followed"
            self._add(key, problem, f'write ids_of = "{other.ids_of}"')
        elif other.sandbox is not table.sandbox:
            fix = "name a sandbox from a sandbox only"
            self._add(key, "a sandbox's receipts are no live provider's", fix)
        return name

    def _dialect(self, key: str, table: DialectTable) -> Dialect:
        for number, each in enumerate(table.senders):
            problem = pattern_problem(each.pattern)
            if problem is not None:
                fix = "write letters, digits, classes such as [0-9], and few repetitions"
                self._add(f"{key}.senders[{number}].pattern", problem, fix)
        if table.long_messages != "udh" and not table.optional_parameters:
            self._add(
                f"{key}.long_messages",
                f'"{table.long_messages}" needs optional parameters, and they are off',
                'write "udh", or optional_parameters = true',
            )
        values = msgspec.structs.asdict(table)
        senders = tuple(SenderForm(**msgspec.structs.asdict(each)) for each in table.senders)
        return Dialect(**(values | {"senders": senders}))

    def _password(self, key: str, table: ProviderTable) -> dict[str, object]:
        """Return where the password is; only a sandbox's may stand in the file itself."""
        given = (table.password, table.password_env, table.password_file)
        if sum(each is not None for each in given) != 1:
            fix = "give one of password_env and password_file"
            self._add(f"{key}.password_env", "one place of the password is needed", fix)
            return {}
        if table.password is not None:
            if not table.sandbox:
                self._add(
                    f"{key}.password",
                    "a password doesn't stand in this file (a sandbox's may)",
                    "use password_env or password_file",
                )
            return {"password": table.password}
        if table.password_env is not None:
            name, place = "password_env", table.password_env
            secret = self._from_environment(f"{key}.{name}", place)
        else:
            name, path = (
                "password_file",
                self._readable(f"{key}.password_file", table.password_file or ""),
            )
            place, secret = str(path), _text_of(path)
        if secret is not None and len(secret.encode()) > LOGIN_CHARS_MAX:
            self._add(
                f"{key}.{name}",
                f"a bind has room for a password of {LOGIN_CHARS_MAX} characters",
                "ask the provider for the one meant for SMPP",
            )
        return {name: place}

    # --- routes ----------------------------------------------------------------------

    def _route(self, key: str, table: RouteTable) -> Route:
        known = {each.id for each in self._settings.providers.values()}
        for each in table.providers:
            if each not in known and self._settings.read_whole("providers"):
                fix = f'add [[providers]] with id = "{each}"; {nearest(each, known)}'
                self._add(f"{key}.providers", f"there is no provider {each!r}", fix)
        if len(set(table.providers)) != len(table.providers):
            self._add(f"{key}.providers", "a provider stands twice", "name each once")
        if table.explore and table.strategy != "outcome":
            fix = 'set strategy = "outcome", or take explore out'
            self._add(f"{key}.explore", "only a choice by outcome explores so", fix)
        return Route(
            route_id=table.id,
            name=table.name,
            display_name=table.display_name or table.name,
            category=table.category,
            access=table.access,
            sender_policy=table.sender_policy,
            currency=table.currency,
            providers=table.providers,
            strategy=Strategy(table.strategy),
            floor=table.floor,
            explore=table.explore,
            failover=table.failover,
            on_ambiguous=table.on_ambiguous,
            valid_for_s=table.valid_for,
            outcome_grace_s=table.outcome_grace,
            throttle_failover_s=_throttle_failover_s(table),
            is_active=table.active,
        )

    def _prices(self, key: str, table: RouteTable) -> tuple[PriceRow, ...]:
        path = self._readable(key, table.prices)
        try:
            return read_price_list(path.read_text("utf-8"))
        except OSError:
            return ()  # told already
        except UnicodeDecodeError:
            self._add(key, f"{path} isn't UTF-8 text", "save it as CSV in UTF-8")
        except InvalidPriceList as error:
            for each in error.problems[:PRICE_PROBLEMS_MAX]:
                where = f"{path}, line {each.line}" if each.line else f"{path}"
                self._add(key, f"{where}: {each.problem}", each.fix)
        return ()

    # --- accounts and keys -----------------------------------------------------------

    def _account(self, key: str, table: AccountTable) -> Account:
        known = {each.id for each in self._settings.routes.values()}
        wanted = {
            "routes": table.routes,
            "denied_routes": table.denied_routes,
            "default_route": () if table.default_route is None else (table.default_route,),
        }
        for name, ids in wanted.items():
            for each in ids:
                if each not in known and self._settings.read_whole("routes"):
                    fix = f"add [[routes]] with id = {each}, or take it out"
                    self._add(f"{key}.{name}", f"there is no route {each}", fix)
        return Account(
            account_id=table.id,
            name=table.name,
            username=table.username,
            currency=table.currency,
            credit_limit=self._money(f"{key}.credit_limit", table.credit_limit),
            refund_on=frozenset(table.refund_on),
            recharge=table.recharge,
            default_route=table.default_route,
            routes=frozenset(table.routes),
            denied_routes=frozenset(table.denied_routes),
            senders=frozenset(table.senders),
            async_answers=table.async_answers,
            operator=table.operator,
        )

    def _keys(self) -> Iterator[KeyToRegister]:
        seen: set[str] = set()
        for account_number, account in self._settings.accounts.items():
            for number, table in enumerate(account.keys):
                key = f"accounts[{account_number}].keys[{number}]"
                text = self._key_text(key, table)
                if text is None:
                    continue
                if text in seen:
                    self._add(key, "this very key stands here twice", "give each its own key")
                seen.add(text)
                yield KeyToRegister(
                    account_id=account.id,
                    name=table.name,
                    key=text,
                    scopes=frozenset(Scope(each) for each in table.scopes),
                    expires_at_us=self._end(f"{key}.expires", table.expires),
                )

    def _key_text(self, key: str, table: KeyTable) -> str | None:
        if (table.key_env is None) == (table.key_file is None):
            fix = "give one of key_env and key_file"
            self._add(key, "one place of the key is needed", fix)
            return None
        if table.key_env is not None:
            key = f"{key}.key_env"
            text = self._from_environment(key, table.key_env)
        else:
            key = f"{key}.key_file"
            text = _text_of(self._readable(key, table.key_file or ""))
        if text is not None and parse_api_key(text) is None:
            fix = "make one with: arrivals keys generate"
            self._add(key, "what it holds isn't an API key of Arrivals", fix)
            return None
        return text

    def _end(self, key: str, text: str | None) -> int | None:
        """Return when a key ends: with the end of a day (UTC), or at a moment."""
        if text is None:
            return None
        found = read_end(text)
        if found is None:
            self._add(key, "it is no day and no moment", 'write "2027-01-31", or RFC 3339')
        return found

    # --- values ----------------------------------------------------------------------

    def _money(self, key: str, text: str) -> Micros:
        try:
            amount = parse_amount(text)
        except InvalidAmount as error:
            self._add(key, f"it can't be used: {error}", 'write an amount such as "0.087"')
            return Micros(0)
        if amount < 0:
            self._add(key, "it is negative", "write 0 or more")
        return amount

    def _from_environment(self, key: str, name: str) -> str | None:
        value = self._environment.get(name, "").strip()
        if not value:
            fix = f"set it where Arrivals is started: export {name}=…"
            self._add(key, f"the environment variable {name} isn't set", fix)
            return None
        return value

    def _readable(self, key: str, name: str) -> Path:
        """Return the path of a file beside the settings; a problem if it can't be read."""
        path = self._settings.beside(name)
        if not path.is_file() or not os.access(path, os.R_OK):
            fix = "mend the path (it starts from the settings file's folder) or its permissions"
            self._add(key, f"{path} isn't a file that can be read", fix)
        return path

    def _add(self, key: str, problem: str, fix: str) -> None:
        self._problems.append(Problem(key=key, problem=problem, fix=fix))


def _throttle_failover_s(table: RouteTable) -> int | None:
    """Return how long a code waits for a provider that slows us; a code can't wait long."""
    if table.throttle_failover is None:
        return OTP_THROTTLE_FAILOVER_S if table.category == "otp" else None
    return table.throttle_failover or None


def _text_of(path: Path) -> str | None:
    try:
        return path.read_bytes()[:SECRET_BYTES_MAX].decode().strip()
    except (OSError, UnicodeDecodeError):
        return None
