"""What changes over time: from its moment, until its end, and nothing else."""

from __future__ import annotations

import pytest

from arrivals.world.fixed_fates import fate_of
from arrivals.world.scenario import Scenario, ScenarioError, parse_scenario
from tests.world.rehearsal import Rehearsal

BASE = """
name = "small"
about = "For these tests."
[[traffic]]
name = "one"
text = "Your code is {code}"
count = 600
over_s = 600
[expect.one]
truth = { reached = 1.0 }
reported = { delivered = 1.0 }
[users]
conversion = 0.5
[providers.default]
answer = { median_s = 0.1, sigma = 0.3 }
receipts = { coverage = 0.9 }
[providers.north]
window = 7
[providers.south]
receipts = { coverage = 0.5 }
[[carriers]]
name = "meridian"
radio = { median_s = 2.0, sigma = 0.5 }
off = { share = 0.1, scale_s = 100 }
filter = { modes = { silent = 1 } }
"""

CHANGE = """
[[timeline]]
about = "Something is different."
from_s = 200
until_s = 400
"""


def changed(*lines: str, base: str = BASE) -> Scenario:
    return parse_scenario(base + CHANGE + "\n".join(lines))


def test_without_a_timeline_a_moment_is_like_any_other() -> None:
    scenario = parse_scenario(BASE)
    assert scenario.at(0.0) is scenario.at(1e6) is scenario
    assert scenario.next_change_s(0.0) is None


def test_a_change_holds_from_its_moment_to_its_end() -> None:
    scenario = changed("providers.north = { errors = 0.25 }")
    told = {at: scenario.at(at).provider("north").errors for at in (0, 199.9, 200, 399.9, 400)}
    assert told == {0: 0.0, 199.9: 0.0, 200: 0.25, 399.9: 0.25, 400: 0.0}
    assert scenario.next_change_s(0) == 200
    assert scenario.next_change_s(200) == 400
    assert scenario.next_change_s(400) is None
    then = scenario.at(300)
    assert (then.provider("north").window, then.provider("south").errors) == (7, 0.0)


def test_a_change_of_the_default_counts_for_all_that_state_nothing_else() -> None:
    then = changed("providers.default = { receipts = { coverage = 0.1 } }").at(200)
    assert then.provider("north").receipts.coverage == 0.1
    assert then.provider("anyone").receipts.coverage == 0.1
    assert then.provider("south").receipts.coverage == 0.5


def test_of_two_changes_the_later_line_wins() -> None:
    second = CHANGE.replace("200", "300").replace("400", "900")
    scenario = changed("users = { conversion = 0.1 }", second, "users = { conversion = 0.9 }")
    told = [scenario.at(at).users.conversion for at in (0, 200, 300, 500, 900)]
    assert told == [0.5, 0.1, 0.9, 0.9, 0.5]


def test_a_change_without_an_end_stays() -> None:
    endless = BASE + CHANGE.replace("until_s = 400", "") + "users = { conversion = 0.1 }"
    assert parse_scenario(endless).at(1e6).users.conversion == 0.1


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("providers.west = { errors = 1 }", "west"),
        ("carriers.parallel = { scrubs = true }", "parallel"),
        ("providers.north = { errs = 1 }", "errs"),
        ("carriers.meridian = { off = { share = 2 } }", "share"),
        ("users = { conversion = 2 }", "conversion"),
        ("until_s = 100", "until_s"),
    ],
)
def test_a_mistake_in_the_timeline_is_named(lines: str, complaint: str) -> None:
    base = CHANGE.replace("until_s = 400\n", "") if "until_s" in lines else CHANGE
    with pytest.raises(ScenarioError, match=complaint):
        parse_scenario(BASE + base + lines)


def test_eras_arent_stated() -> None:
    with pytest.raises(ScenarioError, match="eras"):
        parse_scenario("eras = []\n" + BASE)


def test_a_change_takes_effect_at_its_time_and_shifts_no_draw() -> None:
    """What is sent before and after it meets the very fate it meets without the change."""
    calm = list(Rehearsal(parse_scenario(BASE), 3).play())
    filtered = changed("carriers.meridian = { filter = { base = 1.0 } }")
    other = list(Rehearsal(filtered, 3).play())
    for one, two in zip(calm, other, strict=True):
        if 200 <= one.send.at_s < 400:
            assert (two.fate.ending.value, two.fate.receipts) == ("filtered", ())
            assert one.fate.answer == two.fate.answer
        else:
            assert (one.submission, one.fate, one.acts) == (two.submission, two.fate, two.acts)


EXTRAS = {
    "users": BASE.replace("conversion = 0.5", "conversion = 0.5\nreplies = 0.5\nclicks = 0.5"),
    "memory": BASE + "duplicates = { within_s = 60 }\ncap = { daily = 1000000 }\n"
    "velocity = { per_s = 1000, burst_s = 1000 }",
    "spells": BASE + "bursts = { calm_s = 100, lasts_s = 100 }",
    "retries": BASE + "retries_s = [60, 300]",
    "a later change": BASE + CHANGE.replace("200", "5000").replace("400", "6000"),
    "another carrier": BASE + '[[carriers]]\nname = "parallel"\nprefix = "33"',
    "another provider": BASE + "[providers.west]\nerrors = 1",
    "another stream": BASE + '[[traffic]]\nname = "two"\ntext = "{code}"\nprovider = "south"',
    "a registered sender": BASE + '[senders.ARRIVALS]\nbrand = "acme"',
    "known numbers": BASE + '[numbers]\nprobes = ["447700900001"]\ndead = ["447700900002"]',
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_one_more_thing_that_happens_shifts_no_other_draw(extra: str) -> None:
    ours = list(Rehearsal(parse_scenario(BASE), 3).play("one"))
    richer = Rehearsal(parse_scenario(EXTRAS[extra]), 3)
    theirs = [each for each in richer.play() if each.send.stream.name == "one"]
    assert [each.fate.answer for each in ours] == [each.fate.answer for each in theirs]
    assert [each.fate.ending for each in ours] == [each.fate.ending for each in theirs]
    assert [each.fate.ended_s for each in ours] == [each.fate.ended_s for each in theirs]
    assert [each.fate.receipts for each in ours] == [each.fate.receipts for each in theirs]
    assert [each.acts for each in ours] == [each.acts for each in theirs]


def test_a_fate_is_that_of_the_moment_it_was_submitted() -> None:
    scenario = changed("carriers.meridian = { filter = { base = 1.0 } }")
    for each in Rehearsal(scenario, 3).play():
        again = fate_of(each.submission, scenario.at(each.submission.at_s), 3)
        assert again.ending is each.fate.ending
