"""What a journal file promises: what was accepted stays, and what is broken is said and kept aside."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloudllm_core import JournalText
from cloudllm_core.errors import JournalError
from cloudllm_journal_jsonl import Jsonl, cloudllm_register_journal, files, journal

PATIENT = 60.0
"""Seconds a test waits for another process that always ends."""

Write = Callable[[int, bytes], int]


def line(number: int, size: int = 10) -> bytes:
    return json.dumps([number, "ü" * size], ensure_ascii=False).encode() + b"\n"


def written(path: Path, count: int = 3) -> list[bytes]:
    """A closed journal of *count* lines at *path*; returns them without line breaks."""
    journal = Jsonl.create(str(path))
    for number in range(1, count + 1):
        journal.append(line(number), durable=False)
    journal.close()
    return [line(number).rstrip() for number in range(1, count + 1)]


# -- writing ------------------------------------------------------------------


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    """Lines come back as they were, whether they had to be durable or not."""
    path = tmp_path / "run.jsonl"
    journal = Jsonl.create(str(path))
    journal.append(line(1), durable=True)
    journal.append(line(2), durable=False)
    journal.append(line(3), durable=True)
    journal.close()

    expected = tuple(line(number).rstrip() for number in (1, 2, 3))
    assert JournalText(source=str(path), lines=expected) == Jsonl.read(str(path))
    assert cloudllm_register_journal() is Jsonl


def test_a_journal_is_for_its_user_only(tmp_path: Path) -> None:
    """Prompts and answers are nobody else's business."""
    path = tmp_path / "run.jsonl"
    before = os.umask(0)
    try:
        written(path)
    finally:
        os.umask(before)

    assert 0o600 == path.stat().st_mode & 0o777


def test_a_line_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    """Nothing waits in a buffer of this process, where a crash would lose it."""
    path = tmp_path / "run.jsonl"
    journal = Jsonl.create(str(path))
    journal.append(line(1), durable=False)
    try:
        assert line(1) == path.read_bytes()
    finally:
        journal.close()


