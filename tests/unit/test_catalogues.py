"""Pages speak every language whole: each sentence is translated, with the values it carries."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

from counterfoil.pages import render
from counterfoil.pages.language import DEFAULT, LANGUAGES, LONGEST, told
from support.sources import PACKAGE, ROOT, at
from support.typography import HALF_WIDTH

sys.path.insert(0, str(ROOT / "tools"))

import catalogue
import refusals

CHINESE: Final = "zh-Hant-TW"
TRANSLATED: Final = sorted(set(LANGUAGES) - {DEFAULT})
VALUE: Final = re.compile(r"%\(\w+\)s|%%")


def messages(language: str) -> list[Message]:
    with (catalogue.LOCALES / language / "counterfoil.po").open("rb") as file:
        return [message for message in read_po(file) if message.id]


def written(text: object) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(map(str, text or ()))  # type: ignore[call-overload]  # plurals are tuples


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_the_sentences_of_the_pages(language: str) -> None:
    path = catalogue.LOCALES / language / "counterfoil.po"
    assert path.read_text(encoding="utf-8") == catalogue.updated(language), "run make catalogues"


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_is_translated(language: str) -> None:
    missing = [m.id for m in messages(language) if not all(written(m.string)) or not m.string]
    assert missing == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_carries_the_values_of_its_sentence(language: str) -> None:
    differing = [
        m.id
        for m in messages(language)
        for translation in written(m.string)
        if sorted(VALUE.findall(translation)) != sorted(VALUE.findall(written(m.id)[-1]))
    ]
    assert differing == []


def test_the_chinese_of_taiwan_is_written_in_its_own_characters() -> None:
    strange = {
        m.id: found
        for m in messages(CHINESE)
        if (found := [c for c in "".join(written(m.string)) if is_strange(c)])
    }
    assert strange == {}
    assert "".join(filter(is_strange, "请款单已储存退款")) == "请单储"


def test_chinese_pages_have_one_word_for_one_thing() -> None:
    """Words that the glossary of docs/languages.md does not have for what they mean elsewhere."""
    found = {
        translation: word
        for m in messages(CHINESE)
        for translation in written(m.string)
        for word in ("簽署", "簽核", "篩查", "因素", "移動 %", "你")
        if word in translation
    }
    assert found == {}


def is_strange(character: str) -> bool:
    """Whether it is a Chinese character that Taiwan does not use: Big5 has none of those."""
    try:
        character.encode("big5")
    except UnicodeEncodeError:
        return "\u4e00" <= character <= "\u9fff"
    return False


def test_the_chinese_of_pages_has_the_wide_marks_of_chinese() -> None:
    narrow = {
        translation: found
        for m in messages(CHINESE)
        for translation in written(m.string)
        if (found := HALF_WIDTH.findall(VALUE.sub("0", translation)))
    }
    assert narrow == {}
    wrong = "請款單: 已付, 請款單(已付) 已付? 已付; 已付. 「已付」! (已付)"
    assert len(HALF_WIDTH.findall(wrong)) == 8
    right = "已付 1,333.50 USDT（Arbitrum One）：見 https://a.b/?c=1"  # noqa: RUF001 - as Chinese writes
    assert HALF_WIDTH.findall(right) == []


def test_what_people_may_have_typed_is_translated_as_text_never_as_markup() -> None:
    """``_()`` trusts its sentence; what a refusal says goes through the filter ``told``."""
    trusted = [
        at(path, call.lineno, str(call.args[0]))
        for path in PACKAGE.rglob("*.html")
        for call in calls(path)
        if any(
            (isinstance(part, nodes.Name) and part.name in {"refusal", "errors", "problems"})
            or (isinstance(part, nodes.Getattr) and part.attr in {"refusal", "error", "message"})
            for part in [call.args[0], *call.args[0].find_all((nodes.Name, nodes.Getattr))]
        )
    ]
    assert trusted == []


def calls(path: Path) -> Iterator[nodes.Call]:
    env = Environment(autoescape=True, extensions=["jinja2.ext.do"])
    for call in env.parse(path.read_text(encoding="utf-8")).find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "_":
            yield call


@pytest.mark.parametrize(
    ("sentence", "chinese"),
    [
        ("must be text", "必須是文字"),
        ("must have at most 6 digits after the point", "小數點後最多 6 位"),
        (
            "must have at most 6 digits after the point for USDC",
            "USDC 的小數點後最多 6 位",
        ),
        (
            "is more than is still here: you asked for 5 USDC, and what is left is 3 USDC",
            "超過目前的餘額：您要求 5 USDC，剩餘款項為 3 USDC",  # noqa: RUF001 - as Chinese writes them
        ),
        ("<b>50% off</b> is not one of finance", "<b>50% off</b> 不在可用的選項中：finance"),  # noqa: RUF001 - as Chinese writes them
        # Why screening found what it found.
        ("a payment of 3,000.00 TWD", "一筆 3,000.00 TWD 的付款"),
        (
            "OFAC_SDN is 80 h old, the limit is 72 h",
            "OFAC_SDN 已是 80 小時前的版本，上限為 72 小時",  # noqa: RUF001 - as Chinese writes them
        ),
        ("the worst answer is a low risk", "最嚴重的結果為低風險"),
        ("cannot be 'two': only a whole number", "不能是 'two'：只能是整數"),  # noqa: RUF001 - as Chinese writes them
        (
            "the file order.pdf is refused: it is a broken or cut-off PDF",
            "檔案 order.pdf 無法接受：PDF 已損毀或不完整",  # noqa: RUF001 - as Chinese writes them
        ),
        (
            "must be an EVM address: 0x and 40 hexadecimal digits",
            "必須是 EVM 位址：0x 加 40 個十六進位字元",  # noqa: RUF001 - as Chinese writes them
        ),
        ("nobody ever wrote this: 50%", "nobody ever wrote this: 50%"),
        ("must be one of " + "x" * LONGEST, "must be one of " + "x" * LONGEST),
        ("", ""),
    ],
)
def test_a_refusal_is_recognised_by_the_words_around_its_values(
    sentence: str, chinese: str
) -> None:
    assert told(CHINESE, sentence) == chinese
    assert told(DEFAULT, sentence) == sentence


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_markup_and_per_cent_signs_in_a_refusal_are_shown_as_they_are(language: str) -> None:
    template = render.environment(language).from_string("{{ sentence | told }}")
    shown = template.render(sentence="<b>50% off</b> is not one of finance")
    assert "&lt;b&gt;50% off&lt;/b&gt;" in shown
    assert "<b>" not in shown


def test_sentences_of_refusals_are_found_wherever_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "one.py").write_text(
        """
