"""What operators do: accounts, keys, funds, prices and pauses, one wish at a time.

Each verb looks first and writes after: what can't be done raises Impossible before anything
was written, and the step hands it to whoever asked while the rest of the shared transaction
stands. A write to the catalogue raises its version, by which a running server notices it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from arrivals.core.catalogue import Account, ApiKey, Catalogue, Flow, Provider, Route
from arrivals.core.ids import hash_api_key, parse_api_key
from arrivals.core.ledger import funding
from arrivals.core.money import Micros, format_amount
from arrivals.core.permissions import OPERATORS_SCOPES, in_order
from arrivals.core.pricing import PriceList, PriceRow
from arrivals.flows.configuration import KeyToRegister
from arrivals.flows.uses import last_uses
from arrivals.store.api import Refused, Step, Transaction
from arrivals.store.rows import Balance

ADMINISTER_ORDER: Final = 90  # after all traffic of the same transaction

MESSAGE_ID_SECRET: Final = "message_id_secret"  # noqa: S105 - the setting's name
KEY_PEPPER: Final = "key_pepper"
ORDER_FLOOR: Final = "order_floor"
SECRET_OCTETS: Final = 32

# What a restored backup may have handed out after it was taken: at 10,000 orders a second
# more than a minute and a half, far longer than a hold is meant to be noticed in.
ORDER_IDS_SKIPPED: Final = 1_000_000

Item = TypeVar("Item")
Done = TypeVar("Done")
Document = Account | ApiKey | Provider | Route


class Impossible(Exception):
    """An operator's wish that can't be carried out; nothing was written."""

    def __init__(self, problem: str, fix: str) -> None:
        """Hold what stands in the way, and what to do about it."""
        super().__init__(f"{problem}; {fix}")
        self.problem = problem
        self.fix = fix


class NewAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account to open; the next free number becomes its id."""

    name: str
    username: str
    currency: str
    credit_limit: Micros = Micros(0)
    routes: frozenset[int] = frozenset()
    senders: frozenset[str] = frozenset()
    operator: bool = False


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came in (positive) or goes back (negative)."""

    account_id: int
    amount: Micros
    reason: str
    reference: str  # the same one twice is one posting


class Funded(msgspec.Struct, frozen=True, kw_only=True):
    """A funding that is in the ledger, and the balance after it."""

    posting_id: int
    repeated: bool  # it was there already
    balance: Balance


class NewLimit(msgspec.Struct, frozen=True, kw_only=True):
    """How far below zero an account may go from now on."""

    account_id: int
    limit: Micros


class FlowChange(msgspec.Struct, frozen=True, kw_only=True):
    """Traffic to be paused, resumed or drained."""

    kind: str  # account | provider | route
    name: str  # its id, as text
    flow: Flow


class NewPrices(msgspec.Struct, frozen=True, kw_only=True):
    """The next version of a route's price list."""

    route_id: int
    rows: tuple[PriceRow, ...]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A restored installation that sends nothing until it is told to."""

    order_floor: int
    paused: tuple[str, ...]  # providers


# --- the installation itself ------------------------------------------------------------


def ensure_installation(tx: Transaction, entropy: Callable[[int], bytes]) -> None:
    """Give a new installation its secrets; one that has them keeps them."""
    for name in (MESSAGE_ID_SECRET, KEY_PEPPER):
        if tx.setting(name) is None:  # others may begin at the same time, and one of them wins
            tx.begin_setting(name, entropy(SECRET_OCTETS).hex())


def hold_restored(tx: Transaction, hold: bool) -> Held:  # noqa: FBT001 - a step's only item
    """Keep a restored copy from reusing an order id and, with `hold`, from sending anything."""
    floor = tx.next_order_ids(1)[0] - 1 + ORDER_IDS_SKIPPED
    tx.set_setting(ORDER_FLOOR, str(floor))
    providers = tx.catalogue().providers if hold else {}
    for each in providers.values():
        put_document(tx, replace(each, flow=Flow.PAUSED))
    return Held(order_floor=floor, paused=tuple(sorted(providers)))


# --- accounts and money -------------------------------------------------------------------


def create_account(tx: Transaction, wanted: NewAccount) -> Account:
    """Open an account with an empty balance."""
    catalogue = tx.catalogue()
    accounts = catalogue.accounts
    if unknown := sorted(wanted.routes - catalogue.routes.keys()):
        raise Impossible(f"there is no route {unknown[0]}", "see: arrivals routes list")
    if any(each.username == wanted.username for each in accounts.values()):
        raise Impossible(f"the username {wanted.username!r} is taken", "choose another one")
    taken = [each.account_id for each in catalogue.removed if isinstance(each, Account)]
    account = Account(
        account_id=max((*accounts, *taken), default=0) + 1,
        name=wanted.name,
        username=wanted.username,
        currency=wanted.currency,
        credit_limit=wanted.credit_limit,
        routes=wanted.routes,
        senders=wanted.senders,
        operator=wanted.operator,
    )
    put_account(tx, account)
    return account


def put_account(tx: Transaction, account: Account) -> None:
    """Write an account as it shall be, and open its balance."""
    put_document(tx, account)
    tx.open_balance(account.account_id, account.currency, account.credit_limit)


def fund(tx: Transaction, wanted: Funding) -> Funded:
    """Post money in or out, once for each reference."""
    account = _account(tx, wanted.account_id)
    before = tx.posted(wanted.account_id, wanted.reference)
    if before is not None:
        posting_id, amount = before
        if amount != wanted.amount:
            raise Impossible(
                f"the reference {wanted.reference!r} was booked before with the amount "
                f"{format_amount(Micros(amount))}",
                "use a new reference for a new movement of money",
            )
        return Funded(posting_id=posting_id, repeated=True, balance=_balance(tx, account))
    if wanted.amount == 0:
        raise Impossible("the amount is zero", "name an amount such as 25 or 0.5")
    try:
        posting_id = tx.post(
            funding(
                account.account_id,
                wanted.amount,
                account.currency,
                wanted.reason,
                wanted.reference,
            )
        )
    except Refused:
        available = format_amount(Micros(_balance(tx, account).available))
        raise Impossible(
            f"the account has only {available} {account.currency} available",
            "debit less, or raise its limit first",
        ) from None
    return Funded(posting_id=posting_id, repeated=False, balance=_balance(tx, account))


def balances(tx: Transaction, account_ids: Sequence[int]) -> dict[int, Balance]:
    """Return the balances of these accounts; one that has none is left out."""
    found = ((each, tx.balance(each)) for each in account_ids)
    return {account_id: balance for account_id, balance in found if balance is not None}


def set_limit(tx: Transaction, wanted: NewLimit) -> Balance:
    """Change how far below zero an account may go."""
    account = replace(_account(tx, wanted.account_id), credit_limit=wanted.limit)
    if problem := limit_problem(tx, account):
        raise Impossible(problem, "credit the account first, or set a higher limit")
    put_account(tx, account)
    return _balance(tx, account)


# --- keys ---------------------------------------------------------------------------------


def register_key(tx: Transaction, wanted: KeyToRegister) -> ApiKey:
    """Store the hash of a key, under which its owner may send from now on."""
    account = _account(tx, wanted.account_id)
    key = as_registered(tx, wanted)
    if problem := scope_problem(account, key):
        raise Impossible(*problem)
    present = tx.catalogue().keys.get(key.key_id)
    if present is not None and present.account_id != key.account_id:
        raise Impossible(f"key {key.key_id} belongs to another account", "make a new key")
    put_document(tx, key)
    return key


def scope_problem(account: Account, key: ApiKey) -> tuple[str, str] | None:
    """Return why a key can't have its scopes, and what to do, or None.

    What opens every account is kept away from customers' accounts, and from test keys, which
    are handed about more freely.
    """
    wide = key.scopes & OPERATORS_SCOPES
    if not key.scopes:
        return f"key {key.key_id} has no scope", "name one: send, read, support or admin"
    if wide and not account.operator:
        reads = f"{in_order(wide)} reads what concerns all accounts"
        return (
            f"account {account.account_id} isn't the operator's, and {reads}",
            "name an account with operator = true",
        )
    if wide and key.environment == "test":
        return (
            f"key {key.key_id} is a test key, and {in_order(wide)} reads live messages",
            "make a live key; it can't send unless it has the scope send",
        )
    return None


def revoke_key(tx: Transaction, key_id: str) -> ApiKey:
    """End a key for good; requests with it are refused."""
    key = tx.catalogue().keys.get(key_id)
    if key is None:
        raise Impossible(f"there is no key {key_id}", "see: arrivals keys list")
    key = replace(key, active=False)
    put_document(tx, key)
    return key


# --- routes, providers, prices ------------------------------------------------------------


def set_flow(tx: Transaction, wanted: FlowChange) -> Flow:
    """Pause, resume or drain; return how it flowed before."""
    document = documents_of(tx.catalogue()).get((wanted.kind, wanted.name))
    if document is None or isinstance(document, ApiKey):
        raise Impossible(
            f"there is no {wanted.kind} {wanted.name}", f"see: arrivals {wanted.kind}s list"
        )
    put_document(tx, replace(document, flow=wanted.flow))
    return document.flow


def import_prices(tx: Transaction, wanted: NewPrices) -> int | None:
    """Add a version of a route's prices; None if it already has these very prices."""
    catalogue = tx.catalogue()
    route = catalogue.routes.get(wanted.route_id)
    if route is None:
        raise Impossible(f"there is no route {wanted.route_id}", "see: arrivals routes list")
    if has_prices(catalogue.prices.get(route.route_id), route.currency, wanted.rows):
        return None
    rates = [(each.prefix, each.country, each.price) for each in wanted.rows]
    return tx.add_price_list(route.route_id, route.currency, rates)


