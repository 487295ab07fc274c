"""Say in a sentence what somebody did about a message, as it is told or was noticed."""

from __future__ import annotations

from typing import Final

from arrivals.core.instants import spell
from arrivals.core.timeline import SCANNER_CLICK, TimelineEvent, hint_of, is_answer, provider_of

# What opened a link, by why it is no person.
MACHINES: Final = {
    "preview": "fetches previews of pages",
    "security": "looks for dangerous pages",
    "crawler": "calls itself a robot",
    "headless": "is a browser that nobody looks at",
    "library": "programs fetch pages with",
    "no_user_agent": "doesn't say what it is, though browsers do",
    "head": "didn't ask for the page",
    "too_soon": "came sooner than anybody could have read it",
}


def feedback_sentence(event: TimelineEvent) -> str:
    """Return what a feedback event says, and that a hint is no more than one."""
    body, hint = event.body, hint_of(event)
    if hint == SCANNER_CLICK:
        return _machines_click(str(body.get("why", "")))
    if hint is not None and "noticed" in body:
        return _noticed(str(body["noticed"]), body.get("after_us"))
    if hint is not None:
        return (
            "Your own system says that the person asked for another one. That is only a hint."
        )
    if is_answer(event):
        probed = body.get("kind") == "probe"
        who = "A test phone of the operator's" if probed else "The recipient"
        return f"{who} answered, over {provider_of(event)}: so it arrived."
    got = "got it" if body.get("confirmed") else "did not get it"
    return f"Your own system says that the person {got} ({body.get('kind', 'support')})."


def _machines_click(why: str) -> str:
    what = MACHINES.get(why, f"is no person ({why})")
    return f"Its link was opened by what {what}: a machine's click, which confirms nothing."


def _noticed(second: str, after_us: object) -> str:
    waited = f"{spell(after_us)} after" if isinstance(after_us, int) else "Soon after"
    return (
        f"{waited} its hand-off another code was asked for, to the same number ({second}):"
        " perhaps this one hadn't come. That is only a hint."
    )
