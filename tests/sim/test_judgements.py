"""Each judgement fires: wires are made up, and the auditor must say what is wrong with them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from arrivals.sim.auditor import Auditor
from arrivals.sim.dossier import Recipient
from arrivals.sim.frames import Frame
from arrivals.sim.plan import Bind, Fault, Habits, Plan
from arrivals.world.bends import Bends
from arrivals.world.breaks import Breaks
from arrivals.world.carrier import Carrier
from arrivals.world.dialect import Dialect
from arrivals.world.provider import Provider, Receipts
from tests.sim.octets import NUMBER, answer, receipt, submit, tlv

WIRE: Any = "a wire"
TEXT = "Your code is 000001"
LONG = "one two three"
PLAIN = Plan(
    seed=1,
    sends=(),
    over_s=10.0,
    policy="wait",
    habits=Habits(),
    faults=(),
    binds={"north": Bind(), "south": Bind()},
    worlds={"north": Provider(), "south": Provider()},
    carrier=Carrier(name="carrier"),
)


class Watched:
    """An auditor, and what happens before his eyes."""

    def __init__(self, plan: Plan = PLAIN, **recipient: Any) -> None:
        self.now = 0.0
        self.auditor = Auditor(plan, lambda: self.now, {"blue": 1_000_000})
        facts: dict[str, Any] = {
            "number": NUMBER, "account": "blue", "text": TEXT, "parts": 1, "price": 10_000,
            "policy": "wait",
        }  # fmt: skip
        self.recipient = Recipient(**(facts | recipient))
        self.auditor.asked(self.recipient)
        self.auditor.accepted([NUMBER], ["id"])

    def hand_off(self, frame: Frame, provider: str = "north", wire: Any = WIRE) -> None:
        self.auditor.leaves(wire, provider, frame)
        self.auditor.submitted(wire, provider, frame)

    def answer(self, frame: Frame, wire: Any = WIRE) -> None:
        self.auditor.answered(wire, frame)
        self.auditor.heard(wire, frame)

    def taken(self, sequence: int = 1, *, provider: str = "north", **how: Any) -> None:
        self.hand_off(submit(sequence, **how), provider)
        self.answer(answer(sequence, message_id=str(1000 + sequence)))

    def told(self, frame: Frame, provider: str = "north") -> None:
        """Let the platform read a receipt and acknowledge it."""
        self.auditor.receipt_heard(WIRE, provider, frame)
        self.auditor.receipt_acknowledged(WIRE, frame.sequence)

    def ends(
        self,
        outcome: str,
        execution: str = "handed_off",
        timeline: Any = (),
        charged: float = 0.01,
    ) -> list[str]:
        """Return the violations, as numbers and what they say."""
        layers = {"outcome": {"state": outcome}, "execution": {"state": execution}}
        message = {"layers": layers, "money": {"charged": charged}}
        self.auditor.judge_end(self.recipient, message, timeline)
        return self.violations

    @property
    def violations(self) -> list[str]:
        return [each.split(" ")[1].rstrip(":") for each in self.auditor.violations]


def plan(**parts: Any) -> Plan:
    """Return the plain plan with north (or another part) otherwise."""
    north = parts.pop("north", None)
    bind = parts.pop("bind", None)
    if north is not None:
        parts["worlds"] = PLAIN.worlds | {"north": north}
    if bind is not None:
        parts["binds"] = PLAIN.binds | {"north": bind}
    return msgspec.structs.replace(PLAIN, **parts)


def test_nothing_is_wrong_with_what_is_right() -> None:
    watched = Watched()
    watched.taken()
    watched.told(receipt(1))
    assert watched.ends("delivered") == []


# Receipts


BENT = {
    "unswapped": {"source": "ARRIVALS", "destination": NUMBER},
    "rewritten": {"source": "311612000010"},
    "national": {"source": "0612000010"},
    "a tail": {"rest": b"\0\0\0"},
    "a cut TLV": {"rest": tlv(0x1E, b"1001\0") + b"\x14\1\0\x10cut"},
    "no header": {"esm_class": 0x44},
    "UTF-16": {"octets": "id:1001 stat:DELIVRD err:000".encode("utf-16-le")},
    "state 0": {"rest": tlv(0x1E, b"1001\0") + tlv(0x427, b"\0")},
    "no mark but a TLV": {"esm_class": 0, "rest": tlv(0x1E, b"1001\0")},
    "bare": {"said": "id:1001 DELIVRD err:000"},
}


@pytest.mark.parametrize("how", BENT.values(), ids=BENT.keys())
def test_a_receipt_that_was_told_and_acknowledged_counts(how: dict[str, Any]) -> None:
    watched = Watched()
    watched.taken()
    watched.told(receipt(1, **how))
    assert watched.ends("unknown") == ["37"]


@pytest.mark.parametrize("how", BENT.values(), ids=BENT.keys())
def test_a_receipt_that_can_be_read_is_not_refused(how: dict[str, Any]) -> None:
    watched = Watched()
    watched.taken()
    watched.auditor.receipt_heard(WIRE, "north", receipt(1, **how))
    watched.auditor.receipt_refused(WIRE, 1, 0xC0)
    assert watched.violations == ["37"]


def test_a_failure_that_was_told_counts_too() -> None:
    watched = Watched()
    watched.taken()
    watched.told(receipt(1, "id:1001 stat:5 err:003", source="0612000010"))
    assert watched.ends("unknown") == ["37"]


def test_a_receipt_before_its_answer_is_placed_by_its_id_later() -> None:
    watched = Watched()
    watched.hand_off(submit(1))
    watched.told(receipt(1, source="311612000010"))
    watched.answer(answer(1))
    assert watched.ends("unknown") == ["37"]


def test_nothing_is_asked_where_neither_id_nor_number_is_known() -> None:
    """The answer that gives the id was lost on its way."""
    watched = Watched()
    watched.hand_off(submit(1))
    watched.auditor.answered(WIRE, answer(1))
    watched.told(receipt(1, source="311612000010"))
    assert watched.ends("unknown") == []


def test_a_process_that_was_killed_may_not_have_kept_an_id() -> None:
    watched = Watched()
    watched.taken()
    watched.auditor.deaths = 1
    watched.told(receipt(1, source="311612000010"))
    assert watched.ends("unknown") == []


@pytest.mark.parametrize(
    ("told", "broken"), [(True, ["37"]), (False, [])], ids=["written down", "not"]
)
def test_a_mark_that_lacks_has_to_be_written_down(told: bool, broken: list[str]) -> None:
    north = Provider(receipts=Receipts(bends=Bends(classes={"unmarked": 1.0})))
    watched = Watched(plan(north=north, bind=Bind(told=told)))
    watched.taken()
    watched.told(receipt(1, esm_class=0))
    assert watched.ends("unknown") == broken


def test_a_receipt_that_disagrees_with_itself_proves_nothing() -> None:
    for outcome in ("delivered", "failed", "unknown"):
        watched = Watched()
        watched.taken()
        watched.told(receipt(1, rest=tlv(0x1E, b"1001\0") + tlv(0x427, b"\5")))
        assert watched.ends(outcome) == []


def test_progress_is_no_end() -> None:
    watched = Watched()
    watched.taken()
    watched.told(receipt(1, "id:1001 stat:ACKED err:000"))
    assert watched.ends("delivered") == ["33"]


@pytest.mark.parametrize(("ids_of", "broken"), [("north", ["37"]), ("", [])])
def test_another_logins_receipt_counts_where_that_is_written_down(
    ids_of: str, broken: list[str]
) -> None:
    logins = plan(binds={"north": Bind(), "south": Bind(ids_of=ids_of)})
    watched = Watched(logins)
    watched.taken()
    watched.told(receipt(1), provider="south")
    assert watched.ends("unknown") == broken


@pytest.mark.parametrize(
    ("ids_of", "shown", "broken"),
    [("north", "provider 2", []), ("", "provider 2", ["38"]), ("north", "south", ["38"])],
)
def test_a_stranger_is_believed_only_where_that_is_written_down(
    ids_of: str, shown: str, broken: list[str]
) -> None:
    """A customer reads of it by its number; its name would be a secret told."""
    watched = Watched(plan(binds={"north": Bind(), "south": Bind(ids_of=ids_of)}))
    watched.taken()
    watched.told(receipt(1), provider="south")
    event = {"kind": "receipt_delivered", "facts": {"provider": shown}}
    assert watched.ends("delivered", timeline=[event]) == broken


@pytest.mark.parametrize("answered", [True, False])
def test_who_has_it_counts_and_not_who_was_asked_before(answered: bool) -> None:
    """South refused it; its bind tells north's receipt, and nobody wrote down that it may."""
    watched = Watched()
    watched.hand_off(submit(1), "south")
    watched.answer(answer(1, 0x0B))
    watched.hand_off(submit(2))
    if answered:
        watched.answer(answer(2, message_id="1002"))
    watched.told(receipt(1, "id:1002 stat:DELIVRD err:000"), provider="south")
    assert watched.ends("unknown") == []


