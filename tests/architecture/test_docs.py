"""Pages that are generated from code say what the code says."""

import re
import sys

from support.sources import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import docs


def test_the_lifecycle_page_is_up_to_date() -> None:
    assert docs.PAGE.read_text() == docs.page(), "run make docs"


def test_the_index_of_decisions_names_each_of_them_in_order() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| \[(\d+)\]\((\S+)\)", index, re.MULTILINE)
    assert [page for _, page in named] == sorted(page.name for page in folder.glob("[0-9]*.md"))
    assert all(int(number) == int(page[:4]) for number, page in named)
