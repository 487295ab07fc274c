"""Write the API's reference as pages: plain HTML from the OpenAPI document, nothing fetched.

What stands on a page is what stands in the document. Each page has one style sheet inside
it and no script; it reads in light and dark, on a phone and on paper.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib import resources
from itertools import groupby
from typing import Any, Final

from arrivals.core.errors import ERRORS, Code

Document = Mapping[str, Any]

_CODE: Final = re.compile(r"`([^`]+)`")
_STRESSED: Final = re.compile(r"\*([^*]+)\*")
_REF: Final = "#/components/schemas/"
_ADDRESS: Final = "http://127.0.0.1:8025"  # where `arrivals dev` listens

_KIND: Final = {
    "BadKey": "Send a good key",
    "NotPermitted": "Ask the operator",
    "FundsNeeded": "Add funds",
    "BadRequest": "Mend the request",
    "NotThere": "Look elsewhere",
    "InTheWay": "See how things stand first",
    "TryLater": "Nothing was done: try later",
    "OurFault": "Our fault: a repeat with the same Idempotency-Key is safe",
}


@cache
def style() -> str:
    """Return the style sheet, exactly as it stands inside each page."""
    folder = resources.files("arrivals.http").joinpath("static")
    return folder.joinpath("reference.css").read_text("utf-8")


# --- the reference --------------------------------------------------------------------


def reference_page(document: Document) -> str:
    """Return the whole reference."""
    tags = [tag["name"] for tag in document["tags"]]
    by_tag: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {tag: [] for tag in tags}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append((method, path, operation))
    navigation = "".join(
        _contents(tag, "".join(_entry(*each) for each in found))
        for tag, found in by_tag.items()
    )
    sections = "".join(
        f'<section class="tag"><h2 id="{_slug(tag)}">{escape(tag)}</h2>'
        f"{''.join(_operation(*each) for each in found)}</section>"
        for tag, found in by_tag.items()
    )
    navigation += '<h2><a href="#schemas">Schemas</a></h2>'
    info = document["info"]
    about = "".join(f"<p>{_inline(each)}</p>" for each in info["description"].split("\n\n"))
    intro = (
        f'<header><h1>Arrivals API</h1><p class="lead">{escape(info["summary"])} · version '
        f'{escape(info["version"])} · <a href="/openapi.json">OpenAPI document</a> · '
        f'<a href="/docs/errors">Errors</a></p>{about}{_start()}</header>'
    )
    return _page("Arrivals API", navigation, intro + sections + _schemas(document))


def _start() -> str:
    command = f'curl -H "X-API-KEY: $ARRIVALS_API_KEY" {_ADDRESS}/api/v1/balance'
    return f"<p>Send your key in the <code>X-API-KEY</code> header:</p>{_pre(command)}"


def _contents(title: str, entries: str) -> str:
    return f'<h2><a href="#{_slug(title)}">{escape(title)}</a></h2><ul>{entries}</ul>'


def _entry(method: str, path: str, operation: Mapping[str, Any]) -> str:
    return (
        f'<li><a href="#{operation["operationId"]}" title="{escape(path)}">'
        f"{_badge(method)}<span>{escape(operation['summary'])}</span></a></li>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    about = "".join(
        f"<p>{_inline(each)}</p>" for each in operation["description"].split("\n\n")
    )
    steps = escape(path).replace("/", "/<wbr>").replace("{", "<var>{").replace("}", "}</var>")
    public = operation.get("security") == []
    note = '<span class="note">no key needed</span>' if public else ""
    return (
        f'<article id="{operation["operationId"]}">'
        f"<h3>{escape(operation['summary'])}{note}</h3>"
        f'<p class="address">{_badge(method)}<code>{steps}</code></p>{about}'
        f"{_parameters(operation.get('parameters', ()))}"
        f"{_body(operation.get('requestBody'))}"
        f"{_answers(operation['responses'])}"
        f"<h4>Try it</h4>{_pre(_curl(method, path, operation))}</article>"
    )


def _parameters(parameters: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"<code>{escape(each['name'])}</code>",
            _where(each),
            _inline(each.get("description", "")) + _choices(each["schema"]),
        )
        for each in parameters
    ]
    return _table("Parameters", ("Name", "Where", "Meaning"), rows)


def _where(parameter: Mapping[str, Any]) -> str:
    kind = "" if parameter["schema"]["type"] == "string" else f", {parameter['schema']['type']}"
    needed = ", needed" if parameter.get("required") and parameter["in"] != "path" else ""
    return escape(f"{parameter['in']}{kind}{needed}")


def _choices(schema: Mapping[str, Any]) -> str:
    return (f": {_type(schema)}" if "enum" in schema else "") + _default(schema)


def _default(schema: Mapping[str, Any]) -> str:
    if "default" not in schema or schema["default"] is None:
        return ""
    return f' <span class="default">default {escape(json.dumps(schema["default"]))}</span>'


def _body(body: Mapping[str, Any] | None) -> str:
    if body is None:
        return ""
    parts = ["<h4>Body</h4>"]
    for media_type, content in body["content"].items():
        shown = content.get("example")
        text = shown if isinstance(shown, str) else json.dumps(shown, indent=2)
        link = _type(content["schema"])
        parts.append(f"<p><code>{escape(media_type)}</code> · {link}</p>")
        parts.append(_pre(text) if shown is not None else "")
    return "".join(parts)


def _answers(responses: Mapping[str, Any]) -> str:
    rows: list[tuple[str, ...]] = []
    for status, answer in responses.items():
        content = answer["content"]
        if "application/problem+json" in content:
            codes = content["application/problem+json"]["examples"]
            links = ", ".join(
                f'<a href="/docs/errors#{code}"><code>{code}</code></a>' for code in codes
            )
            rows.append((_status(status), links))
            continue
        kinds = " · ".join(
            f"<code>{escape(media_type)}</code> {_type(each['schema'])}".strip()
            for media_type, each in content.items()
        )
        rows.append((_status(status), kinds))
    return _table("Answers", ("Status", "Content"), rows)


def _curl(method: str, path: str, operation: Mapping[str, Any]) -> str:
    wanted = {"bx_message_id": "BX-1-0123456789abcdef", "order_id": "1", "route_id": "1"}
    for name in re.findall(r"{(\w+)}", path):
        path = path.replace(f"{{{name}}}", wanted.get(name, "1"))
    query = (
        "?route_id=1&caller_id=ARRIVALS"
        if path == "/api/v1/batches" and method == "post"
        else ""
    )
    lines = [f"curl '{_ADDRESS}{path}{query}'"]
    if operation.get("security") != []:
        lines.append('-H "X-API-KEY: $ARRIVALS_API_KEY"')
    body = operation.get("requestBody")
    if body is not None:
        media_type, content = next(iter(body["content"].items()))
        lines.append(f"-H 'Content-Type: {media_type}'")
        lines.append(f"--data-binary '{json.dumps(content.get('example', {}))}'")
    elif method == "post":
        lines[0] = lines[0].replace("curl ", "curl -X POST ")
    return " \\\n  ".join(lines)


# --- schemas --------------------------------------------------------------------------


def _schemas(document: Document) -> str:
    found = document["components"]["schemas"]
    parts = "".join(_schema(name, schema) for name, schema in found.items())
    return f'<section class="tag"><h2 id="schemas">Schemas</h2>{parts}</section>'


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    needed = set(schema.get("required", ()))
    rows = [
        (
            f"<code>{escape(field)}</code>"
            + ("" if field in needed else '<span class="default">optional</span>'),
            _type(its),
            _inline(its.get("description", "")) + _default(its),
        )
        for field, its in schema.get("properties", {}).items()
    ]
    about = f"<p>{_inline(schema.get('description', ''))}</p>"
    table = _table("", ("Field", "Type", "Meaning"), rows)
    return (
        f'<article id="schema-{escape(name)}"><h3>{escape(name)}</h3>{about}{table}</article>'
    )


def _type(schema: Mapping[str, Any]) -> str:
    """Name a schema's type, linked where it's one of ours."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f'<a href="#schema-{escape(name)}">{escape(name)}</a>'
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(_type(each) for each in schema[word])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"map of {_type(schema['additionalProperties'])}"
    if "enum" in schema:
        words = [f"<code>{escape(str(each))}</code>" for each in schema["enum"]]
        return ("one of " if len(words) > 1 else "") + ", ".join(words)
    return escape(" or ".join(kind) if isinstance(kind, list) else str(kind))