# Hand-offs


def parts(watched: Watched, *taken: int, series: bytes = b"\7") -> None:
    words = {1: b"one ", 2: b"two ", 3: b"three"}
    for number in taken:
        text = b"\5\0\3" + series + bytes((3, number)) + words[number]
        watched.taken(number, text=text, esm_class=0x40)


def three() -> Watched:
    return Watched(text=LONG, parts=3, price=30_000)


def test_a_part_that_was_throttled_is_not_in_doubt() -> None:
    watched = three()
    parts(watched, 1)
    watched.hand_off(submit(2, text=b"\5\0\3\7\3\2two ", esm_class=0x40))
    watched.answer(answer(2, 0x58))
    assert watched.ends("unknown", "handoff_unknown", charged=0.03) == ["26"]


def test_what_wasnt_answered_in_time_may_be_in_doubt() -> None:
    for broken in ("unanswered", "late", "never arrived", "killed"):
        watched = Watched()
        if broken == "never arrived":
            watched.auditor.leaves(WIRE, "north", submit(1))
        else:
            watched.hand_off(submit(1))
        watched.now = 10.5 if broken == "late" else 0.5
        if broken in ("late", "killed"):
            watched.answer(answer(1))
        watched.auditor.deaths = int(broken == "killed")
        assert watched.ends("unknown", "handoff_unknown") == [], broken


