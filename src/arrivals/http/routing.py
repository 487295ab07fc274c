"""Find the endpoint of a path: one dict for the plain ones, a short list for the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from arrivals.http.endpoints import Endpoint

_SLASHES: Final = re.compile("/{2,}")

Methods = Mapping[str, Endpoint]
Found = tuple[Methods, dict[str, str]]


class Router:
    """All endpoints by path; doubled and trailing slashes make no difference."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._plain: dict[str, dict[str, Endpoint]] = {}
        # By number of steps; a step in braces takes whatever stands there.
        self._patterns: dict[int, dict[tuple[str, ...], dict[str, Endpoint]]] = {}
        for each in endpoints:
            self._add(each)

    def find(self, path: str) -> Found | None:
        """Return a path's endpoints by method and what stood in its braces, or None."""
        methods = self._plain.get(path)
        if methods is not None:
            return methods, {}
        path = normal(path)
        methods = self._plain.get(path)
        if methods is not None:
            return methods, {}
        steps = path.split("/")
        for template, its_methods in self._patterns.get(len(steps), {}).items():
            values = _fill(template, steps)
            if values is not None:
                return its_methods, values
        return None

    def _add(self, added: Endpoint) -> None:
        if "{" in added.path:
            steps = tuple(added.path.split("/"))
            methods = self._patterns.setdefault(len(steps), {}).setdefault(steps, {})
        else:
            methods = self._plain.setdefault(added.path, {})
        if added.method in methods:
            raise ValueError(f"{added.method} {added.path} is declared twice")
        methods[added.method] = added
        if added.method == "GET":
            methods["HEAD"] = added


def normal(path: str) -> str:
    """Return a path without doubled and trailing slashes."""
    return _SLASHES.sub("/", path).rstrip("/") or "/"


def _fill(template: tuple[str, ...], steps: list[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for expected, step in zip(template, steps, strict=True):
        if expected[:1] == "{" and step:
            values[expected[1:-1]] = step
        elif expected != step:
            return None
    return values