def limit_problem(tx: Transaction, account: Account) -> str | None:
    """Return why an account's limit can't be what it says, or None."""
    balance = tx.balance(account.account_id)
    if balance is None or balance.available + account.credit_limit >= 0:
        return None
    return (
        f"account {account.account_id} is at {format_amount(Micros(balance.available))} "
        f"{account.currency}, below a limit of {format_amount(account.credit_limit)}"
    )


# --- documents ----------------------------------------------------------------------------


def put_document(tx: Transaction, document: Document) -> None:
    """Write a document as it shall be."""
    kind, name = place_of(document)
    tx.put(kind, name, msgspec.json.encode(document).decode())


def place_of(document: Document) -> tuple[str, str]:
    """Return the kind and the id under which a document is kept."""
    match document:
        case Account():
            return "account", str(document.account_id)
        case ApiKey():
            return "key", document.key_id
        case Provider():
            return "provider", document.provider_id
        case Route():
            return "route", str(document.route_id)


def documents_of(catalogue: Catalogue) -> dict[tuple[str, str], Document]:
    """Return every document of a catalogue by its place."""
    everything: Sequence[Document] = (
        *catalogue.accounts.values(),
        *catalogue.keys.values(),
        *catalogue.providers.values(),
        *catalogue.routes.values(),
    )
    return {place_of(each): each for each in everything}


