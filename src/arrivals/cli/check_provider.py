"""`arrivals providers check`: bind once, and say what the provider answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Config, Data, Installation, place_of
from arrivals.cli.output import ExitCode, Stop, put_json, say

if TYPE_CHECKING:
    from arrivals.core.catalogue import Provider
    from arrivals.providers.trial import Trial

VERSIONS: Final = {0x33: "SMPP 3.3", 0x34: "SMPP 3.4", 0x50: "SMPP 5.0"}


def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The provider's id.")],
    config: Config = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Bind to a provider with its settings, say what it answers, and unbind.

    No message is sent, and no receipt is taken. No server has to run; beside one, this is a
    second bind with the same login. Exit codes: 0 it let us in, 1 it refused, 69 nobody
    answered the bind.
    """
    import asyncio

    provider, place = _provider(name, config, data)
    served = _is_served(place, name)
    trials = asyncio.run(_try(provider))
    if as_json:
        put_json({"provider": name, "served": served, "binds": [*map(_shown, trials)]})
    else:
        _tell(provider, trials, served=served)
    if all(each.is_bound for each in trials):
        raise typer.Exit(int(ExitCode.OK))
    reached = all(each.was_reached for each in trials)
    raise typer.Exit(int(ExitCode.REFUSED if reached else ExitCode.UNREACHABLE))


def _provider(name: str, config: Path | None, data: str | None) -> tuple[Provider, str | Path]:
    """Return a provider as the settings file has it, or else as the installation does."""
    from arrivals.cli.serve import read
    from arrivals.tables import nearest

    if config is not None:
        settings, wanted = read(config)
        place = settings.place if data is None else place_of(data, None)
        known = {each.provider_id: each for each in wanted.providers}
    else:
        place = place_of(data, None)
        known = Installation(place).catalogue().providers
    if name not in known:
        raise Stop(f"there is no provider {name!r}", nearest(name, known), code=ExitCode.USAGE)
    return known[name], place


async def _try(provider: Provider) -> list[Trial]:
    from msgspec.structs import replace

    from arrivals.clock import SystemClock
    from arrivals.providers.dialling import BINDS, addresses_of, link_settings
    from arrivals.providers.trial import try_bind
    from arrivals.runtime import password_of

    settings = link_settings(provider, password_of(provider))
    kinds = BINDS[str(provider.settings.get("bind", "transceiver"))]
    clock = SystemClock()
    return [
        await try_bind(replace(settings, host=host, port=port), command_id, clock)
        for host, port in addresses_of(provider)
        for command_id in kinds
    ]


def _is_served(place: str | Path, name: str) -> bool:
    """Tell whether a running server holds the place, and so may hold binds of its own."""
    from arrivals.store.api import StoreUnavailable
    from arrivals.store.backend import holds_database, is_postgresql
    from arrivals.store.folders import kept_from_serving

    if is_postgresql(place):
        try:
            return name in Installation(place).leases()
        except Stop:
            return False  # a database that isn't there is served by nobody
    if not holds_database(place):
        return False
    try:
        with kept_from_serving(Path(place)):
            return False
    except StoreUnavailable:
        return True


def _shown(trial: Trial) -> dict[str, Any]:
    import msgspec

    return {**msgspec.to_builtins(trial), "bound": trial.is_bound}


def _tell(provider: Provider, trials: list[Trial], *, served: bool) -> None:
    places = list(dict.fromkeys(each.at for each in trials))
    say(f"Provider {provider.provider_id} at {', '.join(places)}")
    for each in trials:
        where = f" at {each.at}" if len(places) > 1 else ""
        say(f"  {each.bind}{where}: {_sentence(each)}")
        if each.problem is not None:
            say(f"    What to look at: {each.look_at}")
        for note in _notes(each, provider):
            say(f"    {note}")
    if served:
        say("  A server runs with these settings: this was a second bind beside its own.")


def _sentence(trial: Trial) -> str:
    if trial.status is None:
        return f"{trial.problem}."
    if not trial.is_bound:
        return f"refused with {trial.status_name} (0x{trial.status:X}): {trial.problem}."
    name = f" as {trial.system_id!r}" if trial.system_id else ""
    told = trial.interface_version
    version = "no version told"
    if told is not None:
        version = f"{VERSIONS.get(told, 'a version of its own')} (0x{told:02X})"
    tls = f", {trial.tls}" if trial.tls else ", no TLS"
    alive = "enquire_link wasn't answered"
    if trial.enquire_link_ms is not None:
        alive = f"enquire_link answered in {trial.enquire_link_ms:.1f} ms"
    return f"bound in {trial.bind_ms:.1f} ms{name}, {version}{tls}; {alive}."


def _notes(trial: Trial, provider: Provider) -> list[str]:
    """Return what is good to know of a bind that was made."""
    notes = []
    if (
        trial.is_bound
        and trial.interface_version is None
        and provider.dialect.optional_parameters
    ):
        notes.append(
            "Who tells no version may take no TLVs: if it refuses messages (0xC0 to 0xC4, or "
            "0x02), set dialect.optional_parameters = false."
        )
    if trial.left_waiting:
        notes.append(
            f"{trial.left_waiting} receipts or replies came and were left unanswered, so that "
            "it sends them again."
        )
    if trial.is_bound and not trial.unbound:
        notes.append("It didn't answer our unbind; the connection was closed.")
    return notes
