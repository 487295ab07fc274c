"""Stories of messages as tables of aligned text, and the runner that plays them.

One row is one thing that happens, or one thing that must hold then:

    accept   31612345678        # one order; several numbers, and options such as valid_for=60
    claim    north              # what is ready goes out; numbered 1, 2, … over the whole story
    answer   1 taken A1         # and the other results of script.result_of; `late` before it
    receipt  A1 DELIVRD         # from north about the last number; `-` is no id
    deliver  'id:A1 stat:SENT'  # the same as a deliver_sm on the wire; id= and state= are TLVs,
                                # to= and other= its source and its destination
    reply    confirmed          # the handset answers its sender, and that is what it comes to
    tick     30                 # seconds pass, and what is due is swept; `pass` only passes
    says     taken              # its newest event; `events` names them all
    state    delivered          # of the last order's first message; `state 2 failed` its second
    balance  99.95 0            # available and held
    depth    carrier            # how far it is vouched for
    told     stat DELIVRD       # in its newest event's body; `*` is any value

At its end every story is checked as `arrivals verify` would.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any

import pytest

from arrivals.core.catalogue import Flow, Route
from arrivals.core.depth import limit_of
from arrivals.core.errors import Refusal
from arrivals.core.explain import explain
from arrivals.core.fairness import FairRanks
from arrivals.core.ids import message_key
from arrivals.core.layers import outcome_layer
from arrivals.core.message import Reach, State, execution_of
from arrivals.core.money import Micros, format_amount, parse_amount
from arrivals.core.timeline import TimelineEvent, Trace
from arrivals.flows.accept import Accepted
from arrivals.flows.amend import Amendment
from arrivals.flows.answer import answer_step
from arrivals.flows.claim import ClaimRequest, claim_step, recover_step
from arrivals.flows.divert import Diversion, divert_step
from arrivals.flows.plan import Defaults
from arrivals.flows.receive import receive_step
from arrivals.flows.replies import reply_step
from arrivals.flows.sweep import sweep_step
from arrivals.providers.api import Receipt, Submission
from arrivals.providers.inbound import read_receipt, read_reply
from arrivals.smpp import constants as c
from arrivals.smpp.pdu import Pdu, decode, encode, make_tlv
from tests.flows.installation import Installation, account, installed, own_bind, provider, route
from tests.flows.script import SetClock, answer, receipt, reference_of, result_of


class Story:
    """One installation, and what has happened in it so far."""

    def __init__(self, here: Installation, clock: SetClock) -> None:
        self.here, self.clock = here, clock
        self.order: Accepted | None = None
        self.out: list[tuple[str, Submission]] = []
        self.epochs: dict[str, int] = {}
        platform = here.platform
        self._catalogue = lambda: platform.catalogue
        self.ranks: FairRanks = platform.ranks

    async def play(self, table: str) -> None:
        for number, line in enumerate(table.strip().splitlines(), 1):
            verb, *words = shlex.split(line, comments=True) or [""]
            if verb:
                try:
                    await getattr(self, f"_{verb}")(*words)
                except AssertionError as error:
                    raise AssertionError(f"line {number}: {line.strip()}: {error}") from error
        assert await self.here.unsound() == []

    def key(self, n: int = 1) -> int:
        assert self.order is not None
        return message_key(self.order.order.order_id, n - 1)

    async def row(self, n: int = 1) -> dict[str, Any]:
        names = ("state", "reach", "attempts", "reason", "confirmed", "provider_id", "tries",
                 "resolution")  # fmt: skip
        found = await self.here.rows(
            f"SELECT {', '.join(names)} FROM messages WHERE id = ?", self.key(n)
        )
        row = dict(zip(names, found[0], strict=True))
        receipts = await self.here.rows(
            "SELECT seen FROM handoffs WHERE message_id = ?", self.key(n)
        )
        seen = [sum(json.loads(text).values()) for (text,) in receipts]
        return {**row, "seen": sum(seen)}

    async def _accept(self, *words: str) -> None:
        numbers = [word for word in words if "=" not in word]
        options: dict[str, Any] = dict(word.split("=", 1) for word in words if "=" in word)
        for name in ("valid_for_s", "send_at_us", "account_id", "route_id"):
            if name in options:
                options[name] = int(options[name])
        if "send_at_us" in options:
            options["send_at_us"] = self.clock.us + options["send_at_us"] * 1_000_000
        self.order = await self.here.send(*numbers, **options)

    async def _claim(self, provider: str = "north", count: str = "1") -> None:
        if provider not in self.epochs:
            await self._take(provider)
        wish = ClaimRequest(provider_id=provider, epoch=self.epochs[provider], limit=1_000)
        step = claim_step(self._catalogue, self.ranks)
        claimed = await self.here.store.write(step, wish)
        self.out += [(provider, each) for each in claimed]
        assert len(claimed) == int(count), f"claimed {len(claimed)}"

    async def _answer(self, number: str, word: str, *ids: str, late: bool = False) -> None:
        provider, submission = self.out[int(number) - 1]
        told = answer(submission, result_of(word, ids), provider, late=late)
        platform = self.here.platform
        step = answer_step(
            self._catalogue,
            self.ranks,
            platform.defaults,
            usual_form=platform.habits.id_form,
        )
        await self.here.store.write(step, [told])

    async def _late(self, number: str, word: str, *ids: str) -> None:
        await self._answer(number, word, *ids, late=True)

    async def _receipt(self, external_id: str, word: str, *options: str) -> None:
        about = {
            "provider": "north",
            "to": self._msisdn(),
            **dict(o.split("=") for o in options),
        }
        reference = None
        if "sent" in about:  # echoes the reference of a submission
            reference = reference_of(self.out[int(about["sent"]) - 1][1])
        said = receipt(
            about["provider"],
            None if external_id == "-" else external_id,
            word,
            about["to"],
            error=about.get("err", "000"),
            reference=reference,
            done=about.get("done", ""),
        )
        await self._record(said)

    async def _deliver(self, text: str, *options: str) -> None:
        about = {"to": self._msisdn(), **dict(o.split("=") for o in options)}
        tlvs = []
        if "id" in about:
            tlvs.append(make_tlv(c.TLV_RECEIPTED_MESSAGE_ID, about["id"].encode()))
        if "state" in about:
            tlvs.append(make_tlv(c.TLV_MESSAGE_STATE, int(about["state"])))
        fields: dict[str, int | bytes] = {
            "source_addr": about["to"].encode(),
            "destination_addr": about.get("other", "ARRIVALS").encode(),
            "esm_class": int(about.get("esm_class", c.ESM_DELIVERY_RECEIPT)),
            "short_message": text.encode(),
        }
        pdu = decode(encode(Pdu(c.DELIVER_SM, fields=fields, tlvs=tuple(tlvs))))
        said = read_receipt(about.get("provider", "north"), pdu)
        assert said is not None, "it is no receipt"
        await self._record(said)

    async def _reply(self, wanted: str, *options: str) -> None:
        """Let a handset's message come in, as a deliver_sm on the wire."""
        assert self.order is not None
        about = {
            "provider": "north",
            "from": self._msisdn(),
            "to": self.order.order.sender,
            **dict(o.split("=") for o in options),
        }
        fields: dict[str, int | bytes] = {
            "source_addr": about["from"].encode(),
            "destination_addr": about["to"].encode(),
            "short_message": b"STOP",
        }
        pdu = decode(encode(Pdu(c.DELIVER_SM, fields=fields)))
        said = read_reply(about["provider"], pdu, self.clock.us)
        assert said is not None, "it is no reply"
        step = reply_step(self._catalogue, self.here.platform.defaults.probes)
        heard = await self.here.store.write(step, [said])
        found = {
            "confirmed": len(heard.confirmed),
            "repeated": heard.repeated,
            "unmatched": heard.unmatched,
        }
        assert found == {**dict.fromkeys(found, 0), wanted: 1}, found

    async def _record(self, said: Receipt) -> None:
        step = receive_step(self._catalogue, self.here.platform.habits.id_form)
        await self.here.store.write(step, [said])

    def _msisdn(self) -> str:
        assert self.order is not None
        return self.order.messages[0].msisdn

    async def _tick(self, seconds: str) -> None:
        self.clock.tick(float(seconds))
        platform = self.here.platform
        step = sweep_step(self._catalogue, self.ranks, platform.defaults)
        while (await self.here.store.write(step, 500))[2]:
            self.clock.tick(1e-6)

    async def _pass(self, seconds: str) -> None:
        self.clock.tick(float(seconds))

    async def _take(self, provider: str) -> None:
        """A new owner takes a bind, and recovers what the one before was sending."""
        store, defaults = self.here.store, self.here.platform.defaults
        self.epochs[provider] = await own_bind(store, provider)
        step = recover_step(self._catalogue, self.ranks, defaults)
        await store.write(step, (provider, self.epochs[provider]))

    async def _divert(self, provider: str, count: str) -> None:
        step = divert_step(self._catalogue, self.ranks)
        diverted = await self.here.store.write(step, Diversion(provider))
        assert diverted.count == int(count), diverted

    async def _amend(self, what: str) -> None:
        confirmed, kind = {
            "cancel": (None, "support"),
            "confirmed": (True, "support"),
            "denied": (False, "support"),
            "probe": (True, "probe"),
            "missed": (False, "probe"),
            "asked_again": (False, "asked_again"),
        }[what]
        wish = Amendment(account_id=1, key=self.key(), confirmed=confirmed, kind=kind)
        result = await self.here.platform.amend(wish)
        assert not isinstance(result, Refusal), result.code

    async def _refuses(self, code: str, verb: str, *words: str) -> None:
        with pytest.raises((Refusal, AssertionError)) as caught:
            await getattr(self, f"_{verb}")(*words)
        found = getattr(caught.value, "code", str(caught.value))
        assert found == code, found

    async def _state(self, *words: str) -> None:
        *n, wanted = words
        row = await self.row(int(*n) if n else 1)
        assert row["state"] == wanted, (row, await self.here.kinds(self.key()))

    async def _is(self, name: str, wanted: str) -> None:
        row = await self.row()
        row["execution"] = execution_of(
            State(row["state"]), Reach(row["reach"]), row["attempts"]
        )
        assert str(row[name]) == wanted, row

    async def _events(self, *wanted: str) -> None:
        kinds = await self.here.kinds(self.key())
        assert kinds == list(wanted), kinds

    async def _says(self, wanted: str) -> None:
        assert (await self.here.kinds(self.key()))[-1] == wanted

    async def _balance(self, available: str, held: str = "0") -> None:
        found = await self.here.balance()
        said = [format_amount(Micros(amount)) for amount in found]
        assert found == (parse_amount(available), parse_amount(held)), said

    async def _depth(self, wanted: str) -> None:
        trace, events = await self.journey()
        limit = limit_of(trace.country, trace.sender)
        shown = outcome_layer(trace.message, events, trace.accepted_at_us, None, limit)
        assert shown.depth == wanted, shown.depth

    async def _told(self, name: str, wanted: str) -> None:
        _, events = await self.journey()
        found = events[-1].body.get(name)
        assert (found is not None) if wanted == "*" else (str(found) == wanted), events[-1].body

    async def _twice(self, wanted: str) -> None:
        trace, events = await self.journey()
        shown = outcome_layer(trace.message, events, trace.accepted_at_us)
        assert shown.duplicate_delivery == (wanted == "yes")
        assert ("twice" in explain(trace, events)[-2].text) == (wanted == "yes")

    async def journey(self, n: int = 1) -> tuple[Trace, list[TimelineEvent]]:
        found: tuple[Trace, list[TimelineEvent]] = await self.here.store.read(
            lambda reader: reader.trace(1, self.key(n))
        )
        return found

    async def _parked(self, count: str) -> None:
        found = await self.here.rows("SELECT count(*) FROM parked_receipts")
        assert found[0][0] == int(count), f"{found[0][0]} parked"


