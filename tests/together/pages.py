"""
Reads the blocks of code in a page, and performs them.

Run as a script (``python pages.py PAGE``) it performs one page in the working directory, which should be empty, and
ends with 1 and a sentence at the first block that does not do what the page says:

* A ``python`` block is a script of its own; under ``<!-- continues -->`` it goes on where the one before it ended.
  What it prints must be what its comments ``# prints: ...`` say, if it has any.
* A block that begins with ``# some/file.py`` or ``# some/file.toml`` is written to that file first, and a team file
  must build. Under ``<!-- file -->`` a block is written and not run.
* A ``console`` block under ``<!-- runs -->`` is run, command by command; below a command stands its output, if any.
  ``<!-- runs: 1 -->`` names the exit status that is to be expected.
* A ``text`` block under ``<!-- output -->`` holds what the block before it printed.
* ``<!-- not run: reason -->`` keeps a block from being run.

In expected output, ``...`` stands for any text. Nothing is reached but this machine: a small server stands in for
every address of an OpenAI-compatible one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
import traceback
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ANSWER = "The sky is blue because air scatters blue light most."
MARK = re.compile(r"<!-- ([a-z ]+)(?:: (.+))? -->")
FILE = re.compile(r"# ([\w./-]+\.\w+)$")
ADDRESS = re.compile(r"http://(?:localhost|127\.0\.0\.1):\d+/v1")
LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    text: str
    line: int
    """Where in the page its text begins, counted from 1."""

    marks: dict[str, str]
    """The comments directly above it."""

    @property
    def file(self) -> str | None:
        """The name it is saved under, if its first line says one."""
        found = FILE.match(self.text.partition("\n")[0])
        return found[1] if found else None


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of *page*, in order."""
    marks: dict[str, str] = {}
    language, began, lines = "", 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not began:
            if line.startswith("```"):
                language, began, lines = line[3:].strip(), number + 1, []
            elif mark := MARK.fullmatch(line):
                marks[mark[1]] = mark[2] or ""
            elif line:
                marks = {}
        elif line == "```":
            yield Block(language, "".join(f"{each}\n" for each in lines), began, marks)
            began, marks = 0, {}
        else:
            lines.append(line)
    assert not began, f"{page}: the block in line {began} does not end"


def performed(block: Block) -> bool:
    """Whether *block* is more than something to look at."""
    return "not run" not in block.marks and (
        block.language == "python" or bool({"runs", "output", "file"} & block.marks.keys()) or block.file is not None
    )


# -- performing ---------------------------------------------------------------


class Mismatch(Exception):
    """A page says one thing and its code does another."""


