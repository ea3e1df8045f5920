"""Where customers are led back to: origins, letter by letter (T31)."""

import pytest

from counterfoil.core.errors import Invalid
from counterfoil.core.returning import MOST_ORIGINS, ReturnRules, origin_of, read_origins

SHOP = "https://shop.example"
RULES = ReturnRules((SHOP, "http://localhost:8443"))

ELSEWHERE = (
    "//evil.example",
    "/\\evil.example",
    "https:\\\\evil.example",
    "https:/\\evil.example",
    "https://shop.example\\@evil.example",
    "https://shop.example@evil.example",
    "https://shop.example:443@evil.example/",
    "https://shop.example:x@evil.example/",
    "https://evil.example#@shop.example",
    "https://evil.example?https://shop.example",
    "https://evil.example/https://shop.example",
    "https://shop.example.evil.example",
    "https://shop.example.",
    "https://evil-shop.example",
    "https://sub.shop.example",
    "https://shop.example:8443",
    "http://shop.example",
    "http://shop.example:443",
    "http://localhost",
    "https://localhost:8443",
    "HTTPS://shop.example",
    "https://\uff53hop.example",
    "https://shop\u3002example",
    "https://shop.example\t.evil.example",
    "https://shop.example\n",
    " https://shop.example",
    "https://shop.example\x00",
    "https://shop.example%2eevil.example",
    "https://[::1]",
    "javascript:alert(1)//https://shop.example",
    "data:text/html,https://shop.example",
    "blob:https://shop.example/x",
    "view-source:https://shop.example",
    "",
)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_whatever_is_not_of_a_listed_origin_leads_nowhere(url: str) -> None:
    assert not RULES.allows(url)
    with pytest.raises(Invalid) as refused:
        RULES.must_allow(url)
    assert "https://shop.example, http://localhost:8443" in refused.value.fields["origin"]


@pytest.mark.parametrize(
    "url",
    [
        SHOP,
        "https://shop.example/",
        "https://Shop.Example:443/orders/7?next=//evil.example#@evil.example",
        "https://shop.example?x=\\evil.example",
        "http://localhost:8443/back",
    ],
)
def test_an_address_of_a_listed_origin_does_whatever_follows(url: str) -> None:
    RULES.must_allow(url)
    assert origin_of(url) in RULES.origins


def test_with_nothing_listed_any_web_address_does_and_nothing_else() -> None:
    assert ReturnRules().allows("https://evil.example")
    for url in ("//evil.example", "data:text/html,x", "https://a@b.example", "https:\\\\e.example"):
        assert not ReturnRules().allows(url)


def test_origins_are_typed_one_a_line_and_say_no_more() -> None:
    typed = "\r\n https://Shop.example:443/ \n\nhttp://localhost:80\nhttps://shop.example\n"
    assert read_origins(typed) == (SHOP, "http://localhost")
    assert read_origins(" \n") == ()
    for wrong, said in {
        "https://shop.example/orders": "without a path",
        "https://shop.example?x": "without a path",
        "https://shop.example//": "without a path",
        "shop.example": "no web address",
        "https://*.shop.example": "no web address",
        "https://u@shop.example": "no web address",
        "data:text/html,x": "no web address",
        "\n".join(f"https://shop{n}.example" for n in range(MOST_ORIGINS + 1)): "at most 20",
    }.items():
        with pytest.raises(Invalid, match=said):
            read_origins(wrong)


def test_stricter_is_what_both_allow_and_never_nothing() -> None:
    both, one, other = ReturnRules(("a", "b")), ReturnRules(("b", "c")), ReturnRules(("d",))
    assert both.with_stricter(one) == ReturnRules(("b",))
    assert ReturnRules().with_stricter(one) == one
    assert one.with_stricter(ReturnRules()) == one
    assert one.with_stricter(other) == one
