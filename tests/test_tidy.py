"""The style, as a test.

The checks are functions of tidy_checks.py. The first tests show them this project; the last
ones show them planted offences: a check that finds nothing anywhere proves nothing.
"""

from __future__ import annotations

import re
import statistics
import tomllib

import arrivals
from tests.tidy_checks import (
    FUNCTION_LINES_MAX,
    MODULE_LINES_MAX,
    OTHER_PLACES,
    POSTPONED,
    ROOT,
    Source,
    asynchronous_nodes,
    broad_excepts,
    crowded_broad_excepts,
    dead_modules,
    dead_references,
    empty_names,
    files,
    lines_matching,
    long_functions,
    long_modules,
    missing_docstrings,
    read,
    rooms_named,
    size,
    sql_outside_the_store,
    unreasoned_broad_excepts,
)

PACKAGE = ROOT / "src" / "arrivals"
PURE_ROOMS = ("core", "outcome", "smpp")
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "STYLE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
)

FUNCTION_LINES_P90_MAX = 30
MODULE_LINES_MEDIAN_MAX = 200
RUNTIME_DEPENDENCIES_MAX = 14  # each one is code that someone must trust and watch

# Broad excepts by file: one per loop, in the shell. The list may only shrink; a new line
# here needs the same argument as a new loop.
BROAD_EXCEPTS = {
    "src/arrivals/flows/dispatch.py": 1,
    "src/arrivals/flows/fleet.py": 1,
    "src/arrivals/flows/learning.py": 1,
    "src/arrivals/flows/neighbours.py": 1,
    "src/arrivals/flows/poison.py": 2,
    "src/arrivals/flows/sweep.py": 1,
    "src/arrivals/flows/verifying.py": 1,
    "src/arrivals/http/app.py": 1,
    "src/arrivals/store/group_commit.py": 1,
}

FILES = [read(path) for path in files(ROOT)]
PYTHON = [source for source in FILES if source.name.endswith(".py")]
OURS = [source for source in PYTHON if source.name.startswith("src/")]


# --- The project under them -----------------------------------------------------------


def test_functions_fit_a_screen() -> None:
    """No function is longer than a screen, and nearly all are far shorter."""
    assert long_functions(PYTHON) == []
    sizes = [size(function) for source in OURS for function in source.functions]
    assert statistics.quantiles(sizes, n=10)[-1] <= FUNCTION_LINES_P90_MAX


def test_modules_are_chapters() -> None:
    """No module is longer than a chapter, and the median is half of that or less."""
    assert long_modules(PYTHON) == []
    sizes = [len(source.lines) for source in OURS]
    assert statistics.median(sizes) <= MODULE_LINES_MEDIAN_MAX


def test_names_say_something() -> None:
    """No file, folder or class hides behind a word that fits everything."""
    assert empty_names(PYTHON) == []


def test_nothing_is_postponed_in_a_comment() -> None:
    """What is not done is an issue, not a comment."""
    assert lines_matching(POSTPONED, FILES) == []


def test_sql_lives_in_the_store() -> None:
    """Only the store speaks SQL (tests may look into a database to prove something)."""
    ours = [source for source in FILES if source.name.startswith("src/")]
    python_and_sql = [s for s in ours if s.name.endswith((".py", ".sql"))]
    assert sql_outside_the_store(python_and_sql) == []


def test_broad_excepts_are_few_and_say_why() -> None:
    """Only listed files catch everything, once a function, with the reason on the line."""
    assert unreasoned_broad_excepts(OURS) == []
    assert crowded_broad_excepts(OURS) == []
    counts = {source.name: len(broad_excepts(source)) for source in OURS}
    assert {name: count for name, count in counts.items() if count} == BROAD_EXCEPTS, (
        "BROAD_EXCEPTS must list exactly what there is; it may only shrink"
    )


def test_every_module_says_what_it_is_for() -> None:
    """Each module begins with a sentence."""
    assert missing_docstrings(PYTHON) == []


def test_no_module_is_dead() -> None:
    """Each module of the package is imported by another one."""
    assert dead_modules(OURS) == []


def test_the_project_stands_alone() -> None:
    """No file names a place on somebody's machine, or a package registry."""
    assert lines_matching(OTHER_PLACES, FILES) == []


def test_the_pure_rooms_wait_for_nothing() -> None:
    """The core and the protocol hold no async code: they are given what they need."""
    pure = tuple(f"src/arrivals/{room}/" for room in PURE_ROOMS)
    assert asynchronous_nodes(s for s in OURS if s.name.startswith(pure)) == []


def test_the_architecture_names_every_room() -> None:
    """The table of rooms in ARCHITECTURE.md is the list of folders, no more and no less."""
    folders = {
        path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"
    }
    assert rooms_named((ROOT / "ARCHITECTURE.md").read_text("utf-8")) == folders


def test_documents_point_at_files_that_exist() -> None:
    """Every relative link, and every path in code style, leads somewhere."""
    in_docs = [s for s in FILES if s.name.startswith("docs/") and s.name.endswith(".md")]
    assert dead_references([*(read(ROOT / name) for name in DOCUMENTS), *in_docs]) == []


