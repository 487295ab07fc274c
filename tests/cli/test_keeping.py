"""`verify`, `backup`, `restore` and `doctor`."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys

import apsw
import msgspec
import pytest

from arrivals.core.catalogue import Flow
from arrivals.core.ids import order_of
from arrivals.flows.receipt_habits import LEARNT
from arrivals.outcome.habits import INFERRED, Habit
from arrivals.store.beside import noting_in
from tests.cli.typed import type_beside, type_in
from tests.flows.installation import installed, provider
from tests.store.inhabited import inhabit


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder in which something of every kind has happened."""
    folder = tmp_path_factory.mktemp("data")
    asyncio.run(inhabit(folder))
    return folder


def rows(file, text: str):
    """Ask a database file."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return connection.execute(text).fetchall()
    finally:
        connection.close()


# --- verify -----------------------------------------------------------------------------


def test_verify_says_that_all_holds(data) -> None:
    """0, and a line for each check."""
    found = type_in("verify", "--data", data)
    assert found.code == 0
    assert "checks hold" in found.out
    as_json = type_in("verify", "--data", data, "--json").json
    assert as_json["violations"] == 0
    assert len(as_json["checks"]) >= 40


def test_verify_names_what_does_not_hold(data, tmp_path) -> None:
    """1, the invariant, the count, and where to look."""
    type_in("backup", tmp_path / "copy", "--data", data)
    type_in("restore", tmp_path / "copy", "--data", tmp_path / "spoilt")
    rows(tmp_path / "spoilt" / "arrivals.db", "UPDATE balances SET held = held + 1")
    found = type_in("verify", "--data", tmp_path / "spoilt")
    assert found.code == 1
    assert "6 is broken 2 ×: account 1, account 2" in found.out
    assert "FROM balances AS b GROUP BY b.account_id" in found.out
    as_json = type_in("verify", "--data", tmp_path / "spoilt", "--json")
    assert as_json.code == 1
    assert as_json.json["violations"] == 2


def test_verify_looks_at_what_changed_unless_told_otherwise(data) -> None:
    """The run says which kind it was and what it left out; --full leaves out nothing."""
    type_in("verify", "--data", data)
    again = type_in("verify", "--data", data, "--json").json
    assert (again["kind"], again["noted"], len(again["left_out"])) == ("incremental", True, 1)
    assert "Only --full also checks" in type_in("verify", "--data", data).out
    full = type_in("verify", "--full", "--data", data, "--json").json
    assert (full["kind"], full["left_out"]) == ("full", [])
    assert len(full["checks"]) == len(again["checks"]) + 1
    assert all(each["query"] for each in full["checks"])


def heed_interrupts() -> None:
    """Let a process be interrupted, even where the tests themselves run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.slow
def test_verify_watches_until_it_is_interrupted(data, tmp_path) -> None:
    """A line a run; the exit code says whether any of them found something."""
    type_in("backup", tmp_path / "copy", "--data", data)
    type_in("restore", tmp_path / "copy", "--data", tmp_path / "watched")
    for spoilt in (False, True):
        if spoilt:
            file = tmp_path / "watched" / "arrivals.db"
            rows(file, "UPDATE balances SET held = held + 1")
        words = ("verify", "--watch", "--every", "0.1", "--data", str(tmp_path / "watched"))
        with subprocess.Popen(
            [sys.executable, "-m", "arrivals", *words, "--json"],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,  # noqa: PLW1509 - one call, and no threads in between
        ) as watching:
            assert watching.stdout is not None
            lines = [json.loads(watching.stdout.readline()) for _ in range(3)]
            watching.send_signal(signal.SIGINT)
            assert watching.wait(20) == int(spoilt)
        assert [each["violations"] > 0 for each in lines] == [spoilt] * 3


def test_verify_that_cannot_look_is_2(tmp_path) -> None:
    """Neither clean nor broken."""
    assert type_in("verify", "--data", tmp_path).code == 2
    (tmp_path / "arrivals.db").write_bytes(b"x" * 10_000)
    assert type_in("verify", "--data", tmp_path).code == 2


# --- backup and restore -------------------------------------------------------------------


async def test_a_backup_is_of_one_moment_however_busy_the_server(tmp_path) -> None:
    """What is restored keeps every invariant (fault 20)."""
    async with installed(
        tmp_path / "data", providers=[provider("north", 1)], started=False
    ) as here:
        stop = asyncio.Event()

        async def write() -> None:
            while not stop.is_set():
                await asyncio.gather(*(here.send("31600000001") for _ in range(50)))

        await here.send(*(f"316{n:08d}" for n in range(5_000)))
        writing = asyncio.create_task(write())
        for n in range(3):
            words = ("backup", tmp_path / f"copy{n}", "--data", tmp_path / "data")
            assert (await type_beside(*words)).code == 0
        stop.set()
        await writing
    for n in range(3):
        folder = tmp_path / f"restored{n}"
        assert (await type_beside("restore", tmp_path / f"copy{n}", "--data", folder)).code == 0
        assert (await type_beside("verify", "--data", folder)).code == 0
    assert (tmp_path / "copy0").stat().st_mode & 0o077 == 0


