"""Pages that are generated from code say what the code says."""

import sys

from support.sources import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import docs


def test_the_lifecycle_page_is_up_to_date() -> None:
    assert docs.PAGE.read_text() == docs.page(), "run make docs"
