"""How a chain treats its file: form, locks, torn lines, full disks, other processes."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import resource
import stat
import threading
import time
import uuid
import warnings

import pytest

from cloudllm_core import Registry
from cloudllm_core.errors import SettingsError, SetupError
from cloudllm_thoughts_jsonl import (
    Head,
    JsonlThoughts,
    TamperedThoughtsError,
    ThoughtsFileError,
    chainfile,
    files,
    verify,
)
from cloudllm_thoughts_jsonl.syncing import Syncing


def contents(path):
    return [thought.content for thought in JsonlThoughts(path).thoughts]


# -- the file -----------------------------------------------------------------


def test_a_line_is_what_the_documentation_says(tmp_path):
    """Header and thoughts have the documented keys, and hashes that follow from the documented rule."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    chain.append("ada", "Finding", "caf\u00e9 \u20ac", (), {"z": 1, "a": "\U0001f600"})
    chain.append("bob", "Decision", "so", [0])
    header, first, second = map(json.loads, path.read_bytes().splitlines())

    def hashed(word, record):
        record = {key: value for key, value in record.items() if key != "hash"}
        form = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(word + b"\0" + form.encode()).hexdigest()

    assert {"v", "chain", "created", "key", "hash"} == set(header)
    assert (1, "", header["chain"]) == (header["v"], header["key"], str(uuid.UUID(header["chain"])))
    assert hashed(b"cloudllm-thoughts-header-v1", header) == header["hash"] == first["prev"]
    assert hashed(b"cloudllm-thought-v1", first) == first["hash"] == second["prev"]
    assert hashed(b"cloudllm-thought-v1", second) == second["hash"]
    assert {"v": 1, "chain": header["chain"], "seq": 1, "agent": "bob", "type": "Decision"}.items() <= second.items()
    assert {"content": "so", "refs": [0], "meta": {}} == second["body"]
    assert second["ts"] == round(chain.thoughts[1].at * 1000)


def test_only_the_owner_may_read_it(tmp_path):
    """Chain and heads are files for this user only."""
    chain = JsonlThoughts(tmp_path / "a.jsonl", heads=tmp_path / "heads", head_every=1)
    chain.append("ada", "Finding", "one")

    assert [0o600] * 2 == [
        stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "a.jsonl", tmp_path / "heads/a.head")
    ]


def test_asking_makes_no_file(tmp_path):
    """A chain that is only read, or that refused what it was given, leaves no chain behind."""
    chain = JsonlThoughts(tmp_path / "a.jsonl")

    assert ([], None, None) == (list(chain.thoughts), chain.torn, chain.identity())
    assert [] == list(tmp_path.iterdir())


def test_a_folder_holds_a_chain_for_each_agent(tmp_path):
    """In a folder, name, expertise and personality decide on the file, by the original's rule."""
    folder = JsonlThoughts(tmp_path / "notes")
    names = [
        os.path.basename(folder.for_agent(who).path)
        for who in ({"name": "ada"}, {"name": "ada", "expertise": "seas"}, {"name": "a b\u00e9/-_", "personality": "x"})
    ]
    digits = [
        hashlib.sha256(text.encode()).hexdigest()[:16]
        for text in ("ada|ada||", "ada|ada|seas|", "a b\u00e9/-_|a b\u00e9/-_||x")
    ]

    assert [f"ada-{digits[0]}.jsonl", f"ada-{digits[1]}.jsonl", f"a_b\u00e9_-_-{digits[2]}.jsonl"] == names
    assert folder.for_agent({"name": "\u4e2d" * 400}).append("x", "Finding", "x").index == 0


def test_a_folder_is_no_chain(tmp_path):
    """A folder says how to come to a chain."""
    with pytest.raises(SetupError) as refused:
        list(JsonlThoughts(tmp_path).thoughts)

    assert f"{tmp_path} is a folder of chains, one for each agent. Give it to agents, or name one" in str(refused.value)


