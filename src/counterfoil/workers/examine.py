"""Asks lists and providers about payers, and says what a policy makes of the answers.

Whatever cannot be asked is written down as a failure, and a failure that lasts sends the payment to
a person; nothing is ever taken for clean because somebody was silent (specs/aml.md 0.4).
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog

from counterfoil.core.ids import public
from counterfoil.core.risk import Assessment, Decision, assess
from counterfoil.core.risk_facts import (
    AddressRisk,
    Disposed,
    Factors,
    Hit,
    ProviderFailure,
    Subject,
)
from counterfoil.desk import screening
from counterfoil.desk.desk import Desk
from counterfoil.desk.questions import Payer, Question
from counterfoil.desk.screening import Finding, Listed, Search
from counterfoil.providers.screening.addresses import SearchForm, normalise_address, search_forms
from counterfoil.providers.screening.list_content import ListedAddress, hits_of
from counterfoil.providers.screening.port import (
    AddressQuery,
    AddressScreener,
    ScreeningUnavailable,
)

MAX_PAYERS_ASKED: Final = 25
"""Anybody can send dust from many addresses; beyond these a person looks instead of a provider."""

T = TypeVar("T")

_TRIES: Final = 2
_QUESTIONS_AT_ONCE: Final = 8
_ZERO_ADDRESS: Final = "0x" + "0" * 40
_GRAVITY: Final = {decision: place for place, decision in enumerate(Decision)}

_log = structlog.get_logger(worker="screen")


@dataclass(frozen=True, slots=True)
class _Suspect:
    """One payer with the forms under which lists may know the address."""

    subject: Subject
    forms: tuple[SearchForm, ...]


class Examiner:
    """One process's questions to lists and providers, a few at a time."""

    def __init__(
        self, desk: Desk, providers: Sequence[AddressScreener] = (), *, timeout_seconds: float = 3.0
    ) -> None:
        """Each of ``providers`` is asked about each payer, twice if it must."""
        self._desk = desk
        self._providers = providers
        self._timeout_seconds = timeout_seconds
        self._questions = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    async def search(self, questions: Iterable[Question]) -> Search:
        """What stands on the lists of anybody who is asked about, all in the same versions."""
        asked = list(questions)
        forms = [form for question in asked for form in _forms(question)]
        addresses = {_suspect(p).subject.value or "" for question in asked for p in question.payers}
        return await screening.look_up(
            self._desk, forms, {question.org_id for question in asked}, addresses
        )

    async def finding(self, question: Question, search: Search) -> Finding:
        """Ask about every payer; the gravest answer counts."""
        suspects = _suspects(question)
        answers = await _all(self._ask_all(s, place) for place, s in enumerate(suspects))
        run_id = self._desk.ids.new()
        name = public("scr", run_id)
        assessments = [
            assess(self._factors(question, name, suspect, search, answer), question.policy)
            for suspect, answer in zip(suspects, answers, strict=True)
        ]
        gravest = max(assessments, key=lambda a: (_GRAVITY[a.decision], a.total))
        return Finding(
            run_id=run_id,
            decision=gravest.decision.value,
            sanctioned=any(a.hard_hit for a in assessments),
            total=gravest.total,
            scores=gravest.scores(),
            record=gravest.record() | _others(assessments),
            missing=_missing(assessments),
        )

    def _factors(
        self,
        question: Question,
        run_id: str,
        suspect: _Suspect,
        search: Search,
        answers: Sequence[AddressRisk | ProviderFailure],
    ) -> Factors:
        hits = [hit for form in suspect.forms for hit in _hits(form, search.found)]
        decided = {hit: _decision(question, suspect, hit, search) for hit in hits}
        return Factors(
            run_id=run_id,
            stage="payment_confirmed",
            subject=suspect.subject,
            evaluated_at=self._desk.clock.now(),
            amount_twd=question.amount_twd,
            rate=question.rate,
            lists=search.lists,
            hits=tuple(hit for hit in hits if decided[hit] is None),
            disposed=tuple(
                Disposed(hit.list_code, hit.entry_uid, str(by))
                for hit, by in decided.items()
                if by is not None
            ),
            screenings=tuple(a for a in answers if isinstance(a, AddressRisk)),
            failures=tuple(a for a in answers if isinstance(a, ProviderFailure)),
        )

    async def _ask_all(self, suspect: _Suspect, place: int) -> list[AddressRisk | ProviderFailure]:
        if not suspect.subject.readable:
            return []
        if place >= MAX_PAYERS_ASKED:
            reason = f"not asked: more than {MAX_PAYERS_ASKED} payers"
            return [ProviderFailure(p.code, reason, passes=False) for p in self._providers]
        return await _all(self._ask(p, suspect) for p in self._providers)

    async def _ask(
        self, provider: AddressScreener, suspect: _Suspect
    ) -> AddressRisk | ProviderFailure:
        subject = suspect.subject
        query = AddressQuery(subject.chain or "", subject.family or "", subject.value or "")
        reason = ""
        for _ in range(_TRIES):
            try:
                async with self._questions, asyncio.timeout(self._timeout_seconds):
                    return await provider.screen_address(query)
            except TimeoutError:
                reason = f"no answer within {self._timeout_seconds:g} s"
            except ScreeningUnavailable as problem:
                reason = str(problem)
            except Exception as error:  # noqa: BLE001 - a broken adapter neither hangs nor passes a payment
                _log.exception("provider_failed", provider=provider.code)
                reason = type(error).__name__
        return ProviderFailure(provider.code, reason)


