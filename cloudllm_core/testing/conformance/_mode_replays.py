"""Claims about a mode's journal: it tells the whole run, to any process."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
from typing import Any

import attrs
import pytest

from ..._contracts import Mode
from ..._events import UnknownEvent
from ..._journal import load_records
from ..._run import RunResult
from .._virtual import Faults, Simulation
from ._chance import dice_of
from ._mode_cast import CALLS, Casting, Keeper, Say, babble

CODE = "from cloudllm_core.testing._reenact import main; main()"


def comparable(result: RunResult) -> dict[str, Any]:
    return {key: value for key, value in result.to_json().items() if key not in ("sessions_kept", "sinks")}


class ModeReplays(Casting):
    """A run is re-enacted from its records, without asking anybody anything."""

    @pytest.mark.parametrize("seed", range(12))
    def test_replays_to_identical_records(self, mode: Mode, seed: int) -> None:
        """Every record comes again, in every order of arrival, with failures and after a cancellation too."""
        run, journal = self.recorded(mode, seed)
        team = self.team(mode, max(self.sizes()), nobody)

        again = asyncio.run(team.replay(load_records(tuple(line.rstrip(b"\n") for line in journal.lines), "journal")))

        assert comparable(run.result) == comparable(again)

    def recorded(self, mode: Mode, seed: int) -> tuple[Simulation, Keeper]:
        """A run and its journal: plain for the first seeds, then with all that chance brings."""
        dice, journal = dice_of(f"replay {seed}"), Keeper()
        say: Say | None = None if seed < 2 else babble(dice, self.words)
        faults = Faults(provider=0.1 if seed % 2 else 0, cancel_at=dice.randrange(1, 60) if seed % 3 == 2 else None)
        run = self.play(mode, max(self.sizes()), say, seed=seed, faults=faults, journal=journal)
        return run, journal

    @pytest.mark.parametrize("hash_seed", ["1", "2"])
    def test_replays_in_another_process(self, mode: Mode, hash_seed: str) -> None:
        """A fresh process under another hash seed, with a mode built from its settings, comes to the same records."""
        run, journal = self.recorded(mode, 3)
        cls = type(mode)
        request = {
            "module": cls.__module__,
            "file": inspect.getfile(cls),
            "class": cls.__qualname__,
            "settings": mode.settings(),
            "agents": list(self.names),
            "max_tool_calls": CALLS,
            "lines": [line.decode().rstrip("\n") for line in journal.lines],
        }
        path = os.pathsep.join(filter(None, sys.path))
        done = subprocess.run(  # noqa: S603 -- this very interpreter, and a line of ours
            [sys.executable, "-c", CODE],
            input=json.dumps(request),
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
            encoding="utf-8",
            capture_output=True,
            timeout=120,
            check=False,
        )

        assert 0 == done.returncode, done.stderr
        told = json.loads(done.stdout)
        for result in (told, plainly := json.loads(json.dumps(run.result.to_json()))):
            del result["sessions_kept"], result["sinks"]
        assert plainly == told

    def test_its_events_can_be_read_back(self, mode: Mode) -> None:
        """What the mode announces is the same event when a journal is read: its fields are plain values, or tuples."""
        journal = Keeper()
        run = self.play(mode, self.some, journal=journal)
        read = load_records(tuple(line.rstrip(b"\n") for line in journal.lines), "journal")

        for announced, found in zip(run.records, read, strict=True):
            assert not isinstance(found.event, UnknownEvent)
            if announced.kind == "note":
                assert attrs.asdict(announced.event) == attrs.asdict(found.event)


def nobody(*_: Any) -> Any:
    raise AssertionError("A replay asked a provider.")
