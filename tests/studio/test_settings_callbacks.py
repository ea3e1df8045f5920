"""Settings: the signing secret of callbacks, their receivers, and test messages."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from counterfoil.app import WebSettings
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.secrets import callback_secret, shown_callback_secret
from counterfoil.db.pool import Database
from counterfoil.desk import callbacks, org_log
from counterfoil.worker import CALLBACK_FORMS
from counterfoil.workers.notify import Notifier
from counterfoil.workers.outward import callback_session
from support.inbox import Inbox
from support.patience import patiently
from support.site import PASSWORD, Site, open_site
from support.visitor import Visitor

CALLBACKS = "/studio/settings/callbacks"
MASTER = b"master secret of this installation"
READER = Actor("user_test", 1, frozenset({Permission.AUDIT}))


@pytest.fixture
async def site(database: Database) -> AsyncIterator[Site]:
    settings = WebSettings(allow_private_callbacks=True, callback_master=MASTER)
    async with open_site(database, settings) as site:
        yield site


async def deliver(site: Site) -> None:
    """The worker sends what is due."""
    async with callback_session(allow_private=True) as session:
        notifier = Notifier(site.desk, CALLBACK_FORMS, session, MASTER, allow_private=True)
        async with patiently("a notifier that rests"):
            while await notifier.step():
                await notifier.settle()


async def events(site: Site) -> list[str]:
    return [entry.event for entry, _ in (await org_log.history(site.desk, READER)).entries]


async def test_a_test_goes_through_the_outbox_and_shows_what_came_back(
    site: Site, anna: Visitor
) -> None:
    async with Inbox().open() as inbox:
        asked = await anna.send(f"{CALLBACKS}/test", {"callback_url": inbox.url})
        assert "on its way" in asked.words
        assert inbox.received == []
        await deliver(site)
        (letter,) = inbox.received
        assert letter.body["type"] == "callback.test"
        assert letter.body["id"] in (await anna.open(CALLBACKS)).words
        assert letter.is_genuine(shown_callback_secret(callback_secret(MASTER, 1, 1)))
        page = await anna.open(CALLBACKS)
        assert "HTTP 200" in page.words
        assert "100 %" in page.words
        inbox.always_refuses(500)
        await anna.send(f"{CALLBACKS}/test", {"callback_url": inbox.url})
        for _ in range(2):
            await deliver(site)
            site.clock.advance(timedelta(days=1))
        assert len(inbox.received) == 2
    anna = await site.at_the_pages("anna1@merchant.example")
    page = await anna.open(CALLBACKS)
    assert "HTTP 500" in page.words
    assert "50 %" in page.words
    assert await events(site) == ["callback_tested"] * 2


async def test_a_test_goes_nowhere_that_callbacks_may_not_go(site: Site, anna: Visitor) -> None:
    site.app.state.studio = replace(site.app.state.studio, allow_private_callbacks=False)
    for url in ("http://127.0.0.1/", "https://169.254.169.254/x", "file:///etc/passwd", ""):
        refused = await anna.send(f"{CALLBACKS}/test", {"callback_url": url})
        assert refused.status == 422
        assert "must" in refused.words
    hook = "https://merchant.example/hook"
    for _ in range(callbacks.TESTS_AN_HOUR):
        actor = replace(READER, permissions=frozenset({Permission.ADMINISTER}))
        await callbacks.test(site.desk, hook, actor, allow_private=False)
    assert (await anna.send(f"{CALLBACKS}/test", {"callback_url": hook})).status == 409


async def test_the_secret_is_shown_to_who_proves_themselves_and_replaced(
    site: Site, anna: Visitor
) -> None:
    assert "whsec_" not in (await anna.open(CALLBACKS)).text
    shown = await anna.send(f"{CALLBACKS}/secret")
    assert shown_callback_secret(callback_secret(MASTER, 1, 1)) in shown.words
    replaced = await anna.send(f"{CALLBACKS}/rotate")
    assert "Version 2 is in use" in replaced.words
    shown = await anna.send(f"{CALLBACKS}/secret")
    assert shown_callback_secret(callback_secret(MASTER, 1, 2)) in shown.words
    site.clock.advance(timedelta(minutes=11))
    for path in ("secret", "rotate", "test"):
        refused = await anna.send(f"{CALLBACKS}/{path}", {"callback_url": "https://a.example/"})
        assert refused.status == 403
        assert "whsec_" not in refused.text
    again = await anna.send(f"{CALLBACKS}/secret", {"proof": PASSWORD})
    assert "whsec_" in again.text
    shown_twice = ["secret_shown", "secret_rotated", "secret_shown", "secret_shown"]
    assert await events(site) == shown_twice


async def test_without_the_master_secret_the_command_line_is_named(
    site: Site, anna: Visitor
) -> None:
    site.app.state.studio = replace(site.app.state.studio, callback_master=None)
    assert "counterfoil org callback-secret" in (await anna.open(CALLBACKS)).words
    refused = await anna.send(f"{CALLBACKS}/secret")
    assert refused.status == 503
    assert await events(site) == []


async def test_the_forms_say_what_is_told_and_what_is_not(site: Site, anna: Visitor) -> None:
    maya = await site.at_the_pages("maya1@merchant.example")
    for page in (await anna.open(CALLBACKS), await maya.open("/studio/invoices/new")):
        assert "is refunded or cancelled. Collecting and paying out are not told." in page.words
        assert "Every change" not in page.words


async def test_callbacks_are_for_administrators_alone(site: Site, anna: Visitor) -> None:
    del anna
    for name in ("maya", "rita", "sam", "otto", "ada"):
        visitor = await site.at_the_pages(f"{name}1@merchant.example")
        assert (await visitor.open(CALLBACKS)).status == 403
        token = (await visitor.open("/studio")).form_token
        for path in ("secret", "rotate", "test"):
            refused = await visitor.send(f"{CALLBACKS}/{path}", token=token)
            assert refused.status == 403
            assert not re.search("whsec_", refused.text)
    assert await events(site) == []
