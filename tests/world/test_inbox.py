"""The inbox: bounded, whole texts only, and something to wait for."""

from __future__ import annotations

import asyncio

from arrivals.world.inbox import TEXTS_MAX, UNFINISHED_MAX, Inbox
from arrivals.world.submission import Submission


def arrival(
    number: str = "447700900001", part: int = 1, parts: int = 1, reference: int = 0
) -> Submission:
    return Submission(
        system_id="north",
        source="Arrivals",
        destination=number,
        octets=b"part %d. " % part,
        identity=b"",
        group=b"",
        part=part,
        parts=parts,
        concatenation=reference,
    )


def test_parts_come_in_any_order_and_may_repeat() -> None:
    inbox = Inbox()
    for at, part in enumerate((3, 1, 3, 2)):
        assert inbox.texts() == ()
        inbox.arrived(arrival(part=part, parts=3), at)
    (text,) = inbox.texts()
    assert (text.text, text.parts, text.at_us) == ("part 1. part 2. part 3. ", 3, 3)


def test_long_texts_to_different_numbers_stay_apart() -> None:
    inbox = Inbox()
    inbox.arrived(arrival("447700900001", 1, 2, reference=5), 1)
    inbox.arrived(arrival("447700900002", 2, 2, reference=5), 1)
    inbox.arrived(arrival("447700900001", 2, 2, reference=6), 1)
    assert inbox.texts() == ()


def test_the_latest_texts_are_kept() -> None:
    inbox = Inbox()
    for number in range(TEXTS_MAX + 5):
        inbox.arrived(arrival(str(number)), number)
    texts = inbox.texts()
    assert (len(texts), texts[0].number) == (TEXTS_MAX, "5")


def test_unfinished_texts_are_bounded() -> None:
    inbox = Inbox()
    for number in range(UNFINISHED_MAX + 1):
        inbox.arrived(arrival(str(number), 1, 2), 1)
    inbox.arrived(arrival("0", 2, 2), 1)  # the oldest was forgotten
    assert inbox.texts() == ()
    inbox.arrived(arrival("500", 2, 2), 1)
    assert [text.number for text in inbox.texts()] == ["500"]


async def test_the_next_text_of_a_number_can_be_waited_for() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.next_text("447700900002"))
    await asyncio.sleep(0)
    inbox.arrived(arrival("447700900001"), 1)
    assert not waiting.done()
    inbox.arrived(arrival("447700900002"), 2)
    assert (await waiting).at_us == 2
