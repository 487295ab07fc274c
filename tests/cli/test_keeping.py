"""`verify`, `backup`, `restore` and `doctor`."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
import subprocess
import sys

import apsw
import msgspec
import pytest

from arrivals.cli.database import Installation
from arrivals.core.catalogue import Flow
from arrivals.core.ids import order_of
from arrivals.flows.receipt_habits import LEARNT
from arrivals.outcome.habits import INFERRED, Habit
from arrivals.store.api import StoreFull
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


@pytest.mark.parametrize(
    "name",
    [
        "arrivals.db-wal",
        "arrivals.db-shm",
        "arrivals.db-journal",
        ".arrivals.db.unfinished",
        "activity.db",
        "activity.db-wal",
    ],
)
def test_nothing_is_restored_beside_what_another_database_left(data, tmp_path, name) -> None:
    """Its log would be played back into the new one, its requests shown as the new one's."""
    assert type_in("backup", tmp_path / "copy", "--data", data).code == 0
    folder = tmp_path / "used"
    folder.mkdir()
    (folder / name).write_bytes(b"left")
    found = type_in("restore", tmp_path / "copy", "--data", folder)
    assert found.code == 1
    assert name in found.err
    assert [each.name for each in folder.iterdir()] == [name]


async def test_nothing_is_restored_under_a_running_server(data, tmp_path) -> None:
    """Even if somebody moved all of its files away."""
    assert (await type_beside("backup", tmp_path / "copy", "--data", data)).code == 0
    async with installed(tmp_path / "served", providers=[provider("north", 1)], started=False):
        for each in list((tmp_path / "served").iterdir()):
            each.unlink()
        found = await type_beside("restore", tmp_path / "copy", "--data", tmp_path / "served")
        assert found.code == 1
        assert "in use by another" in found.err
        assert list((tmp_path / "served").iterdir()) == []


def test_a_backup_that_changed_is_not_restored(data, tmp_path) -> None:
    """Not by one bit; nor is one whose end is missing, or a database in use."""
    copy = tmp_path / "copy"
    assert type_in("backup", copy, "--data", data).code == 0
    whole = copy.read_bytes()
    for octets in (
        whole.replace(b"316", b"317", 1),
        whole[:-50],
        whole[: len(whole) // 2],
        whole + b"x",
    ):
        copy.write_bytes(octets)
        found = type_in("restore", copy, "--data", tmp_path / "new")
        assert found.code == 1
        assert "damaged" in found.err
        assert list((tmp_path / "new").iterdir()) == []
    copy.write_bytes(whole)
    (tmp_path / "copy-wal").write_bytes(b"a log")
    assert "copy-wal" in type_in("restore", copy, "--data", tmp_path / "new").err
    (tmp_path / "copy-wal").unlink()
    assert type_in("restore", copy, "--data", tmp_path / "new").code == 0


def test_a_backup_of_an_earlier_version_is_restored(data, tmp_path) -> None:
    """It has no seal, and is a plain database in one file."""
    rows(data / "arrivals.db", f"VACUUM INTO '{tmp_path / 'copy'}'")
    assert type_in("restore", tmp_path / "copy", "--data", tmp_path / "new").code == 0
    assert type_in("verify", "--full", "--data", tmp_path / "new").code == 0


def test_a_newer_versions_backup_is_not_restored(data, tmp_path) -> None:
    """And it isn't called damaged."""
    rows(data / "arrivals.db", f"VACUUM INTO '{tmp_path / 'copy'}'")
    rows(tmp_path / "copy", "INSERT INTO schema_versions VALUES (9999)")
    found = type_in("restore", tmp_path / "copy", "--data", tmp_path / "new")
    assert found.code == 1
    assert "newer Arrivals" in found.err


def damaged(data, tmp_path):
    """A copy of the folder in which a page of messages is junk."""
    folder = tmp_path / "damaged"
    assert type_in("backup", tmp_path / "sound", "--data", data).code == 0
    assert type_in("restore", tmp_path / "sound", "--data", folder).code == 0
    page = rows(
        folder / "arrivals.db", "SELECT rootpage FROM sqlite_schema WHERE name = 'messages'"
    )[0][0]
    with (folder / "arrivals.db").open("rb+") as file:
        file.seek((page - 1) * 4096 + 2048)
        file.write(b"\xff" * 1024)
    return folder


def test_a_damaged_folder_is_called_damaged_by_all(data, tmp_path) -> None:
    """In words, with what to do; and a copy as it is can be had."""
    folder = damaged(data, tmp_path)
    for words in (
        ("backup", tmp_path / "copy", "--data", folder),
        ("verify", "--full", "--data", folder),
        ("doctor", "--data", folder),
    ):
        found = type_in(*words)
        assert found.code != 0
        said = (found.out + found.err).replace("\n", " ")
        assert "damaged" in said
        assert "arrivals restore FILE" in said
    assert not (tmp_path / "copy").exists()
    kept = type_in("backup", tmp_path / "copy", "--as-it-is", "--data", folder)
    assert kept.code == 1
    assert (tmp_path / "copy").exists()
    assert type_in("restore", tmp_path / "copy", "--data", tmp_path / "again").code == 1


def no_room() -> None:
    """Let no file grow beyond what a few pages are: to SQLite, that is a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))


@pytest.mark.slow
def test_a_full_disk_leaves_no_backup_and_no_database(data, tmp_path) -> None:
    """And says on which disk."""
    assert type_in("backup", tmp_path / "copy", "--data", data).code == 0
    for words in (
        ("backup", str(tmp_path / "other"), "--data", str(data)),
        ("restore", str(tmp_path / "copy"), "--data", str(tmp_path / "new")),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "arrivals", *words],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=no_room,
        )
        assert done.returncode == 1, done.stderr
        assert f"no room for the copy on the disk of {tmp_path}" in done.stderr
        assert "make room" in done.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy", "new"]
    assert list((tmp_path / "new").iterdir()) == []


def test_a_restore_whose_hold_fails_leaves_no_database(data, tmp_path, monkeypatch) -> None:
    """Or a server started there would send at once."""

    def fails(*_: object) -> None:
        raise StoreFull("no room", "make room")

    assert type_in("backup", tmp_path / "copy", "--data", data).code == 0
    monkeypatch.setattr(Installation, "do", fails)
    assert type_in("restore", tmp_path / "copy", "--data", tmp_path / "new").code == 1
    assert list((tmp_path / "new").iterdir()) == []


# --- doctor -------------------------------------------------------------------------------


def test_doctor_looks_at_disk_database_and_clock(data) -> None:
    """Each with a state and what was found."""
    answers = type_in("doctor", "--data", data, "--json").json["answers"]
    found = {each["what"]: each["state"] for each in answers}
    assert found["SQLite"] == found["database"] == found["clock"] == "good"
    assert found["database permissions"] == "good"
    assert "disk sync" in found
    (alarm,) = [each for each in answers if each["what"].startswith("alarm ")]
    assert alarm["state"] == "look"
    assert alarm["found"].startswith("receipts fell, since ")
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
