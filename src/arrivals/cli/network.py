"""`arrivals routes`, `providers`, `prices`, and `pause`, `resume`, `drain` for traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from arrivals.cli.connection import AsJson
from arrivals.cli.database import Config, Data, Installation, place_of, settings_of
from arrivals.cli.output import ExitCode, Stop, money, put_json, put_table, say

if TYPE_CHECKING:
    from arrivals.core.catalogue import Provider

routes = typer.Typer(help="List the published ways to send.", no_args_is_help=True)
providers = typer.Typer(
    help="List the upstream connections, and try them.", no_args_is_help=True
)
prices = typer.Typer(help="Import and list routes' prices.", no_args_is_help=True)

Kind = Annotated[
    Literal["provider", "route", "account"],
    typer.Argument(metavar="KIND", help="What: provider, route or account."),
]
Name = Annotated[str, typer.Argument(metavar="ID", help="Which: its id.")]
RouteId = Annotated[int, typer.Argument(metavar="ROUTE", help="The route's number.")]


@routes.command("list")
def list_routes(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the routes."""
    catalogue = Installation(place_of(data, config)).catalogue()
    found = sorted(catalogue.routes.values(), key=lambda route: route.route_id)
    if as_json:
        put_json(found)
        return
    put_table(
        ("route#", "name", "category", "access", "sender", "providers", "prices#", "traffic"),
        [
            (
                each.route_id,
                each.display_name,
                each.category,
                each.access,
                each.sender_policy,
                ", ".join(each.providers),
                len(catalogue.prices[each.route_id].rates)
                if each.route_id in catalogue.prices
                else 0,
                each.flow.value if each.is_active else "closed",
            )
            for each in found
        ],
        "There are no routes. They stand in the settings file: see arrivals init",
    )


