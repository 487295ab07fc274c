"""Buy deliveries in a world whose truth is known: `python -m tests.outcome.routing --json`.

A route has three providers; the cheapest reports nearly everything as delivered and delivers a
third. Four buyers choose for the same messages in the same world: by receipts, by outcome, by
Thompson sampling, and an oracle that knows what share each provider truly delivers. They learn
from the scenario's own traffic first, and go on learning from what they buy; with `--cold` from
what they buy alone. What counts is the cost of a thousand messages that truly arrived.
"""

from __future__ import annotations

import argparse
import copy
import heapq
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from arrivals.core.catalogue import FLOOR, Strategy
from arrivals.core.phone import country_of
from arrivals.core.selection import (
    Candidate,
    Estimate,
    Question,
    Selection,
    select,
)
from arrivals.outcome.calibration import wilson
from arrivals.outcome.hierarchy import destination_of
from arrivals.outcome.learner import Fact, Learner, Subject
from arrivals.world.draws import Draws
from arrivals.world.fate import Ending, Fate
from arrivals.world.scenario import Scenario, load_scenario
from arrivals.world.traffic import Send, sends
from tests.world.rehearsal import FINAL_WORDS, Rehearsal, Rehearsed

SCENARIO = "happy-liar"
COSTS = {"budget": 18_000, "north": 36_000, "south": 40_000}  # micro-units, in a route's order
BUYERS = ("receipts", "outcome", "thompson", "oracle")
BEGIN_US = 1_790_000_000_000_000
HORIZON_S = 72 * 3600.0
RECEIPT_S = 600.0  # after that a receipt counts as missing
DAY_S = 86_400.0
LOOK_EVERY_US = 600_000_000
EXPLORE = 0.02
SECRET = b"the secret of a world"
GOLDEN = 0.6180339887498949


@dataclass
class Bought:
    """What one buyer got."""

    messages: int = 0
    arrived: int = 0
    cost: int = 0
    by: Counter[str] = field(default_factory=Counter)

    @property
    def per_1000(self) -> float:
        """The cost of a thousand messages that arrived, in units."""
        return self.cost / max(self.arrived, 1) / 1_000


class Market:
    """One buyer in one world: what is sent comes back as facts, when it is time."""

    def __init__(self, scenario: Scenario, seed: int, explore: float) -> None:
        self.seed, self.explore = seed, explore
        self.strategy = ""
        self.world = Rehearsal(scenario, seed)
        self.learner = Learner(SECRET)
        self.receipts = {name: [0, 0] for name in COSTS}  # positive, and all that had time
        self.incumbent: str | None = None
        self.bought = Bought()
        self._due: list[tuple[float, int, Fact | tuple[str, bool]]] = []
        self._numbers = itertools.count()
        self._truth = true_shares(scenario, seed)

    def with_buyer(self, strategy: str) -> Market:
        """Return the same market as it stands, with a buyer in it."""
        twin = copy.deepcopy(self)
        twin.strategy = strategy
        return twin

    def learn_from(self, send: Send) -> None:
        """Let somebody else send a message over the provider that its stream names."""
        self._until(send.at_s)
        self._hand_over(send)

    def buy(self, send: Send, nth: int) -> None:
        """Choose a provider for a message, and pay for it."""
        self._until(send.at_s)
        provider = self._choice(send, nth).providers[0]
        stream = msgspec.structs.replace(send.stream, provider=provider)
        fate = self._hand_over(msgspec.structs.replace(send, stream=stream)).fate
        self.bought.messages += 1
        self.bought.cost += COSTS[provider]
        self.bought.arrived += fate.ending is Ending.REACHED
        self.bought.by[provider] += 1

    def _choice(self, send: Send, nth: int) -> Selection:
        thompson = self.strategy == "thompson"
        draws = Draws(self.seed, b"buyer/%d" % nth)
        chosen = select(
            Question(
                strategy=Strategy.THOMPSON if thompson else Strategy.OUTCOME,
                floor=FLOOR,
                candidates=tuple(
                    Candidate(
                        provider=name,
                        cost=cost,
                        estimate=self._estimate(name, send),
                        u=draws.u(name.encode()) if thompson else None,
                    )
                    for name, cost in COSTS.items()
                ),
                incumbent=self.incumbent,
                explore=0.0 if thompson or self.strategy == "oracle" else self.explore,
                u=nth * GOLDEN % 1.0,
            )
        )
        if not chosen.explored:
            self.incumbent = chosen.providers[0]
        return chosen

    def _estimate(self, name: str, send: Send) -> Estimate:
        if self.strategy == "oracle":
            share = self._truth[name]
            return Estimate(delivered=share, low=share, high=share)
        if self.strategy == "receipts":
            positive, ended = self.receipts[name]
            if ended < 30:
                return Estimate(handoffs=ended)
            low, high = wilson(positive, ended)
            return Estimate(
                delivered=positive / ended, low=low, high=high, handoffs=float(ended)
            )
        destination = destination_of(country(send), send.stream.sender)
        # Hours pass in a second here: it isn't looked at for every message.
        now_us = _us(send.at_s) // LOOK_EVERY_US * LOOK_EVERY_US
        return self.learner.estimate(destination, name, now_us)

    # --- what comes back ---------------------------------------------------------------

    def _hand_over(self, send: Send) -> Rehearsed:
        done = self.world.hand_over(send, send.text.encode(), 1, 1)
        for at_s, fact in self._facts(send, done):
            heapq.heappush(self._due, (at_s, next(self._numbers), fact))
        return done

    def _facts(
        self, send: Send, done: Rehearsed
    ) -> Iterator[tuple[float, Fact | tuple[str, bool]]]:
        fate, provider = done.fate, send.stream.provider
        sent_s = send.at_s + fate.answer.delay_s
        word_s, word = _word(fate)
        converted_s = next((a.delay_s for a in done.acts if a.kind == "converted"), None)
        subject = Subject(
            key=next(self._numbers),
            account=send.stream.account,
            country=country(send),
            msisdn=send.number,
            sender=send.stream.sender,
            category="alert",
            sent_us=_us(sent_s),
            confirmed_seq=None if converted_s is None else 4 if converted_s >= word_s else 3,
        )

        def fact(at_s: float, kind: str, seq: int, before: str, after: str) -> Fact:
            yes = kind == "feedback"
            return Fact(subject, kind, seq, _us(at_s), before, after, provider, yes)

        yield sent_s, fact(sent_s, "taken", 2, "sending", "submitted")
        heard_s = send.at_s + word_s
        late = converted_s is not None and converted_s >= word_s
        kind = f"receipt_{word}" if word != "unknown" else "deadline_passed"
        yield heard_s, fact(heard_s, kind, 3 if late else 4, "submitted", word)
        if converted_s is not None:
            at_s, state = send.at_s + converted_s, word if late else "submitted"
            yield at_s, fact(at_s, "feedback", 4 if late else 3, state, state)
        yield send.at_s + RECEIPT_S, (provider, word == "delivered" and word_s <= RECEIPT_S)

    def _until(self, at_s: float) -> None:
        facts = []
        while self._due and self._due[0][0] <= at_s:
            _, _, told = heapq.heappop(self._due)
            if isinstance(told, Fact):
                if self.strategy not in {"receipts", "oracle"}:  # they don't ask the model
                    facts.append(told)
            else:
                self.receipts[told[0]][0] += told[1]
                self.receipts[told[0]][1] += 1
        self.learner.learn(facts)


