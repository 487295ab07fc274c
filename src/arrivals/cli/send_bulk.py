"""`arrivals send-bulk`: a file of recipients as one stream that can be cut off and go on."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from arrivals.cli.connection import AsJson, Client, Key, Url
from arrivals.cli.output import ExitCode, Stop, on_stderr, put_json, say
from arrivals.cli.send import SENDER, Route, Sender, ValidFor
from arrivals.cli.usage import flag

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from arrivals.flows.batches import StreamLine
    from arrivals.flows.plan import Recipient
    from arrivals.http.csv_lines import CsvLines

FILE_OCTETS_MAX: Final = 200 * 1024 * 1024  # the API takes a stream of 256 MiB
READ_OCTETS: Final = 1024 * 1024
CHUNK_LINES: Final = 500
LOOK_EVERY_S: Final = 0.5
REFUSALS_SHOWN_MAX: Final = 10
_NONE_ACCEPTED: Final = "nothing_accepted"  # refused, with all that an answer tells
_NO_DUPLICATES: Final[dict[str, Any]] = {"count": 0, "sent": True, "lines": []}
RESUME_SUFFIX: Final = ".arrivals.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stream:
    """A file's recipients and what holds for all of them."""

    lines: list[bytes]  # NDJSON, without line breaks
    numbers: list[int]  # of each, where it begins in the file
    options: dict[str, str]
    key: str  # follows from both


def send_bulk(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CSV with the columns to, and message and client_ref."
        ),
    ],
    text: Annotated[
        str | None, typer.Option(help="The text of every line that has none of its own.")
    ] = None,
    route: Route = None,
    sender: Sender = SENDER,
    valid_for: ValidFor = None,
    name: Annotated[str | None, typer.Option(help="Yours, shown beside the batch.")] = None,
    deduplicate: Annotated[
        bool,
        flag(
            "--deduplicate", help="Leave out lines that repeat a number and a text before them."
        ),
    ] = False,
    no_wait: Annotated[bool, flag("--no-wait", help="Don't wait for the outcomes.")] = False,
    url: Url = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Send to every line of a CSV file, each with a verdict of its own.

    Cut off, it goes on where it stopped when it is started again: the same file with the
    same options is the same batch, and no line is sent twice. FILE.arrivals.json keeps its
    key. Exit codes: 0 all accepted (and, unless --no-wait, ended), 1 lines were refused.
    """
    options = {
        name: str(value)
        for name, value in {
            "caller_id": sender,
            "route_id": route,
            "valid_for": valid_for,
            "name": name,
            "deduplicate": "true" if deduplicate else None,
        }.items()
        if value is not None
    }
    stream = read_stream(file, text, options)
    resume = file.with_name(file.name + RESUME_SUFFIX)
    with Client(url, key) as client, _bars(quiet=as_json) as bars:
        kept = {"idempotency_key": stream.key, "url": client.url, "file": file.name}
        _keep(resume, kept)
        committed = bars.add("committed", len(stream.lines))
        batch = _commit(client, stream, lambda count: bars.move(committed, count))
        repeated = batch["repeated"]
        duplicates = _in_the_file(batch.get("duplicates") or _NO_DUPLICATES, stream)
        bars.move(committed, batch["received"])
        _keep(resume, kept | {"batch_id": batch["batch_id"]})
        if not no_wait and batch["accepted"]:
            outcome = bars.add("outcome", batch["accepted"])
            batch = _until_ended(client, batch, lambda count: bars.move(outcome, count))
        batch = _in_the_file(batch, stream)
    if as_json:
        put_json(batch | {"repeated": repeated, "duplicates": duplicates})
    else:
        _tell(batch, duplicates, repeated=repeated)
    raise typer.Exit(int(_exit_code(batch, duplicates)))


def _exit_code(batch: dict[str, Any], duplicates: dict[str, Any]) -> ExitCode:
    # What was asked to be left out isn't amiss.
    left_out = 0 if duplicates["sent"] else duplicates["count"]
    return ExitCode.REFUSED if batch["refused"] > left_out else ExitCode.OK


def read_stream(file: Path, text: str | None, options: dict[str, str]) -> _Stream:
    """Read a CSV file as a stream; its key is a hash of all that it stands for."""
    import msgspec

    found = list(_records(file, "" if text is None else text))
    lines = [msgspec.json.encode(record) for _, record in found]
    if not lines:
        raise Stop(
            f"{file} has no recipients",
            "add at least one line under the header",
            code=ExitCode.USAGE,
        )
    digest = hashlib.sha256(msgspec.json.encode(sorted(options.items())))
    for line in lines:
        digest.update(b"\n")
        digest.update(line)
    return _Stream(
        lines=lines,
        numbers=[number for number, _ in found],
        options=options,
        key=f"bulk-{digest.hexdigest()}",
    )


def _in_the_file(told: dict[str, Any], stream: _Stream) -> dict[str, Any]:
    """Return what the API tells of lines with their numbers in the file."""

    def numbered(each: dict[str, Any]) -> dict[str, Any]:
        lines = {name: each[name] for name in ("line", "duplicate_of") if name in each}
        return each | {name: stream.numbers[line - 1] for name, line in lines.items()}

    lists = {name: told[name] for name in ("refusals", "lines") if name in told}
    return told | {name: [numbered(each) for each in them] for name, them in lists.items()}


def _records(file: Path, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield every record of a CSV file: where it begins, and a JSON line's fields; raises Stop.

    The file is read as the API reads CSV; what the API would refuse in a line stops all of it
    here, before anything is sent.
    """
    from arrivals.core.errors import Refusal
    from arrivals.flows.batches import words_of
    from arrivals.http.csv_lines import CsvLines

    reader = CsvLines()
    try:
        for line in _lines(file, reader):
            if line.refusal is not None:
                raise _unreadable(f"{file}, line {line.line} {words_of(line.refusal)}")
            if not (text or reader.has_texts):
                raise Stop(
                    f"{file} has no column `message`",
                    "give every line the same text with --text",
                    code=ExitCode.USAGE,
                )
            if line.recipient is not None:
                yield line.line, _record(line.recipient, text)
    except OSError as error:
        raise Stop(
            f"{file} can't be read: {error.strerror}", "mend the path", code=ExitCode.USAGE
        ) from None
    except Refusal as refusal:
        fix = refusal.fix if refusal.code == "unknown_field" else "mend the file"
        raise _unreadable(f"{file}: {words_of(refusal)}", fix) from None


