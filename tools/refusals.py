"""The sentences of refusals: people read them on pages, so catalogues have to translate them.

A sentence stands at the call of a refusal, or in a name of the same function, or at the call of
a function of the same module that refuses with what it is given. So do the reasons why a payment
stands still, which pages show as well and some refusals repeat. Values within a sentence
become placeholders, by which `counterfoil.pages.language.told` recognises it again.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PLACES: Final = (
    "core",
    "desk",
    "pages",
    "studio",
    "checkout",
    "providers/demo_customer.py",
    "chains/evm/addresses.py",
    "signer/memory.py",
    "signer/policy.py",
    "workers/adopting.py",
    "workers/earlier.py",
    "workers/evm_moves.py",
    "workers/move.py",
)
"""What raises refusals that pages show, or says why a payment stands still."""

REASONS: Final = {
    "Objection": 0,
    "Bar": 0,
    "NotAdopted": 0,
    "SigningRefused": 0,
    "SignerRefused": 1,
    "Made": 1,
    "_refused_by_chain": 1,
    "LandedItem": 2,
    "Ended": 3,
    "park_signed": 3,
}
"""What a payment is stopped with, and which of its arguments says why."""

REASONING: Final = frozenset({"desk/objections.py"})
"""Where functions that answer ``str | None`` answer why a payment is stopped."""

WAITING: Final = frozenset({"desk/moving.py", "workers/earlier.py"})
"""The same where it only waits, which no page shows."""

EXPLAINING: Final = frozenset({"Floor", "_scored"})
"""What screening says why with, after a code or a score; pages show it as they show refusals."""

_ROOT: Final = "Refusal"

_TOLD_BEFORE: Final = frozenset({"reason", "message", "problem", "explain"})
"""What refusals and reasons are repeated by."""

_FEWEST_LETTERS: Final = 8
"""Fewer letters around its values make no sentence that could be recognised."""

_NAMES: Final = re.compile(r"(?<=%\()\w+(?=\)s)")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def refusal_sentences(package: Path) -> Iterator[tuple[str, int, str, bool]]:
    """File below the package ``counterfoil``, line, sentence, and whether it has placeholders."""
    paths = sorted(path for place in PLACES for path in _files(package / place))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    kinds = _kinds(trees.values())
    same: dict[str, str] = {}
    for path, tree in trees.items():
        functions = [node for node in ast.walk(tree) if isinstance(node, _Function)]
        refusing = {f.name: at for f in functions if (at := _refuses_with(f, kinds)) is not None}
        reasons = str(path.relative_to(package)) in REASONING
        found = {
            (told.lineno, told.col_offset): told
            for function in functions
            for told in (
                *_sentences(function, kinds, refusing),
                *(_answers(function) if reasons else ()),
            )
        }
        for (line, _), told in sorted(found.items()):
            sentence = _written(told)
            if sentence is not None:
                has_values = isinstance(told, ast.JoinedStr)
                # What differs in the names of its values alone is one sentence.
                sentence = same.setdefault(_NAMES.sub("", sentence), sentence)
                yield str(path.relative_to(package)), line, sentence, has_values


def untold(package: Path) -> Iterator[tuple[str, int, str]]:
    """File, line and expression of every refusal whose sentence no catalogue can have.

    Left out is what repeats a refusal or a reason that is told elsewhere.
    """
    paths = sorted(path for place in PLACES for path in _files(package / place))
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    kinds = _kinds(trees.values())
    repeated = {
        function.name
        for path, tree in trees.items()
        if str(path.relative_to(package)) in {*REASONING, *WAITING}
        for function in ast.walk(tree)
        if isinstance(function, _Function) and _is_reasoning(function)
    }
    for path, tree in trees.items():
        functions = [node for node in ast.walk(tree) if isinstance(node, _Function)]
        refusing = {f.name: at for f in functions if (at := _refuses_with(f, kinds)) is not None}
        known = _named(tree)
        for function in functions:
            named = _named(function)
            given = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
            given |= {
                loop.target.id
                for loop in ast.walk(function)
                if isinstance(loop, ast.For) and isinstance(loop.target, ast.Name)
            }
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                for said in _told_by(call, kinds, refusing):
                    values = [said]
                    if isinstance(said, ast.Name):
                        values = named.get(said.id) or known.get(said.id, [said])
                    if not all(_is_told(value, given, repeated) for value in values):
                        yield str(path.relative_to(package)), call.lineno, ast.unparse(said)


def _is_told(value: ast.expr, given: set[str], repeated: set[str]) -> bool:
    """Whether a sentence stands here, or repeats one that is told where it was made."""
    match value:
        case ast.Attribute(attr=name):
            told = name in _TOLD_BEFORE
        case ast.Name(id=name):
            told = name in given
        case ast.Await(value=call):
            told = _is_told(call, given, repeated)
        case ast.BoolOp(values=parts):
            told = all(_is_told(part, given, repeated) for part in parts)
        case ast.Call(func=ast.Name(id=name)):
            told = name in repeated
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join")):
            told = True  # of several refusals
        case ast.Subscript(value=ast.Attribute(attr="fields")):
            told = True
        case _:
            told = bool(list(_texts(value)))
    return told


def _is_reasoning(function: _Function) -> bool:
    return function.returns is not None and ast.unparse(function.returns) == "str | None"


def _answers(function: _Function) -> Iterator[ast.Constant | ast.JoinedStr]:
    """What a function that says why something is stopped may say."""
    if _is_reasoning(function):
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and node.value is not None:
                yield from _texts(node.value)


def _named(tree: ast.AST) -> dict[str, list[ast.expr]]:
    """What names are given to: in a function, or anywhere in a module."""
    named: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name), *_], value=value):
                named.setdefault(name, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                named.setdefault(name, []).append(value)
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                named.setdefault(name, []).append(value)
    return named


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))


def _kinds(trees: Iterable[ast.Module]) -> set[str]:
    """The names of every class of refusals."""
    classes = [n for t in trees for n in ast.walk(t) if isinstance(n, ast.ClassDef)]
    known = {_ROOT}
    while True:
        more = {
            c.name
            for c in classes
            if any(isinstance(base, ast.Name) and base.id in known for base in c.bases)
        }
        if more <= known:
            return known
        known |= more


def _refuses_with(function: _Function, kinds: set[str]) -> int | None:
    """Which of its arguments a function refuses with, if it does."""
    names = [argument.arg for argument in function.args.args]
    for call in ast.walk(function):
        if isinstance(call, ast.Call):
            for told in _told_by(call, kinds, {}):
                if isinstance(told, ast.Name) and told.id in names:
                    return names.index(told.id)
    return None


def _sentences(
    function: _Function, kinds: set[str], refusing: dict[str, int]
) -> Iterator[ast.Constant | ast.JoinedStr]:
    named = _named(function)
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            for told in _told_by(node, kinds, refusing):
                for value in named.get(told.id, []) if isinstance(told, ast.Name) else [told]:
                    for text in _texts(value):
                        yield text
                        yield from _within(text, named)


def _told_by(call: ast.Call, kinds: set[str], refusing: dict[str, int]) -> Iterator[ast.expr]:
    match call:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=given) if (
            name in REASONS
        ):
            yield from given[REASONS[name] : REASONS[name] + 1]
        case ast.Call(func=ast.Name(id=name), args=[message, *_]) if name in kinds:
            yield message
            for keyword in call.keywords:
                if keyword.arg == "fields" and isinstance(keyword.value, ast.Dict):
                    yield from keyword.value.values
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr="field"), args=[_, sentence]
        ) if name in kinds:
            yield sentence
        case ast.Call(func=ast.Name(id=name), args=[_, sentence, *_]) if name in EXPLAINING:
            yield sentence
        case ast.Call(func=ast.Name(id="_not_evaluated"), args=[reason]):
            yield reason
        case ast.Call(func=ast.Name(id=name), args=given) if name in refusing:
            yield from given[refusing[name] : refusing[name] + 1]


def _texts(value: ast.expr) -> Iterator[ast.Constant | ast.JoinedStr]:
    match value:
        case ast.Constant(value=str()) | ast.JoinedStr():
            yield value
        case ast.IfExp():
            yield from _texts(value.body)
            yield from _texts(value.orelse)


def _within(
    told: ast.Constant | ast.JoinedStr, named: dict[str, list[ast.expr]]
) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Clauses that a sentence has from names of its function."""
    for part in told.values if isinstance(told, ast.JoinedStr) else []:
        if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
            for value in named.get(part.value.id, []):
                yield from _texts(value)


def _written(told: ast.Constant | ast.JoinedStr) -> str | None:
    """The sentence as catalogues have it, None where it is hardly one."""
    if isinstance(told, ast.Constant):
        return str(told.value)
    names: list[str] = []
    parts: list[str] = []
    for part in told.values:
        if isinstance(part, ast.FormattedValue):
            words = ["part", *re.findall(r"[A-Za-z_]+", ast.unparse(part.value))]
            name = words[-1].strip("_").lower()
            names.append(name)
            count = names.count(name)
            parts.append(f"%({name if count == 1 else f'{name}_{count}'})s")
        elif isinstance(part, ast.Constant):
            parts.append(str(part.value).replace("%", "%%"))
    letters = sum(map(str.isalpha, "".join(p for p in parts if not p.startswith("%("))))
    return "".join(parts) if letters >= _FEWEST_LETTERS else None
