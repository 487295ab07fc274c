"""Places in a lane: a heavy sender doesn't keep a light one waiting."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict

from hypothesis import given
from hypothesis import strategies as st

from arrivals.core.fairness import FairRanks


class Lane:
    """A lane as the store keeps it: ranks, claimed from the lowest."""

    def __init__(self) -> None:
        self.ranks = FairRanks()
        self.ready: list[tuple[int, int, int]] = []
        self._number = 0

    def queue(self, account: int, count: int) -> None:
        first = self.ranks.take("north", 2, account, count)
        for place in range(first, first + count):
            self._push(place, account)

    def comes_back(self, account: int) -> None:
        self._push(self.ranks.front("north", 2, account), account)

    def claim(self, count: int) -> list[int]:
        found = [heapq.heappop(self.ready) for _ in range(min(count, len(self.ready)))]
        for rank, _, _ in found:
            self.ranks.claimed("north", 2, rank)
        return [account for _, _, account in found]

    def _push(self, rank: int, account: int) -> None:
        self._number += 1
        heapq.heappush(self.ready, (rank, self._number, account))


@given(
    st.lists(st.integers(100, 400), min_size=2, max_size=6),
    st.integers(1, 20),
    st.randoms(use_true_random=False),
)
def test_no_account_starves_another(backlogs: list[int], window: int, random) -> None:
    """Invariant 30: of N accounts with work each gets at least 1/(2N) of a lane."""
    lane = Lane()
    for account, backlog in enumerate(backlogs):
        lane.queue(account, backlog)
    served = Counter(
        account for _ in range(100 // window + 1) for account in lane.claim(window)
    )
    total = served.total()
    for account in range(len(backlogs)):
        assert served[account] >= total / (2 * len(backlogs)) - 1


@given(st.integers(1, 5), st.integers(1, 30))
def test_retries_don_t_starve_anybody_either(accounts: int, window: int) -> None:
    """Invariant 30, where one account's messages are all throttled and come back at once."""
    lane = Lane()
    lane.queue(0, 2_000)
    returning: list[int] = lane.claim(500)
    for account in range(1, accounts + 1):
        lane.queue(account, 500)
    served: Counter[int] = Counter()
    while served.total() < 400:
        for account in returning:
            lane.comes_back(account)
        claimed = lane.claim(window)
        served.update(claimed)
        returning = [account for account in claimed if account == 0]
    for account in range(1, accounts + 1):
        assert served[account] >= served.total() / (2 * (accounts + 1)) - window


def test_one_that_was_quiet_is_served_at_once() -> None:
    lane = Lane()
    lane.queue(1, 10_000)
    assert lane.claim(100) == [1] * 100
    lane.queue(2, 3)
    assert Counter(lane.claim(6)) == {1: 3, 2: 3}
    assert lane.claim(2) == [1, 1]


def test_the_order_within_an_account_is_kept() -> None:
    ranks = FairRanks()
    places = [ranks.take("north", 0, 1) for _ in range(3)]
    assert places == sorted(set(places))
    assert ranks.take("north", 0, 1, 5) == places[-1] + 1
    assert ranks.take("north", 0, 1) == places[-1] + 6


def test_lanes_and_providers_don_t_mix() -> None:
    ranks = FairRanks()
    ranks.take("north", 0, 1, 100)
    ranks.claimed("north", 0, 50)
    assert ranks.take("north", 1, 1) == 1
    assert ranks.take("south", 0, 1) == 1
    assert ranks.take("north", 0, 2) == 51


def test_what_stands_before_an_account_is_known() -> None:
    ranks = FairRanks()
    assert ranks.ahead("north", 0, 1) == 0
    ranks.take("north", 0, 1, 100)
    ranks.claimed("north", 0, 40)
    assert ranks.ahead("north", 0, 1) == 60
    ranks.claimed("north", 0, 140)
    assert ranks.ahead("north", 0, 1) == 0


def test_an_older_claim_doesn_t_turn_the_lane_back() -> None:
    ranks = FairRanks()
    ranks.claimed("north", 0, 50)
    ranks.claimed("north", 0, 20)
    assert ranks.take("north", 0, 1) == 51


def test_what_was_left_in_the_queues_goes_on_from_there() -> None:
    ready = [("north", 2, 1, 40, 90), ("north", 2, 2, 45, 46), ("south", 0, 1, 7, 7)]
    ranks = FairRanks(ready)
    taken = defaultdict(list)
    for account in (1, 2, 3):
        taken[account] = [ranks.take("north", 2, account)]
    assert taken == {1: [91], 2: [47], 3: [41]}
    assert ranks.take("south", 0, 2) == 8
