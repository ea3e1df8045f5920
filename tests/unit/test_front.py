"""Whose address a request bears, and which names of hosts are ours."""

import pytest

from counterfoil.front import Front, hosts_of, neighbourhood_of

PEER = "10.0.0.9"


def address(proxies: int, *lines: str, peer: str = PEER) -> str:
    headers = [(b"x-forwarded-for", line.encode()) for line in lines]
    return Front(proxies).address(peer, [(b"host", b"x"), *headers])


def test_without_proxies_only_the_peer_counts() -> None:
    assert address(0, "203.0.113.7") == PEER
    assert address(0) == PEER


def test_each_proxy_is_counted_from_the_right() -> None:
    chain = "6.6.6.6, 203.0.113.7, 192.0.2.1"
    assert address(1, chain) == "192.0.2.1"
    assert address(2, chain) == "203.0.113.7"
    assert address(1, "6.6.6.6", "203.0.113.7,192.0.2.1") == "192.0.2.1"
    assert address(2, "6.6.6.6", "203.0.113.7", "192.0.2.1") == "203.0.113.7"
    assert address(3, "192.0.2.1") == "192.0.2.1"
    assert address(1) == PEER


@pytest.mark.parametrize(
    ("told", "means"),
    [
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", PEER),
        ("unknown", PEER),
        ("_hidden", PEER),
        ("192.0.2.256", PEER),
        ("192.0.2.1:x", PEER),
        ("192.0.2.1:123456", PEER),
        ("[192.0.2.1", PEER),
        ("fe80::1%eth0", PEER),
        ("192.0.2.1\x00", PEER),
        ("<script>", PEER),
        ("1" * 5_000, PEER),
        ("6.6.6.6,", PEER),
        ("6.6.6.6,garbage", PEER),
        (",,, ,192.0.2.1", "192.0.2.1"),
    ],
)
def test_what_a_proxy_writes_is_an_address_or_nothing(told: str, means: str) -> None:
    assert address(1, told) == means


def test_a_household_counts_as_one_sender() -> None:
    def counted(text: str) -> str:
        return neighbourhood_of({"client": (text, 0)})  # type: ignore[arg-type]  # only what is read

    assert counted("2001:db8:1:2::1") == counted("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert counted("2001:db8:1:3::1") != counted("2001:db8:1:2::1")
    assert counted("192.0.2.1") == "192.0.2.1"
    assert counted("") == ""


def test_hosts_are_named_without_their_ports() -> None:
    assert hosts_of("https://pay.merchant.example:8443", ["inside"]) == {
        "pay.merchant.example",
        "inside",
    }
    assert hosts_of("http://[::1]:81") == {"[::1]"}
    assert hosts_of("") == frozenset()