@pytest.mark.parametrize("kind", ["disk_full", "slow_disk", "stall", "clock_jump"])
def test_a_slow_disk_or_a_fast_clock_may_leave_an_answer_unknown(kind: str) -> None:
    watched = Watched(plan(faults=(Fault(kind=kind, at_s=1.0),)))
    watched.taken()
    assert watched.ends("unknown", "handoff_unknown") == []


def test_a_part_that_is_tried_again_is_put_together_with_the_others() -> None:
    watched = three()
    parts(watched, 1, 3)
    watched.hand_off(submit(9, text=b"\5\0\3\7\3\2two ", esm_class=0x40))
    watched.answer(answer(9, 0x14))
    parts(watched, 2)
    assert [v for v in watched.ends("unknown", charged=0.03) if v != "29"] == []


def on_another_bind(status: int, provider: str = "north") -> list[str]:
    """Let part 1 be answered so, and part 2 come over another wire."""
    watched = three()
    watched.hand_off(submit(1, text=b"\5\0\3\7\3\1one ", esm_class=0x40))
    watched.answer(answer(1, status))
    part = submit(1, text=b"\5\0\3\7\3\2two ", esm_class=0x40)
    watched.hand_off(part, provider, "another wire")
    return watched.violations


def test_a_part_follows_over_another_bind_only_what_is_known_to_be_there() -> None:
    assert on_another_bind(0) == []
    assert on_another_bind(0x58) == ["29"]
    assert on_another_bind(0, "south") == ["29"]


def test_parts_of_two_series_cannot_be_put_together() -> None:
    watched = three()
    parts(watched, 1, 2)
    parts(watched, 3, series=b"\x08")
    assert watched.ends("unknown", charged=0.03) == ["29"]


def test_parts_that_show_another_text_are_seen() -> None:
    watched = Watched(text="one two three", parts=3, price=30_000)
    for number, word in enumerate((b"one ", b"one ", b"three"), 1):
        text = b"\5\0\3\7" + bytes((3, number)) + word
        watched.taken(number, text=text, esm_class=0x40)
    assert watched.ends("unknown", charged=0.03) == ["15"]


def test_a_text_in_one_piece_is_as_many_parts_as_were_charged() -> None:
    watched = three()
    watched.taken(1, text=b"", rest=tlv(0x424, LONG.encode()))
    assert watched.violations == []
    split = three()
    split.taken(1, text=LONG.encode())
    assert split.violations == ["11"]


@pytest.mark.parametrize(
    ("alphabet", "told", "octets", "broken"),
    [
        ("gsm7", True, b"a\x11b\x00c", []),
        ("gsm7", True, b"a_b@c", ["15"]),
        ("latin-1", True, b"a_b@c", []),
        ("latin-1", True, b"a\x11b\x00c", ["15"]),
        ("latin-1", False, b"a\x11b\x00c", []),  # nobody wrote it down
    ],
)
def test_a_handset_shows_what_was_sent(
    alphabet: Any, told: bool, octets: bytes, broken: list[str]
) -> None:
    north = Provider(dialect=Dialect(alphabet=alphabet))
    watched = Watched(plan(north=north, bind=Bind(told=told)), text="a_b@c")
    watched.hand_off(submit(1, octets))
    assert watched.violations == broken


