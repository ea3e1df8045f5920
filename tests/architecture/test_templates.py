"""Pages show what a member may do; they do not decide it."""

import re
from typing import Final

import pytest

from support.sources import PACKAGE

CONDITION: Final = re.compile(r"{%-?(.*?)-?%}|{{(.*?)}}", re.DOTALL)
COMPARED: Final = re.compile(
    r"(added|created|made|asked|ordered|approved)_by\s*(?:==|!=|in\b|not in\b)"
    r"|(?:==|!=)\s*(?:\w+\.)*(?:me|uid|member_id|\w+_by)\b"
    r"|\b(?:roles?|permissions)\b\s*(?:==|!=)|visitor\.actor"
)
"""Who did a thing, compared with who looks at it: for the desk to say (four eyes)."""
MIXED: Final = re.compile(r"\bor\b.*\bin may\b|\bin may\b.*\bor\b", re.DOTALL)
"""A permission that is one way among others: a rule, and for the desk to say."""


def deciding(source: str) -> list[str]:
    """The tags and values of a template that decide who may do what."""
    found = (one[1] or one[2] or "" for one in CONDITION.finditer(source))
    return [text.strip() for text in found if COMPARED.search(text) or MIXED.search(text)]


def test_no_template_decides_who_may_do_what() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {text}"
        for path in sorted(PACKAGE.rglob("templates/**/*.html"))
        for text in deciding(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "planted",
    [
        "{% if one.added_by != me %}",
        "{% for one in rows if one.added_by != me %}",
        "{%- for r in refunds if r.ordered_by != visitor.session.uid -%}",
        "{{ one if 'approve' in may or one.mine }}",
    ],
)
def test_what_would_decide_is_found_in_every_kind_of_tag(planted: str) -> None:
    assert len(deciding(f"<p>{planted}</p>")) == 1
    assert deciding("{% for refund in refunds if refund.status == 'pending' %}") == []