async def test_a_restored_copy_sends_nothing_and_reuses_no_order_id(data, tmp_path) -> None:
    """Providers are paused, and order ids begin where nobody was."""
    await type_beside("backup", tmp_path / "copy", "--data", data)
    held = await type_beside(
        "restore", tmp_path / "copy", "--data", tmp_path / "new", "--hold", "--json"
    )
    newest = rows(data / "arrivals.db", "SELECT max(id) FROM orders")[0][0]
    assert held.json["order_floor"] == newest + 1_000_000
    assert held.json["paused"] == ["north", "south"]
    async with installed(
        tmp_path / "new", providers=[provider("north", 1), provider("south", 1)], started=False
    ) as here:
        # What `serve` applies at its start doesn't lift the hold.
        assert here.platform.catalogue.providers["north"].flow is Flow.PAUSED
        accepted = await here.send("31600000001")
        assert accepted.order.order_id == held.json["order_floor"] + 1
        assert order_of(accepted.order.order_id << 17) == accepted.order.order_id
    assert (
        await type_beside("resume", "provider", "north", "--data", tmp_path / "new")
    ).code == 0
    assert (await type_beside("verify", "--data", tmp_path / "new")).code == 0


def test_nothing_is_overwritten(data, tmp_path) -> None:
    """Neither a file by a backup nor a database by a restore."""
    (tmp_path / "copy").write_text("mine")
    assert type_in("backup", tmp_path / "copy", "--data", data).code == 1
    assert (tmp_path / "copy").read_text() == "mine"
    assert type_in("backup", tmp_path / "good", "--data", data).code == 0
    before = (data / "arrivals.db").read_bytes()
    assert type_in("restore", tmp_path / "good", "--data", data).code == 1
    assert (data / "arrivals.db").read_bytes() == before


@pytest.mark.parametrize("octets", [b"", b"not a database" * 1_000])
def test_what_is_no_backup_is_not_restored(tmp_path, octets) -> None:
    """The folder stays without a database, and without remains."""
    (tmp_path / "copy").write_bytes(octets)
    assert type_in("restore", tmp_path / "copy", "--data", tmp_path / "new").code == 1
    assert list((tmp_path / "new").iterdir()) == []
    assert type_in("restore", tmp_path / "none", "--data", tmp_path / "new").code == 1


def test_a_backup_that_cannot_be_written(data, tmp_path) -> None:
    """The folder isn't there."""
    assert type_in("backup", tmp_path / "no" / "copy", "--data", data).code == 1


# --- doctor -------------------------------------------------------------------------------


def test_doctor_looks_at_disk_database_and_clock(data) -> None:
    """Each with a state and what was found."""
    answers = type_in("doctor", "--data", data, "--json").json["answers"]
    found = {each["what"]: each["state"] for each in answers}
    assert found["SQLite"] == found["database"] == found["clock"] == "good"
    assert found["database permissions"] == "good"
    assert "disk sync" in found
    (alarm,) = [each for each in answers if each["what"] == "alarm"]
    assert (alarm["state"], alarm["found"]) == ("look", "receipts fell")
    assert "disk sync" in type_in("doctor", "--data", data).out


def test_doctor_tells_how_providers_write_receipts(data) -> None:
    """And what to ask those for that leave it open."""
    habits = {
        "east": Habit(forms={"as_given": 200}, offsets={0: 190, -4: 10}),
        "north": Habit(forms={"hex_to_decimal": 1_200}, offsets={32: 1_200}),
        "south": Habit(forms={"as_given": 75, "leading_zeros": 25}),
        "west": Habit(forms={"as_given": 180, INFERRED: 20}),
        "new": Habit(forms={"as_given": 3}),
    }
    with noting_in(data) as connection:
        kept = msgspec.json.encode({"habits": habits}).decode()
        connection.execute("INSERT INTO meta (name, value) VALUES (?, ?)", (LEARNT, kept))
    answers = type_in("doctor", "--data", data, "--json").json["answers"]
    said = {each["what"].partition("receipts of ")[2]: each for each in answers}
    assert {name: said[name]["found"] for name in habits} == {
        "east": "200 seen, ids as given, dates in UTC",
        "north": "1,200 seen, ids hex to decimal, dates +8 h from UTC",
        "south": "100 seen, ids as given 75%, leading zeros 25%",
        "west": "200 seen, ids as given",
        "new": "3 seen",
    }
    assert {name for name in habits if said[name]["state"] == "look"} == {"south", "west"}
    assert "ask the provider" in said["south"]["fix"]
    assert "ask the provider" in said["west"]["fix"]


def test_doctor_sees_what_others_can_read(data, tmp_path) -> None:
    """dev.json holds keys."""
    (tmp_path / "dev.json").write_text("{}")
    (tmp_path / "dev.json").chmod(0o644)
    found = type_in("doctor", "--data", tmp_path)
    assert found.code == 1
    assert "chmod 600" in found.out


def test_doctor_reads_the_settings(tmp_path) -> None:
    """A settings file with problems is bad, and a good one's ports are tried."""
    path = tmp_path / "arrivals.toml"
    path.write_text("[server]\nport = 0\n")
    answers = type_in("doctor", "--config", path, "--json").json["answers"]
    assert "API port" in {each["what"] for each in answers}
    path.write_text("[sever]\n")
    assert type_in("doctor", "--config", path).code == 1


def test_doctor_says_when_a_database_is_damaged(tmp_path) -> None:
    """With the way back."""
    (tmp_path / "arrivals.db").write_bytes(b"x" * 10_000)
    found = type_in("doctor", "--data", tmp_path)
    assert found.code == 1
    assert "arrivals restore" in found.out