@providers.command("list")
def list_providers(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the providers; passwords aren't shown."""
    catalogue = Installation(place_of(data, config)).catalogue()
    found = sorted(catalogue.providers.values(), key=lambda provider: provider.provider_id)
    rows = [
        {
            "provider_id": each.provider_id,
            "address": _address(each),
            "system_id": each.settings.get("system_id"),
            "bind": each.settings.get("bind"),
            "tls": each.settings.get("tls"),
            "window": each.window,
            "throughput": each.throughput,
            "environment": "sandbox" if each.sandbox else "live",
            "flow": each.flow.value,
        }
        for each in found
    ]
    if as_json:
        put_json(rows)
        return
    put_table(
        ("provider", "address", "system_id", "window#", "PDUs/s#", "environment", "traffic"),
        [
            (
                row["provider_id"],
                row["address"],
                row["system_id"],
                row["window"],
                row["throughput"] or "any",
                row["environment"],
                row["flow"],
            )
            for row in rows
        ],
        "There are no providers. They stand in the settings file: see arrivals init",
    )


@prices.command("import")
def import_prices(
    route: RouteId,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV: country,country_prefix,price.")
    ],
    data: Data = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Import a price list as the route's next version; messages keep the price they met."""
    from arrivals.core.pricing import InvalidPriceList, read_price_list
    from arrivals.flows.administer import IMPORT_PRICES, NewPrices

    try:
        rows = read_price_list(file.read_text("utf-8"))
    except InvalidPriceList as error:
        raise Stop(
            f"{file} can't be used; nothing was changed\n{error}",
            code=ExitCode.USAGE,
            body={
                "error": "price_list_invalid",
                "problems": [
                    {"line": each.line, "problem": each.problem, "fix": each.fix}
                    for each in error.problems
                ],
            },
        ) from None
    except OSError as error:
        raise Stop(
            f"{file} can't be read: {error.strerror}", "mend the path", code=ExitCode.USAGE
        ) from None
    except UnicodeDecodeError:
        raise Stop(
            f"{file} isn't UTF-8 text", "save it as CSV in UTF-8", code=ExitCode.USAGE
        ) from None
    version = Installation(place_of(data, config)).do(
        IMPORT_PRICES, NewPrices(route_id=route, rows=rows)
    )
    if as_json:
        put_json({"route_id": route, "prices": len(rows), "version": version})
    elif version is None:
        say(f"Route {route} has these {len(rows)} prices already; nothing changed.")
    else:
        say(f"Route {route} has {len(rows)} prices now, as version {version}.")


@prices.command("list")
def list_prices(
    route: RouteId, data: Data = None, config: Config = None, as_json: AsJson = False
) -> None:
    """List a route's prices per segment."""
    from arrivals.core.money import json_number

    catalogue = Installation(place_of(data, config)).catalogue()
    if route not in catalogue.routes:
        raise Stop(f"there is no route {route}", "see: arrivals routes list")
    found = catalogue.prices.get(route)
    if found is None:
        raise Stop(f"route {route} has no prices", f"arrivals prices import {route} FILE")
    if as_json:
        put_json(
            {
                "route_id": route,
                "version": found.version,
                "currency": found.currency,
                "pricing": [
                    {
                        "country": each.country,
                        "country_prefix": each.prefix,
                        "price": json_number(each.price),
                    }
                    for each in found.rates
                ],
            }
        )
        return
    put_table(
        ("country", "prefix", "price#"),
        [
            (each.country, each.prefix, money(each.price, found.currency))
            for each in found.rates
        ],
        "The list is empty.",
    )


@routes.command("remove")
def remove_route(
    route: RouteId, data: Data = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Take a route away that has been drained; refused while messages on it haven't ended."""
    remove("route", str(route), data, config, as_json=as_json)


@providers.command("remove")
def remove_provider(
    name: Name, data: Data = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Take a provider away that has been drained; refused while it has messages under way.

    First take it out of every route's `providers`. What went over it stays in every answer.
    """
    remove("provider", name, data, config, as_json=as_json)


def remove(
    kind: Literal["provider", "route", "account"],
    name: str,
    data: str | None,
    config: Path | None,
    *,
    as_json: bool,
) -> None:
    """Take something away, unless the settings file would bring it back."""
    from arrivals.flows.removing import REMOVE, Removal

    if config is not None:
        tables = getattr(settings_of(config), f"{kind}s").values()
        if any(str(each.id) == name for each in tables):
            raise Stop(
                f"{kind} {name} stands in {config}, which would bring it back",
                "take its table out of the file first",
            )
    removed = Installation(place_of(data, config)).do(REMOVE, Removal(kind=kind, name=name))
    if as_json:
        put_json({"kind": kind, "id": name, "removed": True, "keys": removed.keys})
        return
    say(f"{kind.capitalize()} {name} is removed; a running server follows within 5 s.")
    if removed.keys:
        say(f"Its keys are revoked: {', '.join(removed.keys)}.")


def pause(
    kind: Kind, name: Name, data: Data = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Hold traffic: what is accepted waits in its queue until `resume`."""
    _set_flow(kind, name, "paused", place_of(data, config), as_json=as_json)


def resume(
    kind: Kind, name: Name, data: Data = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Let traffic flow again."""
    _set_flow(kind, name, "active", place_of(data, config), as_json=as_json)


def drain(
    kind: Kind, name: Name, data: Data = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Accept nothing new, and let the queue empty itself."""
    _set_flow(kind, name, "draining", place_of(data, config), as_json=as_json)


def _set_flow(
    kind: Literal["provider", "route", "account"],
    name: str,
    flow: Literal["active", "paused", "draining"],
    place: str | Path,
    *,
    as_json: bool,
) -> None:
    from arrivals.core.catalogue import Flow
    from arrivals.flows.administer import SET_FLOW, FlowChange

    before = Installation(place).do(SET_FLOW, FlowChange(kind=kind, name=name, flow=Flow(flow)))
    if as_json:
        put_json({"kind": kind, "id": name, "before": before.value, "now": flow})
    elif before == flow:
        say(f"{kind.capitalize()} {name} was {flow} already.")
    else:
        say(f"{kind.capitalize()} {name} is {flow}; a running server follows within 5 s.")


def _address(provider: Provider) -> str:
    settings = provider.settings
    hosts = settings.get("hosts")
    found = hosts if isinstance(hosts, list) else [(settings.get("host"), settings.get("port"))]
    return ", ".join(f"{host}:{port}" for host, port in found)
