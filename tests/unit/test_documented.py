"""The lifecycle's table and its words on the wire, against copies that were written by hand."""

from itertools import product

from counterfoil.api.kryptogo.callbacks import tells
from counterfoil.api.kryptogo.status import intent_status, invoice_status
from counterfoil.core.invoice import Context, Status
from counterfoil.core.lifecycle import LIFECYCLE, command_name
from support.documented import BESIDE, SPECIFIED, WAYS, words

STANDINGS = list(product(Status, (None, *Context)))


def _in_the_program() -> set[tuple[str, str, str]]:
    return {(was.value, command_name(on), to.value) for was, on, _, tos in LIFECYCLE for to in tos}


def test_the_program_can_go_every_way_that_is_documented() -> None:
    assert WAYS - _in_the_program() == set()


def test_and_no_other() -> None:
    assert _in_the_program() - WAYS == set()


def test_what_is_beside_the_table_is_not_in_it() -> None:
    assert {why for why, ways in BESIDE.items() if ways <= SPECIFIED} == set()


def test_every_standing_has_its_words_on_the_wire() -> None:
    said = {one: (invoice_status(*one), intent_status(*one)) for one in STANDINGS}
    assert said == {(status, context): words(status, context) for status, context in STANDINGS}


def test_merchants_are_told_of_each_change_of_the_intent_and_of_no_other() -> None:
    wrong = [
        (before, after)
        for before, after in product(STANDINGS, STANDINGS)
        if tells(before, after) != (words(*before)[1] != words(*after)[1])
    ]
    assert wrong == []
    assert not any(tells(None, after) for after in STANDINGS)
