"""`arrivals doctor`: look at what usually goes wrong before it does."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from arrivals.cli.connection import DEV_FILE, AsJson
from arrivals.cli.database import Config, Data, place_of
from arrivals.cli.diagnosis import BAD, GOOD, LOOK, Answer
from arrivals.cli.output import ExitCode, Stop, on_stdout, put_json, put_table

if TYPE_CHECKING:
    from arrivals.clock import SystemClock
    from arrivals.config import Settings
    from arrivals.outcome.habits import Habit

READY_WAIT_S: Final = 2.0  # for a server that runs beside
FREE_OCTETS_MIN: Final = 1_000_000_000  # a million messages take about as much
SYNCS: Final = 50
SYNCS_PER_S_MIN: Final = 50.0  # below, a single send waits longer than people notice
SQLITE_MIN: Final = (3, 40)
YEAR_US: Final = 365 * 86_400 * 1_000_000
INFERRED_SHARE_MAX: Final = 0.01  # of receipts, matched without an id
LOOK_S: Final = 20.0  # for damage: about a gigabyte
RELEASED_US: Final = 1_767_225_600_000_000  # 2026-01-01: no clock is right before it


def doctor(data: Data = None, config: Config = None, as_json: AsJson = False) -> None:
    """Look at settings, disk, database, clock, ports and permissions.

    Exit codes: 0 nothing is bad, 1 something is.
    """
    answers = list(_answers(data, config))
    bad = any(each.state == BAD for each in answers)
    if as_json:
        put_json({"healthy": not bad, "answers": answers})
    else:
        put_table(
            ("", "what", "found"),
            [(each.state, each.what, each.found) for each in answers],
            "Nothing was looked at.",
        )
        for each in answers:
            if each.fix and each.state != GOOD:
                on_stdout().print(f"{each.what}: {each.fix}", markup=False)
    raise typer.Exit(int(ExitCode.REFUSED if bad else ExitCode.OK))


def _answers(data: str | None, config: Path | None) -> Iterator[Answer]:
    from arrivals.cli.doctor_postgresql import look_at_postgresql
    from arrivals.clock import SystemClock
    from arrivals.store.backend import is_postgresql

    settings: Settings | None = None
    if config is not None:
        settings, answers = _settings(config)
        yield from answers
        if settings is None and data is None:
            return
    place = place_of(data, config if settings is None else None)
    if settings is not None and data is None:
        place = settings.place
    clock = SystemClock()
    yield _clock(clock)
    if is_postgresql(place):
        yield from look_at_postgresql(str(place), clock)
    else:
        yield from _folder(Path(place), clock)
    yield from _receipts(place)
    yield from _alarms(place)
    if settings is not None:
        yield from _running(settings.server.host, settings.server.metrics_port)
    if settings is not None:
        yield _port("API port", settings.server.host, settings.server.port)
        yield _port("metrics port", settings.server.host, settings.server.metrics_port)


def _folder(folder: Path, clock: SystemClock) -> Iterator[Answer]:
    yield from _disk(folder, clock)
    yield from _database(folder, clock)
    if (folder / DEV_FILE).exists():
        yield _dev_file(folder / DEV_FILE)


def _settings(config: Path) -> tuple[Settings | None, list[Answer]]:
    from arrivals.cli.doctor_providers import look_at_providers
    from arrivals.cli.serve import read

    try:
        settings, wanted = read(config)
    except Stop as stop:
        return None, [Answer(what="settings", state=BAD, found=stop.problem, fix=stop.fix)]
    found = f"providers: {len(wanted.providers)}, routes: {len(wanted.routes)}"
    answer = Answer(what="settings", state=GOOD, found=f"{config}: {found}")
    return settings, [answer, *look_at_providers(wanted)]


def _clock(clock: SystemClock) -> Answer:
    now_us = clock.now_us()
    if not RELEASED_US <= now_us <= RELEASED_US + 50 * YEAR_US:
        fix = "set the clock, and keep it set: run chronyd or systemd-timesyncd"
        return Answer(what="clock", state=BAD, found="far from any plausible date", fix=fix)
    return Answer(what="clock", state=GOOD, found="plausible")


def _disk(folder: Path, clock: SystemClock) -> Iterator[Answer]:
    if not folder.is_dir():
        fix = "it is made at the first start; or name another with --data"
        yield Answer(what="data folder", state=LOOK, found=f"{folder} isn't there", fix=fix)
        return
    if not os.access(folder, os.W_OK):
        fix = "give it to the user that Arrivals runs as"
        yield Answer(what="data folder", state=BAD, found=f"{folder} isn't writable", fix=fix)
        return
    yield Answer(what="data folder", state=GOOD, found=str(folder))
    free = shutil.disk_usage(folder).free
    yield Answer(
        what="disk space",
        state=GOOD if free >= FREE_OCTETS_MIN else BAD,
        found=f"{free / 1e9:.1f} GB free",
        fix="make room: with a full disk nothing is accepted",
    )
    try:
        rate = sync_rate(folder, clock)
    except OSError as error:
        yield Answer(
            what="disk sync",
            state=BAD,
            found=f"nothing can be written: {error.strerror}",
            fix="make room, or let this user write there",
        )
        return
    yield Answer(
        what="disk sync",
        state=GOOD if rate >= SYNCS_PER_S_MIN else LOOK,
        found=f"{rate:,.0f} synced writes a second",
        fix="every commit waits for one: use a disk with a safe write cache",
    )


def sync_rate(folder: Path, clock: SystemClock) -> float:
    """Measure how many small synced writes a second a folder's disk takes."""
    path = folder / ".arrivals-sync-test"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
    try:
        began = clock.monotonic()
        for _ in range(SYNCS):
            os.write(file, bytes(4096))
            sync(file)
        return SYNCS / max(clock.monotonic() - began, 1e-9)
    finally:
        os.close(file)
        path.unlink()


