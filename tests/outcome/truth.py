"""A small world with known truth, to hold the model to: what was sent, heard and received.

Thirty routes: five providers on six carriers. One carrier gives no receipts, one provider
invents receipts in one country, one route drops three messages in five in silence. Half of
the accounts report who converted. The misspecified worlds break what the model assumes.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from arrivals.outcome.anchors import Source
from arrivals.outcome.hierarchy import Path

DAY_S = 86_400.0
START_US = 1_764_547_200_000_000  # 2025-12-01, not aligned to a season
HORIZON_S = 72 * 3600.0
PROVIDERS, CARRIERS, ACCOUNTS = 5, 6, 12
CLASSES = ("otp", "alert", "bulk")
FAKER, FAKED_COUNTRY, FAKED_SHARE = 4, 1, 0.59
DEAF_CARRIER = 5  # no receipts at all
FILTERED, FILTERED_SHARE = (1, 2), 0.6
WORLDS = ("fitting", "kappa", "drift", "correlated")


class Told(NamedTuple):
    """One message: what was seen of it, and what really became of it."""

    path: Path
    source: Source
    reports: bool  # whether its account reports conversions
    sent_s: float
    receipt_s: float | None  # its age when a final receipt came
    positive: bool
    converted_s: float | None
    arrived: bool


class World:
    """Draw messages of one seed; `kind` is what it does that the model doesn't expect."""

    def __init__(self, seed: int, kind: str = "fitting", days: float = 10.0) -> None:
        self.random = random.Random(f"{seed}/{kind}")
        self.kind = kind
        self.days = days
        draw = self.random
        self.coverage = {
            (provider, carrier): draw.uniform(0.85, 0.97)
            for provider in range(PROVIDERS)
            for carrier in range(CARRIERS)
        }
        self.kappa = {
            (account, kind_): draw.uniform(0.25, 0.95) if kind == "kappa" else 0.7
            for account in range(ACCOUNTS)
            for kind_ in CLASSES
        }
        # Accounts prefer providers, so that a crude comparison would mislead.
        self.prefers = {account: draw.randrange(PROVIDERS) for account in range(ACCOUNTS)}
        # For half an hour each, a provider drops everything in silence.
        self.outages = [
            (draw.randrange(PROVIDERS), draw.uniform(0, days * DAY_S)) for _ in range(16)
        ]

    def messages(self, count: int) -> list[Told]:
        """Return messages in the order they were sent, evenly over the days."""
        step = self.days * DAY_S / count
        return [self._message(number * step) for number in range(count)]

    def _message(self, sent_s: float) -> Told:
        draw = self.random
        account = draw.randrange(ACCOUNTS)
        prefers = self.kind == "kappa" and draw.random() < 0.5
        provider = self.prefers[account] if prefers else draw.randrange(PROVIDERS)
        carrier = draw.randrange(CARRIERS)
        country = carrier // 2
        class_ = draw.choice(CLASSES)
        path = (f"C{country} alphanumeric", f"carrier{carrier}", f"p{provider}", class_)
        source = Source(f"a{account}", class_, f"C{country}")
        receipt_s, positive, arrived_s = self._fate(provider, carrier, sent_s)
        converted_s = None
        reports = account % 2 == 0
        if arrived_s is not None and draw.random() < self.kappa[account, class_] and reports:
            converted_s = arrived_s + draw.lognormvariate(3.0, 0.8)
        return Told(
            path,
            source,
            reports,
            sent_s,
            receipt_s,
            positive,
            converted_s,
            arrived_s is not None,
        )

    def _fate(
        self, provider: int, carrier: int, sent_s: float
    ) -> tuple[float | None, bool, float | None]:
        """Return when a receipt comes, whether it is positive, and when the message arrives."""
        draw = self.random
        gone = sent_s / (self.days * DAY_S)
        heard = draw.random() < (
            0.0 if carrier == DEAF_CARRIER else self._heard(provider, carrier, gone)
        )
        if provider == FAKER and carrier // 2 == FAKED_COUNTRY and draw.random() < FAKED_SHARE:
            return draw.lognormvariate(1.1, 0.15), True, None
        if draw.random() < self._dropped(provider, carrier, sent_s, gone):
            return None, False, None
        if draw.random() < 0.035:  # nobody has this number
            return (draw.lognormvariate(0.8, 0.8) if heard else None), False, None
        takes_s = self._takes_s()
        if takes_s > HORIZON_S:
            return (HORIZON_S - 60.0 if heard else None), False, None
        receipt_s = takes_s + draw.lognormvariate(-0.2, 1.0)
        return (receipt_s if heard and receipt_s < HORIZON_S else None), True, takes_s

    def _heard(self, provider: int, carrier: int, gone: float) -> float:
        if carrier == DEAF_CARRIER:
            return 0.0
        coverage = self.coverage[provider, carrier]
        return coverage - (0.2 * gone if self.kind == "drift" and provider == 2 else 0.0)

    def _dropped(self, provider: int, carrier: int, sent_s: float, gone: float) -> float:
        if self.kind == "correlated" and any(
            provider == each and 0 <= sent_s - start < 1_800 for each, start in self.outages
        ):
            return 1.0
        if (provider, carrier) == FILTERED:
            return FILTERED_SHARE
        return 0.01 + (0.2 * gone if self.kind == "drift" and carrier == 0 else 0.0)

    def _takes_s(self) -> float:
        draw = self.random
        chance = draw.random()
        if chance < 0.92:
            return draw.lognormvariate(0.92, 0.7)
        if chance < 0.94:
            return draw.weibullvariate(240.0, 0.6)
        return draw.weibullvariate(5 * 3600.0, 0.7)