def as_registered(tx: Transaction, wanted: KeyToRegister) -> ApiKey:
    """Return a key as it is kept: by its hash."""
    parts = parse_api_key(wanted.key)
    pepper = tx.setting(KEY_PEPPER)
    if parts is None:
        raise Impossible("this isn't an API key", "make one with: arrivals keys generate")
    if pepper is None:
        raise AssertionError("the installation has no pepper: ensure_installation comes first")
    return ApiKey(
        key_id=parts.key_id,
        account_id=wanted.account_id,
        environment=parts.env,
        digest=hash_api_key(bytes.fromhex(pepper), wanted.key),
        name=wanted.name,
        active=wanted.active,
        scopes=wanted.scopes,
        expires_at_us=wanted.expires_at_us,
    )


def _account(tx: Transaction, account_id: int) -> Account:
    account = tx.catalogue().accounts.get(account_id)
    if account is None:
        raise Impossible(f"there is no account {account_id}", "see: arrivals accounts list")
    return account


def _balance(tx: Transaction, account: Account) -> Balance:
    balance = tx.balance(account.account_id)
    if balance is None:
        raise AssertionError(f"account {account.account_id} was opened without a balance")
    return balance


def has_prices(present: PriceList | None, currency: str, rows: Sequence[PriceRow]) -> bool:
    """Tell whether a price list says just this."""
    if present is None or present.currency != currency:
        return False
    return {(each.prefix, each.country, each.price) for each in present.rates} == {
        (each.prefix, each.country, each.price) for each in rows
    }


# --- steps --------------------------------------------------------------------------------


def administration(
    name: str, verb: Callable[[Transaction, Item], Done]
) -> Step[Item, Done | Impossible]:
    """Make a step of a verb: what it says is Impossible is told to its own caller only."""

    def one(tx: Transaction, item: Item) -> Done | Impossible:
        try:
            return verb(tx, item)
        except Impossible as problem:
            return problem

    def run(tx: Transaction, items: Sequence[Item]) -> list[Any]:
        return [one(tx, item) for item in items]

    return Step(name, ADMINISTER_ORDER, run)


CREATE_ACCOUNT: Final = administration("create_account", create_account)
FUND: Final = administration("fund", fund)
SET_LIMIT: Final = administration("set_limit", set_limit)
REGISTER_KEY: Final = administration("register_key", register_key)
REVOKE_KEY: Final = administration("revoke_key", revoke_key)
SET_FLOW: Final = administration("set_flow", set_flow)
IMPORT_PRICES: Final = administration("import_prices", import_prices)
HOLD_RESTORED: Final = administration("hold_restored", hold_restored)
ENSURE_INSTALLATION: Final = administration("ensure_installation", ensure_installation)
READ_CATALOGUE: Final[Step[None, Catalogue | Impossible]] = administration(
    "read_catalogue", lambda tx, _: tx.catalogue()
)
READ_LAST_USES: Final = administration("last_uses", last_uses)
READ_BALANCES: Final = administration("read_balances", balances)
