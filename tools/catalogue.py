"""Bring the translators' catalogues up to date with the sentences that pages use.

What is translated stays; new sentences are added untranslated, those no longer used are dropped.
"""

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from counterfoil.pages.language import REFUSAL
from refusals import refusal_sentences

SOURCE = Path(__file__).parents[1] / "src" / "counterfoil"
LOCALES = SOURCE / "pages" / "locale"

METHODS = [("pages/**.py", "python"), ("studio/**.py", "python"), ("checkout/**.py", "python")]
TEMPLATES = [("**.html", "jinja2")]
KEYWORDS = {"_": None, "say": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
# Headers that say nothing, or change with every run.
IDLE = ('"POT-', '"PO-', '"Generated', '"Report-', '"Last-', '"Language-Team', '"Project-')


def sentences() -> Catalog:
    """Every sentence that pages use or show when they refuse, with where it stands."""
    found = Catalog(project="Counterfoil", charset="utf-8", fuzzy=False)
    options = {"**.html": {"silent": "false", "extensions": "jinja2.ext.do"}}
    for name, line, message, _comments, _context in extract_from_dir(
        SOURCE, METHODS + TEMPLATES, options, KEYWORDS
    ):
        found.add(message, None, [(name, line)])
    for name, line, message, has_values in refusal_sentences(SOURCE):
        found.add(message, None, [(name, line)], auto_comments=[REFUSAL] if has_values else [])
    return found


def updated(language: str) -> str:
    """A language's catalogue as it should be."""
    path = LOCALES / language / "counterfoil.po"
    wanted = Catalog(
        locale=language.replace("-", "_"), project="Counterfoil", charset="utf-8", fuzzy=False
    )
    if path.exists():
        with path.open("rb") as file:
            wanted = read_po(file, locale=language.replace("-", "_"))
    wanted.update(sentences(), no_fuzzy_matching=True, update_header_comment=False)
    wanted.obsolete.clear()
    wanted.header_comment = f"# The sentences of Counterfoil's pages in {language}."
    written = io.BytesIO()
    # Without where a sentence stands: every moved line would change the catalogue.
    write_po(written, wanted, no_location=True, omit_header=False, sort_output=True, width=100)
    lines = written.getvalue().decode().splitlines()
    kept = [line for line in lines if not line.startswith(IDLE)]
    return "\n".join(kept).rstrip() + "\n"


def main() -> None:
    """Write every catalogue anew."""
    for folder in sorted(p for p in LOCALES.iterdir() if p.is_dir()):
        path = folder / "counterfoil.po"
        path.write_text(updated(folder.name), encoding="utf-8")
        print(f"wrote {path.relative_to(SOURCE)}")


if __name__ == "__main__":
    main()
