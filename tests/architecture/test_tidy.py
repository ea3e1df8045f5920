import ast
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from support.sources import PACKAGE, ROOT, at, package_files, python_files, texts, tree

EVERYTHING = ("src", "tests", "tools", "benchmarks")

LONGEST: Final = 500

STILL_TOO_LONG: Final[dict[str, int]] = {}
"""Files above the limit, with their length. Only ever take away from this, or lower a number."""

SQL = re.compile(
    r"\s*(SELECT\s|INSERT INTO\s|UPDATE\s+\w+\s+SET\s|DELETE FROM\s|WITH\s+\w+\s+AS\s|LOCK TABLE\s"
    r"|(CREATE|ALTER|DROP|TRUNCATE)\s+(TABLE|INDEX|TYPE|SCHEMA|DATABASE|ROLE|VIEW)\s)"
)
SERVER_CLOCK = re.compile(r"(?i)\b(now\(\)|current_timestamp|clock_timestamp|localtimestamp)")
SILENCED = re.compile(r"#\s*(noqa|type:\s*ignore)\b")
SILENCED_WITH_REASON = re.compile(
    r"#\s*(noqa: [A-Z]+\d+(, ?[A-Z]+\d+)* +- \w|type: ignore\[[\w, -]+\] +# *(- *)?\w)"
)
LEFT_FOR_LATER = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "X" * 3 + r"\b", "HA" + r"CK\b")))
CLOCKS = {
    "date": {"today"},
    "datetime": {"now", "today", "utcnow"},
    "time": {"monotonic", "monotonic_ns", "perf_counter", "time", "time_ns"},
}


def outside(*parts: str) -> list[Path]:
    inside = set(package_files(*parts))
    return [path for path in python_files("src") if path not in inside]


def test_sql_is_written_in_books_and_db_only() -> None:
    found = [
        at(path, line, text.strip()[:40])
        for path in outside("books", "db")
        for line, text in texts(path)
        if SQL.match(text)
    ]
    assert found == []


def test_no_decision_reads_a_clock_of_its_own() -> None:
    found = [
        at(path, node.lineno, f"{node.value.id}.{node.attr}")
        for path in package_files("api", "books", "core", "desk", "workers", "chains", "signer")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.attr in CLOCKS.get(node.value.id, ())
    ]
    assert found == []


def test_no_query_reads_the_servers_clock() -> None:
    found = [
        at(path, line, text.strip()[:40])
        for path in package_files("books")
        for line, text in texts(path)
        if SERVER_CLOCK.search(text)
    ]
    assert found == []


def test_processes_that_share_a_database_share_its_clock() -> None:
    own = ("clock.py", "processes.py", "cli_setup.py", "db/timekeeping.py", "sandbox")
    found = [
        at(path, node.lineno, "SystemClock")
        for path in outside(*own)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and node.id == "SystemClock"
    ]
    assert found == []


def test_no_float_comes_near_money() -> None:
    modules = [f"core/{name}.py" for name in ("journal", "money", "pricing", "reckoning")]
    found = [
        at(path, node.lineno, ast.unparse(node))
        for path in package_files(*modules)
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.Constant) and isinstance(node.value, float))
    ]
    assert found == []


def test_a_silenced_check_gives_its_reason() -> None:
    found = [
        at(path, number, line.strip())
        for path in python_files(*EVERYTHING)
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if SILENCED.search(line) and not SILENCED_WITH_REASON.search(line)
    ]
    assert found == []


def test_nothing_is_left_for_later() -> None:
    found = [
        at(path, number, line.strip())
        for path in python_files(*EVERYTHING)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if LEFT_FOR_LATER.search(line)
    ]
    assert found == []


def test_only_the_command_line_prints() -> None:
    found = [
        at(path, node.lineno, "print")
        for path in outside("cli", "cli.py", "sandbox")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert found == []


def test_no_file_is_too_long_to_read() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files(*EVERYTHING)
    }
    too_long = {
        name: length
        for name, length in lengths.items()
        if length > STILL_TOO_LONG.get(name, LONGEST)
    }
    shrunk = {
        name: lengths.get(name, 0)
        for name, allowed in STILL_TOO_LONG.items()
        if lengths.get(name, 0) < allowed
    }
    assert too_long == {}, f"split these: more than {LONGEST} lines"
    assert shrunk == {}, "lower these numbers in STILL_TOO_LONG, or take the line away"


@pytest.mark.parametrize(
    "name",
    ["requirements.lock", "requirements-node.lock", "package-lock.json", "package.json", ".npmrc"],
)
def test_no_locked_version_names_where_it_came_from(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links|\"resolved\"", text) == []


def test_every_locked_python_package_carries_hashes() -> None:
    for name in ("requirements.lock", "requirements-node.lock"):
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        bare = [line for line in text.splitlines() if line.strip() and "--hash=sha256:" not in line]
        assert bare == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout, but an archive")
def test_nothing_that_is_installed_or_made_here_is_kept() -> None:
    """A link that somebody works with would take the place of everybody's packages."""
    asked = ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"]
    kept = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert kept.split() == []


def test_what_we_depend_on_is_locked() -> None:
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert listed
    for name in re.findall(r'"([a-z0-9-]+)', listed[1]):
        assert re.search(rf"^{name}==", locked, re.MULTILINE), f"{name}: run `make lock`"


def test_the_rules_see_what_they_forbid() -> None:
    assert SQL.match("SELECT 1 FROM x")
    assert SQL.match("\n  INSERT INTO invoice VALUES (1)")
    assert not SQL.match("SELECTED by hand")
    assert SERVER_CLOCK.search("SET seen_at = now()")
    assert not SILENCED_WITH_REASON.search("x = 1  # noqa: S101")
    assert not SILENCED_WITH_REASON.search("x = 1  # type: ignore")
    assert not SILENCED_WITH_REASON.search("x = 1  # type: ignore[misc]")
    assert not SILENCED_WITH_REASON.search("x = 1  # type: ignore[misc]  # -")
    assert SILENCED_WITH_REASON.search("x = 1  # noqa: S101, S102 - because")
    assert SILENCED_WITH_REASON.search("x = 1  # type: ignore[misc]  # because")
    assert SILENCED_WITH_REASON.search("x = 1  # type: ignore[misc]  # - because")
    assert LEFT_FOR_LATER.search("TO" + "DO: later")
    assert PACKAGE.is_dir()