def _lines(file: Path, reader: CsvLines) -> Iterator[StreamLine]:
    if file.stat().st_size > FILE_OCTETS_MAX:
        raise Stop(f"{file} is larger than 200 MiB", "split it", code=ExitCode.USAGE)
    with file.open("rb") as source:
        while octets := source.read(READ_OCTETS):
            yield from filter(None, reader.feed(octets))
    yield from reader.end()


def _unreadable(problem: str, fix: str = "mend that line") -> Stop:
    return Stop(problem, fix, code=ExitCode.USAGE)


def _record(recipient: Recipient, text: str) -> dict[str, str]:
    found = {
        "to": recipient.to,
        "message": recipient.text or text,
        "client_ref": recipient.client_ref or "",
    }
    return {name: value for name, value in found.items() if value or name == "to"}


def _keep(path: Path, contents: dict[str, Any]) -> None:
    """Note the stream's key beside the file; not to be able to is no reason not to send."""
    import msgspec

    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(contents)) + b"\n")
    except OSError as error:
        on_stderr().print(f"{path} can't be written: {error.strerror}", style="dim")


# --- on its way ---------------------------------------------------------------------------


def _commit(client: Client, stream: _Stream, moved: Callable[[int], None]) -> dict[str, Any]:
    """Send the stream from a thread of its own, and tell how far it is meanwhile."""
    done = threading.Event()
    result: list[Any] = []

    def work() -> None:
        try:
            result.append(
                client.stream(
                    "/api/v1/batches",
                    _chunks(stream.lines),
                    "application/x-ndjson",
                    stream.options,
                    stream.key,
                )
            )
        except Stop as stop:
            result.append(stop)
        finally:
            done.set()

    threading.Thread(target=work, daemon=True).start()
    while not done.wait(LOOK_EVERY_S):
        page = client.get("/api/v1/batches", limit=20)
        for each in page["batches"]:
            if each["key"] == stream.key:
                moved(each["received"])
    if not result:
        raise Stop("the stream ended without an answer", "start the command again")
    answer = result[0]
    if isinstance(answer, Stop):
        if isinstance(answer.body, dict) and answer.body.get("code") == _NONE_ACCEPTED:
            return answer.body | {"repeated": False}
        raise answer
    found: dict[str, Any] = answer
    return found


def _chunks(lines: list[bytes]) -> Iterator[bytes]:
    for start in range(0, len(lines), CHUNK_LINES):
        yield b"\n".join(lines[start : start + CHUNK_LINES]) + b"\n"


def _until_ended(
    client: Client, batch: dict[str, Any], moved: Callable[[int], None]
) -> dict[str, Any]:
    pause = threading.Event()
    while True:
        found: dict[str, Any] = client.get(f"/api/v1/batches/{batch['batch_id']}")
        moved(found["ended"])
        if found["ended"] >= found["accepted"]:
            return found
        pause.wait(LOOK_EVERY_S)


# --- what is shown ------------------------------------------------------------------------


class _Bars:
    """Two progress bars at a terminal, and nothing elsewhere."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def add(self, name: str, total: int) -> TaskID | None:
        """Add a bar."""
        return None if self._progress is None else self._progress.add_task(name, total=total)

    def move(self, bar: TaskID | None, count: int) -> None:
        """Move a bar to a count."""
        if self._progress is not None and bar is not None:
            self._progress.update(bar, completed=count)


@contextmanager
def _bars(*, quiet: bool) -> Iterator[_Bars]:
    if quiet or not sys.stderr.isatty():
        yield _Bars(None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (
        "{task.description:<10}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=on_stderr()) as progress:
        yield _Bars(progress)


def _tell(batch: dict[str, Any], duplicates: dict[str, Any], *, repeated: bool) -> None:
    if repeated:
        say(
            "The same recipients, texts and options were sent before, as this batch: "
            "nothing is sent again. If it is to be, give it another --name."
        )
    say(
        f"Batch {batch['batch_id']}: {batch['accepted']} accepted, {batch['refused']} refused, "
        f"{batch['cost']} {batch['currency']} held."
    )
    count = duplicates["count"]
    if count:
        lines = "1 line repeats" if count == 1 else f"{count} lines repeat"
        done = "--deduplicate leaves them out" if duplicates["sent"] else "left out"
        say(f"{lines} the number and text of a line before: {done}.")
    for each in batch["refusals"][:REFUSALS_SHOWN_MAX]:
        say(f"  line {each['line']} ({each['to']}): {each['detail']}")
    if len(batch["refusals"]) > REFUSALS_SHOWN_MAX:
        say(f"  and {batch['refused'] - REFUSALS_SHOWN_MAX} more")
    if "layers" in batch:
        outcome = batch["layers"]["outcome"]
        say("Outcome: " + ", ".join(f"{n} {state}" for state, n in outcome.items() if n))