class Stage:
    """Where the blocks of one page are performed, one after the other."""

    def __init__(self, page: Path, server: str) -> None:
        self.page, self.server = page, server
        self.module = types.ModuleType("__main__")
        self.said = ""

    def perform(self, block: Block) -> None:
        text = ADDRESS.sub(self.server, block.text)
        if block.file is not None:
            path = Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if "file" in block.marks:
            return
        if block.language == "python":
            self.run_python(text, block)
        elif block.language == "toml" and block.file is not None:
            build(block.file, text)
        elif "runs" in block.marks:
            self.run_console(text, int(block.marks["runs"] or 0))
        elif "output" in block.marks:
            compare(text, self.said)

    def run_python(self, text: str, block: Block) -> None:
        if "continues" not in block.marks:
            self.module = types.ModuleType("__main__")
        sys.modules["__main__"] = self.module  # where annotations are looked up
        # Line breaks up to where the block stands, so that a traceback names the line of the page.
        code = compile("\n" * (block.line - 1) + text, str(self.page), "exec", dont_inherit=True)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, vars(self.module))
        self.said = out.getvalue()
        if expected := re.findall(r"# prints: ?(.*)", text):
            compare("\n".join(expected), self.said)

    def run_console(self, text: str, status: int) -> None:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            done = run(shlex.split(command, comments=True))
            self.said = done.stdout
            if done.returncode != status:
                raise Mismatch(f"`{command}` ended with {done.returncode}:\n{done.stdout}")
            if expected.strip():
                compare(expected, self.said)


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run one command; `cloudllm` and `python` are those of this environment."""
    if words[:2] == ["pip", "install"]:
        return subprocess.CompletedProcess(words, 0, install(Path(words[-1])))
    if words[0] == "cat":
        return subprocess.CompletedProcess(words, 0, Path(words[1]).read_text(encoding="utf-8"))
    known = {"cloudllm": ["-m", "cloudllm_cli"], "python": [], "pytest": ["-m", "pytest", "-p", "no:cacheprovider"]}
    if words[0] not in known:
        raise Mismatch(f"nobody knows how to run {words[0]!r} here")
    return subprocess.run(
        [sys.executable, *known[words[0]], *words[1:]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip


def install(project: Path) -> str:
    """Stand in for ``pip install -e``, which would need a network: what it would write for *project*."""
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = Path("site-packages")
    info = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {need}\n" for need in about["dependencies"])
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n{needs}", encoding="utf-8"
    )
    points = about.get("entry-points", {}).items()
    (info / "entry_points.txt").write_text(
        "".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in points),
        encoding="utf-8",
    )
    for path in (site, project / "src"):
        sys.path.insert(0, str(path.resolve()))
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    return f"Successfully installed {about['name']}-{about['version']}\n"


def compare(expected: str, actual: str) -> None:
    """See that *actual* is what *expected* says, where ``...`` is anything."""
    wanted, said = ("\n".join(line.rstrip() for line in text.strip().splitlines()) for text in (expected, actual))
    if not re.fullmatch(re.escape(wanted).replace(r"\.\.\.", ".*"), said, re.DOTALL):
        raise Mismatch(f"the page says:\n{wanted}\n\nand its code:\n{said}")


def build(file: str, text: str) -> None:
    """Build the team file that was written to *file*, if it is one."""
    if "agents" in tomllib.loads(text):
        from cloudllm_cli.teams import read_team
        from cloudllm_core import default_registry

        read_team(file).build(default_registry())


# -- nobody but this machine --------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """Speaks as much of Chat Completions as the pages need: one answer, whole or in pieces."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        about = {"id": "docs", "created": 0, "model": request["model"]}
        usage = {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32}
        if request.get("stream"):
            pieces = [{"role": "assistant", "content": ANSWER[:20]}, {"content": ANSWER[20:]}, {}]
            chunks = [{"index": 0, "delta": each, "finish_reason": None if each else "stop"} for each in pieces]
            events = [about | {"object": "chat.completion.chunk", "choices": [chunk]} for chunk in chunks]
            events.append(about | {"object": "chat.completion.chunk", "choices": [], "usage": usage})
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            self._send("text/event-stream", body)
        else:
            message = {"role": "assistant", "content": ANSWER}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = about | {"object": "chat.completion", "choices": [choice], "usage": usage}
            self._send("application/json", json.dumps(answer))

    def _send(self, kind: str, body: str) -> None:
        data = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def stay_here(event: str, args: tuple[object, ...]) -> None:
    """An audit hook that lets nothing reach another machine."""
    if event == "socket.connect":
        address = args[1]
        if isinstance(address, tuple) and address[0] not in LOCAL:
            raise Mismatch(f"the page wants to reach {address[0]}")
    elif event == "socket.getaddrinfo" and args[0] not in (*LOCAL, None):
        raise Mismatch(f"the page wants to reach {args[0]}")


def main(page: Path) -> int:
    sys.addaudithook(stay_here)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    os.environ |= {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "not-a-key"}
    sys.path[0] = os.getcwd()
    stage = Stage(page, address)
    for block in blocks(page):
        if performed(block):
            try:
                stage.perform(block)
            except Mismatch as problem:
                print(f"{page}:{block.line}: {problem}", file=sys.stderr)
                return 1
            except BaseException:  # noqa: BLE001 -- also where a page calls sys.exit
                print(f"{page}:{block.line}: the block fails\n{traceback.format_exc()}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