def test_it_is_found_by_name(tmp_path):
    """``jsonl:PLACE`` and a table with settings build a chain; wrong settings are named."""
    registry = Registry()
    assert str(tmp_path / "notes") == registry.build("thought_chain", f"jsonl:{tmp_path}/notes").location
    table = {"name": "jsonl", "location": str(tmp_path / "a.jsonl"), "fsync": 0.5, "lock_timeout": 1}
    assert 0.5 == registry.build("thought_chain", table).fsync
    for wrong in (
        {"fsync": "often"},
        {"fsync": 0},
        {"fsync": -1.0},
        {"head_every": 0},
        {"lock_timeout": -1},
        {"nonsense": 1},
    ):
        with pytest.raises(SettingsError):
            registry.build("thought_chain", table | wrong)


def test_a_place_stays_where_it_was(tmp_path, monkeypatch):
    """A relative place is taken from the folder in which the chain was made, not from later ones."""
    monkeypatch.chdir(tmp_path)
    chain = JsonlThoughts("a.jsonl")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    chain.append("ada", "Finding", "one")

    assert (tmp_path / "a.jsonl").exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "this is a folder. Name one of the chains in it."),
        (os.mkfifo, "this is not a file. Name another one."),
        (
            lambda path: path.write_text("Dear diary,\n"),
            "is not a chain of thoughts.",
        ),
        (
            lambda path: path.write_text("Dear diary,"),
            "is not a chain of thoughts.",
        ),
        (lambda path: path.write_text('{"a": 1}\n{"b": 2}\n'), "is not a chain of thoughts."),
        (
            lambda path: path.write_text('{"index":0,"agent_id":"a","thought_type":"F"}\n'),
            "is a chain of the original.",
        ),
    ],
    ids=["folder", "pipe", "prose", "unfinished prose", "other lines", "the original's"],
)
def test_other_things_are_left_alone(tmp_path, make, said):
    """What is no chain is neither read nor written to, and the sentence says what it is."""
    path = tmp_path / "a.jsonl"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    for use in (lambda chain: list(chain.thoughts), lambda chain: chain.append("ada", "Finding", "x")):
        with pytest.raises((SetupError, ThoughtsFileError)) as refused:
            use(JsonlThoughts(path))
        assert said in str(refused.value)

    assert before == (path.read_bytes() if path.is_file() else b"")
    assert ["a.jsonl"] == [each.name for each in tmp_path.iterdir()]


def test_a_missing_folder_is_named(tmp_path):
    """A file in a folder that is not there cannot be written."""
    with pytest.raises(ThoughtsFileError, match="the folder .* does not exist. Make it first."):
        JsonlThoughts(tmp_path / "no" / "a.jsonl").append("ada", "Finding", "one")


# -- torn lines ---------------------------------------------------------------


@pytest.mark.parametrize("piece", [b"{", b'{"agent":"ada","bo', b"\0" * 40, b"\xff\xfe\n", b'{"a":1}'], ids=repr)
def test_a_torn_line_is_set_aside(tmp_path, piece):
    """A last line that is not whole is told of, kept in a file beside the chain, and the chain goes on."""
    path = tmp_path / "a.jsonl"
    JsonlThoughts(path).append("ada", "Finding", "one")
    whole = path.read_bytes()
    path.write_bytes(whole + piece)
    chain = JsonlThoughts(path)

    assert ["one"] == [thought.content for thought in chain.thoughts]
    assert f"{path}: the last line is not whole ({len(piece)} bytes); the next thought will move it away." == chain.torn
    assert whole + piece == path.read_bytes()
    chain.append("ada", "Finding", "two", [0])
    assert f"{path}: the last line is not whole ({len(piece)} bytes); it was moved to {path}.torn." == chain.torn
    assert (["one", "two"], piece) == (contents(path), (tmp_path / "a.jsonl.torn").read_bytes())
    assert JsonlThoughts(path).torn is None


def test_only_one_line_may_be_torn(tmp_path):
    """A whole line that makes no sense before a piece of another is no accident, and is not moved away."""
    path = tmp_path / "a.jsonl"
    JsonlThoughts(path).append("ada", "Finding", "one")
    for end in (b"{\n{", b"{\n{\n"):
        path.write_bytes(path.read_bytes() + end)
        with pytest.raises(TamperedThoughtsError, match="thought 1 is not JSON"):
            JsonlThoughts(path).append("ada", "Finding", "two")


