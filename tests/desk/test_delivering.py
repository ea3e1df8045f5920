"""Callbacks from the outbox to a merchant's real receiver, through good and bad hours."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest

from counterfoil.api.kryptogo.callbacks import KryptogoCallbacks
from counterfoil.books import outbox
from counterfoil.core.errors import Conflict, Forbidden, NotFound
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor
from counterfoil.core.secrets import callback_secret, shown_callback_secret
from counterfoil.db.pool import Database
from counterfoil.desk import delivering
from counterfoil.desk.delivering import Delivery, Letter
from counterfoil.workers.notify import Limits, Notifier
from support.bench import MASTER, Bench, opened, work
from support.office import FINANCE, officer_of
from support.patience import patiently

SECRET = shown_callback_secret(callback_secret(MASTER, 1, 1))
STEPS = (
    (Status.APPROVAL_PENDING, Status.AWAITING_PAYMENT),
    (Status.AWAITING_PAYMENT, Status.PAYMENT_DETECTED),
    (Status.PAYMENT_DETECTED, Status.SCREENING),
    (Status.SCREENING, Status.COMPLIANCE_HOLD),
    (Status.COMPLIANCE_HOLD, Status.SIGN_PENDING),
    (Status.SIGN_PENDING, Status.SWEEPING),
)
"""A life of six events, of which three change the payment intent: pending, held, success."""
TOLD = ["pending", "aml_hold", "success"]


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    async with opened(database) as bench:
        yield bench


async def live(bench: Bench, url: str, bill: Invoice) -> list[UUID]:
    """Leave the events of a whole life."""
    return [
        await bench.office.tells(url, invoice_id=bill.invoice_id, sequence=sequence, change=change)
        for sequence, change in enumerate(STEPS, start=2)
    ]


async def test_a_change_is_told_once_with_every_signature_right(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    await live(bench, inbox.url, bill)

    await work(await bench.notifier())

    assert [r.body["status"] for r in inbox.received] == TOLD
    assert [r.body["sequence"] for r in inbox.received] == [2, 5, 6]
    assert all(r.is_genuine(SECRET) for r in inbox.received)
    assert not any(r.is_genuine(shown_callback_secret(b"x" * 32)) for r in inbox.received)
    assert inbox.received[0].headers["Content-Type"] == "application/json"
    assert [told.event.status for told in await bench.log(bill)] == ["delivered"] * 3


async def test_a_receiver_that_refuses_twice_gets_the_same_message_again(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    inbox.refuses(times=2, status=503)
    event_id = await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    notifier = await bench.notifier()

    await work(notifier)
    assert len(inbox.received) == 1
    bench.clock.advance(timedelta(seconds=4))
    await work(notifier)
    assert len(inbox.received) == 1, "the first retry comes after five seconds"
    bench.clock.advance(timedelta(seconds=1))
    await work(notifier)
    bench.clock.advance(timedelta(minutes=5))
    await work(notifier)

    first, second, third = inbox.received
    assert first.webhook_id == second.webhook_id == third.webhook_id == f"evt_{event_id.hex}"
    assert all(r.is_genuine(SECRET) for r in inbox.received)
    assert [r.body["timestamp"] - first.body["timestamp"] for r in inbox.received] == [0, 5, 305]
    (told,) = await bench.log(bill)
    assert told.event.status == "delivered"
    assert [(a.attempt, a.status_code) for a in told.attempts] == [(1, 503), (2, 503), (3, 200)]


async def test_the_statement_is_fixed_by_the_first_attempt(bench: Bench) -> None:
    class Forgetful(KryptogoCallbacks):
        """A later release that words everything differently."""

        def write(self, delivery: Delivery) -> bytes | None:
            del delivery
            return b'{"status":"something else"}'

    inbox = await bench.inbox()
    inbox.refuses()
    await bench.office.tells(inbox.url)
    await work(await bench.notifier())
    bench.clock.advance(timedelta(seconds=5))
    await work(await bench.notifier(forms={"kryptogo": Forgetful()}))

    assert [r.body["status"] for r in inbox.received] == ["pending", "pending"]


async def test_a_dead_receiver_is_tried_for_three_days_and_then_parked(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    inbox.always_refuses()
    await live(bench, inbox.url, bill)
    notifier = await bench.notifier()
    await work(notifier)
    for wait in delivering.RETRY_AFTER:
        assert len({r.webhook_id for r in inbox.received}) == 1, "the others wait for their turn"
        bench.clock.advance(wait)
        await work(notifier)

    parked, *_ = await bench.log(bill)
    assert sum(delivering.RETRY_AFTER, timedelta()) > timedelta(hours=75)
    assert (parked.event.status, len(parked.attempts)) == ("parked", 10)
    inbox.accepts()
    bench.clock.advance(timedelta(seconds=5))
    await work(notifier)
    assert [r.body["status"] for r in inbox.received[-2:]] == TOLD[1:]
    statuses = [told.event.status for told in await bench.log(bill)]
    assert statuses == ["parked", "delivered", "delivered"]


async def test_a_parked_message_is_delivered_again_when_somebody_asks(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    inbox.refuses(status=410)
    event_id = await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    notifier = await bench.notifier()
    await work(notifier)
    assert (await bench.log(bill))[0].event.status == "parked", "410 says: never again"

    await delivering.redeliver(bench.desk, event_id, FINANCE)
    await work(notifier)

    (told,) = await bench.log(bill)
    assert (told.event.status, len(told.attempts)) == ("delivered", 2)
    assert inbox.received[0].webhook_id == inbox.received[1].webhook_id


async def test_asking_again_is_one_attempt_that_holds_nothing_up(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    first, *_ = await live(bench, inbox.url, bill)
    notifier = await bench.notifier()
    await work(notifier)

    inbox.refuses()
    await delivering.redeliver(bench.desk, first, FINANCE)
    later = await bench.office.tells(
        inbox.url,
        invoice_id=bill.invoice_id,
        sequence=9,
        change=(Status.SIGN_PENDING, Status.REFUND_PENDING),
    )
    await work(notifier)

    told = {t.event.event_id: t for t in await bench.log(bill)}
    assert told[first].event.status == "parked"
    assert told[later].event.status == "delivered"


async def test_only_what_was_told_can_be_asked_for_again(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    inbox.refuses()
    told, quiet, *_ = await live(bench, inbox.url, bill)
    notifier = await bench.notifier()
    await work(notifier)

    with pytest.raises(Conflict, match="2026-06-22T12:00:05Z"):
        await delivering.redeliver(bench.desk, told, FINANCE)
    bench.clock.advance(timedelta(seconds=5))
    await work(notifier)
    for event_id, by in ((quiet, FINANCE), (bill.invoice_id, FINANCE), (told, officer_of(2))):
        with pytest.raises(NotFound):
            await delivering.redeliver(bench.desk, event_id, by)
    with pytest.raises(Forbidden):
        await delivering.redeliver(bench.desk, told, Actor("user_x", 1, frozenset()))
    with pytest.raises(NotFound):
        await delivering.of_invoice(bench.desk, bill.invoice_id, officer_of(2))


async def test_two_workers_keep_each_invoices_order(bench: Bench) -> None:
    inbox = await bench.inbox()
    bills = [await bench.bill(number) for number in range(6)]
    for bill in bills:
        await live(bench, inbox.at(f"/{bill.invoice_id}"), bill)
    workers = [await bench.notifier() for _ in range(2)]

    async def drive(notifier: Notifier) -> None:
        async with patiently("all messages"):
            while len(inbox.received) < len(bills) * len(TOLD):
                await notifier.step()
                await asyncio.sleep(0)

    await asyncio.gather(*map(drive, workers))
    for worker in workers:
        await worker.settle()

    for bill in bills:
        heard = [r.body["status"] for r in inbox.received if r.path == f"/{bill.invoice_id}"]
        assert heard == TOLD


async def test_one_invoice_never_has_two_messages_on_their_way(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    inbox.hangs()
    for sequence in (2, 3):
        await bench.office.tells(inbox.url, invoice_id=bill.invoice_id, sequence=sequence)
    first, second = await bench.notifier(), await bench.notifier()

    assert [await first.step(), await second.step(), await first.step()] == [1, 0, 0]


async def test_no_answer_in_time_is_a_failure(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    inbox.hangs()
    await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    await work(await bench.notifier(limits=Limits(timeout_seconds=0.2)))

    (told,) = await bench.log(bill)
    assert [a.error for a in told.attempts] == ["no answer within 0.2 s"]
    assert told.event.status == "pending"


async def test_an_answer_without_end_is_not_read(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    inbox.answers_without_end()
    await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    await work(await bench.notifier())

    assert (await bench.log(bill))[0].event.status == "delivered"


async def test_a_redirect_is_a_failure_and_nobody_follows_it(bench: Bench) -> None:
    inbox, elsewhere, bill = await bench.inbox(), await bench.inbox(), await bench.bill()
    inbox.redirects_to(elsewhere.url)
    await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    await work(await bench.notifier())

    assert not elsewhere.received
    (told,) = await bench.log(bill)
    assert [a.status_code for a in told.attempts] == [302]
    assert told.event.status == "pending"


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("3600", timedelta(hours=1)),
        ("1", timedelta(seconds=5)),
        ("99999999999999999999", timedelta(hours=24)),
        ("soon", timedelta(seconds=5)),
        ("-7", timedelta(seconds=5)),
        ("date", timedelta(minutes=10)),
        ("Mon, 99 Foo 2026", timedelta(seconds=5)),
    ],
)
async def test_a_busy_receiver_says_when_to_come_back(
    bench: Bench, asked: str, granted: timedelta
) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    now: datetime = bench.clock.now()
    date = format_datetime(now + timedelta(minutes=10), usegmt=True)
    inbox.refuses(status=429, Retry_After=date if asked == "date" else asked)
    await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    await work(await bench.notifier())

    assert (await bench.log(bill))[0].event.due_at == now + granted


async def test_a_worker_that_lost_its_lease_changes_nothing(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    await bench.office.tells(inbox.url, invoice_id=bill.invoice_id)
    slept, awake = await _claim(bench), await bench.notifier()
    bench.clock.advance(timedelta(seconds=61))
    await work(awake)
    before = await bench.log(bill)

    reply = delivering.Reply(500, None, 10)
    attempt = delivering.Attempt(slept, b"{}", reply, jitter=0)
    assert await delivering.attempted(bench.desk, [attempt]) == [False]
    assert await bench.log(bill) == before
    assert before[0].event.status == "delivered"


async def test_what_a_crashed_worker_held_is_sent_by_another(bench: Bench) -> None:
    inbox = await bench.inbox()
    await bench.office.tells(inbox.url)
    await _claim(bench)
    other = await bench.notifier()

    await work(other)
    assert not inbox.received
    bench.clock.advance(timedelta(seconds=60))
    await work(other)
    assert len(inbox.received) == 1


async def test_a_message_that_cannot_be_worded_stops_no_other(bench: Bench) -> None:
    class Broken:
        def write(self, delivery: Delivery) -> bytes | None:
            if delivery.sequence == 7:
                raise ZeroDivisionError
            return b"{}"

        def stamp(self, body: bytes, secret: bytes, at: datetime) -> Letter:
            del secret, at
            return Letter(body, {})

    inbox, bill = await bench.inbox(), await bench.bill()
    await bench.office.tells(inbox.url, invoice_id=bill.invoice_id, sequence=7)
    await bench.office.tells(inbox.url)
    await work(await bench.notifier(forms={"kryptogo": Broken()}))

    assert len(inbox.received) == 1
    (told,) = await bench.log(bill)
    assert told.event.status == "pending"
    assert "our fault" in str(told.attempts[0].error)


# ------------------------------------------------------------------- requests forged through us


class Names:
    """A name server in the hands of an attacker: each lookup gets the next answer."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["93.184.215.14", "127.0.0.1"],
        ["2606:4700::1111", "::1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1%eth0"],
        [],
        OSError("SERVFAIL"),
    ],
)
async def test_a_name_that_leads_to_us_is_not_called(
    bench: Bench, answer: list[str] | OSError
) -> None:
    bill, names = await bench.bill(), Names(answer)
    await bench.office.tells("https://hooks.example/cb", invoice_id=bill.invoice_id)
    await work(await bench.notifier(allow_private=False, lookup=names))

    (told,) = await bench.log(bill)
    assert [a.error for a in told.attempts] == ["the host does not lead to public addresses"]
    assert names.asked == ["hooks.example"]


