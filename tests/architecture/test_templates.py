"""Pages show what a member may do; they do not decide it."""

import re
from typing import Final

from support.sources import PACKAGE

CONDITION: Final = re.compile(r"{%-?\s*(?:el)?(?:if|set)\b(.*?)-?%}|{{(.*?)}}", re.DOTALL)
COMPARED: Final = re.compile(
    r"(added|created|made|asked|ordered|approved)_by\s*(?:==|!=|in\b|not in\b)"
    r"|(?:==|!=)\s*(?:\w+\.)*(?:me|uid|member_id|\w+_by)\b"
    r"|\b(?:roles?|permissions)\b\s*(?:==|!=)|visitor\.actor"
)
"""Who did a thing, compared with who looks at it: for the desk to say (four eyes)."""
MIXED: Final = re.compile(r"\bor\b.*\bin may\b|\bin may\b.*\bor\b", re.DOTALL)
"""A permission that is one way among others: a rule, and for the desk to say."""


def test_no_template_decides_who_may_do_what() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("templates/**/*.html")):
        for condition in CONDITION.finditer(path.read_text(encoding="utf-8")):
            text = condition[1] or condition[2] or ""
            if COMPARED.search(text) or MIXED.search(text):
                found.append(f"{path.relative_to(PACKAGE)}: {text.strip()}")
    assert found == []