def test_torn_lines_are_never_written_over(tmp_path):
    """Each gets a file of its own."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    for nth in range(3):
        chain.append("ada", "Finding", str(nth))
        with path.open("ab") as file:
            file.write(b"{%d" % nth)
    chain.append("ada", "Finding", "last")

    assert [b"{0", b"{1", b"{2"] == [(tmp_path / f"a.jsonl.torn{end}").read_bytes() for end in ("", "-2", "-3")]
    assert ["0", "1", "2", "last"] == contents(path)


@pytest.mark.parametrize("piece", [b'{"chain":"3', b"{", b"\0" * 100])
def test_a_torn_first_line_is_set_aside(tmp_path, piece):
    """A writer killed before the first line was whole leaves no chain; the next one begins it."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(piece)
    chain = JsonlThoughts(path)
    assert [] == list(chain.thoughts)
    chain.append("ada", "Finding", "one")

    assert (["one"], piece) == (contents(path), (tmp_path / "a.jsonl.torn").read_bytes())


# -- writing that fails -------------------------------------------------------


class Disk:
    """A disk that takes *room* more bytes, at most *most* at a time, and syncs as long as *syncs*."""

    def __init__(self, room=10**9, most=10**9, syncs=True):
        self.room, self.most, self.syncs, self.writes = room, most, syncs, []

    def write(self, fd, data):
        taken = min(len(data), self.room, self.most)
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= taken
        self.writes.append(taken)
        return os.write(fd, data[:taken])

    def sync(self, fd):
        if not self.syncs:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(fd)


@pytest.fixture
def disk(monkeypatch):
    disk = Disk()
    monkeypatch.setattr(files, "write", disk.write)
    monkeypatch.setattr(files, "sync", disk.sync)
    return disk


def test_a_thought_is_one_write(tmp_path, disk):
    """A line goes out in one piece, the first together with the header."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    sizes = []
    for nth in range(3):
        chain.append("ada", "Finding", str(nth))
        sizes.append(path.stat().st_size)

    assert [sizes[0], sizes[1] - sizes[0], sizes[2] - sizes[1]] == disk.writes


def test_a_full_disk_leaves_nothing_half(tmp_path, disk):
    """Wherever the disk is full: the error says so, the file is as it was, and the next thought finds its place."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    chain.append("ada", "Finding", "one")
    whole = path.read_bytes()
    disk.most = 50
    for room in range(0, 300, 7):
        disk.room = room
        with pytest.raises(ThoughtsFileError) as refused:
            chain.append("ada", "Finding", "two " * 100)
        assert whole == path.read_bytes()
    disk.room = 10**9

    assert (
        f"{path}: the thought could not be written (No space left on device). All before it are whole. "
        "Make room or check the disk, then try again."
    ) == str(refused.value)
    assert 1 == chain.append("ada", "Finding", "two", [0]).index
    assert ["one", "two"] == contents(path)


def test_a_disk_that_does_not_sync_takes_no_thought(tmp_path, disk):
    """A thought that cannot be made durable is taken back, and the next one is tried again."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    chain.append("ada", "Finding", "one")
    disk.syncs = False
    with pytest.raises(ThoughtsFileError, match=r"could not be written \(Input/output error\)"):
        chain.append("ada", "Finding", "two")
    disk.syncs = True

    assert ["one"] == contents(path)
    chain.append("ada", "Finding", "three")
    assert ["one", "three"] == contents(path)


def test_a_first_thought_that_fails_leaves_an_empty_file(tmp_path, disk):
    """When not even the header fits, the chain begins with the next thought."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    disk.room = 100
    with pytest.raises(ThoughtsFileError):
        chain.append("ada", "Finding", "one")
    assert b"" == path.read_bytes()
    disk.room = 10**9
    chain.append("ada", "Finding", "one")

    assert ["one"] == contents(path)


