"""Which addresses a merchant may give for callbacks, and the tricks to reach us through them."""

from ipaddress import ip_address

import pytest

from counterfoil.core.callback_url import check_callback_url, may_be_called
from counterfoil.core.errors import Invalid


@pytest.mark.parametrize(
    ("text", "endpoint", "target"),
    [
        ("https://merchant.example", "https://merchant.example:443", "/"),
        ("https://Merchant.Example/cb?a=1&b=%2F", "https://merchant.example:443", "/cb?a=1&b=%2F"),
        ("https://merchant.example:8443/x", "https://merchant.example:8443", "/x"),
        ("https://xn--8pv.example/", "https://xn--8pv.example:443", "/"),
        ("https://8.8.8.8/cb", "https://8.8.8.8:443", "/cb"),
        ("https://[2606:4700::1111]/cb", "https://[2606:4700::1111]:443", "/cb"),
        ("https://hooks_eu.merchant.example/@x", "https://hooks_eu.merchant.example:443", "/@x"),
    ],
)
def test_public_addresses_pass(text: str, endpoint: str, target: str) -> None:
    url = check_callback_url(text)
    assert (url.endpoint, url.target) == (endpoint, target)
    assert url.text == endpoint + target


@pytest.mark.parametrize(
    "text",
    [
        "",
        None,
        7,
        "merchant.example/cb",
        "//merchant.example/cb",
        "https:///cb",
        "https:/merchant.example",
        "ftp://merchant.example/",
        "http://merchant.example/cb",
        "file:///etc/passwd",
        "gopher://merchant.example:443/",
        "javascript:alert(1)",
        "https://merchant.example:80/cb",
        "https://merchant.example:22/cb",
        "https://merchant.example:0/cb",
        "https://merchant.example:99999/cb",
        "https://merchant.example:x/cb",
        "https://user@merchant.example/cb",
        "https://user:pass@merchant.example/cb",
        "https://merchant.example@169.254.169.254/",
        "https://merchant.example\\@10.0.0.1/",
        "https://merchant.example/cb#part",
        "https://10.0.0.1#@merchant.example/",
        "https://merchant.example/a\\b",
        "https://merchant.example/a b",
        "https://merchant.example/\r\nHost: x",
        "https://merchant.example/\t",
        "https://merchant.example/发票",
        "https://mérchant.example/",
        "https://merchant。example/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://merchant.example./cb",
        "https://localhost/cb",
        "https://localhost./cb",
        "https://LOCALHOST/cb",
        "https://db.localhost/cb",
        "https://printer.local/cb",
        "https://metadata.google.internal/",
        "https://intranet/cb",
        "https://-x.example/",
        "https://x..example/",
        "https://%31%30.0.0.1/",
        "https://" + "a" * 64 + ".example/",
        "https://merchant.example/" + "a" * 2048,
    ],
)
def test_malformed_and_tricky_addresses_are_refused(text: object) -> None:
    with pytest.raises(Invalid) as refusal:
        check_callback_url(text)
    assert list(refusal.value.fields) == ["callback_url"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0X7F.1",
        "017700000001",
        "010.0.0.1",
        "127.0.0.1.",
        "0",
        "0.0.0.0",  # noqa: S104 - an address to refuse, not to listen on
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.1.1",
        "192.0.0.9",
        "198.18.0.1",
        "203.0.113.7",
        "224.0.0.1",
        "255.255.255.255",
        "256.1.1.1",
        "1.2.3",
        "merchant.example.1",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:8.8.8.8]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[2001:db8::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[ff02::1]",
        "[::127.0.0.1]",
        "[2606:4700::1111",
        "[merchant.example]",
    ],
)
def test_no_spelling_of_a_private_address_passes(host: str) -> None:
    with pytest.raises(Invalid):
        check_callback_url(f"https://{host}/cb")


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:9000/cb",
        "http://localhost:9000/cb",
        "http://receiver:8080/",
        "https://10.1.2.3/",
        "http://[::1]:9000/cb",
        "http://[fd00::1]/",
    ],
)
def test_a_sandbox_may_call_its_own_machine_and_network(text: str) -> None:
    assert check_callback_url(text, allow_private=True).endpoint.startswith(text[:11])


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104 - an address to refuse, not to listen on
        "224.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
        "[::ffff:127.0.0.1]",
        "2130706433",
    ],
)
def test_a_sandbox_still_keeps_away_from_metadata_and_oddities(host: str) -> None:
    with pytest.raises(Invalid):
        check_callback_url(f"http://{host}/cb", allow_private=True)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1"])
def test_global_unicast_may_be_called(text: str) -> None:
    assert may_be_called(ip_address(text), allow_private=False)
