from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from counterfoil.config import (
    ConfigError,
    DatabaseConfig,
    Secret,
    SignConfig,
    WebConfig,
    WorkConfig,
)

GOOD = "k3Jx9vQ2mZ8rT5wY1nB7cL4hF6gD0sA+"
OTHER = "Zp0oIu7yTr5eWq3aSd1fGh2jKl4zXc6v"

NODE = {"COUNTERFOIL_RPC_OPTIMISM": "http://127.0.0.1:8545"}
WEB = NODE | {"COUNTERFOIL_APPROVAL_SECRET": OTHER}
WORK = NODE | {"COUNTERFOIL_SECRET": GOOD}
SIGN = {"COUNTERFOIL_APPROVAL_SECRET": OTHER, "COUNTERFOIL_SEED_PASSPHRASE": GOOD}

Read = Callable[[Mapping[str, str]], object]


def test_two_secrets_and_a_node_are_enough_to_serve() -> None:
    web = WebConfig.from_env(WEB)

    assert (web.host, web.port, web.approval_secret.reveal()) == ("127.0.0.1", 8080, OTHER)
    assert web.database == DatabaseConfig(None, Path("var/postgres").absolute())
    assert web.chains == ("optimism",)
    assert not web.callback_allow_private


def test_workers_watch_the_chains_that_have_endpoints() -> None:
    endpoints = "http://127.0.0.1:8545, https://arb.example/v2/key,"
    work = WorkConfig.from_env(
        WORK | {"COUNTERFOIL_RPC_ARB": endpoints, "COUNTERFOIL_RPC_BASE": ""}
    )

    assert list(work.chains) == ["arb", "optimism"]
    assert [endpoint.reveal() for endpoint in work.chains["arb"].endpoints] == [
        "http://127.0.0.1:8545",
        "https://arb.example/v2/key",
    ]
    assert work.chains["arb"].poll_seconds == 0.25


@pytest.mark.parametrize("read", [WebConfig.from_env, WorkConfig.from_env])
def test_without_any_node_nothing_starts(read: Read) -> None:
    with pytest.raises(ConfigError, match="no chain is on: set COUNTERFOIL_RPC_ARB or"):
        read(WEB | WORK | {"COUNTERFOIL_RPC_ARB": "", "COUNTERFOIL_RPC_OPTIMISM": " , "})


def test_screeners_are_chosen_by_name() -> None:
    def screeners(text: str) -> tuple[str, ...]:
        return WorkConfig.from_env(WORK | {"COUNTERFOIL_SCREENERS": text}).screeners

    assert (screeners(""), screeners("none")) == (("issuer_freeze",), ())
    with pytest.raises(ConfigError, match="COUNTERFOIL_SCREENERS must be none, or names out of"):
        screeners("issuer_freeze,astrology")


def test_workers_and_signer_read_one_cap_for_a_days_fuel_by_chain() -> None:
    name = "COUNTERFOIL_LIMIT_FUEL_DAY_ETHER_OPTIMISM"
    work, sign = (
        WorkConfig.from_env(WORK | {name: "0.25"}),
        SignConfig.from_env(SIGN | {name: "0.25"}),
    )
    assert work.chains["optimism"].fuel_day_wei == sign.fuel_day_wei["optimism"] == 25 * 10**16
    assert sign.fuel_day_wei["arb"] == 10**18
    for wrong in ("0", "0.09", "1001", "-1", "1e2", "much", "0.1234567890123456789"):
        for read, good in ((WorkConfig.from_env, WORK), (SignConfig.from_env, SIGN)):
            with pytest.raises(ConfigError, match=f"{name} must be a number of ether from 0.1"):
                read(good | {name: wrong})


def test_the_signer_needs_neither_database_nor_chain() -> None:
    sign = SignConfig.from_env(SIGN | {"COUNTERFOIL_VAR_DIR": "/srv/cf"})

    assert sign.signer_socket == Path("/srv/cf/signer/socket")
    assert sign.seed_file == Path("/srv/cf/signer/seed.age")


@pytest.mark.parametrize(
    ("read", "good", "name"),
    [
        (WebConfig.from_env, WEB, "APPROVAL_SECRET"),
        (WorkConfig.from_env, WORK, "SECRET"),
        (SignConfig.from_env, SIGN, "APPROVAL_SECRET"),
        (SignConfig.from_env, SIGN, "SEED_PASSPHRASE"),
    ],
)
@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (None, "is missing: make one with"),
        ("", "is missing"),
        ("   ", "is missing"),
        (GOOD[:31], "is shorter than 32 characters"),
        ("change-me-change-me-change-me-please", "looks like a placeholder"),
        ("this-is-a-very-long-passphrase-of-the-docs", "looks like a placeholder"),
        ("ab" * 20, "looks like a placeholder"),
    ],
)
def test_a_weak_secret_stops_the_process(
    read: Read, good: dict[str, str], name: str, bad: str | None, sentence: str
) -> None:
    variable = f"COUNTERFOIL_{name}"
    environ = {key: value for key, value in good.items() if key != variable}
    if bad is not None:
        environ[variable] = bad

    with pytest.raises(ConfigError, match=f"^{variable} {sentence}"):
        read(environ)


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(GOOD + "\n")
    work = WorkConfig.from_env(NODE | {"COUNTERFOIL_SECRET_FILE": str(file)})
    assert work.secret == Secret(GOOD)

    with pytest.raises(ConfigError, match="COUNTERFOIL_SECRET is set twice"):
        WorkConfig.from_env(WORK | {"COUNTERFOIL_SECRET_FILE": str(file)})
    file.unlink()
    with pytest.raises(ConfigError, match="COUNTERFOIL_SECRET_FILE names a file that cannot be"):
        WorkConfig.from_env(NODE | {"COUNTERFOIL_SECRET_FILE": str(file)})