# --- the errors -----------------------------------------------------------------------


def errors_page(document: Document) -> str:
    """Return every error code, with its cause, its fix and an example."""
    examples = document["components"]["examples"]
    # Codes stand in the order of their kinds, so each kind is one group.
    by_kind = groupby(Code, key=lambda code: ERRORS[code].kind.__name__)
    groups = [(_KIND[kind], list(codes)) for kind, codes in by_kind]
    navigation = "".join(
        _contents(
            title,
            "".join(
                f'<li><a href="#{code}"><b class="badge">{ERRORS[code].status}</b>'
                f"<span>{escape(code).replace('_', '_<wbr>')}</span></a></li>"
                for code in codes
            ),
        )
        for title, codes in groups
    )
    sections = "".join(
        f'<section class="tag"><h2 id="{_slug(title)}">{escape(title)}</h2>'
        f"{''.join(_error(code, examples[code]['value']) for code in codes)}</section>"
        for title, codes in groups
    )
    intro = (
        "<header><h1>Errors</h1>"
        '<p class="lead"><a href="/docs">Arrivals API</a> · <a href="/openapi.json">OpenAPI '
        "document</a></p><p>Every error is <code>application/problem+json</code>. Its "
        "<code>code</code> never changes its meaning; its <code>type</code> leads to this "
        "page; its <code>fix</code> says what to do next. A 4xx says that nothing was done, "
        "but for a batch that broke off: it keeps what it had decided. After a 5xx, or no "
        "answer at all, send the same request with the same <code>Idempotency-Key</code>: it "
        "is done once.</p></header>"
    )
    return _page("Errors · Arrivals API", navigation, intro + sections)


