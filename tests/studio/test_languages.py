"""Pages in Chinese: what is asked, what is refused, and what refusals quote of a form."""

import pytest

from support.site import Firm, Site

CHINESE = {"Accept-Language": "zh-TW"}
ADD = "/studio/settings/members/add"


async def test_a_refusal_is_told_in_the_readers_language_and_escapes_what_it_quotes(
    site: Site, firm: Firm
) -> None:
    await site.person(firm.org_id, "anna", "administrator")
    anna = await site.at_the_pages("anna1@merchant.example")
    form = {"email": "nina@merchant.example", "name": "Nina", "role": "<b>50% off</b>"}
    for headers, words in (({}, "is not one of"), (CHINESE, "不在可用的選項中")):
        refused = await anna.send(ADD, form, headers=headers)
        assert refused.status == 422
        assert f"&lt;b&gt;50% off&lt;/b&gt; {words}" in refused.text
        assert "<b>50%" not in refused.text


@pytest.mark.usefixtures("firm")
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/studio", "您好，Maya"),  # noqa: RUF001 - as Chinese writes them
        ("/studio/invoices/none", "沒有這張請款單"),
        ("/studio/settings/members/add", "這需要 organization:administer 權限"),
    ],
)
async def test_maya_reads_pages_and_refusals_in_chinese(site: Site, path: str, words: str) -> None:
    maya = await site.at_the_pages("maya1@merchant.example")
    page = await maya.open(path, accept_language="zh-TW")
    assert words in page.words
    assert page.headers["Content-Language"] == "zh-Hant-TW"
