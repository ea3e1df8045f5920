"""Screens payments: lists and providers are asked about every payer, and the gravest answer counts.

Whatever cannot be asked is written down as a failure, and a failure that lasts sends the payment to
a person; nothing is ever taken for clean because somebody was silent (specs/aml.md 0.4).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, TypeVar

import structlog

from counterfoil.core.ids import public
from counterfoil.core.risk import Assessment, Decision, assess
from counterfoil.core.risk_facts import (
    AddressRisk,
    Factors,
    Hit,
    ProviderFailure,
    Subject,
)
from counterfoil.desk import screening, verdicts
from counterfoil.desk.desk import Desk
from counterfoil.desk.screening import Case, Claim, Finding, Listed, Payer, Search
from counterfoil.providers.screening.addresses import SearchForm, normalise_address, search_forms
from counterfoil.providers.screening.list_content import ListedAddress, hits_of
from counterfoil.providers.screening.port import (
    AddressQuery,
    AddressScreener,
    ScreeningUnavailable,
)
from counterfoil.workers.runner import quietly

MAX_PAYERS_ASKED: Final = 25
"""Anybody can send dust from many addresses; beyond these a person looks instead of a provider."""

T = TypeVar("T")

_TRIES: Final = 2
_QUESTIONS_AT_ONCE: Final = 8
_ZERO_ADDRESS: Final = "0x" + "0" * 40
_GATHERING_SECONDS: Final = 0.01
_GRAVITY: Final = {decision: place for place, decision in enumerate(Decision)}

_log = structlog.get_logger(worker="screen")


@dataclass(frozen=True, slots=True)
class _Suspect:
    """One payer with the forms under which lists may know the address."""

    subject: Subject
    forms: tuple[SearchForm, ...]


_Answered = tuple[Case, asyncio.Task[Finding | None]]


class Screener:
    """Claims cases and concludes them, several at once."""

    def __init__(  # noqa: PLR0913 - what a process hands to this worker
        self,
        desk: Desk,
        providers: Sequence[AddressScreener] = (),
        *,
        timeout_seconds: float = 3.0,
        at_once: int = 64,
        lease_seconds: float = 120.0,
        patience_seconds: float = 300.0,
        concluded: Callable[[], None] = quietly,
    ) -> None:
        """Each of ``providers`` is asked about each payer, twice if it must.

        Where answers are missing then, all are asked again for ``patience_seconds`` before the
        money is held. ``concluded`` is called after each transaction that concluded any.
        """
        self._desk = desk
        self._concluded = concluded
        self._providers = providers
        self._timeout_seconds = timeout_seconds
        self._at_once = at_once
        self._lease_seconds = lease_seconds
        self._patience_seconds = patience_seconds
        self._questions = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    async def step(self) -> int:
        """Screen whatever is due; answers how many cases that were."""
        claims = await screening.claim(
            self._desk, limit=self._at_once, lease_seconds=self._lease_seconds
        )
        if not claims:
            return 0
        cases = await self._cases(claims)
        search = await screening.look_up(
            self._desk, [form for case in cases for form in _forms(case)]
        )
        asking = {asyncio.create_task(self._found(case, search)): case for case in cases}
        waiting = set(asking)
        try:
            while waiting:
                # Whoever has an answer is concluded with those who have theirs by then, and waits
                # for nobody whose provider is slow.
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                answered, waiting = await asyncio.wait(waiting, timeout=_GATHERING_SECONDS)
                await self._finish([(asking[task], task) for task in answered])
        finally:
            for task in waiting:
                task.cancel()
        return len(claims)

    async def _cases(self, claims: Sequence[Claim]) -> list[Case]:
        """The cases that can be read: one that is broken must not stop the others."""
        try:
            return await screening.cases_of(self._desk, claims)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is kept to one case
            if len(claims) == 1:
                await self._broken(claims[0], error)
                return []
        return [case for claim in claims for case in await self._cases([claim])]

    async def _found(self, case: Case, search: Search) -> Finding | None:
        return await self._finding(case, search) if case.covers else None

    async def _finish(self, answered: Sequence[_Answered]) -> None:
        """Conclude what was found, and put off what was not to be found."""
        found: list[verdicts.Found] = []
        for case, task in answered:
            try:
                finding = task.result()
            except Exception as error:  # noqa: BLE001 - one case we cannot finish must not stop the others
                await self._broken(case.effect, error)
            else:
                if not await self._waits(case, finding):
                    found.append((case, finding))
        if not found:
            return
        outcomes: Sequence[verdicts.Outcome]
        try:
            outcomes = await verdicts.conclude_all(self._desk, found)
        except Exception as error:  # noqa: BLE001 - nobody's fault; each is tried again by itself
            outcomes = [error] * len(found)
        self._concluded()
        for (case, finding), outcome in zip(found, outcomes, strict=True):
            if isinstance(outcome, Exception):
                await self._broken(case.effect, outcome)
                continue
            # A clean one stands in the invoice's own log.
            log = _log.debug if outcome and _is_clear(finding) else _log.info
            log(
                "screened" if outcome else "screening_lease_lost",
                invoice_id=str(case.effect.invoice_id),
                decision=finding.decision if finding else None,
            )

    async def _waits(self, case: Case, finding: Finding | None) -> bool:
        """Ask again later where answers are missing and may still come."""
        if finding is None or not finding.missing:
            return False
        wait_seconds = screening.seconds_to_wait(case, self._patience_seconds)
        if wait_seconds is None:
            return False
        _log.warning(
            "screening_lacks_answers", invoice_id=str(case.effect.invoice_id), why=finding.missing
        )
        await screening.give_back(self._desk, case.effect, finding.missing, wait_seconds)
        return True

    async def _broken(self, claim: Claim, error: Exception) -> None:
        _log.error(
            "screening_failed",
            org_id=claim.org_id,
            invoice_id=str(claim.invoice_id),
            exc_info=error,
        )
        await screening.give_back(self._desk, claim, f"{type(error).__name__}: {error}")

    async def _finding(self, case: Case, search: Search) -> Finding:
        suspects = _suspects(case)
        answers = await _all(self._ask_all(s, place) for place, s in enumerate(suspects))
        run_id = self._desk.ids.new()
        assessments = [
            assess(self._factors(case, public("scr", run_id), suspect, search, answer), case.policy)
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
        case: Case,
        run_id: str,
        suspect: _Suspect,
        search: Search,
        answers: Sequence[AddressRisk | ProviderFailure],
    ) -> Factors:
        return Factors(
            run_id=run_id,
            stage="payment_confirmed",
            subject=suspect.subject,
            evaluated_at=self._desk.clock.now(),
            amount_twd=case.amount_twd,
            rate=case.rate,
            lists=search.lists,
            hits=tuple(hit for form in suspect.forms for hit in _hits(form, search.found)),
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


def _is_clear(finding: Finding | None) -> bool:
    return finding is None or finding.decision == Decision.CLEAR.value


def _suspects(case: Case) -> list[_Suspect]:
    return [_suspect(payer) for payer in case.payers] or [_Suspect(Subject("address"), ())]


def _forms(case: Case) -> list[tuple[str, str]]:
    """Everything that the lists are searched for on account of a case."""
    suspects = _suspects(case) if case.covers else ()
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