LONG = "text='" + "a long text " * 27 + "'"  # three parts
StoryRow = tuple[str, str, dict[str, Any]]


def told(stories: Iterable[StoryRow]) -> list[Any]:
    """Return stories as pytest's parameters, by name."""
    return [pytest.param(table, setting, id=name) for name, table, setting in stories]


async def tell(place: str, table: str, setting: dict[str, Any]) -> None:
    """Play one story; its setting changes the providers, the route, the account."""
    clock = SetClock()
    names = setting.get("providers", ("north",))
    flows, linked = setting.get("flows", {}), setting.get("ids_of", {})
    async with installed(
        place,
        providers=[
            provider(
                name,
                1,
                **setting.get("provider", {}),
                **_flow({"flow": flows.get(name)}),
                **({"ids_of": linked[name]} if name in linked else {}),
            )
            for name in names
        ],
        routes=[
            _route(names, **_flow(setting.get("route", {}))),
            *([route(2, setting["second_route"])] if "second_route" in setting else []),
        ],
        accounts=[account(1, **_flow(setting.get("account", {}))), *setting.get("others", ())],
        defaults=Defaults(
            outcome_grace_s=setting.get("grace", 48 * 3600),
            probes=setting.get("probes", frozenset()),
        ),
        started=False,
        clock=clock,
        funds=Micros(setting.get("funds", 100_000_000)),
    ) as here:
        await Story(here, clock).play(table.replace("LONG", LONG))


def _route(names: tuple[str, ...], **changes: Any) -> Route:
    return route(1, changes.pop("providers", names), **changes)


def _flow(changes: dict[str, Any]) -> dict[str, Any]:
    flow = changes.get("flow")
    rest = {name: value for name, value in changes.items() if name != "flow"}
    return rest if flow is None else {**rest, "flow": Flow(flow)}