@pytest.mark.parametrize(
    ("name", "bad", "sentence"),
    [
        ("PORT", "0", "must be a whole number from 1 to 65535"),
        ("PORT", "80a", "must be a whole number"),
        ("PORT", "٨٠٨٠", "must be a whole number"),
        ("DATABASE_URL", "mysql://root:hunter2@db/x", "must be an address that starts with pos"),
        ("RATE_MAX_AGE_SECONDS", "-1", "must be a whole number from 1 to 86400"),
        ("CALLBACK_ALLOW_PRIVATE", "maybe", "must be true or false"),
    ],
)
def test_a_wrong_setting_of_the_web_is_named(name: str, bad: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^COUNTERFOIL_{name} {sentence}") as refusal:
        WebConfig.from_env(WEB | {f"COUNTERFOIL_{name}": bad})
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("bad", ["nan", "0", "-1", "inf", "soon"])
def test_a_pace_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="COUNTERFOIL_POLL_SECONDS_ARB must be a number"):
        WorkConfig.from_env(WORK | {"COUNTERFOIL_POLL_SECONDS_ARB": bad})


def test_nothing_secret_shows() -> None:
    url = "postgresql://cf:hunter2@db/cf"
    environ = (
        WEB
        | WORK
        | SIGN
        | {
            "COUNTERFOIL_DATABASE_URL": url,
            "COUNTERFOIL_RPC_ARB": "https://arb.example/v2/hunter2",
        }
    )
    for shown in (
        repr(WebConfig.from_env(environ)),
        str(WorkConfig.from_env(environ)),
        repr(SignConfig.from_env(environ)),
    ):
        assert not any(text in shown for text in ("hunter2", GOOD, OTHER))


def test_the_public_address_is_where_the_web_listens_unless_it_is_said() -> None:
    def public(**changes: str) -> str:
        return WebConfig.from_env(
            WEB | {f"COUNTERFOIL_{k}": v for k, v in changes.items()}
        ).public_url

    assert public() == "http://127.0.0.1:8080"
    assert public(HOST="::1", PORT="81") == "http://[::1]:81"
    assert public(PUBLIC_URL="https://pay.merchant.example/") == "https://pay.merchant.example"
    for wrong in ("pay.merchant.example", "https://pay.example/here", "https://a@b", "ftp://x"):
        with pytest.raises(ConfigError, match="COUNTERFOIL_PUBLIC_URL must be an address such as"):
            public(PUBLIC_URL=wrong)


def test_proxies_are_counted_and_hosts_are_named() -> None:
    def web(**changes: str) -> WebConfig:
        return WebConfig.from_env(WEB | {f"COUNTERFOIL_{k}": v for k, v in changes.items()})

    assert (web().trusted_proxies, web().allowed_hosts) == (0, ())
    told = web(TRUSTED_PROXIES="2", ALLOWED_HOSTS="inside.example, [::1],")
    assert (told.trusted_proxies, told.allowed_hosts) == (2, ("inside.example", "[::1]"))
    for wrong in ("-1", "10", "all", "1.5"):
        with pytest.raises(ConfigError, match="TRUSTED_PROXIES must be a whole number from 0 to 9"):
            web(TRUSTED_PROXIES=wrong)
    for wrong in ("*", "https://x.example", "x.example:80", "a b", ".x"):
        with pytest.raises(ConfigError, match=r"ALLOWED_HOSTS must be names such as pay\."):
            web(ALLOWED_HOSTS=wrong)
    for everywhere in ("0.0.0.0", "::"):  # noqa: S104 - said, not listened on
        with pytest.raises(ConfigError, match="PUBLIC_URL is missing: HOST listens on every"):
            web(HOST=everywhere)
        assert web(HOST=everywhere, PUBLIC_URL="https://x.example").host == everywhere


def test_the_demo_customer_is_asked_on_this_machine_and_in_sandboxes_only() -> None:
    there = {"COUNTERFOIL_DEMO_CUSTOMER_URL": "http://127.0.0.1:9/pay"}
    sandbox = WEB | {"COUNTERFOIL_SANDBOX": "true"}
    assert WebConfig.from_env(WEB | there).demo_customer_url is None
    assert WebConfig.from_env(sandbox | there).demo_customer_url == "http://127.0.0.1:9/pay"
    with pytest.raises(ConfigError, match="must be an address on this machine"):
        WebConfig.from_env(sandbox | {"COUNTERFOIL_DEMO_CUSTOMER_URL": "http://evil.example/pay"})
