"""Say whom to ask about a code that ended a message and that nobody told us the meaning of."""

from __future__ import annotations

from arrivals.core.message import Message
from arrivals.core.reasons import UNCLASSIFIED
from arrivals.core.timeline import TimelineEvent, provider_of
from arrivals.core.wording import code_name


def what_to_ask(message: Message, end: TimelineEvent | None) -> str:
    """Return who knows what a code means, and by which id they know the message; "": nobody."""
    if message.reason != UNCLASSIFIED.code or end is None:
        return ""
    body = end.body
    code = f"error {body['err']}" if body.get("err") else code_name(body.get("status"))
    what = code or str(body.get("stat") or "its word")
    known_by = f"its id there is {body['id']}" if body.get("id") else "it has no id there"
    return f"Have {provider_of(end) or 'the provider'} asked what {what} means; {known_by}."
