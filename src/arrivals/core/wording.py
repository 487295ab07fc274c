"""Put names, codes and amounts into the words of a sentence."""

from __future__ import annotations

from arrivals.core.money import format_amount
from arrivals.core.reasons import status_name
from arrivals.core.timeline import Trace


def price(trace: Trace) -> str:
    """Return what a message costs, with its currency."""
    return f"{format_amount(trace.message.price)} {trace.currency}"


def code_name(status: object) -> str:
    """Return a provider's code by its name in the specification, if it has one."""
    if status is None:
        return ""
    return status_name(status) if isinstance(status, int) else str(status)


def upper(text: str) -> str:
    """Begin a text as a sentence begins."""
    return text[:1].upper() + text[1:]


def capital(text: str) -> str:
    """Begin a sentence with a provider; its own name stays as it is written."""
    return text[:1].upper() + text[1:] if text.startswith("the ") else text


def subject(provider: str, lead: str) -> str:
    """Return a provider as it is written after a lead, or without one."""
    return provider if lead else capital(provider)


def spaced(name: str) -> str:
    """Return a name of several words as words."""
    return str(name).replace("_", " ")


def lower(text: str) -> str:
    """Return a text as it goes on within a sentence."""
    return text[:1].lower() + text[1:]