def test_what_is_published_stands_alone() -> None:
    """An index shows a page without links to other files; the sdist leaves nothing out."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    shown = (ROOT / settings["project"]["readme"]).read_text("utf-8")
    assert re.findall(r"\]\((?!https:)", shown) == []
    assert settings["project"]["authors"]
    assert "sdist" not in settings["tool"]["hatch"]["build"]["targets"]


def test_runtime_dependencies_are_few_and_locked() -> None:
    """At most fourteen packages are asked for, all pinned by hash, and the version is one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {re.split(r"[<>=!~\[; ]", line)[0].lower() for line in project["dependencies"]}
    assert len(wanted) <= RUNTIME_DEPENDENCIES_MAX
    assert project["version"] == arrivals.__version__
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text("utf-8")
        pinned = dict(
            re.findall(r"^([\w.-]+)==\S+ \\\n    (--hash=sha256:)", text, re.MULTILINE)
        )
        assert wanted <= set(pinned), f"run `make lock`: {name} is behind pyproject.toml"
        assert set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE)) == set(pinned)


# --- The checks under test ------------------------------------------------------------


def planted(text: str, name: str = "src/arrivals/flows/planted.py") -> list[Source]:
    """Return one file with the given text."""
    return [Source(name=name, text=text)]


def test_size_checks_see_what_is_too_long() -> None:
    """A function of 71 lines and a module of 501 are found, and one line less is not."""
    body = "    pass\n"
    assert long_functions(planted("def f():\n" + body * FUNCTION_LINES_MAX))
    assert not long_functions(planted("def f():\n" + body * (FUNCTION_LINES_MAX - 1)))
    assert long_modules(planted("pass\n" * (MODULE_LINES_MAX + 1)))
    assert not long_modules(planted("pass\n" * MODULE_LINES_MAX))


def test_name_checks_see_empty_names() -> None:
    """Each banned word is found where it stands, and innocent names are not."""
    for name in ("utils", "helpers", "common", "misc", "http_util"):
        assert empty_names(planted("", f"src/arrivals/{name}.py")), name
    for name in ("RouteManager", "SmsService", "ReceiptHandler"):
        assert empty_names(planted(f"class {name}: ...")), name
    assert not empty_names(planted("class CommonName: ...", "src/arrivals/core/miscount.py"))


def test_line_checks_see_what_must_not_be_written() -> None:
    """Postponed work and foreign places are found."""
    assert lines_matching(POSTPONED, planted("# TO" + "DO: later"))
    for place in ("/ho" + "me/ann", "/wo" + "rk/x", "../sha" + "red", "py" + "pi.org/simple"):
        assert lines_matching(OTHER_PLACES, planted(place)), place


def test_sql_check_sees_statements_and_not_sentences() -> None:
    """Statements are found outside the store; docstrings and messages are left alone."""
    for text in (
        'x = "SELECT id FROM orders"',
        'x = f"update orders set n = {n}"',
        'x = "COMMIT"',
        'x = """\n  with due as (select 1)\n  select * from due"""',
        'x = "pragma journal_mode"',
    ):
        assert sql_outside_the_store(planted(text)), text
        assert not sql_outside_the_store(planted(text, "src/arrivals/store/sqlite.py")), text
    assert sql_outside_the_store(planted("", "src/arrivals/flows/claim.sql"))
    assert not sql_outside_the_store(planted('"""Select a route from the list."""'))
    assert not sql_outside_the_store(planted('x = "update your client"'))


def test_except_checks_see_what_catches_everything() -> None:
    """A broad except is found in each of its spellings, and must say why in words."""
    guard = "def f():\n  try:\n    g()\n  {}\n    h()\n"
    for clause in ("except:", "except Exception:", "except (OSError, BaseException) as e:"):
        assert unreasoned_broad_excepts(planted(guard.format(clause))), clause
        assert unreasoned_broad_excepts(planted(guard.format(clause + "  # noqa: BLE001"))), (
            clause
        )
        reason = clause + "  # noqa: BLE001 - one bad message must not stop the loop"
        assert not unreasoned_broad_excepts(planted(guard.format(reason))), clause
    assert not broad_excepts(planted(guard.format("except OSError:"))[0])
    twice = guard.format("except Exception:") + guard.format("except:").split("\n", 1)[1]
    assert crowded_broad_excepts(planted(twice))
    assert not crowded_broad_excepts(planted(guard.format("except Exception:")))


def test_document_checks_see_what_is_missing() -> None:
    """A module without a sentence, a dead link and an unnamed room are found."""
    assert missing_docstrings(planted("x = 1"))
    assert missing_docstrings(planted('"""No full stop"""'))
    assert not missing_docstrings(planted('"""A sentence\nover two lines.\n\nMore"""'))
    assert dead_references(planted("[gone](docs/gone.md)", "README.md"))
    assert dead_references(planted("`src/arrivals/gone.py`", "README.md"))
    assert not dead_references(planted("[the licence](LICENSE) `src/arrivals`", "README.md"))
    assert rooms_named("| `core/` | x |\n| `smpp/` | y |\n| other | z |") == {"core", "smpp"}


def test_code_checks_see_dead_files_and_waiting() -> None:
    """An unimported module is found, an imported one is not, and neither is one named late."""
    dead = planted("", "src/arrivals/core/dead.py")
    assert dead_modules(dead) == ["src/arrivals/core/dead.py"]
    for text in (
        "from arrivals.core import dead",
        "import arrivals.core.dead",
        "from arrivals.core.dead import x",
        'app = "arrivals.core.dead:app"',
    ):
        assert dead_modules([*dead, *planted(text, "src/arrivals/cli/__init__.py")]) == [], text
    assert asynchronous_nodes(planted("async def f(): await g()"))
    assert not asynchronous_nodes(planted("def f(): return g()"))