async def _all(asking: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them answer. Nearly always it is but one, which needs no task of its own."""
    questions = list(asking)
    if len(questions) == 1:
        return [await questions[0]]
    return list(await asyncio.gather(*questions))


def _suspects(question: Question) -> list[_Suspect]:
    return [_suspect(payer) for payer in question.payers] or [_Suspect(Subject("address"), ())]


def _forms(question: Question) -> list[tuple[str, str]]:
    """Everything that the lists are searched for on account of a question."""
    suspects = _suspects(question) if question.covers else ()
    return [(form.family, form.address) for suspect in suspects for form in suspect.forms]


@lru_cache(maxsize=1_000)
def _suspect(payer: Payer) -> _Suspect:
    if payer.address == _ZERO_ADDRESS:
        # Newly minted tokens come from nobody.
        return _Suspect(Subject("address", None, payer.chain), ())
    family, address = normalise_address(payer.address)
    return _Suspect(Subject("address", address, payer.chain, family), search_forms(family, address))


def _hits(form: SearchForm, found: Sequence[Listed]) -> list[Hit]:
    same = [r for r in found if (r.family, r.address) == (form.family, form.address)]
    return [
        hit
        for list_code, rows in groupby(
            sorted(same, key=attrgetter("list_code")), attrgetter("list_code")
        )
        for hit in hits_of(list_code, [_listed(form, row) for row in rows], exact=form.exact)
    ]


def _decision(question: Question, suspect: _Suspect, hit: Hit, search: Search) -> UUID | None:
    """By which decision a hit means somebody else, where there is one."""
    payer = suspect.subject.value or ""
    pair = (question.org_id, question.party, payer, hit.fingerprint)
    return search.disposed.get(pair)


def _listed(form: SearchForm, row: Listed) -> ListedAddress:
    return ListedAddress(
        family=form.family,
        address=form.address,
        label=row.label,
        source=row.source,
        entry_uid=row.entry_uid,
        names=tuple(row.names),
        programs=tuple(row.programs),
    )


def _missing(assessments: Sequence[Assessment]) -> str:
    """The answers that were not to be had, where nothing else stands against any of the payers."""
    unclear = [a for a in assessments if a.decision is not Decision.CLEAR]
    if not all(a.undecided for a in unclear):
        return ""
    floors = [f"{floor.code}: {floor.explain}" for a in unclear for floor in a.floors]
    return "; ".join(dict.fromkeys(floors))


def _others(assessments: Sequence[Assessment]) -> dict[str, object]:
    """Where several people paid, what each of them came to."""
    if len(assessments) == 1:
        return {}
    return {
        "subjects": [
            a.factors.subject.record() | {"total": f"{a.total:.2f}", "decision": a.decision.value}
            for a in assessments[:MAX_PAYERS_ASKED]
        ],
        "subject_count": len(assessments),
    }
