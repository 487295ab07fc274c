"""Whatever the document allows, of every operation: no failure of ours, nobody else's data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arrivals.http.table import endpoints
from tests.fuzz.api import CANARY, CHECKS, IDS, THEIRS, Api, running

OPERATIONS = [(each.method, each.path) for each in endpoints()]
PRIVATE = [(each.method, each.path) for each in endpoints() if not each.public]
NAMED = [
    (method, path) for method, path in PRIVATE if any(f"{{{name}}}" in path for name in IDS)
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(str(tmp_path_factory.mktemp("fuzz") / "data")) as api:
        yield api


def examples(count: int) -> settings:
    """Try this many, and more by as much as the profile wants more than Hypothesis' own 100."""
    count = count * settings().max_examples // 100
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def cases(api: Api, method: str, path: str) -> st.SearchStrategy[schemathesis.Case]:
    modes = schemathesis.GenerationMode
    operation = api.schema[path][method]
    return st.one_of(*(operation.as_strategy(generation_mode=each) for each in modes))


PLACES = 1_000  # more than there are ids
ASKED_FOR = {"a": "bx_message_id", "b": "bx_message_id"}  # in queries, by what they name
SOUND_BODY: dict[str, Any] = {
    "route_id": 1,
    "caller_id": "ARRIVALS",
    "numbers": ["31612345678"],
    "message": "hi",
}
SOUND_QUERIES = {"/api/v1/batches": {"caller_id": "ARRIVALS", "route_id": 1, "message": "hi"}}


def nearly_sound(case: schemathesis.Case, draw: Any) -> None:
    """Leave one drawn thing in a request that is sound but for it, half of the time.

    Where everything is drawn, hardly a request gets past the first look at it.
    """
    if not draw(st.booleans()):
        return
    drawn: Any = case.body
    if isinstance(drawn, dict) and "caller_id" in drawn:
        case.body = SOUND_BODY | one_of(drawn, draw)
    sound = SOUND_QUERIES.get(case.path, {}) if case.method == "POST" else {}
    if case.query:
        case.query = sound | one_of(case.query, draw)


def one_of(drawn: Any, draw: Any) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(drawn)))
    return {name: drawn[name]}


def with_known_ids(api: Api, case: schemathesis.Case, draw: Any, *, always: bool) -> None:
    """Put an id into the path or the query that some answer has told, most times."""
    places = [(case.path_parameters, name, name) for name in IDS]
    places += [(case.query, name, kind) for name, kind in ASKED_FOR.items()]
    for where, name, kind in places:
        if where and name in where and (always or draw(st.integers(0, 3))):
            # A place, not an id: answers tell ever more, and a draw must stay what it was.
            known = api.ids[kind]
            where[name] = known[draw(st.integers(0, PLACES)) % len(known)]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_answer_is_what_the_document_says(api: Api, method: str, path: str) -> None:
    """Invariant 16, and none of the 5xx."""

    @examples(25)
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(cases(api, method, path))
        nearly_sound(case, data.draw)
        with_known_ids(api, case, data.draw, always=False)
        case.validate_response(api.send(case), checks=CHECKS)

    ask()


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_nobody_is_answered_without_a_key(api: Api, method: str, path: str) -> None:
    @examples(5)
    @given(st.data(), st.sampled_from([None, "nonsense"]))
    def ask(data: st.DataObject, who: str | None) -> None:
        case = data.draw(cases(api, method, path))
        nearly_sound(case, data.draw)
        with_known_ids(api, case, data.draw, always=True)
        answer = api.send(case, who=who)
        assert answer.status_code == 401, answer.text
        assert CANARY not in answer.text

    ask()


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_nothing_of_ours_is_in_their_answers(api: Api, method: str, path: str) -> None:
    """Invariant 43: another account's key finds nothing, and changes nothing."""
    before = state_of(api)

    @examples(10)
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        case = data.draw(cases(api, method, path))
        nearly_sound(case, data.draw)
        with_known_ids(api, case, data.draw, always=True)
        for name in IDS:
            if name in (case.query or {}):
                case.query[name] = data.draw(st.sampled_from(api.ids[name]))
        answer = api.send(case, who=THEIRS)
        assert CANARY not in answer.text
        if (method, path) in NAMED:
            assert_not_found(answer)

    ask()
    assert state_of(api) == before


@pytest.mark.parametrize(("method", "path"), NAMED)
def test_what_is_ours_does_not_exist_for_them(api: Api, method: str, path: str) -> None:
    """Invariant 43, for sound requests: 404, the very answer of an id that nobody has."""
    [name] = [name for name in IDS if f"{{{name}}}" in path]
    body = {"confirmed": True} if path.endswith("feedback") else None
    before = state_of(api)
    for each in api.ids[name][-50:]:
        answer = api.ask(method, path.replace(f"{{{name}}}", each), who=THEIRS, json=body)
        assert answer.status_code == 404, answer.text
        assert CANARY not in answer.text
    assert state_of(api) == before


def assert_not_found(answer: httpx.Response) -> None:
    """Refuse anything but a refusal: of the request itself, or of an id that isn't theirs."""
    assert answer.status_code in {400, 404, 413, 422}, answer.text


def state_of(api: Api) -> list[Any]:
    """Return what our account can see of its messages, orders and money."""
    shown = [
        api.ask("GET", f"/api/v1/{path}").json() for path in ("messages", "orders", "balance")
    ]
    return [{k: v for k, v in each.items() if k != "request_id"} for each in shown]
