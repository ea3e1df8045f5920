"""Every promise and every fault names tests that exist, and every journey keeps a promise."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from support.sources import ROOT, python_files, tree

PAGE: Final = ROOT / "docs" / "guarantees.md"
FAULTS: Final = ROOT / "docs" / "faults.md"
NAMED: Final = re.compile(r"`(\w[\w/]*\.py::[\w:]+)`")
LIMITS: Final = "\n## What we do not promise\n"


def names_in(folder: str) -> Iterator[str]:
    """Every test below a folder of ``tests``, as pytest names it and as the page does."""
    for path in python_files(folder):
        name = path.relative_to(ROOT / "tests").as_posix()
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef):
                yield from (f"{name}::{node.name}::{test}" for test in functions(node.body))
        yield from (f"{name}::{test}" for test in functions(tree(path).body))


def functions(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[:5] == "test_":
            yield node.name


@pytest.mark.parametrize("page", [PAGE, FAULTS], ids=lambda page: page.stem)
def test_each_promise_names_a_test_that_exists(page: Path) -> None:
    named = set(NAMED.findall(page.read_text(encoding="utf-8")))
    assert len(named) > 60
    assert sorted(named - set(names_in("tests"))) == []


def test_no_promise_stands_without_a_test() -> None:
    promises, _limits = PAGE.read_text(encoding="utf-8").split(LIMITS)
    bare = [
        line
        for section in promises.split("\n## ")[1:]
        for line in re.split(r"^- ", section, flags=re.MULTILINE)[1:]
        if not NAMED.search(line)
    ]
    assert bare == []


def test_no_fault_stands_without_a_test() -> None:
    rows = [
        line
        for line in FAULTS.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| fault |")
    ]
    assert len(rows) > 40
    assert [row for row in rows if not NAMED.search(row.split(" | ")[-1])] == []


def test_each_journey_keeps_a_promise() -> None:
    named = set(NAMED.findall(PAGE.read_text(encoding="utf-8")))
    assert sorted(set(names_in("tests/journeys")) - named) == []
