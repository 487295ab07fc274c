"""The style as functions: each takes files and returns the offences it finds in them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENTRY_MODULES = {"arrivals", "arrivals.__main__", "arrivals.cli"}

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500

SKIPPED = {
    ".coverage", ".git", ".hypothesis", ".import_linter_cache", ".mypy_cache", ".peers",
    ".pytest_cache", ".ruff_cache", ".venv", "__pycache__", "arrivals-data", "build", "dist",
    "htmlcov", "node_modules",
}  # fmt: skip
TEXT_SUFFIXES = {
    "", ".cfg", ".css", ".html", ".ini", ".js", ".json", ".md", ".mmd", ".ndjson", ".py",
    ".sh", ".sql", ".toml", ".txt", ".yaml", ".yml",
}  # fmt: skip

# Patterns are written so that they do not match themselves.
EMPTY_NAMES = re.compile(r"(^|_)(util|helper)s?(_|$)|^(common|misc)$", re.IGNORECASE)
EMPTY_CLASS_NAMES = re.compile(r"(Util|Utils|Helper|Helpers|Manager|Service|Handler)$")
POSTPONED = re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X)\b")
OTHER_PLACES = re.compile(
    r"/wor[k]/|\.\./share[d]|/hom[e]/[a-z]|/roo[t]/|/Use[r]s/[A-Za-z]|/op[t]/[a-z]"
    r"|pypi\.or[g]|pythonhoste[d]\.org|registry\.npm[j]s|--(extra-)?index-ur[l]|--find-link[s] "
)
SQL_STATEMENT = re.compile(
    r"""\A\s*(
        select\s.+\sfrom\s | insert\s+(or\s+\w+\s+)?into\s | update\s+\w+\s+set\s
        | delete\s+from\s | replace\s+into\s
        | with\s+(recursive\s+)?\w+(\s*\([^)]*\))?\s+as\s*\(
        | (create|drop)\s+(temp\s+|unique\s+)?(table|index|trigger|view)\s | alter\s+table\s
        | pragma\s+\w+ | begin(\s+(immediate|exclusive|transaction))\b | savepoint\s+\w+\Z
        | vacuum\b
    )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
SQL_VERBS = {"BEGIN", "COMMIT", "ROLLBACK"}
LINT_MARK = re.compile(
    r"(noqa|type: ignore|pragma: no cover)(:\s*[A-Z]+[0-9]+(,\s*[A-Z]+[0-9]+)*)?"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True)
class Source:
    """One Python file: where it is, what it says."""

    name: str  # path from the root, with forward slashes
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, self.name)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the file."""
        return list(ast.walk(self.tree))

    @cached_property
    def definitions(self) -> list[Function | ast.ClassDef]:
        """Every function, method and class, nested ones included."""
        return list(definitions_in(self.tree))

    @property
    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones included."""
        return (each for each in self.definitions if isinstance(each, Function))

    @property
    def lines(self) -> list[str]:
        """The lines of the file."""
        return self.text.splitlines()

    @property
    def module(self) -> str:
        """The dotted name that imports it."""
        parts = self.name.removeprefix("src/").removesuffix(".py").split("/")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def definitions_in(node: ast.AST) -> Iterator[Function | ast.ClassDef]:
    """Yield what is defined in a node; no expression is entered, for most nodes are there."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef):
            yield child
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from definitions_in(child)


def files(folder: Path) -> Iterator[Path]:
    """Yield every text file in a folder of the project and in the folders below it."""
    for entry in sorted(folder.iterdir()):
        if entry.name in SKIPPED:
            continue
        if entry.is_dir():
            yield from files(entry)
        elif entry.is_file() and entry.suffix in TEXT_SUFFIXES:
            yield entry


def read(path: Path) -> Source:
    """Return one file of the project as a source."""
    return Source(
        name=path.relative_to(ROOT).as_posix(), text=path.read_text("utf-8", "replace")
    )


def size(function: Function) -> int:
    """Return how many lines a function takes, its signature and docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def long_functions(sources: Iterable[Source]) -> list[str]:
    """Functions that do not fit a screen."""
    return [
        f"{source.name}:{function.lineno} {function.name}: {size(function)} lines"
        for source in sources
        for function in source.functions
        if size(function) > FUNCTION_LINES_MAX
    ]


def long_modules(sources: Iterable[Source]) -> list[str]:
    """Modules that want to be two chapters."""
    return [
        f"{source.name}: {len(source.lines)} lines"
        for source in sources
        if len(source.lines) > MODULE_LINES_MAX
    ]


def empty_names(sources: Iterable[Source]) -> list[str]:
    """Files, folders and classes whose name says nothing."""
    found = []
    for source in sources:
        parts = source.name.removesuffix(".py").split("/")
        found += [f"{source.name}: {part}" for part in parts if EMPTY_NAMES.search(part)]
        found += [
            f"{source.name}:{node.lineno} {node.name}"
            for node in source.definitions
            if isinstance(node, ast.ClassDef) and EMPTY_CLASS_NAMES.search(node.name)
        ]
    return found


