"""Where browsers let passkeys be made, read from our public address."""

import pytest

from counterfoil.desk.passkeys import Party, party_of


@pytest.mark.parametrize(
    ("public_url", "rp_id", "origin"),
    [
        ("https://pay.merchant.example", "pay.merchant.example", "https://pay.merchant.example"),
        (
            "https://pay.merchant.example:443",
            "pay.merchant.example",
            "https://pay.merchant.example",
        ),
        ("https://10-0-0-1.example:8443", "10-0-0-1.example", "https://10-0-0-1.example:8443"),
        ("https://xn--fiq64b.tw", "xn--fiq64b.tw", "https://xn--fiq64b.tw"),
        ("http://localhost:8080", "localhost", "http://localhost:8080"),
        ("http://studio.localhost:80", "studio.localhost", "http://studio.localhost"),
    ],
)
def test_passkeys_are_for_the_name_and_the_origin(public_url: str, rp_id: str, origin: str) -> None:
    assert party_of(public_url) == Party(rp_id, origin)


@pytest.mark.parametrize(
    "public_url",
    [
        "",
        "http://127.0.0.1:8080",
        "https://127.0.0.1",
        "https://127.1",
        "https://0x7f.1",
        "https://2130706433",
        "https://[::1]:8080",
        "http://pay.merchant.example",
        "http://notlocalhost:8080",
        "http://localhost.merchant.example",
        "https://-a.example",
        "https://a..example",
        "https://a.example.",
        "https://a.example:99999",
    ],
)
def test_they_are_offered_nowhere_else(public_url: str) -> None:
    assert party_of(public_url) is None
