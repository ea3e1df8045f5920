"""Our pages say what is so: what is generated is up to date, and what they name is there."""

import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import typer
from typer.core import TyperGroup

from counterfoil.cli import complete
from counterfoil.config import SignConfig, WebConfig, WorkConfig
from counterfoil.core.assets import CHAINS
from support.sources import PACKAGE, ROOT

sys.path.insert(0, str(ROOT / "tools"))

import docs

PAGES: Final = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
NOW: Final = tuple(page for page in PAGES if page.name != "CHANGELOG.md")
"""Those that say what is so now, and not what once was."""

SETTINGS: Final = ROOT / "docs" / "operations" / "install.md"
WHOLE_ROOMS: Final = ("core", "desk", "workers", "studio")
"""Of which the map names every module."""

CODE: Final = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
COMMAND: Final = re.compile(
    r"(?<![\w./-])(?:\.venv/bin/)?counterfoil((?: [a-z][a-z-]*)+)([^`\n|]*)"
)
SETTING: Final = re.compile(r"COUNTERFOIL_[A-Z_]*")


@cache
def said(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code(page: Path) -> Iterator[str]:
    """Every block and every word of a page that stands between backticks."""
    return (found.strip("`") for found in CODE.findall(said(page)))


def named(pages: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    """Each line between backticks, with its page's name."""
    return ((page.name, line) for page in pages for span in code(page) for line in span.split("\n"))


# -- generated ----------------------------------------------------------------------------------


def test_the_lifecycle_page_is_up_to_date() -> None:
    assert docs.PAGE.read_text() == docs.page(), "run make docs"


def test_the_index_of_decisions_names_each_of_them_in_order() -> None:
    folder = ROOT / "docs" / "decisions"
    index = said(folder / "README.md")
    listed = re.findall(r"^\| \[(\d+)\]\((\S+)\)", index, re.MULTILINE)
    assert [page for _, page in listed] == sorted(page.name for page in folder.glob("[0-9]*.md"))
    assert all(int(number) == int(page[:4]) for number, page in listed)


# -- links and files ------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """What a link to a heading of a page ends with."""
    headings = re.findall(r"^#+ (.*)$", said(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def test_every_link_between_our_pages_leads_somewhere() -> None:
    links = [
        (page, link)
        for page in PAGES
        for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", said(page))
    ]
    assert len(links) > 100
    assert [(page.name, link) for page, link in links if not leads_somewhere(page, link)] == []


def there(path: str) -> bool:
    """Whether a path, a module or a name in a module is in the tree; True for what is none."""
    first = path.partition("/")[0]
    for folder in (ROOT, PACKAGE, ROOT / "tests"):
        if (folder / first).is_dir() and first != "var":
            at, module = folder / path, folder / f"{path}.py"
            if at.exists() or module.exists():
                return True
            owner = folder / f"{path.rpartition('.')[0]}.py"
            if owner.exists():
                return path.rpartition(".")[2] in owner.read_text(encoding="utf-8")
    return not any((folder / first).is_dir() for folder in (ROOT, PACKAGE, ROOT / "tests"))


def test_every_file_and_module_that_a_page_names_is_there() -> None:
    paths = [
        (page, path.rstrip("/"))
        for page, line in named(NOW)
        for path in re.findall(r"(?<![\w./:{-])[a-z_]\w*(?:/[\w.-]+)+/?(?![\w:*])", line)
    ]
    assert len(paths) > 500
    assert [(page, path) for page, path in paths if not there(path)] == []


# -- commands and settings ------------------------------------------------------------------------


@cache
def commands() -> TyperGroup:
    group = typer.main.get_command(complete())
    assert isinstance(group, TyperGroup)
    return group


def problem(words: Sequence[str], rest: str) -> str | None:
    """What is wrong with a command line of ours; None where nothing is."""
    group = commands()
    options = group.params
    for word in words:
        found = group.commands.get(word)
        if found is None:
            return f"no command {word}"
        options = found.params
        if not isinstance(found, TyperGroup):
            break
        group = found
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    asked = re.findall(r"(?<!\S)--[a-z-]+", rest.partition("#")[0])
    unknown = [option for option in asked if option not in known]
    return f"no option {unknown[0]}" if unknown else None


def test_every_command_and_option_that_a_page_names_is_there() -> None:
    lines = [
        (page, f"counterfoil{words}{rest}", problem(words.split(), rest))
        for page, line in named(NOW)
        for words, rest in COMMAND.findall(line)
    ]
    assert len(lines) > 60
    assert [line for line in lines if line[2]] == []


def test_every_target_of_make_that_a_page_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", said(ROOT / "Makefile"), re.MULTILINE))
    asked = [
        (page, target)
        for page, line in named(NOW)
        for target in re.findall(r"^make ([a-z-]+)", line)
    ]
    assert len(asked) > 20
    assert [(page, target) for page, target in asked if target not in targets] == []


class Noted(dict[str, str]):
    """An environment that notes what it is asked for."""

    def __init__(self, **settings: str) -> None:
        super().__init__(settings)
        self.asked: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]  # - of text only
        self.asked.add(key)
        return super().get(key, default)


@cache
def settings() -> frozenset[str]:
    """Every variable that a process asks for, but for the files that secrets may stand in."""
    long, other = "k3Jx9vQ2mZ8rT5wY1nB7cL4hF6gD0sA+", "Zp0oIu7yTr5eWq3aSd1fGh2jKl4zXc6v"
    environment = Noted(
        COUNTERFOIL_RPC_ARB="http://127.0.0.1:8545",
        COUNTERFOIL_SECRET=long,
        COUNTERFOIL_APPROVAL_SECRET=other,
        COUNTERFOIL_SEED_PASSPHRASE=long,
        COUNTERFOIL_SANDBOX="true",
    )
    for config in (WebConfig, WorkConfig, SignConfig):
        config.from_env(environment)
    files = {f"{name}_FILE" for name in environment.asked}
    return frozenset(environment.asked - files)


def of_one_chain(names: frozenset[str]) -> set[str]:
    """The same with one chain for all: pages name its variables and say that others are alike."""
    _, *others = (f"_{key.upper()}" for key in CHAINS)
    return {name for name in names if not name.endswith(tuple(others))}


def test_every_setting_that_a_process_reads_has_its_row() -> None:
    rows = re.findall(r"^\| (`COUNTERFOIL_[^|]*)\|", said(SETTINGS), re.MULTILINE)
    assert {name for row in rows for name in SETTING.findall(row)} == of_one_chain(settings())


def test_every_setting_that_a_page_names_is_read() -> None:
    known = settings() | set(variables(commands()))
    found = [(page.name, name) for page in NOW for name in SETTING.findall(said(page))]
    assert len(found) > 60
    unknown = [
        (page, name)
        for page, name in found
        if name not in known and not (name[-1] == "_" and any(k.startswith(name) for k in known))
    ]
    assert unknown == []


def variables(group: TyperGroup) -> Iterator[str]:
    """Every variable that an option of a command may be given by."""
    for command in group.commands.values():
        if isinstance(command, TyperGroup):
            yield from variables(command)
        yield from (str(option.envvar) for option in command.params if option.envvar)


# -- the map --------------------------------------------------------------------------------------


def on_the_map() -> dict[str, set[str]]:
    """The modules that the map of ARCHITECTURE.md names, by the package they are in.

    An entry is a name or several, and after a colon what they are about; ` · ` parts entries.
    """
    plan = said(ROOT / "ARCHITECTURE.md").split("src/counterfoil/\n", 1)[1].split("```", 1)[0]
    rooms: dict[str, set[str]] = {}
    for line in plan.splitlines():
        if room := re.match(r"[├└]── (\w+)/ ", line):
            rooms[room[1]] = set()
        elif line.startswith("│   "):
            names = rooms[[*rooms][-1]]
            for entry in line.lstrip("│├└─ ").split(" · "):
                names |= set(entry.partition(":")[0].replace("/", "").split(", "))
    return rooms


def modules(room: str) -> set[str]:
    """The modules and packages of a package of ours, however deep."""
    found = [path for path in (PACKAGE / room).rglob("*") if path.suffix == ".py" or path.is_dir()]
    return {path.stem for path in found} - {"__init__", "__pycache__"}


def test_the_map_names_every_package_and_no_module_that_is_not_there() -> None:
    drawn = on_the_map()
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(drawn) == packages
    assert [(r, name) for r, names in drawn.items() for name in names - modules(r)] == []


@pytest.mark.parametrize("room", WHOLE_ROOMS)
def test_the_map_names_every_module_of_the_great_rooms(room: str) -> None:
    missing = {path.stem for path in (PACKAGE / room).glob("*.py")} - on_the_map()[room]
    assert missing == {"__init__"}
