import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from counterfoil.chains.port import Attestation
from simulation.chain import SimulatedChain
from simulation.chaos import FAULTS, Record
from simulation.opinion import Payment
from simulation.parts import Violation
from simulation.report import Report
from simulation.result import Result
from simulation.run import Lines, simulate
from support.fake_clock import NOON, FakeClock
from support.postgres import TestServer

SEEDS = [(3, 9), (4,)]
AT_ONCE = 40
"""Steps in each: what ``make test`` has time for."""
REPLAYED, STEPS = 2, 12
ROOT = Path(__file__).parents[2]


async def run_seeds(urls: tuple[str, str], seeds: tuple[int, ...], steps: int) -> list[Result]:
    lines = await Lines.open(*urls)
    try:
        return [await simulate(seed, lines, steps=steps) for seed in seeds]
    finally:
        await lines.close()


@pytest.fixture
def urls(postgres: TestServer, database_url: str) -> tuple[str, str]:
    return database_url, postgres.as_admin(database_url)


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_whatever_goes_wrong_nothing_is_lost_or_doubled(
    urls: tuple[str, str], seeds: tuple[int, ...]
) -> None:
    report = Report()
    for result in asyncio.run(run_seeds(urls, seeds, AT_ONCE)):
        if result.violation is not None:
            pytest.fail(report.violation(result))
        report.add(result)
    assert report.faults["crash"] > 0
    assert sum(result.checks for result in report.results) > 200


def test_a_seed_takes_the_same_way_again_here_and_in_another_process(
    urls: tuple[str, str],
) -> None:
    # Another seed in between leaves nothing behind that the next one could meet.
    first, _, again = asyncio.run(run_seeds(urls, (REPLAYED, 1, REPLAYED), STEPS))
    asked = ["--first", str(REPLAYED), "--seeds", "1", "--steps", str(STEPS), "--server", *urls]
    elsewhere = subprocess.run(
        [sys.executable, "-m", "simulation", *asked],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests"))),
            "PYTHONHASHSEED": "4711",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )

    assert again.record.digest == first.record.digest
    assert f"seed {REPLAYED} went the way {first.record.digest}" in elsewhere.stdout


def test_a_report_says_what_was_run_and_names_every_fault_and_every_point_never_hit() -> None:
    report, record = Report(), Record()
    record.faults.update({"crash": 3, "reorg": 2, "nodes disagree": 1})
    record.passed.update({"commit desk.act": 9, "port chain.send": 5})
    record.crashed["port chain.send"] = 3
    report.add(Result(7, record, steps=40, checks=4_000, days=1.5))

    lines = report.text().splitlines()
    figures = {line[:19].strip(): line[19:].split() for line in lines[: lines.index("faults")]}
    fell = lines[lines.index("faults") + 1 :]
    named = {line[2:28].strip(): line[28:].strip() for line in fell[: len(FAULTS)]}

    expected = {"seeds": 1, "steps": 40, "crashes": 3, "reorgs": 2, "checks": 4_000}
    assert {name: int(figures[name][0]) for name in expected} == expected
    assert figures["violations"] == ["0"]
    assert figures["crash points"] == ["1", "of", "2", "passed"]
    assert named == dict.fromkeys(FAULTS, "0") | {
        "crash": "3",
        "reorg": "2",
        "nodes disagree": "1",
    }
    assert lines[-4].split(":") == ["crash points that were hit, and how often", " 1"]
    assert lines[-3].split() == ["port", "chain.send", "3"]
    assert lines[-2:] == ["crash points that were passed and never hit: 1", "  commit desk.act"]


async def test_two_nodes_that_disagree_each_speak_for_themselves() -> None:
    chain = SimulatedChain(clock=FakeClock(NOON))
    chain.mine(6)
    paid = chain.pay("0xa", "0xb", 7)
    chain.mine()
    (transfer,) = await chain.transfers(7, 7, ["0xa"], None)
    chain.parts(1, mined=1)
    other = chain.other
    assert other is not None

    (there,) = await other.transfers(7, 7, ["0xa"], None)
    assert there == replace(transfer, block_hash=other.head.hash)
    assert other.head.hash != chain.head.hash
    assert other.head.parent_hash == chain.head.parent_hash
    assert await chain.attestations([transfer, there]) == [
        Attestation(confirms=("a",), denies=("b",)),
        Attestation(confirms=("b",), denies=("a",)),
    ]
    # On the chain it goes on; of the branch nothing is ever final, and it hears of no more.
    chain.mine(6)
    assert (other.head.number, other.final_number) == (7, 3)
    receipt = await chain.receipt(paid.tx_hash)
    assert receipt is not None
    assert await chain.receipt_attestations([receipt]) == [
        Attestation(confirms=("a",), silent=("b",))
    ]
    said = await chain.nonce_by_each(paid.sender, [paid.tx_hash], chain.final_number)
    assert said["a"] is not None
    assert (said["a"].count, said["b"]) == (1, None)


def test_a_surplus_that_arrives_before_its_payout_is_judged_as_it_was_signed_for() -> None:
    dollars = ["arb", "0xa"]
    policy = {
        "dust_below": "0.01",
        "overpay_ratio": "1",
        "underpay_ratio": "1",
        "overpaid": "refund_at_sign_off",
        "several_payers": "accept",
        "confirm_soft_below_usd": 1_000,
    }

    def sentences(*, earlier_units: int, surplus_units: int) -> list[str]:
        earlier, surplus = str(earlier_units), str(surplus_units)
        left = [
            [*dollars, "sweep", "150000000", "150000000", "final", "", False],
            [*dollars, "partial_refund", earlier, earlier, "final", "0xb", False],
            [*dollars, "partial_refund", surplus, surplus, "final", "0xb", True],
            [*dollars, "payout", "100000000", "0", "ready", "0xc", True],
        ]
        due, came = [[*dollars, "100000000", None]], [[*dollars, "150000000", 3, "0xb", "5"]]
        judged = ("an invoice", "payout_processing", "overpaid", 17, "9", policy, "0xc")
        return list(Payment((*judged, "sign_off", {}, True, due, came, left, None)).wrongs())

    assert sentences(earlier_units=1_000_000, surplus_units=49_000_000) == []
    assert len(sentences(earlier_units=2_000_000, surplus_units=49_000_000)) == 2


def test_what_is_found_here_names_the_command_that_finds_it_again() -> None:
    result = Result(SEEDS[0][0], Record(), chosen=AT_ONCE)
    result.violation = Violation("I6", "too much")

    said = Report().violation(result).splitlines()[-1]
    command = said.partition("make ")[2].split()
    planned = subprocess.run(
        ["make", "--dry-run", "--old-file=setup", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert said.endswith(f"make simulate SEED={SEEDS[0][0]} STEPS={AT_ONCE}")
    assert f"--seed {SEEDS[0][0]} --steps {AT_ONCE}" in planned.stdout
    assert Result(17, Record()).replay == "make simulate SEED=17"