@pytest.mark.parametrize(
    ("north", "told", "status", "broken"),
    [
        (Provider(), True, 0xC1, ["47"]),
        (Provider(), True, 0x48, ["47"]),
        (Provider(), True, 0x58, []),
        (Provider(), True, 0x0B, []),
        (Provider(), False, 0xC1, []),
        (Provider(breaks=Breaks(blames=0xC1)), True, 0xC1, []),
    ],
)
def test_what_a_provider_wants_is_what_it_gets(
    north: Provider, told: bool, status: int, broken: list[str]
) -> None:
    watched = Watched(plan(north=north, bind=Bind(told=told)))
    watched.hand_off(submit(1))
    watched.answer(answer(1, status))
    assert watched.violations == broken


@pytest.mark.parametrize(("told", "broken"), [(True, ["47"]), (False, [])])
def test_a_bind_is_written_as_wanted(told: bool, broken: list[str]) -> None:
    watched = Watched(plan(bind=Bind(told=told)))
    watched.auditor.bind_answered("north", Frame(0x80000009, 0x53, 1, b""))
    assert watched.violations == broken


@pytest.mark.parametrize("status", [0x04, 0x14, 0x58])
def test_nothing_fails_that_was_only_told_to_wait_or_to_bind(status: int) -> None:
    watched = Watched()
    watched.hand_off(submit(1))
    watched.answer(answer(1, status))
    assert watched.ends("failed", charged=0.0) == ["27"]


# Runs that are calm but for one thing


def calm(kind: str, count: int = 60) -> Watched:
    """Return a run in which a crowd was accepted at 0 s."""
    watched = Watched(plan(calm=kind, binds={"north": Bind(window=5), "south": Bind()}))
    for n in range(count):
        other = one_of_many(n)
        watched.auditor.asked(other)
        watched.auditor.accepted([other.number], ["id"])
    return watched


def one_of_many(n: int) -> Recipient:
    return Recipient(
        number=f"3161200{5000 + n}",
        account="blue",
        text=TEXT,
        parts=1,
        price=10_000,
        policy="wait",
    )


def crowd(
    watched: Watched, statuses: dict[int, int | None], at_s: float = 0.1
) -> dict[str, str]:
    """Hand all off; return outcomes, delivered but where a status says otherwise."""
    watched.now = at_s
    outcomes = {}
    for n, number in enumerate(watched.auditor.recipients):
        status = statuses.get(n, 0)
        wire = f"wire {n}"  # of its own: windows aren't what this is about
        watched.hand_off(submit(n + 1, destination=number), wire=wire)
        if status is not None:
            watched.answer(answer(n + 1, status, str(n)), wire)
        outcomes[number] = "delivered" if status == 0 else "expired"
    return outcomes


def test_a_held_number_keeps_nobody_waiting() -> None:
    watched = calm("held_numbers")
    watched.auditor.judge_calm(crowd(watched, {3: 0x58, 4: 0x14}))
    assert watched.violations == []
    late = calm("held_numbers")
    late.auditor.judge_calm(crowd(late, {3: 0x58}, at_s=5.1))
    assert set(late.violations) == {"27"}
    assert len(late.auditor.violations) == 50  # as many as are kept, of sixty


def test_a_bind_may_slow_down_where_many_are_held() -> None:
    watched = calm("held_numbers")
    watched.auditor.judge_calm(crowd(watched, dict.fromkeys(range(2, 8), 0x58), at_s=5.1))
    assert watched.violations == []


def test_a_number_that_wasnt_held_ends_delivered() -> None:
    watched = calm("held_numbers")
    outcomes = crowd(watched, {3: 0x58})
    outcomes[NUMBER] = "expired"
    watched.auditor.judge_calm(outcomes)
    assert watched.violations == ["27"]


def test_what_a_crash_loop_puts_in_doubt_is_bounded() -> None:
    """A window of five, ten in a row and ten probes."""
    for lost, broken in ((25, []), (26, ["26"])):
        watched = calm("crash_loop")
        watched.auditor.judge_calm(crowd(watched, dict.fromkeys(range(lost))))
        assert watched.violations == broken


def test_what_left_and_never_arrived_is_in_doubt_as_well() -> None:
    watched = calm("crash_loop")
    outcomes = crowd(watched, dict.fromkeys(range(20)))
    for number in list(outcomes)[20:30]:
        watched.auditor.leaves(
            WIRE, "north", submit(900 + int(number[-2:]), destination=number)
        )
    watched.auditor.judge_calm(outcomes)
    assert watched.violations == ["26"]


def test_nobody_fails_who_is_only_said_to_be_badly_written() -> None:
    watched = calm("blames")
    outcomes = crowd(watched, {2: 0xC1})
    outcomes[list(outcomes)[2]] = "failed"
    watched.auditor.judge_calm(outcomes)
    assert "27" in watched.violations