class Wrong(Refusal): ...
def refuse(sentence): raise Wrong.field("name", sentence)
async def at_once(n, few):
    message = "is whole" if few else f"has {n} parts of {len(n)}: {0:,.2f}"
    raise Wrong(message, fields={"n": "is named here"})
def by_another(): refuse(f"is {wrong} altogether")
def hardly(a, b): raise Wrong(f"{a}: {b}")
def no_refusal(): raise ValueError("is for programmers")
"""
    )
    assert [(line, said) for _, line, said, _ in refusals.refusal_sentences(tmp_path)] == [
        (5, "is whole"),
        (5, "has %(n)s parts of %(n_2)s: %(part)s"),
        (6, "is named here"),
        (7, "is %(wrong)s altogether"),
    ]


def test_every_refusal_and_reason_has_a_sentence_that_catalogues_can_have() -> None:
    """Also what is refused with a variable: it repeats what was told where it was made."""
    assert list(refusals.untold(PACKAGE)) == []


def test_what_catalogues_can_not_have_is_found(tmp_path: Path) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "objections.py").write_text(
        """
class Wrong(Refusal): ...
def over(n) -> str | None:
    if n: return f"more than {n} are to leave"
    return None
def both(): return None
async def repeat(bar, words):
    if over_it := over(2) or await over(3): raise Wrong(over_it)
    raise Wrong(bar.reason)
def lost():
    if said := both(): raise Wrong(said)
    raise Wrong(describe())
def stop(n): return Objection(f"has {n} parts too many")
"""
    )
    assert [(line, said) for _, line, said, _ in refusals.refusal_sentences(tmp_path)] == [
        (4, "more than %(n)s are to leave"),
        (13, "has %(n)s parts too many"),
    ]
    found = [(line, said) for _, line, said in refusals.untold(tmp_path)]
    assert sorted(found) == [(11, "said"), (12, "describe()")]


@pytest.mark.parametrize(
    ("reason", "chinese"),
    [
        (
            (
                "over budget: 12 base units are to leave for this invoice, but only 7 of what came"
                " in for it are with us"
            ),
            "超出可用款項：此請款單將轉出 12 基本單位，但其收到的款項只有 7 還在我們這裡",  # noqa: RUF001 - as Chinese writes them
        ),
        (
            "the destination 0xab: it is registered as Treasury, but nobody has approved it yet",
            "目的位址 0xab：已登記為 Treasury，但尚未有人核准",  # noqa: RUF001 - as Chinese writes them
        ),
        (
            "the signer refused: this pays more than 5 dollars at once",
            "簽章程式拒絕：單筆付款超過 5 美元",  # noqa: RUF001 - as Chinese writes them
        ),
    ],
)
def test_a_reason_why_a_payment_stands_still_is_told_in_every_language(
    reason: str, chinese: str
) -> None:
    assert told(CHINESE, reason) == chinese