def _database(folder: Path, clock: SystemClock) -> Iterator[Answer]:
    from arrivals.store.api import StoreError
    from arrivals.store.beside import database_facts
    from arrivals.store.folders import DATABASE_NAME, logs_without_database

    path = folder / DATABASE_NAME
    if lone := logs_without_database(folder):
        fix = "put the database back beside its log, or move all of it away together"
        found = f"{' and '.join(lone)} without {DATABASE_NAME}"
        yield Answer(what="database", state=BAD, found=found, fix=fix)
        return
    if not path.exists():
        found = "there is none yet"
        yield Answer(
            what="database", state=LOOK, found=found, fix="it is made at the first start"
        )
        return
    try:
        facts = database_facts(folder)
    except StoreError as error:
        fix = error.fix or "restore a backup: arrivals restore FILE --data NEW-FOLDER"
        yield Answer(what="database", state=BAD, found=str(error), fix=fix)
        return
    version = tuple(int(part) for part in facts.sqlite_version.split("."))
    yield Answer(
        what="SQLite",
        state=GOOD if version >= SQLITE_MIN else BAD,
        found=facts.sqlite_version,
        fix="install a newer apsw",
    )
    size = f"{facts.octets / 1e6:.1f} MB, log {facts.log_octets / 1e6:.1f} MB"
    yield Answer(
        what="database",
        state=GOOD if facts.journal_mode == "wal" else BAD,
        found=f"schema {facts.schema_version}, {facts.journal_mode}, {size}",
        fix="it must keep a write-ahead log: start the server once",
    )
    yield _permissions("database permissions", path)
    yield _pages(folder, clock)


def _pages(folder: Path, clock: SystemClock) -> Answer:
    """Look for damaged pages, for so long at most, and whether the balances add up."""
    from arrivals.store.verifying import look_whole

    looked = look_whole(folder, clock, LOOK_S)
    if looked.troubles:
        return Answer(what="pages", state=BAD, found=looked.words, fix=looked.fix)
    if not looked.finished:
        found = f"none is damaged of those looked at in {LOOK_S:.0f} s"
        fix = "look at all of them when there is time: arrivals verify --full"
        return Answer(what="pages", state=LOOK, found=found, fix=fix)
    return Answer(what="pages", state=GOOD, found="none is damaged")


def _receipts(place: str | Path) -> Iterator[Answer]:
    """Tell how each provider writes its receipts, as far as the server learnt it."""
    from arrivals.flows.receipt_habits import LEARNT, habits_in
    from arrivals.store.api import StoreError
    from arrivals.store.beside import kept_setting

    try:
        kept = kept_setting(place, LEARNT)
    except StoreError:
        return  # that the database can't be read is said already
    for name, habit in sorted(habits_in(kept or "{}").items()):
        found, fix = in_words(habit)
        state = LOOK if fix else GOOD
        yield Answer(what=f"receipts of {name}", state=state, found=found, fix=fix)


