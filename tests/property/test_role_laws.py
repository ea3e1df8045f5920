"""What no choice of roles can do: let one person make another who decides about money."""

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.roles import DECIDES, ROLES, Permission, permissions_of, roles_that_wait

SOME = st.frozensets(st.sampled_from(sorted(ROLES)))


@given(held=SOME, wanted=SOME, giver=SOME)
def test_nobody_decides_at_once_what_they_did_not_before(
    held: frozenset[str], wanted: frozenset[str], giver: frozenset[str]
) -> None:
    waits = roles_that_wait(held, wanted, permissions_of(giver))
    gained = permissions_of(wanted - waits) - permissions_of(held)
    assert not gained & DECIDES
    # Maker and checker: who checks makes no maker at once.
    assert not (Permission.CREATE in gained and Permission.APPROVE in permissions_of(giver))


@given(held=SOME, wanted=SOME, giver=SOME)
def test_nothing_waits_that_is_held_and_the_rest_is_easy(
    held: frozenset[str], wanted: frozenset[str], giver: frozenset[str]
) -> None:
    waits = roles_that_wait(held, wanted, permissions_of(giver))
    assert waits <= wanted - held
    assert "auditor" not in waits
    assert "finance" not in waits or "reviewer" in giver


def test_each_role_that_decides_is_known_by_what_it_may() -> None:
    guarded = {"reviewer", "signer", "compliance", "administrator"}
    assert roles_that_wait((), ROLES, frozenset()) == guarded