async def test_a_name_is_looked_up_once_and_that_address_is_called(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    inbox.refuses(status=200, Connection="close")
    rebinding = Names(["127.0.0.1"], ["169.254.169.254"])
    url = inbox.at("/cb?x=%2F&y=a+b", host="hooks.example")
    await bench.office.tells(url, invoice_id=bill.invoice_id)
    notifier = await bench.notifier(lookup=rebinding)
    await work(notifier)

    assert rebinding.asked == ["hooks.example"]
    assert inbox.received[0].headers["Host"] == f"hooks.example:{inbox.port}"

    await bench.office.tells(url, invoice_id=bill.invoice_id, sequence=3)
    await work(notifier)
    assert len(inbox.received) == 1, "each connection looks up and checks anew"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "what an earlier release let through",
    ],
)
async def test_what_was_allowed_once_is_checked_again_when_it_is_sent(
    bench: Bench, url: str
) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    await bench.office.tells(url.format(port=inbox.port), invoice_id=bill.invoice_id)
    await work(await bench.notifier(allow_private=False))

    assert not inbox.received
    (told,) = await bench.log(bill)
    assert str(told.attempts[0].error).startswith("callback_url: must")


async def test_no_proxy_is_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, proxy = await bench.inbox(), await bench.inbox()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.at("/"))
    await bench.office.tells(inbox.url)
    await work(await bench.notifier())

    assert (len(inbox.received), len(proxy.received)) == (1, 0)


async def test_a_receiver_without_tls_is_reported_plainly(bench: Bench) -> None:
    inbox, bill = await bench.inbox(), await bench.bill()
    url = inbox.url.replace("http://", "https://")
    await bench.office.tells(url, invoice_id=bill.invoice_id)
    await work(await bench.notifier())

    (told,) = await bench.log(bill)
    assert "no secure connection" in str(told.attempts[0].error)


async def _claim(bench: Bench) -> Delivery:
    (claimed,) = await bench.claims()
    assert isinstance(claimed, outbox.ClaimedEvent)
    return claimed
