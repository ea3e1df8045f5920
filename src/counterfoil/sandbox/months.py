"""The sandbox's first start: some months of business, lived through before anybody looks."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Final

import structlog

from counterfoil.core.errors import Refusal
from counterfoil.core.roles import Actor
from counterfoil.desk.members import authenticate
from counterfoil.sandbox.deals import COLLEAGUE, CUSTOMERS, SANCTIONED, SUSPECT, deals
from counterfoil.sandbox.past import Past
from counterfoil.sandbox.people import NEIGHBOUR_NAME, ORG_NAME, Team
from counterfoil.sandbox.places import DemoMember
from counterfoil.sandbox.stories import CAST, Cast, Story, Town

_SEED: Final = 20_260_401
_OPENS: Final = time(1, 0, tzinfo=UTC)
"""Nine in the morning in Taipei."""
_SETTLING_IN: Final = timedelta(hours=6)
_AT_WORK: Final = frozenset({0, 2, 3})
"""Mondays, Wednesdays and Thursdays are the days on which things are done."""

_log: Final = structlog.get_logger("counterfoil.sandbox")


@dataclass(frozen=True, slots=True)
class Months:
    """``days`` of business, the last of them yesterday, in which the invoices of ``cast`` go."""

    today: datetime
    days: int
    cast: Sequence[Cast] = CAST

    @property
    def began_at(self) -> datetime:
        """When everything begins: some hours before the first morning."""
        return self._morning(0) - _SETTLING_IN

    async def live(
        self,
        past: Past,
        team: Team,
        callback_url: str | None,
        tell: Callable[[str], None],
    ) -> list[str]:
        """Live through them; answers what could not happen as told, which should be nothing."""
        town = Town(past, await _people(past, team.members), callback_url, ORG_NAME)
        for customer in (*CUSTOMERS, COLLEAGUE):
            await past.fund_payer(customer.address)
        for address in (SANCTIONED, SUSPECT):
            await past.fund_payer(address)
        diary = self._diary(town)
        problems: list[str] = []
        month = ""
        for day in range(self.days):
            morning = self._morning(day)
            if morning.weekday() not in _AT_WORK and day < self.days - 1:
                diary[day + 1] = [*diary.pop(day, []), *diary[day + 1]]
                continue
            if month not in {"", f"{morning:%B %Y}"}:
                tell(f"{month}: {town.issued} invoices so far")
            month = f"{morning:%B %Y}"
            past.clock.jump(morning)
            await past.open_day()
            while stories := diary.pop(day, []):
                problems += await self._go_on(stories, diary, day)
                await past.settle()
            await past.close_day()
        tell(f"{month}: {town.issued} invoices so far")
        await past.meet_present()
        await past.open_day()
        await _next_door(past, team, callback_url)
        return problems

    async def _go_on(
        self, stories: Sequence[Story], diary: dict[int, list[Story]], day: int
    ) -> list[str]:
        """Let each story act once; it goes on as many days later as it says."""
        problems = []
        for story in stories:
            try:
                waits = await anext(story)
            except StopAsyncIteration:
                continue
            except Refusal as refusal:
                _log.warning("story_ended", day=day, reason=str(refusal))
                problems.append(str(refusal))
                continue
            diary[day + waits].append(story)
        return problems

    def _diary(self, town: Town) -> dict[int, list[Story]]:
        """On which day which story begins."""
        random = Random(_SEED)  # noqa: S311 - the same months every time, not a secret
        sales = deals(random)
        diary: dict[int, list[Story]] = defaultdict(list)
        for cast in self.cast:
            for place in range(cast.times):
                latest = self.days - 1 - cast.days
                # Business grows: more begins later.
                day = latest - place % cast.spread if cast.spread else _grown(random, latest)
                diary[max(day, 0)].append(cast.story(town, next(sales)))
        return diary

    def _morning(self, day: int) -> datetime:
        date = self.today.astimezone(UTC).date() - timedelta(days=self.days - day)
        return datetime.combine(date, _OPENS)


async def _next_door(past: Past, team: Team, callback_url: str | None) -> None:
    """Two invoices of the other organisation, for the reviewer of both."""
    people = await _people(past, team.neighbours)
    studio = Town(past, people, callback_url, NEIGHBOUR_NAME)
    sales = deals(Random(_SEED + 1))  # noqa: S311 - as above
    for _ in range(2):
        await studio.issue(next(sales))


def _grown(random: Random, latest: int) -> int:
    return int(max(latest, 0) * random.random() ** 0.7)


async def _people(past: Past, team: Sequence[DemoMember]) -> Mapping[str, tuple[Actor, ...]]:
    """Who acts, by role."""
    found: dict[str, tuple[Actor, ...]] = {}
    for member in team:
        principal = await authenticate(past.desk, member.api_key)
        if principal is not None:
            for role in member.roles:
                found[role] = (*found.get(role, ()), principal.actor)
    return found
