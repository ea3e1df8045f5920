"""What a stolen table of passwords costs to guess: other tests hash with next to no work."""

from importlib.util import find_spec, module_from_spec

from argon2 import extract_parameters
from argon2.low_level import Type


def test_a_guess_takes_argon2id_with_memory_and_time() -> None:
    spec = find_spec("counterfoil.desk.passwords")
    assert spec is not None
    assert spec.loader is not None
    as_it_is = module_from_spec(spec)
    spec.loader.exec_module(as_it_is)
    for stored in (as_it_is._hasher.hash("x"), as_it_is._NOBODY):  # noqa: SLF001 - there is no other way to ask
        asked = extract_parameters(stored)
        assert asked.type is Type.ID
        assert asked.memory_cost >= 64 * 1024, "KiB"
        assert asked.time_cost >= 3
