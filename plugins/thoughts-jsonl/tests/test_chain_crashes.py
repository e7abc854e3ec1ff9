"""Writers that are killed, and writers at once: what was accepted is there, once each, in one chain."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cloudllm_thoughts_jsonl import Head, JsonlThoughts, verify

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked, and this system cannot")

KILLER = """
import json, os, random, select, signal, sys
from cloudllm_thoughts_jsonl import JsonlThoughts

folder, kills, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
dice = random.Random("seed")

def write(acks, life):
    chain = JsonlThoughts(f"{folder}/{life // each}.jsonl", fsync="never", heads=f"{folder}/heads", head_every=10)
    while True:
        # Large ones, so that the system is caught in the middle of a write.
        text = f"{life} " + "x" * random.choice([10, 10, 10, 60_000])
        thought = chain.append("ada", "Finding", text)
        os.write(acks, f"{thought.index} {life}\\n".encode())

told = []
for life in range(kills):
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        random.seed(life)
        write(theirs, life)
    os.close(theirs)
    wanted, got = dice.randrange(4), b""
    while got.count(b"\\n") < wanted:
        piece = os.read(ours, 4096)
        if not piece:
            sys.exit("the writer ended by itself")
        got += piece
    select.select([], [], [], dice.random() * 0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while piece := os.read(ours, 4096):
        got += piece
    os.close(ours)
    told += [line.split() for line in got.decode().splitlines()]
print(json.dumps([[int(index), int(life)] for index, life in told]))
"""

WRITER = """
import sys
from cloudllm_thoughts_jsonl import JsonlThoughts

path, who, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
chain = JsonlThoughts(path, fsync="never", lock_timeout=60.0)
for nth in range(count):
    refs = [len(chain.thoughts) - 1] if len(chain.thoughts) else []
    print(chain.append(who, "Finding", str(nth), refs).index, flush=True)
"""


def test_killed_writers_lose_nothing(tmp_path):
    """After 200 kill -9 at random moments every accepted thought is in its place, and each chain goes on."""
    kills, each = 200, 20
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLER, str(tmp_path), str(kills), str(each)],
        stdout=subprocess.PIPE, check=True, timeout=300,
    )  # fmt: skip
    accepted = json.loads(done.stdout)
    sizes = set()
    for nth in range(kills // each):
        path = tmp_path / f"{nth}.jsonl"
        chain = JsonlThoughts(path, heads=tmp_path / "heads")
        thoughts = list(chain.thoughts)
        lives = [int(thought.content.partition(" ")[0]) for thought in thoughts]
        ours = [(index, life) for index, life in accepted if life // each == nth]
        sizes |= {len(thought.content.partition(" ")[2]) for thought in thoughts}

        assert [] == [(index, life) for index, life in ours if lives[index] != life]
        assert sorted(lives) == lives
        # Beyond those that were accepted, each life may have left the one that it was killed over.
        assert len(ours) <= len(thoughts) <= len(ours) + each
        chain.append("ada", "Finding", "after all")
        chain.close()
        head = tmp_path / "heads" / f"{nth}.head"
        assert "sound" == verify(path, Head.parse(head.read_text())).status
    assert len(accepted) > kills
    assert {10, 60_000} == sizes


def test_two_writers_make_one_chain(tmp_path):
    """Two processes that write at once make one chain without a fork or a gap; all that was accepted is in it."""
    path = tmp_path / "a.jsonl"
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WRITER, str(path), who, "100"], stdout=subprocess.PIPE, text=True
        )
        for who in ("ada", "bob")
    ]
    accepted = [[int(line) for line in writer.communicate(timeout=120)[0].split()] for writer in writers]
    thoughts = list(JsonlThoughts(path).thoughts)

    assert [0, 0] == [writer.returncode for writer in writers]
    assert list(range(200)) == sorted(accepted[0] + accepted[1]) == [thought.index for thought in thoughts]
    for who, indices in zip(("ada", "bob"), accepted, strict=True):
        assert [(who, str(nth)) for nth in range(100)] == [(thoughts[n].agent, thoughts[n].content) for n in indices]
    assert ("unanchored", 200) == (verify(path).status, verify(path).thoughts)