def test_what_cannot_be_cut_off_is_set_aside(tmp_path, disk, monkeypatch):
    """If even cutting back fails, the error says that a part is left, and the next thought moves it away."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    chain.append("ada", "Finding", "one")

    def refuse(fd, size):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.most, disk.room = 50, 120
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(ThoughtsFileError, match="Part of it is left at the end"):
            chain.append("ada", "Finding", "two")
    disk.room = 10**9
    chain.append("ada", "Finding", "three")

    assert (["one", "three"], 120) == (contents(path), (tmp_path / "a.jsonl.torn").stat().st_size)


def test_an_interrupt_leaves_nothing_half(tmp_path, disk, monkeypatch):
    """Ctrl-C in the middle of a write takes the piece back, and is not swallowed."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    chain.append("ada", "Finding", "one")
    whole, disk.most = path.read_bytes(), 50

    def interrupted(fd, data):
        if len(disk.writes) > 8:
            raise KeyboardInterrupt
        return disk.write(fd, data)

    monkeypatch.setattr(files, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        chain.append("ada", "Finding", "two " * 200)
    assert whole == path.read_bytes()


def test_the_limit_of_the_system_is_met_alike(tmp_path):
    """A real limit on the size of files, instead of a pretended one, is survived as well."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    chain.append("ada", "Finding", "one")
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        with pytest.raises(ThoughtsFileError, match="could not be written"):
            chain.append("ada", "Finding", "two " * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert size == path.stat().st_size
    chain.append("ada", "Finding", "two")
    assert ["one", "two"] == contents(path)


# -- syncing ------------------------------------------------------------------


@pytest.mark.parametrize(("fsync", "synced"), [("always", 3), ("never", 0)])
def test_syncs_as_often_as_asked(tmp_path, monkeypatch, fsync, synced):
    """``always`` syncs each thought before it is accepted, ``never`` none."""
    seen = []
    monkeypatch.setattr(files, "sync", lambda fd: seen.append(os.fstat(fd).st_size))
    chain = JsonlThoughts(tmp_path / "a.jsonl", fsync=fsync)
    for nth in range(3):
        chain.append("ada", "Finding", str(nth))
    chain.close()

    assert synced == len(seen)


@pytest.mark.parametrize(("fsync", "synced"), [("always", 1), (3600, 1), ("never", 0)])
def test_a_new_file_keeps_its_name(tmp_path, monkeypatch, fsync, synced):
    """The folder is synced once, when the file is new, so that a power loss does not take its name."""
    seen = []
    monkeypatch.setattr(files, "sync_folder_of", seen.append)
    chain = JsonlThoughts(tmp_path / "a.jsonl", fsync=fsync)
    for nth in range(3):
        chain.append("ada", "Finding", str(nth))
    chain.close()

    assert [str(tmp_path / "a.jsonl")] * synced == seen


def test_a_group_is_synced_together(tmp_path, monkeypatch):
    """With a number of seconds, what is written within them is synced once, by itself, when they are over."""
    seen, done = [], threading.Event()

    def sync(fd):
        seen.append(os.fstat(fd).st_size)
        done.set()

    monkeypatch.setattr(files, "sync", sync)
    chain = JsonlThoughts(tmp_path / "a.jsonl", fsync=0.2)
    for nth in range(20):
        chain.append("ada", "Finding", str(nth))
    assert done.wait(30)
    assert 1 <= len(seen) < 20
    chain.close()
    size = (tmp_path / "a.jsonl").stat().st_size
    assert size == seen[-1]


def test_closing_syncs_what_waits(tmp_path, monkeypatch):
    """Nobody has to wait for the seconds to pass: `close` syncs at once, and only once."""
    seen = []
    monkeypatch.setattr(files, "sync", lambda fd: seen.append(os.fstat(fd).st_size))
    chain = JsonlThoughts(tmp_path / "a.jsonl", fsync=3600)
    chain.append("ada", "Finding", "one")
    assert [] == seen
    chain.close()
    chain.close()

    assert [(tmp_path / "a.jsonl").stat().st_size] == seen


def test_a_group_that_was_not_synced_is_told_once(tmp_path, disk):
    """If a group did not reach the disk, the next call says so; the one after goes on."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path, fsync=3600)
    chain.append("ada", "Finding", "one")
    disk.syncs = False
    with pytest.raises(ThoughtsFileError, match="are in the file, but may not be on the disk"):
        chain.close()
    disk.syncs = True
    chain.append("ada", "Finding", "two")
    chain.close()

    assert ["one", "two"] == contents(path)


def test_what_waits_is_synced_under_any_name(tmp_path, monkeypatch):
    """A file that was moved away before its group was synced is synced all the same."""
    path, seen = tmp_path / "a.jsonl", []
    monkeypatch.setattr(files, "sync", lambda fd: seen.append(os.fstat(fd).st_ino))
    syncing = Syncing(str(path), 3600)
    with path.open("wb") as file:
        syncing.soon(file.fileno())
    inode = path.stat().st_ino
    path.rename(tmp_path / "b.jsonl")
    syncing.now()

    assert [inode] == seen


# -- others -------------------------------------------------------------------


@contextlib.contextmanager
def locked(path, how=fcntl.LOCK_EX):
    with path.open("rb") as file:
        fcntl.flock(file, how)
        yield


def test_a_lock_is_waited_for_so_long(tmp_path):
    """When another process does not let go, the sentence says which file, how long, and what to do; and all goes on."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path, lock_timeout=0.05)
    chain.append("ada", "Finding", "one")
    with locked(path):
        with pytest.raises(ThoughtsFileError) as refused:
            chain.append("ada", "Finding", "two")
        assert 1 == len(chain.thoughts)  # nothing new to read, so nothing to wait for
        with pytest.raises(ThoughtsFileError):
            list(JsonlThoughts(path, lock_timeout=0).thoughts)

    assert (
        f"{path}: another process has had the file locked for 0.05 seconds. Try again, or wait longer: "
        "JsonlThoughts(..., lock_timeout=1)"
    ) == str(refused.value)
    assert 1 == chain.append("ada", "Finding", "two").index


def test_readers_do_not_wait_for_readers(tmp_path):
    """Any number may read at once."""
    path = tmp_path / "a.jsonl"
    JsonlThoughts(path).append("ada", "Finding", "one")
    with locked(path, fcntl.LOCK_SH):
        assert 1 == len(JsonlThoughts(path, lock_timeout=0).thoughts)


def test_the_lock_is_given_back_on_every_path(tmp_path, disk):
    """After a refusal, a full disk or a tampered file, another may write at once."""
    path = tmp_path / "a.jsonl"
    chain, other = JsonlThoughts(path), JsonlThoughts(path, lock_timeout=0)
    chain.append("ada", "Finding", "one")
    with pytest.raises(SetupError):
        chain.append("ada", "Finding", "two", [7])
    other.append("bob", "Finding", "two")
    disk.room = 10
    with pytest.raises(ThoughtsFileError):
        chain.append("ada", "Finding", "three")
    disk.room = 10**9
    other.append("bob", "Finding", "three")
    path.write_bytes(path.read_bytes().replace(b'"one"', b'"eno"'))
    with pytest.raises(ThoughtsFileError):
        chain.append("ada", "Finding", "four")
    with locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
        pass


def test_a_thread_waits_for_another_so_long(tmp_path):
    """Two threads with one handle take turns; one that waits too long says that it was another thread."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path, lock_timeout=0.05)
    chain.append("ada", "Finding", "one")
    said = []

    def work():
        try:
            chain.append("ada", "Finding", "two")
        except ThoughtsFileError as problem:
            said.append(str(problem))

    with chain._chain().alone():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)

    assert [True] == ["another thread has had the file locked" in each for each in said]