def _error(code: Code, shown: Mapping[str, Any]) -> str:
    row = ERRORS[code]
    detail = shown["detail"]
    said = detail if isinstance(detail, str) else detail[0]["msg"]
    wait = ""
    if row.retry_after_s is not None:
        wait = f"<p>Answered with <code>Retry-After: {row.retry_after_s}</code> or more.</p>"
    return (
        f'<article id="{code}"><h3><code>{escape(code)}</code>'
        f'<span class="note">{row.status} · {escape(row.title)}</span></h3>'
        f'<p class="said">“{escape(said)}”</p><p>{_inline(str(shown["fix"]))}</p>{wait}'
        f"<details><summary>Example</summary>{_pre(json.dumps(shown, indent=2))}</details>"
        "</article>"
    )


# --- parts of a page ------------------------------------------------------------------


def _page(title: str, navigation: str, content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style()}</style></head><body>"
        '<nav aria-label="Contents"><a class="brand" href="/docs">Arrivals</a>'
        f"{navigation}</nav>"
        f"<main>{content}</main></body></html>"
    )


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Write a table; a column that says nothing is left out."""
    if not rows:
        return ""
    told = [place for place in range(len(heads)) if any(row[place] for row in rows)]
    heads = tuple(heads[place] for place in told)
    rows = [tuple(row[place] for place in told) for row in rows]
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    heading = f"<h4>{escape(title)}</h4>" if title else ""
    return (
        f'{heading}<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _badge(method: str) -> str:
    return f'<b class="badge {method}">{method.upper()}</b>'


def _status(status: str) -> str:
    return f'<b class="badge s{status[0]}">{status}</b>'


def _pre(text: str) -> str:
    return f"<pre><code>{escape(text, quote=False)}</code></pre>"


def _inline(text: str) -> str:
    """Show the little Markdown that descriptions use: `code` and *stress*."""
    marked = _CODE.sub(r"<code>\1</code>", escape(text, quote=False))
    return _STRESSED.sub(r"<em>\1</em>", marked)


def _slug(text: str) -> str:
    return "tag-" + re.sub(r"\W+", "-", text.casefold())