def country(send: Send) -> str:
    found = country_of(send.number)
    return found.iso2 if found else ""


def _us(at_s: float) -> int:
    return BEGIN_US + round(at_s * 1e6)


def _word(fate: Fate) -> tuple[float, str]:
    """Return the first final word and when it comes; silence ends at the horizon."""
    for receipt in sorted(fate.receipts, key=lambda receipt: receipt.delay_s):
        word = FINAL_WORDS.get(receipt.state)
        if word is not None:
            return max(receipt.delay_s, fate.answer.delay_s), word
    return HORIZON_S, "unknown"


def true_shares(scenario: Scenario, seed: int) -> dict[str, float]:
    """Return what share of the scenario's own traffic each provider delivers."""
    sent, arrived = Counter[str](), Counter[str]()
    for each in Rehearsal(scenario, seed).play():
        sent[each.send.stream.provider] += 1
        arrived[each.send.stream.provider] += each.fate.ending is Ending.REACHED
    return {name: arrived[name] / sent[name] for name in sent}


def opened(seed: int, own: int | None, explore: float) -> tuple[Market, float]:
    """Return a market that learnt from the scenario's own traffic, and when that ended.

    `own` is how many messages of each of its streams are sent; by default all.
    """
    scenario = load_scenario(SCENARIO)
    market, ended_s = Market(scenario, seed, explore), 0.0
    streams = [
        msgspec.structs.replace(stream, count=stream.count if own is None else own)
        for stream in scenario.traffic
        if own != 0
    ]
    for send in sends(streams, seed):
        market.learn_from(send)
        ended_s = send.at_s
    return market, ended_s


def run(market: Market, begins_s: float, strategy: str, count: int) -> Bought:
    """Let one buyer buy so many messages within a day."""
    market = market.with_buyer(strategy)
    stream = msgspec.structs.replace(
        load_scenario(SCENARIO).traffic[0],
        name="bought",
        count=count,
        from_s=begins_s,
        over_s=DAY_S,
    )
    for nth, send in enumerate(sends([stream], market.seed)):
        market.buy(send, nth)
    return market.bought


def report(
    seed: int, count: int, *, own: int | None = None, explore: float = EXPLORE
) -> dict[str, Any]:
    """Return what each buyer paid for a thousand that arrived, and where it bought."""
    market, begins_s = opened(seed, own, explore)
    found = {name: run(market, begins_s, name, count) for name in BUYERS}
    best = found["oracle"].per_1000
    return {
        "seed": seed,
        "messages": count,
        "buyers": {
            name: {
                "cost_per_1000": round(each.per_1000, 2),
                "above_oracle": round(each.per_1000 / best - 1, 4),
                "arrived": round(each.arrived / each.messages, 4),
                "bought": dict(each.by),
            }
            for name, each in found.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=6_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="nothing is known at first")
    parser.add_argument("--explore", type=float, default=EXPLORE)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    found = [
        report(seed, wanted.messages, own=0 if wanted.cold else None, explore=wanted.explore)
        for seed in range(1, wanted.seeds + 1)
    ]
    if wanted.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'seed':>4}  {'buyer':<9} {'cost/1000':>9} {'oracle +':>8} {'arrived':>7}  bought")
    for each in found:
        for name, row in each["buyers"].items():
            where = ", ".join(f"{who} {n}" for who, n in sorted(row["bought"].items()))
            print(
                f"{each['seed']:>4}  {name:<9} {row['cost_per_1000']:>9.2f}"
                f" {row['above_oracle']:>8.1%} {row['arrived']:>7.1%}  {where}"
            )


if __name__ == "__main__":
    main()