def in_words(habit: Habit) -> tuple[str, str]:
    """Describe how a provider writes its receipts, and what to do about it, if anything."""
    from arrivals.outcome.habits import FORM_RECEIPTS_MIN, INFERRED

    forms = sorted(habit.forms.items(), key=lambda each: -each[1])
    found = f"{habit.receipts:,} seen"
    if habit.id_form is not None:
        found += f", ids {habit.id_form.value.replace('_', ' ')}"
    elif habit.receipts >= FORM_RECEIPTS_MIN:
        shares = [f"{name.replace('_', ' ')} {n / habit.receipts:.0%}" for name, n in forms]
        found += f", ids {', '.join(shares)}"
    minutes = habit.clock_offset_minutes
    if minutes is not None:
        found += f", dates {minutes / 60:+g} h from UTC" if minutes else ", dates in UTC"
    if habit.receipts < FORM_RECEIPTS_MIN:
        return found, ""
    if habit.forms.get(INFERRED, 0) > INFERRED_SHARE_MAX * habit.receipts:
        return found, "some name no id that it gave: ask the provider for receipts with ids"
    if habit.id_form is None:
        return found, "all forms are tried; ask the provider which one it means to use"
    return found, ""


def _alarms(place: str | Path) -> Iterator[Answer]:
    """Tell which alarms stand and what is paused, where there is a database of ours."""
    from arrivals.core.catalogue import paused_in_words
    from arrivals.core.instants import rfc3339
    from arrivals.store.api import StoreError
    from arrivals.store.beside import kept_catalogue, looking_into
    from arrivals.store.traces import TraceQueries

    try:
        with looking_into(place) as (connection, dialect):
            standing = TraceQueries(connection, dialect).standing_alarms()
        paused = paused_in_words(kept_catalogue(place))
    except StoreError:
        return  # what is wrong with it is said already
    for each in standing:
        trouble = each.trouble
        fix = trouble.fix or "GET /api/v1/alarms has the evidence and what is at risk"
        found = f"{trouble.words}, since {rfc3339(each.began_us)}"
        yield Answer(what=f"alarm {each.alarm_id}", state=LOOK, found=found, fix=fix)
    if not standing:
        yield Answer(what="alarms", state=GOOD, found="none stands")
    for words in paused:
        fix = f"if nobody wants that any more: arrivals resume {words.rpartition(' is ')[0]}"
        yield Answer(what="paused", state=LOOK, found=words, fix=fix)


def _running(host: str, port: int) -> Iterator[Answer]:
    """Tell what a running server says of itself and of its binds, if one answers."""
    import json
    from urllib.error import HTTPError
    from urllib.request import urlopen

    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with urlopen(f"http://{place}/readyz", timeout=READY_WAIT_S) as answer:
            found = json.load(answer)
    except HTTPError as error:  # 503 says what is wrong as well
        found = json.load(error)
    except (OSError, ValueError):
        yield Answer(what="server", state=GOOD, found=f"none answers at {place}")
        return
    troubles = {
        name: said for name, said in (found.get("checks") or {}).items() if said != "ok"
    }
    for name, said in troubles.items():
        fix = "see its log, and docs/operate.md: When things break"
        yield Answer(what=f"server: {name}", state=BAD, found=said, fix=fix)
    if not troubles:
        yield Answer(what="server", state=GOOD, found=f"ready at {place}")
    for name, state in (found.get("binds") or {}).items():
        ails = (found.get("ailing") or {}).get(name)
        yield Answer(
            what=f"bind of {name}",
            state=GOOD if state == "up" and not ails else LOOK,
            found=f"{state}: {ails}" if ails else state,
            fix=f"arrivals providers check {name} says what it answers",
        )


def _dev_file(path: Path) -> Answer:
    return _permissions(f"{DEV_FILE} permissions", path)


def _permissions(what: str, path: Path) -> Answer:
    mode = stat.S_IMODE(path.stat().st_mode)
    return Answer(
        what=what,
        state=GOOD if not mode & 0o077 else BAD,
        found=f"{mode:04o}",
        fix=f"others can read it: chmod 600 {path}",
    )


def _port(what: str, host: str, port: int) -> Answer:
    if port == 0:
        return Answer(what=what, state=GOOD, found="any free one")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fix = "a server that runs already has it; else choose another one"
            found = f"{host}:{port} can't be had: {error.strerror}"
            return Answer(what=what, state=LOOK, found=found, fix=fix)
    return Answer(what=what, state=GOOD, found=f"{host}:{port} is free")