def test_a_writer_does_not_wait_for_itself(tmp_path):
    """Whoever holds the file may ask what is in it, even if somebody without manners touches it meanwhile."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path, lock_timeout=0.05)
    chain.append("ada", "Finding", "one")
    with chain._chain().alone():
        os.utime(path, ns=(0, 0))
        assert 1 == len(chain.thoughts)


def test_a_file_that_is_replaced_while_waiting_is_opened_anew(tmp_path, monkeypatch):
    """Whoever waited for the lock of a file that was moved away meanwhile writes to the new one of that name."""
    path, old = tmp_path / "a.jsonl", tmp_path / "old.jsonl"
    chain = JsonlThoughts(path)
    chain.append("ada", "Finding", "one")
    lock = files._lock

    def slow(fd, *rest):
        if not old.exists():
            path.rename(old)
        lock(fd, *rest)

    monkeypatch.setattr(files, "_lock", slow)
    chain.append("ada", "Finding", "two")

    assert (["one"], ["two"]) == (contents(old), contents(path))


def test_deleting_the_file_under_a_writer_is_told(tmp_path, monkeypatch):
    """A thought that went to a file without a name is not accepted."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    chain.append("ada", "Finding", "one")

    def deleting(fd, data):
        path.unlink()
        return os.write(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", deleting)
        with pytest.raises(ThoughtsFileError, match="the file was deleted while a thought was written"):
            chain.append("ada", "Finding", "two")
    assert 0 == chain.append("ada", "Finding", "three").index


def test_a_forked_process_goes_on_by_itself(tmp_path):
    """After a fork, both go on with the chain, even if another thread was in the middle of something."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path, lock_timeout=5.0)
    chain.append("ada", "Finding", "one")
    chain._chain()._lock.acquire()  # as if another thread was at work when the process forked
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of forking beside threads
        child = os.fork()
    if child == 0:
        try:
            chain.append("child", "Finding", "two", [0])
            os._exit(0)
        finally:
            os._exit(1)
    chain._chain()._lock.release()
    assert 0 == os.waitpid(child, 0)[1]
    chain.append("ada", "Finding", "three", [1])

    assert ["one", "two", "three"] == contents(path)


def test_where_there_are_no_locks_nothing_is_written(tmp_path, monkeypatch):
    """On a disk without locks a chain can be read, and is not written, because two writers would spoil it."""
    path = tmp_path / "a.jsonl"
    JsonlThoughts(path).append("ada", "Finding", "one")

    def none(fd, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    assert ["one"] == contents(path)
    with pytest.raises(ThoughtsFileError, match="files cannot be locked here, and two writers would spoil the chain"):
        JsonlThoughts(path).append("ada", "Finding", "two")


def test_only_what_is_new_is_read(tmp_path, monkeypatch):
    """Appending to a long chain does not read it again."""
    path = tmp_path / "a.jsonl"
    chain, other = JsonlThoughts(path, fsync="never"), JsonlThoughts(path, fsync="never")
    for nth in range(50):
        chain.append("ada", "Finding", str(nth))
    assert 50 == len(other.thoughts)
    taken, read_from = [], files.read_from
    monkeypatch.setattr(files, "read_from", lambda fd, start: taken.append(read_from(fd, start)) or taken[-1])
    chain.append("ada", "Finding", "more")
    assert 51 == len(other.thoughts)

    assert [2] == [data.count(b"\n") for data in taken]  # the last that was known, and the new one


def test_a_touched_file_is_read_again(tmp_path):
    """An edit that keeps the length is noticed by the time of the file, and a mere touch does no harm."""
    path = tmp_path / "a.jsonl"
    chain = JsonlThoughts(path)
    chain.append("ada", "Finding", "one")
    os.utime(path, ns=(time.time_ns(), time.time_ns() + 10**9))
    chain.append("ada", "Finding", "two")

    assert ["one", "two"] == [thought.content for thought in chain.thoughts]


def test_heads_that_cannot_be_written_lose_no_thought(tmp_path):
    """If the head cannot be written the error says that the thought is kept all the same, and it is."""
    path = tmp_path / "a.jsonl"
    (tmp_path / "heads").write_text("in the way")
    chain = JsonlThoughts(path, heads=tmp_path / "heads", head_every=1)
    with pytest.raises(ThoughtsFileError, match="The thoughts themselves are kept"):
        chain.append("ada", "Finding", "one")

    assert ["one"] == contents(path)


def test_a_head_is_replaced_whole(tmp_path, monkeypatch):
    """A head that cannot be written leaves the last one in place, and no rubbish."""
    path, heads = tmp_path / "a.jsonl", tmp_path / "heads"
    chain = JsonlThoughts(path, heads=heads, head_every=1)
    chain.append("ada", "Finding", "one")
    with monkeypatch.context() as patch:
        patch.setattr(chainfile.files, "new_file", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(ThoughtsFileError):
            chain.append("ada", "Finding", "two")

    assert ["a.head"] == [each.name for each in heads.iterdir()]
    assert "sound" == verify(path, Head.parse((heads / "a.head").read_text())).status
