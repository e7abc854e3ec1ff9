"""Processes at one pool that are killed and stopped, with wrong clocks: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("pool_soak.py")
STORES = {"sqlite": "sqlite:{folder}/pool.db"}
"""The stores that processes can share."""

SHORT = {"processes": 3, "tasks": 60, "kills": 8, "stops": 2, "lease": 0.4, "seed": 1, "seconds": 60}
LONG = {"processes": 8, "tasks": 1_500, "kills": 200, "stops": 40, "lease": 0.6, "seed": 2, "seconds": 600}


def soak(store, folder, how):
    """Run the program, and give back its report."""
    done = subprocess.run(
        [sys.executable, PROGRAM, STORES[store].format(folder=folder), str(folder), json.dumps(how)],
        capture_output=True, text=True, check=False, timeout=how["seconds"] + 60,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr[-4_000:]
    return json.loads(done.stdout)


def check(report, how):
    """None lost, none accepted twice, fences grow, and everything has ended."""
    assert {"done": how["tasks"]} == report["states"]
    for wrong in ("accepted_twice", "fences_given_twice", "accepted_and_lost", "fences_beyond_the_store"):
        assert (wrong, []) == (wrong, report[wrong])
    assert report["done_and_not_said"] <= how["kills"], "only who was killed may not have said what was accepted"
    assert (how["kills"] + how["stops"], 0) == (report["kills_and_stops"], report["left"])
    assert {"0": how["processes"]} == report["ended"], "whoever was not killed ended well"
    assert (how["tasks"], 0) == (report["copies"], report["copies_left"])


@pytest.mark.parametrize("store", STORES)
def test_a_short_soak(store, tmp_path):
    """Three processes, 60 tasks, 8 of them killed and 2 stopped past their lease."""
    check(soak(store, tmp_path, SHORT), SHORT)


def test_a_race_is_found(tmp_path):
    """The same with a pool that reads and then writes: some task is given out twice under one fence."""
    how = {**SHORT, "kills": 0, "stops": 0, "lease": 1.0, "kind": "racy"}

    assert [] != soak("sqlite", tmp_path, how)["fences_given_twice"]


@pytest.mark.soak
@pytest.mark.parametrize("store", STORES)
def test_a_long_soak(store, tmp_path):
    """Eight processes, 1,500 tasks, 200 killed at random moments and 40 stopped past their lease."""
    report = soak(store, tmp_path, LONG)
    print(report)
    check(report, LONG)
