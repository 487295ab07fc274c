"""The people who write and those who ask: everything that is said to the API in one run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from arrivals.sim.auditor import Auditor
from arrivals.sim.dice import Dice
from arrivals.sim.dossier import Recipient
from arrivals.sim.plan import Plan
from arrivals.sim.process import Answer, Process

FIRST_NUMBER: Final = 31_612_000_000
PRICE: Final = 10_000  # micro-units a part
VALID_FOR_S: Final = 20
ACCOUNTS: Final = ("blue", "green", "poor")
OUR_FAULT: Final = 500  # a store in trouble says 503 or 507
TRIES_MAX: Final = 60
SAFE_TO_REFUSE: Final = frozenset(range(400, 500))
LONG_TEXT: Final = "a text that is so long that it takes more than one part to say it " * 5
Messages = list[dict[str, Any]]  # or lines or events of them, as the API shows them
UNICODE_TEXT: Final = "жди меня и я вернусь "
# Letters that alphabets disagree about: each is another octet, or none, in another one.
TRICKY_TEXTS: Final = ("Mail a_b@shop.nl", "£5 for Jürgen [@noon]", "5 € at the café")
FIRST_OF_CROWD: Final = 5_000
CROWD_ORDER: Final = 20  # numbers


class Customers:
    """Every customer of one run."""

    def __init__(
        self,
        plan: Plan,
        auditor: Auditor,
        keys: dict[str, str],
        process: Callable[[], Process | None],
        troubled: Callable[[], bool],
    ) -> None:
        """Act by a plan; `process` is whoever serves now, `troubled` whether faults go on."""
        self._plan, self._auditor, self._keys = plan, auditor, keys
        self._process, self._troubled = process, troubled
        self._keyed: Counter[str] = Counter()

    async def act(self) -> None:
        """Send everything that the plan wants sent, and wait until it is answered."""
        async with asyncio.TaskGroup() as group:
            for index in self._plan.sends:
                group.create_task(self._send(index))
            for first in range(0, self._plan.crowd, CROWD_ORDER):
                group.create_task(self._send_to_many(first))

    async def _send(self, index: int) -> None:
        dice = Dice(f"{self._plan.seed} send {index}")
        await asyncio.sleep(dice.between(0, self._plan.over_s))
        account = dice.pick("blue", "blue", "green", "poor")
        recipients = self._recipients(dice, index, account)
        if await self._order(dice, account, recipients):
            await self._follow(dice, account, recipients[0])

    async def _send_to_many(self, first: int) -> None:
        dice = Dice(f"{self._plan.seed} crowd {first}")
        count = min(CROWD_ORDER, self._plan.crowd - first)
        numbers = [FIRST_NUMBER + FIRST_OF_CROWD + first + n for n in range(count)]
        text = f"Your table is {first:06}"
        recipients = [self._recipient(number, "blue", text, 1) for number in numbers]
        await self._order(dice, "blue", recipients)

    async def _order(self, dice: Dice, account: str, recipients: list[Recipient]) -> bool:
        """Send to these until it's accepted or refused; tell whether it was accepted."""
        body = self._body(dice, recipients)
        headers = {"idempotency-key": self._next_key(account)} if dice.happens(0.8) else {}
        for each in recipients:
            self._auditor.asked(each)
        numbers = [each.number for each in recipients]
        for _ in range(TRIES_MAX):
            answer = await self._ask(account, "POST", "/api/v1/send_sms", body, headers, dice)
            if answer is not None and answer.status < 300:
                self._auditor.accepted(
                    numbers, [each["bx_message_id"] for each in answer.body["messages"]]
                )
                return True
            if answer is not None and answer.status in SAFE_TO_REFUSE:
                self._auditor.refused(numbers, answer.status)
                return False
            if not headers:
                return False  # whoever sends without a key can't ask again
            await asyncio.sleep(dice.between(0.2, 5.0))
        self._auditor.violation(47, f"{numbers[0]} is neither accepted nor refused, ever")
        return False

    def _next_key(self, account: str) -> str:
        """Return a key that the account never used; others use the same ones."""
        self._keyed[account] += 1
        return f"order-{self._keyed[account]}"

    def _recipients(self, dice: Dice, index: int, account: str) -> list[Recipient]:
        count = 1 if dice.happens(0.7) else int(dice.between(2, 6))
        kind = dice.chance.uniform()
        text, parts = f"Your code is {index:06}", 1
        tricky = Dice(f"{self._plan.seed} text {index}")
        if kind > 0.85:
            text, parts = f"{index} {LONG_TEXT}", 3
        elif kind > 0.75:
            text, parts = f"{index} {UNICODE_TEXT}", 1
        elif tricky.happens(0.25):
            text, parts = f"{index} {tricky.pick(*TRICKY_TEXTS)}", 1
        numbers = [FIRST_NUMBER + 10 * index + n for n in range(count)]
        return [self._recipient(number, account, text, parts) for number in numbers]

    def _recipient(self, number: int, account: str, text: str, parts: int) -> Recipient:
        return Recipient(
            number=str(number),
            account=account,
            text=text,
            parts=parts,
            price=PRICE * parts,
            policy=self._plan.policy,
        )

    def _body(self, dice: Dice, recipients: list[Recipient]) -> dict[str, Any]:
        return {
            "route_id": 1,
            "caller_id": "ARRIVALS",
            "numbers": [each.number for each in recipients],
            "message": recipients[0].text,
            "valid_for": int(dice.between(VALID_FOR_S, 2 * VALID_FOR_S)),
            "category": dice.pick("otp", "alert", "bulk"),
        }

    async def _follow(self, dice: Dice, account: str, recipient: Recipient) -> None:
        """Look what became of it; take some back, confirm some, and ask as a stranger."""
        path = f"/api/v1/messages/{recipient.message_id}"
        await asyncio.sleep(dice.between(0, 10))
        if dice.happens(0.2):
            answer = await self._ask(account, "POST", f"{path}/cancel", None, {}, dice)
            if answer is not None and answer.status == 200:
                self._auditor.taken_back(recipient)
        if dice.happens(0.2):
            await self._ask(account, "POST", f"{path}/feedback", {"confirmed": True}, {}, dice)
        answer = await self._ask(account, "GET", path, None, {}, dice)
        if answer is not None and answer.status == 404:
            self._auditor.violation(15, f"{recipient.number} was accepted and isn't there")
        stranger = "green" if account != "green" else "blue"
        for method, where in (("GET", path), ("POST", f"{path}/cancel")):
            answer = await self._ask(stranger, method, where, None, {}, dice)
            if answer is not None and answer.status not in (404, 500, 503, 507):
                self._auditor.violation(43, f"{stranger} reads {account}'s message")

    async def _ask(
        self,
        account: str,
        method: str,
        path: str,
        body: Any,
        headers: dict[str, str],
        dice: Dice,
    ) -> Answer | None:
        process = self._process()
        if process is None:
            return None
        impatient = self._troubled() and dice.happens(self._plan.habits.hang_up)
        patience_s = dice.between(0, 0.02) if impatient else 30.0
        answer = await process.call(
            method, path, self._keys[account], body, patience_s=patience_s, headers=headers
        )
        if answer is not None and answer.status == OUR_FAULT:
            self._auditor.violation(31, f"{method} {path} was answered {OUR_FAULT}")
        return answer

    async def look_at_the_end(self, funds: dict[str, int]) -> bool:
        """Show the auditor how everything ended; False while something is still open."""
        lines = {account: await self._lines(account) for account in ACCOUNTS}
        ended = all(
            line["layers"]["outcome"] != "pending" for found in lines.values() for line in found
        )
        return ended and await self._read_and_judge(lines, funds)

    async def _read_and_judge(self, lines: dict[str, Messages], funds: dict[str, int]) -> bool:
        """Read everything, then judge it; False if something happened in between."""
        before = self._auditor.seen
        messages = {account: await self._whole(account, lines[account]) for account in lines}
        balances = {account: await self._get(account, "/api/v1/balance") for account in lines}
        timelines = {
            each["msisdn"]: await self._timeline(account, each)
            for account, found in messages.items()
            for each in found
            if self._auditor.wants_timeline(each["msisdn"])
        }
        if self._auditor.seen != before:
            return False  # what was read first may not be so any more
        for account, found in messages.items():
            charged = sum(round(each["money"]["charged"] * 1_000_000) for each in found)
            self._auditor.judge_books(account, funds[account], balances[account], charged)
        if self._plan.calm:
            self._auditor.judge_calm(
                {
                    each["msisdn"]: each["layers"]["outcome"]["state"]
                    for found in messages.values()
                    for each in found
                }
            )
        for account, each in self._judge(messages, timelines):
            # The story tells what the platform itself says about what is wrong.
            for event in await self._timeline(account, each):
                self._auditor.story.append(f"           {event}")
        return True

    def _judge(
        self, messages: dict[str, Messages], timelines: dict[str, Messages]
    ) -> list[tuple[str, dict[str, Any]]]:
        """Have each recipient judged; return the messages that aren't as they should be."""
        auditor, wrong = self._auditor, []
        found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for account, of_account in messages.items():
            for each in of_account:
                found.setdefault(each["msisdn"], []).append((account, each))
        for number, recipient in auditor.recipients.items():
            here = found.pop(number, [])
            if recipient.accepted and not here:
                auditor.violation(15, f"{number} was accepted and is lost")
            if recipient.refused and here:
                auditor.violation(16, f"{number} was refused and is there")
            if len(here) > 1:
                auditor.violation(18, f"{number} is there {len(here)} times")
            for account, each in here:
                if not auditor.judge_end(recipient, each, timelines.get(number, [])):
                    wrong.append((account, each))
        for number in found:
            auditor.violation(16, f"{number} is there and nobody asked for it")
        return wrong

    async def _timeline(self, account: str, message: dict[str, Any]) -> Messages:
        path = f"/api/v1/messages/{message['bx_message_id']}/timeline"
        events: Messages = (await self._get(account, path))["events"]
        return events

    async def _lines(self, account: str) -> list[dict[str, Any]]:
        """Return all of an account's messages, a line each."""
        found: list[dict[str, Any]] = []
        path = "/api/v1/messages?limit=200"
        page = await self._get(account, path)
        while True:
            found += page["messages"]
            if not page.get("next_cursor"):
                return found
            page = await self._get(account, f"{path}&cursor={page['next_cursor']}")

    async def _whole(self, account: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        paths = [f"/api/v1/messages/{line['bx_message_id']}" for line in lines]
        return [await self._get(account, path) for path in paths]

    async def _get(self, account: str, path: str) -> Any:
        for _ in range(TRIES_MAX):
            process = self._process()
            answer = await process.call("GET", path, self._keys[account]) if process else None
            if answer is not None and answer.status == 200:
                return answer.body
            await asyncio.sleep(1.0)
        raise AssertionError(f"{path} isn't answered, long after the last fault")