def test_only_durable_lines_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced once for each durable line, after it was written, and its name once at the start."""
    path, calls = tmp_path / "run.jsonl", list[object]()
    monkeypatch.setattr(files, "sync", lambda fd: calls.append(path.read_bytes()))
    monkeypatch.setattr(files, "sync_folder_of", calls.append)
    journal = Jsonl.create(str(path))
    journal.append(line(1), durable=False)
    journal.append(line(2), durable=True)
    journal.append(line(3), durable=False)
    journal.close()

    assert [str(path), line(1) + line(2)] == calls


def _taken(folder: Path) -> Path:
    path = folder / "run.jsonl"
    path.write_text("precious")
    return path


def _dangling(folder: Path) -> Path:
    path = folder / "run.jsonl"
    path.symlink_to(folder / "nowhere")
    return path


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (
            _taken,
            "{0}/run.jsonl: there is something already, and a journal is never written over. Choose another name.",
        ),
        (
            _dangling,
            "{0}/run.jsonl: there is something already, and a journal is never written over. Choose another name.",
        ),
        (
            lambda folder: folder,
            "{0}: there is a folder already, and a journal is never written over. Choose another name.",
        ),
        (
            lambda folder: folder / "no" / "run.jsonl",
            "{0}/no/run.jsonl: the folder '{0}/no' does not exist. Make it first, or choose another one.",
        ),
        (
            lambda folder: _taken(folder) / "run.jsonl",
            "{0}/run.jsonl/run.jsonl: '{0}/run.jsonl' is not a folder. Choose another one.",
        ),
    ],
    ids=["taken", "dangling link", "folder", "no folder", "file as folder"],
)
def test_where_no_journal_can_be_made_the_reason_is_said(
    tmp_path: Path, place: Callable[[Path], Path], sentence: str
) -> None:
    """The sentence names the place, the cause and the remedy."""
    path = place(tmp_path)

    with pytest.raises(JournalError) as caught:
        Jsonl.create(str(path))

    assert sentence.format(tmp_path) == str(caught.value)
    assert not (tmp_path / "run.jsonl").is_file() or "precious" == (tmp_path / "run.jsonl").read_text()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EACCES, "{0}: you may not write to the folder '{1}'. Choose another one."),
        (errno.ENOSPC, "{0}: the journal cannot be made (No space left on device). Choose another place."),
    ],
)
def test_what_the_system_refuses_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    """No permission, no space: a sentence with a remedy."""

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "run.jsonl"
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(JournalError) as caught:
        Jsonl.create(str(path))
    monkeypatch.undo()

    assert sentence.format(path, tmp_path) == str(caught.value)


def test_a_journal_that_could_not_be_made_whole_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the folder cannot be synced the new file goes again, so that the same name may be tried once more."""

    def refuse(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "run.jsonl"
    monkeypatch.setattr(files, "sync_folder_of", refuse)
    with pytest.raises(JournalError, match=r"the journal cannot be made \(Input/output error\)"):
        Jsonl.create(str(path))

    assert not path.exists()


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    """Closing twice is fine; writing afterwards is an error that says so."""
    path = tmp_path / "run.jsonl"
    journal = Jsonl.create(str(path))
    journal.close()
    journal.close()

    with pytest.raises(JournalError) as caught:
        journal.append(line(1), durable=False)
    assert f"{path}: this journal is closed. A new run needs a new journal." == str(caught.value)


def test_a_forked_process_may_not_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes would mix their lines; the child is told."""
    path = tmp_path / "run.jsonl"
    journal_ = Jsonl.create(str(path))
    here = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)

    with pytest.raises(JournalError) as caught:
        journal_.append(line(1), durable=False)
    journal_.close()

    assert (
        f"{path}: this journal belongs to process {here}, from which this one was forked. Start runs after forking."
        == str(caught.value)
    )
    assert b"" == path.read_bytes()


def test_a_journal_that_was_deleted_under_the_run_is_noticed(tmp_path: Path) -> None:
    """A durable line is not durable in a file without a name."""
    path = tmp_path / "run.jsonl"
    journal = Jsonl.create(str(path))
    path.unlink()

    with pytest.raises(JournalError) as caught:
        journal.append(line(1), durable=True)
    journal.close()

    assert f"{path}: the file was deleted while the run writes it. Leave it until the run ends." == str(caught.value)


# -- full and failing disks ---------------------------------------------------


class Disk:
    """Writes in pieces, and refuses at chosen calls."""

    def __init__(self, pieces: list[int], refused: dict[int, int]) -> None:
        self.pieces = pieces
        self.refused = refused
        self.calls = 0

    def write(self, fd: int, data: bytes) -> int:
        self.calls += 1
        if number := self.refused.get(self.calls):
            raise OSError(number, os.strerror(number))
        piece = self.pieces[self.calls % len(self.pieces)] if self.pieces else len(data)
        return os.write(fd, data[:piece])


def test_a_full_disk_leaves_whole_lines_and_the_next_append_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a line was written when space ran out: it is cut off, said, and a later line follows the last whole one."""
    path = tmp_path / "run.jsonl"
    monkeypatch.setattr(journal, "write", Disk([5], {6: errno.ENOSPC}).write)
    journal_ = Jsonl.create(str(path))
    journal_.append(b'"one"\n', durable=False)  # calls 1 and 2
    with pytest.raises(JournalError) as caught:
        journal_.append(line(2), durable=False)
    monkeypatch.undo()
    assert b'"one"\n' == path.read_bytes()

    journal_.append(line(3), durable=True)
    journal_.close()

    assert (
        f"{path}: a record could not be written (No space left on device). "
        "All records before it are whole. Make room or check the disk, then run again." == str(caught.value)
    )
    assert isinstance(caught.value.__cause__, OSError)
    assert (b'"one"', line(3).rstrip()) == Jsonl.read(str(path)).lines


@settings(deadline=None)
@given(
    pieces=st.lists(st.integers(1, 9), max_size=4),
    refused=st.dictionaries(st.integers(1, 40), st.sampled_from([errno.ENOSPC, errno.EIO, errno.EDQUOT]), max_size=8),
    count=st.integers(1, 12),
)
def test_the_file_holds_exactly_the_lines_that_were_accepted(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int], refused: dict[int, int], count: int
) -> None:
    """However writes are cut short or refused, what `append` took is there, and nothing else."""
    path = tmp_path_factory.mktemp("disk") / "run.jsonl"
    accepted = b""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "write", Disk(pieces, refused).write)
        journal_ = Jsonl.create(str(path))
        for number in range(count):
            try:
                journal_.append(line(number, 3), durable=bool(number % 2))
                accepted += line(number, 3)
            except JournalError:
                assert accepted == path.read_bytes()
        journal_.close()

    assert accepted == path.read_bytes()


