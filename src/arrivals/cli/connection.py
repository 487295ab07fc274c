"""Find the server and the key, and ask it things in words that a terminal can show."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from arrivals.cli.output import ExitCode, Stop
from arrivals.cli.usage import flag

if TYPE_CHECKING:
    import httpx

DEFAULT_DATA: Final = Path("arrivals-data")
DEV_FILE: Final = "dev.json"
URL_VARIABLE: Final = "ARRIVALS_URL"
KEY_VARIABLE: Final = "ARRIVALS_API_KEY"
CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 75.0  # longer than the longest wait that the API allows
SENDINGS_MAX: Final = 3  # of one request under one idempotency key

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help=f"The server. [else ${URL_VARIABLE}, dev.json]"),
]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help=f"The API key. [else ${KEY_VARIABLE}, dev.json]"),
]
AsJson = Annotated[bool, flag("--json", help="Print JSON.")]


def find_server(url: str | None, key: str | None) -> tuple[str, str]:
    """Return the server's address and the key; raises Stop if there is none to be found."""
    url = url or os.environ.get(URL_VARIABLE)
    key = key or os.environ.get(KEY_VARIABLE)
    if url is None or key is None:
        kept = _kept_by_dev()
        # A key belongs to its own server: never send dev's to another one.
        if url is None or url.rstrip("/") == kept.get("api"):
            url = url or kept.get("api")
            key = key or kept.get("keys", {}).get("main")
    if not url:
        raise Stop(
            "no Arrivals server is known here",
            "start one with `arrivals dev`, or name one with --url or ARRIVALS_URL",
            code=ExitCode.UNREACHABLE,
        )
    if not key:
        raise Stop(
            f"there is no API key for {url}",
            f"name one with --key, or export {KEY_VARIABLE}=…",
            code=ExitCode.USAGE,
        )
    if not _is_web_address(url):
        raise Stop(
            f"{url} isn't a web address",
            "write it as http://host:port or https://host",
            code=ExitCode.USAGE,
        )
    return url.rstrip("/"), key.strip()


def _is_web_address(url: str) -> bool:
    try:
        found = urlsplit(url)
    except ValueError:
        return False
    return found.scheme in {"http", "https"} and bool(found.hostname)


def _kept_by_dev() -> dict[str, Any]:
    import msgspec

    try:
        found = msgspec.json.decode((DEFAULT_DATA / DEV_FILE).read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return found if isinstance(found, dict) else {}


class Client:
    """One command's conversation with the API."""

    def __init__(self, url: str | None, key: str | None) -> None:
        """Find the server; nothing is sent yet."""
        import httpx

        self.url, api_key = find_server(url, key)
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers={"X-API-KEY": api_key, "User-Agent": "arrivals-cli"},
                timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                # Reading who may vouch for a server takes 50 ms, and a plain one has nobody.
                verify=httpx.URL(self.url).scheme != "http",
            )
        except (httpx.InvalidURL, UnicodeEncodeError, ValueError):
            raise Stop(
                "the server's address or the key can't be used",
                "mend --url and --key",
                code=ExitCode.USAGE,
            ) from None

    def __enter__(self) -> Client:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **query: str | int | None) -> Any:
        """Return what the API answers to a GET; raises Stop."""
        wanted = {name: str(value) for name, value in query.items() if value is not None}
        return _decoded(self._ask("GET", path, params=wanted, sendings=SENDINGS_MAX))

    def get_text(self, path: str, **query: str) -> str:
        """Return a text that the API answers with; raises Stop."""
        answer = self._ask("GET", path, params=query, sendings=SENDINGS_MAX)
        if answer.is_error:
            _decoded(answer)
        return answer.text

    def post(self, path: str, body: Mapping[str, Any], idempotency_key: str) -> Any:
        """Return what the API answers to a POST; raises Stop.

        A request whose answer got lost is sent again: its key makes that safe.
        """
        answer = self._ask(
            "POST",
            path,
            json=body,
            headers={"Idempotency-Key": idempotency_key},
            sendings=SENDINGS_MAX,
            if_it_breaks="whether the request was carried out isn't known; repeat the command "
            f"with --idempotency-key {idempotency_key} and it is carried out once",
        )
        return _decoded(answer)

    def stream(
        self,
        path: str,
        chunks: Iterator[bytes],
        content_type: str,
        query: Mapping[str, str],
        idempotency_key: str,
    ) -> Any:
        """Send a long body piece by piece and return the answer; raises Stop.

        `repeated` in it tells that all of it had been sent before.
        """
        headers = {"Content-Type": content_type, "Idempotency-Key": idempotency_key}
        answer = self._ask(
            "POST",
            path,
            content=chunks,
            headers=headers,
            params=query,
            sendings=1,
            if_it_breaks="start the same command again: it goes on where it stopped",
        )
        return _decoded(answer) | {"repeated": "idempotent-replayed" in answer.headers}

    def _ask(
        self,
        method: str,
        path: str,
        *,
        sendings: int,
        if_it_breaks: str = "only a look broke off: look again",
        **request: Any,
    ) -> httpx.Response:
        import httpx

        for sending in range(1, sendings + 1):
            try:
                return self._http.request(method, path, **request)
            except httpx.LocalProtocolError:
                raise Stop(
                    "the key or the idempotency key holds a character that no header can",
                    "write them in printable ASCII",
                    code=ExitCode.USAGE,
                ) from None
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol):
                raise Stop(
                    f"nothing answers at {self.url}",
                    "is it running? start it with `arrivals dev`, or mend --url",
                    code=ExitCode.UNREACHABLE,
                ) from None
            except (httpx.TransportError, httpx.TimeoutException):
                if sending == sendings:
                    break
        raise Stop(
            f"the connection to {self.url} broke before the answer came",
            if_it_breaks,
            code=ExitCode.UNREACHABLE,
        )


def _decoded(answer: httpx.Response) -> Any:
    import msgspec

    try:
        body = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        raise Stop(
            f"{answer.url.copy_with(path='/', query=None)} answered {answer.status_code} "
            "with something that isn't JSON",
            "is this the address of an Arrivals server?",
            code=ExitCode.UNREACHABLE,
        ) from None
    if not answer.is_error:
        return body
    code = ExitCode.UNREACHABLE if answer.status_code >= 500 else ExitCode.REFUSED
    raise Stop(*_words(body, answer.status_code), code=code, body=body)


def _words(body: Any, status: int) -> tuple[str, str]:
    """Return the detail and the fix of a problem+json body."""
    if not isinstance(body, dict):
        return f"the server answered {status}", ""
    detail, fix = body.get("detail"), str(body.get("fix") or "")
    if isinstance(detail, list):
        parts = [
            f"{'.'.join(str(part) for part in each.get('loc', ())[1:])}: {each.get('msg', '')}"
            for each in detail
            if isinstance(each, dict)
        ]
        detail = "; ".join(parts)
        if body.get("code") in {"body_invalid", "query_invalid"}:
            fix = ""  # it says where to look, which the line above shows
    return str(detail or f"the server answered {status}"), fix