def lines_matching(pattern: re.Pattern[str], sources: Iterable[Source]) -> list[str]:
    """Lines that match a pattern."""
    return [
        f"{source.name}:{number} {match[0]}"
        for source in sources
        for number, line in enumerate(source.lines, 1)
        if (match := pattern.search(line))
    ]


def sql_outside_the_store(sources: Iterable[Source]) -> list[str]:
    """Strings that read as SQL statements, and .sql files, anywhere but in the store."""
    found = []
    for source in sources:
        if source.name.startswith("src/arrivals/store/"):
            continue
        if source.name.endswith(".sql"):
            found.append(source.name)
            continue
        prose = {id(docstring_node(node)) for node in source.nodes}
        found += [
            f"{source.name}:{node.lineno} {node.value[:40]!r}"
            for node in source.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            if id(node) not in prose
            if SQL_STATEMENT.match(node.value) or node.value.strip().rstrip(";") in SQL_VERBS
        ]
    return found


def docstring_node(node: ast.AST) -> ast.Constant | None:
    """Return the constant that is this node's docstring, if it has one."""
    if not isinstance(node, ast.Module | ast.ClassDef | Function) or not node.body:
        return None
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first.value
    return None


def broad_excepts(source: Source) -> list[ast.ExceptHandler]:
    """Return the `except` clauses that catch everything."""
    return [
        node
        for node in source.nodes
        if isinstance(node, ast.ExceptHandler) and is_broad(node.type)
    ]


def is_broad(caught: ast.expr | None) -> bool:
    """Tell whether an `except` of this expression catches everything."""
    if isinstance(caught, ast.Tuple):
        return any(is_broad(part) for part in caught.elts)
    if isinstance(caught, ast.Name):
        return caught.id in {"Exception", "BaseException"}
    return caught is None


def unreasoned_broad_excepts(sources: Iterable[Source]) -> list[str]:
    """Broad excepts whose line does not say why."""
    found = []
    for source in sources:
        for clause in broad_excepts(source):
            _, _, comment = source.lines[clause.lineno - 1].partition("#")
            reason = LINT_MARK.sub("", comment).strip(" #-—:,.")
            if len(reason.split()) < 3:
                found.append(f"{source.name}:{clause.lineno} say why on the line, in words")
    return found


def crowded_broad_excepts(sources: Iterable[Source]) -> list[str]:
    """Functions with more than one broad except of their own."""
    found = []
    for source in sources:
        owners = Counter(innermost(source, clause) for clause in broad_excepts(source))
        found += [f"{source.name} {owner}" for owner, count in owners.items() if count > 1]
    return found


def innermost(source: Source, clause: ast.ExceptHandler) -> str:
    """Return the name and line of the smallest function around a clause, or the module's."""
    around = [
        function
        for function in source.functions
        if function.lineno <= clause.lineno <= (function.end_lineno or 0)
    ]
    if not around:
        return "at module level"
    owner = min(around, key=size)
    return f"{owner.name}:{owner.lineno}"


def missing_docstrings(sources: Iterable[Source]) -> list[str]:
    """Modules that do not begin by saying, in a sentence, what they are for."""
    found = []
    for source in sources:
        if not source.text.strip():
            continue
        docstring = ast.get_docstring(source.tree) or ""
        if not docstring.partition("\n\n")[0].rstrip().endswith("."):
            found.append(f"{source.name}: begin with one sentence, and its full stop")
    return found


def imported_modules(source: Source) -> set[str]:
    """Return the modules of ours that a file imports, by statement or by name in a string."""
    found: set[str] = set()
    for node in source.nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # A server or a command that is loaded late is named "package.module:attribute".
            found.add(node.value.partition(":")[0])
    return {name for name in found if name.startswith("arrivals")}


def dead_modules(sources: Iterable[Source]) -> list[str]:
    """Modules that nothing else in the package imports."""
    sources = list(sources)
    wanted: set[str] = set(ENTRY_MODULES)
    for source in sources:
        for name in imported_modules(source) - {source.module}:
            parts = name.split(".")  # importing a module imports the packages around it
            wanted |= {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return sorted(source.name for source in sources if source.module not in wanted)


def asynchronous_nodes(sources: Iterable[Source]) -> list[str]:
    """Places where a file waits for something."""
    waiting = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    return [
        f"{source.name}:{node.lineno}"
        for source in sources
        for node in source.nodes
        if isinstance(node, waiting)
    ]


def dead_references(sources: Iterable[Source]) -> list[str]:
    """Links and `paths` in documents that lead nowhere."""
    found = []
    reference = re.compile(
        r"\]\((?!https?:|#|mailto:)([^)#\s]+)|`((?:src|tests|docs)/[\w./-]+)`"
    )
    for source in sources:
        base = (ROOT / source.name).parent
        for match in reference.finditer(source.text):
            target = base / match[1] if match[1] else ROOT / match[2]
            if not target.exists():
                found.append(f"{source.name}: {match[1] or match[2]}")
    return found


def rooms_named(architecture: str) -> set[str]:
    """Return the folders that the table of rooms names: rows that begin | `name/` |."""
    return set(re.findall(r"^\| `(\w+)/` \|", architecture, re.MULTILINE))