def test_a_write_that_gets_nowhere_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that takes half a line and then nothing does not keep the run in a loop."""
    path = tmp_path / "run.jsonl"
    answers = iter([3, 0])
    monkeypatch.setattr(journal, "write", lambda fd, data: os.write(fd, data[: next(answers)]))
    journal_ = Jsonl.create(str(path))

    with pytest.raises(JournalError, match="nothing more was written"):
        journal_.append(line(1), durable=False)
    journal_.close()

    assert b"" == path.read_bytes()


def test_an_interrupt_in_the_middle_of_a_line_leaves_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between two halves of a write: the interrupt goes on, the file is as before."""
    path = tmp_path / "run.jsonl"

    def interrupted(fd: int, data: bytes) -> int:
        os.write(fd, data[:4])
        raise KeyboardInterrupt

    journal_ = Jsonl.create(str(path))
    journal_.append(line(1), durable=False)
    monkeypatch.setattr(journal, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        journal_.append(line(2), durable=False)
    journal_.close()

    assert line(1) == path.read_bytes()


def test_after_a_failed_sync_no_line_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system may forget what it failed to write and call the next sync a success; that is not believed."""
    path = tmp_path / "run.jsonl"

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal_ = Jsonl.create(str(path))
    journal_.append(line(1), durable=True)
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", refuse)
        with pytest.raises(JournalError, match=r"could not be written \(Input/output error\)"):
            journal_.append(line(2), durable=True)
    with pytest.raises(JournalError) as caught:
        journal_.append(line(3), durable=True)
    journal_.close()

    assert f"{path}: an earlier record did not reach the disk, so no other is taken. Check the disk." == str(
        caught.value
    )
    assert line(1) == path.read_bytes()


def test_a_half_line_that_cannot_be_removed_gets_no_successor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another line behind a torn one would be unreadable, so it is refused; reading sets the half aside."""
    path = tmp_path / "run.jsonl"

    def refuse(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    journal_ = Jsonl.create(str(path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        patch.setattr(journal, "write", Disk([15], {3: errno.ENOSPC}).write)
        journal_.append(b"[1]\n", durable=False)
        with pytest.raises(JournalError):
            journal_.append(line(2), durable=False)
    with pytest.raises(JournalError) as caught:
        journal_.append(line(2), durable=False)
    journal_.close()

    assert (
        f"{path}: part of a record is left at the end and cannot be removed (Input/output error), "
        "so no other is taken. Reading the file sets that part aside." == str(caught.value)
    )
    assert (b"[1]",) == Jsonl.read(str(path)).lines


# -- reading ------------------------------------------------------------------


def test_a_torn_line_is_moved_aside_at_whatever_byte_it_ends(tmp_path: Path) -> None:
    """For each length of the torn part: it goes to `.torn`, the journal keeps the lines before it, and it is said."""
    last = line(3)
    for length in range(1, len(last)):
        path = tmp_path / f"{length}.jsonl"
        path.write_bytes(line(1) + line(2) + last[:length])

        text = Jsonl.read(str(path))

        said = f"The last line is not whole ({length} bytes). It was moved to {path}.torn."
        assert JournalText(source=str(path), lines=(line(1).rstrip(), line(2).rstrip()), torn=said) == text
        assert last[:length] == Path(f"{path}.torn").read_bytes()
        assert line(1) + line(2) == path.read_bytes()
        assert JournalText(source=str(path), lines=text.lines) == Jsonl.read(str(path))


@example(tail=b"0", ended=True)  # with its NUL this is JSON in UTF-16
@given(tail=st.binary(min_size=1, max_size=60).filter(lambda tail: b"\n" not in tail), ended=st.booleans())
def test_garbage_at_the_end_is_moved_aside(tmp_path_factory: pytest.TempPathFactory, tail: bytes, ended: bool) -> None:
    """Whatever a broken disk left there, it is kept aside byte by byte, and the lines before it are read."""
    path = tmp_path_factory.mktemp("tail") / "run.jsonl"
    garbage = tail + b"\x00\n" if ended else tail
    path.write_bytes(line(1) + garbage)

    text = Jsonl.read(str(path))

    assert (line(1).rstrip(),) == text.lines
    assert text.torn is not None
    assert garbage == Path(f"{path}.torn").read_bytes()
    assert line(1) == path.read_bytes()


def test_a_last_line_nested_without_end_is_no_json(tmp_path: Path) -> None:
    """Not even a line made to exhaust the parser stops the journal from being read."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(line(1) + b"[" * 100_000 + b"\n")

    assert (line(1).rstrip(),) == Jsonl.read(str(path)).lines


def test_what_was_set_aside_before_is_never_written_over(tmp_path: Path) -> None:
    """A second and a third torn line get names of their own, links to nowhere included."""
    path = tmp_path / "run.jsonl"
    (tmp_path / "run.jsonl.torn").write_bytes(b"older")
    (tmp_path / "run.jsonl.torn-2").symlink_to(tmp_path / "nowhere")
    path.write_bytes(line(1) + b"[2,")

    text = Jsonl.read(str(path))

    assert f"The last line is not whole (3 bytes). It was moved to {path}.torn-3." == text.torn
    assert b"older" == (tmp_path / "run.jsonl.torn").read_bytes()
    assert not (tmp_path / "nowhere").exists()
    assert b"[2," == (tmp_path / "run.jsonl.torn-3").read_bytes()


def test_a_read_only_journal_is_left_alone(tmp_path: Path) -> None:
    """A file without write permission is read, not changed, even by an administrator."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(line(1) + b"[2,")
    path.chmod(0o400)

    text = Jsonl.read(str(path))

    said = "The last line is not whole (3 bytes). It was left alone, because the file is read-only."
    assert JournalText(source=str(path), lines=(line(1).rstrip(),), torn=said) == text
    assert ["run.jsonl"] == [entry.name for entry in tmp_path.iterdir()]
    assert line(1) + b"[2," == path.read_bytes()


def test_where_files_cannot_be_locked_a_torn_line_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without locks nobody knows whether the line is still growing; writing and reading work all the same."""
    monkeypatch.setattr(files, "lock", lambda fd: None)
    path = tmp_path / "run.jsonl"
    lines = written(path)
    with path.open("ab") as file:
        file.write(b"[4,")

    text = Jsonl.read(str(path))

    said = (
        "The last line is not whole (3 bytes). "
        "It was left alone, because files cannot be locked here and somebody may be writing."
    )
    assert JournalText(source=str(path), lines=tuple(lines), torn=said) == text
    assert path.read_bytes().endswith(b"[4,")


def test_a_torn_line_that_cannot_be_moved_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it cannot be kept aside it is not cut off either: nothing is lost."""

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "run.jsonl"
    path.write_bytes(line(1) + b"[2,")
    monkeypatch.setattr(files, "sync", refuse)

    text = Jsonl.read(str(path))

    said = "The last line is not whole (3 bytes). It could not be moved away (No space left on device)."
    assert said == text.torn
    assert line(1) + b"[2," == path.read_bytes()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "{0}: there is no such file. Journals are made by: cloudllm run --journal FILE"),
        (lambda path: path.mkdir(), "{0}: this is a folder. Name the journal in it."),
        (os.mkfifo, "{0}: this is not a file. Name a journal."),
        (
            lambda path: path.write_bytes(b""),
            "{0}: the file is empty, so there is no run in it. Run again with another journal.",
        ),
        (
            lambda path: path.write_bytes(b"[1,"),
            (
                "{0}: there is only part of a first record (3 bytes), so there is no run in it. "
                "Run again with another journal."
            ),
        ),
    ],
    ids=["missing", "folder", "pipe", "empty", "torn at once"],
)
def test_what_cannot_be_read_is_named_with_a_remedy(
    tmp_path: Path, make: Callable[[Path], object], sentence: str
) -> None:
    """Each of these is a sentence, comes at once, and changes nothing."""
    path = tmp_path / "run.jsonl"
    make(path)
    before = sorted(tmp_path.iterdir())

    with pytest.raises(JournalError) as caught:
        Jsonl.read(str(path))

    assert sentence.format(path) == str(caught.value)
    assert before == sorted(tmp_path.iterdir())


def test_a_journal_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No permission is not "no such file"."""
    path = tmp_path / "run.jsonl"
    written(path)

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(JournalError) as caught:
        Jsonl.read(str(path))
    monkeypatch.undo()

    assert f"{path}: you may not read this file. Ask its owner, or copy it as them." == str(caught.value)


# -- other processes ----------------------------------------------------------

HOLDER = """
import sys
from cloudllm_journal_jsonl import Jsonl
from cloudllm_journal_jsonl import journal as module
journal = Jsonl.create(sys.argv[1])
print("made", flush=True)
for command in sys.stdin:
    if command.strip() == "half":
        module.write(journal._fd, b"[2,")
    else:
        journal.append(b"[1]\\n", durable=True)
    print("done", flush=True)
"""


def test_a_line_that_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    """While a writer has the journal open, reading takes whole lines and touches nothing; afterwards it sets aside."""
    path = tmp_path / "run.jsonl"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin
        assert writer.stdout
        assert "made\n" == writer.stdout.readline()
        with pytest.raises(JournalError) as nothing_yet:
            Jsonl.read(str(path))
        for order in ("line\n", "half\n"):
            writer.stdin.write(order)
            writer.stdin.flush()
            assert "done\n" == writer.stdout.readline()
        during = Jsonl.read(str(path))
        writer.kill()
        writer.wait(PATIENT)
    after = Jsonl.read(str(path))

    assert f"{path}: there is no whole record yet; another process has the journal open. Try again later." == str(
        nothing_yet.value
    )
    said = "The last line is not whole (3 bytes). It was "
    assert (b"[1]",) == during.lines == after.lines
    assert said + "left alone, because another process has the journal open." == during.torn
    assert said + f"moved to {path}.torn." == after.torn


def test_a_journal_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    """The lock holds within one process as well, and is given back."""
    path = tmp_path / "run.jsonl"
    journal = Jsonl.create(str(path))
    reader = os.open(path, os.O_RDONLY)
    try:
        held = files.lock(reader)
        journal.close()
        freed = files.lock(reader)
    finally:
        os.close(reader)

    assert (False, True) == (held, freed)


KILLER = """
import json, os, random, signal, sys
from cloudllm_journal_jsonl import Jsonl

def write(path, acknowledge, seed):
    sizes = random.Random(seed)
    journal = Jsonl.create(path)
    number = 0
    while True:
        number += 1
        filler = "x" * sizes.choice([10, 1000, 300_000])
        journal.append(json.dumps([number, filler]).encode() + b"\\n", durable=not number % 5)
        os.write(acknowledge, b".")

for seed in range(int(sys.argv[2])):
    path = f"{sys.argv[1]}/{seed}.jsonl"
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        write(path, writer, seed)
    os.close(writer)
    wanted, seen = random.Random(-seed).randrange(1, 60), 0
    while seen < wanted:
        seen += len(os.read(reader, wanted - seen))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reader, 4096):
        seen += len(more)
    os.close(reader)
    print(json.dumps([path, seen]), flush=True)
"""


def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """Thirty writers are killed (-9) at random moments: each line that `append` returned for is there, in order."""
    command = [sys.executable, "-c", KILLER, str(tmp_path), "30"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=2 * PATIENT)
    outcomes = [json.loads(row) for row in ended.stdout.splitlines()]

    assert 30 == len(outcomes)
    for path, acknowledged in outcomes:
        numbers = [json.loads(row)[0] for row in Jsonl.read(path).lines]
        assert list(range(1, len(numbers) + 1)) == numbers
        assert acknowledged <= len(numbers) <= acknowledged + 1
