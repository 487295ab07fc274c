"""What a seed drew before, it draws still; and everything is drawn by some seed."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, get_args

import msgspec
import pytest

from arrivals.core.dialect import PLAIN, SenderForm
from arrivals.sim.oddities import BLAMES
from arrivals.sim.plan import BREAKDOWNS, CALM, FAULTS, PROVIDERS, Habits, Plan, plan_of
from arrivals.world.bends import (
    AddressForm,
    Bends,
    ClassForm,
    StateForm,
    Tail,
    TextForm,
    Wording,
)
from arrivals.world.dialect import Dialect, SenderWanted
from arrivals.world.installation import fitting
from arrivals.world.provider import Provider, Receipts

SEEDS = 300
BIND = ("window", "throughput", "kind", "expired_is_final")
WORLD = (
    "answer", "errors", "refusals", "lost_answers", "lost_answers_dropped", "fabricates",
    "rate", "id_form",
)  # fmt: skip
RECEIPTS = (
    "coverage", "delay", "late", "late_delay", "duplicated", "reordered", "contradicted",
    "before_answer", "per", "echo_reference", "tlvs", "any_bind",
)  # fmt: skip
TABLES = {
    "wordings": Wording,
    "texts": TextForm,
    "tails": Tail,
    "classes": ClassForm,
    "addresses": AddressForm,
    "states": StateForm,
}


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [plan_of(seed) for seed in range(1, SEEDS + 1)]


def of(value: Any, names: tuple[str, ...]) -> list[Any]:
    return [getattr(value, name) for name in names]


def test_what_a_seed_drew_it_draws_still(plans: list[Plan]) -> None:
    """A plan can be given more to draw, but what it drew before stays; calm ones are new."""
    digest = blake2b(digest_size=8)
    for plan in plans:
        if not plan.calm:
            worlds = [plan.worlds[name] for name in PROVIDERS]
            drawn = [
                plan.sends, plan.over_s, plan.policy, plan.habits,
                [fault for fault in plan.faults if fault.kind in FAULTS],
                [of(plan.binds[name], BIND) for name in PROVIDERS],
                [[*of(each, WORLD), *of(each.receipts, RECEIPTS)] for each in worlds],
                plan.carrier,
            ]  # fmt: skip
            digest.update(msgspec.json.encode(drawn))
    assert digest.hexdigest() == "4a688156dc08a2cc"


def test_every_form_of_a_receipt_is_drawn(plans: list[Plan]) -> None:
    worlds = [world for plan in plans for world in plan.worlds.values()]
    for table, forms in TABLES.items():
        drawn = [getattr(world.receipts.bends, table) for world in worlds]
        assert {form for each in drawn for form in each} == set(get_args(forms)), table
        assert 0.05 < sum(bool(each) for each in drawn) / len(drawn) < 0.2, table
    assert any(world.receipts.progress for world in worlds)
    assert any(world.receipts.before_bind_answer for world in worlds)


def test_every_key_of_a_dialect_is_drawn_and_most_platforms_are_told(plans: list[Plan]) -> None:
    worlds = [world for plan in plans for world in plan.worlds.values()]
    plain = Dialect()
    for name in set(Dialect.__struct_fields__) - {"octets_max"}:
        odd = [w for w in worlds if getattr(w.dialect, name) != getattr(plain, name)]
        assert odd, name
    assert 0.2 < sum(world.dialect != plain for world in worlds) / len(worlds) < 0.5
    told = [bind.told for plan in plans for bind in plan.binds.values()]
    assert 0.8 < sum(told) / len(told) < 0.95


def test_every_breakdown_and_every_hold_is_drawn(plans: list[Plan]) -> None:
    assert {f.kind for plan in plans for f in plan.faults} == {*FAULTS, *BREAKDOWNS}
    worlds = [world for plan in plans for world in plan.worlds.values()]
    assert {world.breaks.blames for world in worlds} == {0, *BLAMES}
    holds = [world.holds for world in worlds]
    assert {each.word for each in holds} == {"throttled", "queue_full"}
    assert {each.times for each in holds} == {None, 1, 3}
    assert any(each.parts for each in holds)
    assert any(each.refuses_parts for each in holds)


def test_logins_of_one_carrier_are_drawn_and_mostly_written_down(plans: list[Plan]) -> None:
    shared = [plan for plan in plans if plan.elsewhere]
    assert {plan.elsewhere for plan in shared} == {("north",), ("south",), PROVIDERS}
    told = [plan for plan in shared if any(bind.ids_of for bind in plan.binds.values())]
    assert 0 < len(told) < len(shared)
    for plan in told:
        named = {bind.ids_of for bind in plan.binds.values()} - {""}
        assert named == set(plan.elsewhere)


def test_some_runs_are_calm_but_for_one_thing(plans: list[Plan]) -> None:
    calm = [plan for plan in plans if plan.calm]
    assert {plan.calm for plan in calm} == set(CALM)
    assert 0.02 < len(calm) / len(plans) < 0.12
    for plan in calm:
        assert (plan.habits, plan.faults, plan.elsewhere) == (Habits(), (), ())
        assert 40 <= plan.crowd < 100
        odd = plan.worlds["north"]
        assert bool(odd.holds.numbers) is (plan.calm == "held_numbers")
        assert bool(odd.breaks.drops_after) is (plan.calm == "crash_loop")
        assert bool(odd.breaks.blames) is (plan.calm == "blames")
        assert odd.breaks.drops_after <= plan.binds["north"].window


def test_a_plan_survives_being_written_down(plans: list[Plan]) -> None:
    for plan in plans[:50]:
        assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


# What an operator writes down of a provider


def told_of(**wanted: Any) -> Any:
    return fitting(Provider(dialect=Dialect(**wanted)))


def test_nothing_is_written_down_of_a_plain_provider() -> None:
    assert fitting(Provider()) == PLAIN


@pytest.mark.parametrize(
    ("wanted", "key", "value"),
    [
        ({"system_type": "SMPP"}, "system_type", "SMPP"),
        ({"service_type": "CMT"}, "service_type", "CMT"),
        ({"address_range": "316.*"}, "address_range", "316.*"),
        ({"interface_version": 0x33}, "interface_version", 0x33),
        ({"refuses_tlvs": "bad_length"}, "optional_parameters", False),
        ({"user_message_reference": False}, "optional_parameters", False),
        ({"validity": ("absolute", "none")}, "validity", "absolute"),
        ({"alphabet": "latin-1"}, "alphabet", "latin-1"),
        ({"long_messages": ("payload",)}, "long_messages", "payload"),
        (
            {"senders": (SenderWanted(pattern="[0-9]+", ton=3, npi=0),)},
            "senders",
            (SenderForm(pattern="[0-9]+", ton=3, npi=0),),
        ),
    ],
)
def test_each_key_is_written_down(wanted: dict[str, Any], key: str, value: Any) -> None:
    assert getattr(told_of(**wanted), key) == value


@pytest.mark.parametrize(
    ("form", "unmarked"), [("unmarked", True), ("odd", True), ("headerless", False)]
)
def test_marks_that_lack_are_written_down(form: ClassForm, unmarked: bool) -> None:
    receipts = Receipts(bends=Bends(classes={form: 0.3}))
    assert fitting(Provider(receipts=receipts)).unmarked_receipts is unmarked
