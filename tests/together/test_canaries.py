"""
Canaries: secrets of every origin, planted where they belong, and looked for everywhere else while things go wrong.

Keys (argument and environment), headers, addresses, credentials of tools and tables of team files: none appears in
a log, an event, a journal, an error, a result or the environment of a child process.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from cloudllm_cli.main import main as command_line
from cloudllm_core import Agent, Message, Orchestration, Provider, Request, Secret, tool
from cloudllm_core.errors import ProviderError, SettingsError
from cloudllm_core.testing import Notebook, ScriptedProvider, call
from cloudllm_mode_round_robin import RoundRobin
from cloudllm_tool_bash import Bash
from cloudllm_tool_http import Http

from .test_untrusted import World
from .wire_server import Reply, Server, http, in_pieces, resetting, sse
from .wires import WIRES, Asked, Said, Wire

KEY, VARIABLE, HEADER = "sk-canary-argument-5d2f91c0", "sk-canary-variable-7ab3", "canary-header-%2B/+e88f="
USER, QUERY, CREDENTIAL = "canary-user-20c4d1", "canary-query-93be77", "canary-credential-4c0e"
MARK = "canary-"
HELLO = Said(text="Hello to all.", thought="A greeting.")


@pytest.fixture(autouse=True)
def everything_logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """All loggers say all they know, those of the SDKs and of HTTP too."""
    caplog.set_level(0)
    for name in ("openai", "anthropic", "google_genai", "httpx2", "httpcore2", "httpx", "httpcore", "asyncio"):
        caplog.set_level(0, name)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(0, name)
    monkeypatch.setenv("CANARY_API_KEY", VARIABLE)


@attrs.define(eq=False)
class Stage:
    """One loop, one server, and a provider for each wire with canaries planted in it."""

    runner: asyncio.Runner
    server: Server
    planted: dict[str, Provider] = attrs.Factory(dict)

    def provider(self, wire: Wire, timeout: float = 10.0) -> Provider:
        made: Any = wire.make(self.server.url, timeout)
        return attrs.evolve(made, api_key=Secret(KEY, "api_key"), headers={"x-tenant": HEADER})  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        stage = Stage(runner, Server())
        runner.run(stage.server.open())
        stage.planted = {name: stage.provider(wire) for name, wire in WIRES.items()}
        yield stage
        for provider in stage.planted.values():
            runner.run(provider.aclose())
        runner.run(stage.server.close())


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return WIRES[request.param]


@tool(effect="read")
def note(key: str = "") -> str:
    """Note a key."""
    return f"noted {key}, for {KEY} and {HEADER}"


def whole(wire: Wire, said: Said) -> str:
    begun, ended = wire.speech.stream(said)
    return "".join([*begun, *ended])


def faults(wire: Wire) -> dict[str, Reply]:
    """What a server may do, repeating what it was sent wherever it can."""
    said = f"The key {KEY}, with x-tenant {HEADER}, is not known here."
    trouble = {status: json.dumps(wire.speech.trouble(status, said)) for status in (400, 401, 403, 404, 429, 500, 529)}
    begun, ended = wire.speech.stream(attrs.evolve(HELLO, text=f"Your key is {KEY}. " * 3))
    calls = Said(calls=(Asked(f"id-{KEY}", "note", json.dumps({"key": KEY})),))
    torn = Said(calls=(Asked("call_1", "note", f'{{"key": "{KEY}'),))
    return {
        **{f"status {status}": http(body, status) for status, body in trouble.items()},
        "headers": http(trouble[429], 429, x_request_id=KEY, request_id=KEY, retry_after=KEY, x_tenant=HEADER),
        "page": http(f"<html>{said * 20}</html>", 502, kind="text/html"),
        "page that is fine": http(f"<html>{said * 20}</html>", kind="text/html"),
        "text": http(said), "number": http(json.dumps({"error": 7, "message": said}), 500),
        "redirect": http(said, 307, location=f"http://127.0.0.1:1/?key={KEY}"),
        "status that is none": f"HTTP/1.1 {KEY} {KEY}\r\n\r\n".encode(),
        "header that is none": f"HTTP/1.1 200 OK\r\n{KEY} {KEY}\r\n\r\n".encode(),
        "coding": http(said, content_encoding="gzip"), "coding that is none": http(said, content_encoding=KEY),
        "hung up": b"", "reset": resetting(), "reset in an answer": resetting(http(said, content_length="9999")),
        "cut": sse("".join(begun)), "cut in an event": sse("".join(begun)[:-20]),
        "outcry": sse("".join([*begun, wire.speech.outcry(529, said)])),
        "event that is none": sse(f"data: {{{KEY}\n\n"), "answer": http(wire.speech.whole(calls)),
        "stream": sse("".join([*begun, *ended])), "slow": in_pieces(sse("".join([*begun, *ended])), 40),
        "calls": sse(whole(wire, calls)), "torn": sse(whole(wire, torn)),
    }  # fmt: skip


FAULTS = list(faults(next(iter(WIRES.values()))))
ECHOED = {"headers", "coding that is none", "redirect", "status that is none", "header that is none"}
"""A key in the head of an answer: HTTP clients log what a server said there, where somebody turns that on."""

RAW = {"answer", "stream", "slow", "calls", "torn"}
"""Where it is an answer, what a model says is not an error, and hidden by a run only."""


def told(problem: BaseException) -> str:
    """What an error, and what led to it, say when they are printed."""
    more = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
    said = [str(problem), repr(problem), *traceback.format_exception(problem)]
    return "\n".join([*said, *([told(more)] if more is not None else [])])


def held(problem: BaseException) -> str:
    """What else can be had from an error: its fields and arguments, as services that collect errors send them."""
    fields = attrs.asdict(problem, recurse=False) if attrs.has(type(problem)) else {}  # type: ignore[arg-type]
    return repr([problem.args, fields, vars(problem)])


def clean(*texts: str, canaries: tuple[str, ...] = (KEY, VARIABLE, HEADER, USER, QUERY, CREDENTIAL)) -> None:
    """No canary in any of *texts*; what stands around the first one is shown."""
    for text in texts:
        for canary in canaries:
            at = text.find(canary)
            assert at < 0, f"{canary!r} in {text[max(0, at - 200) : at + 80]!r}"


# -- providers ----------------------------------------------------------------


def asked(stage: Stage, wire: Wire, provider: Provider, stream: bool = True) -> ProviderError | None:
    """The error that one call comes to."""
    request = Request(model=wire.model, instructions="", messages=(Message.user("Hi."),))

    async def ask() -> ProviderError | None:
        try:
            await (provider.stream(request, lambda sort, text: None) if stream else provider.complete(request))
        except ProviderError as problem:
            return problem
        return None

    return stage.runner.run(ask())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
def test_errors_and_logs_of_providers(stage, wire, fault, stream, caplog, capfd):
    """Asked by themselves, providers say what went wrong without the key, whatever the server repeats in a body."""
    provider = stage.planted[wire.name]
    stage.server.script(faults(wire)[fault])

    error = asked(stage, wire, provider, stream)

    clean("" if fault in ECHOED else caplog.text, *capfd.readouterr(), repr(provider))
    if error is not None and fault != "headers":
        clean(told(error), canaries=(KEY,))


def test_errors_of_providers_hold_nothing_either(stage, wire):
    """Neither key nor headers, in any field, argument or id of any error."""
    for name, fault in faults(wire).items():
        stage.server.script(fault)
        error = asked(stage, wire, stage.planted[wire.name])
        if error is not None:
            clean(f"{name}: {told(error)}", held(error))


@pytest.mark.parametrize("form", ["{before}//{user}:{user}@{after}", "{before}//{after}?token={query}"])
def test_addresses_with_secrets_are_refused(stage, wire, form):
    """An address is shown in logs and errors; what else it holds is named, and not shown."""
    made: Any = stage.planted[wire.name]
    before, _, after = made.base_url.partition("//")
    with pytest.raises(SettingsError, match=r"base_url: found an address with a (user's name or password|query)") as no:
        attrs.evolve(made, base_url=form.format(before=before, after=after, user=USER, query=QUERY))

    clean(told(no.value))


def test_a_key_of_the_environment_is_as_hidden_as_one_that_is_given(stage, wire, caplog, capfd):
    """Also where the server repeats it."""
    made: Any = stage.planted[wire.name]
    provider = attrs.evolve(made, api_key=None, api_key_env="CANARY_API_KEY")
    stage.server.script(http(json.dumps(wire.speech.trouble(401, f"The key {VARIABLE} is not known here.")), 401))
    try:
        error = asked(stage, wire, provider)
    finally:
        stage.runner.run(provider.aclose())
    assert error is not None
    clean(told(error), caplog.text, *capfd.readouterr(), repr(provider))


# -- runs ---------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_run_leaves_behind(stage, wire, fault, tmp_path, caplog, capfd):
    """Journal, events, signals, result, session, what the model is sent again, and a replay."""
    notebook = Notebook()
    ada = Agent("ada", stage.planted[wire.name], tools=[note])
    ada.model = wire.model
    team = Orchestration([ada], RoundRobin(), sinks=[notebook])
    stage.server.script(faults(wire)[fault], http(wire.speech.whole(HELLO)))

    async def run() -> list[str]:
        journal = tmp_path / "run.jsonl"
        run = team.run(f"Use {KEY}.", journal=str(journal))
        heard = [repr(signal) async for signal in run.signals()] if FAULTS.index(fault) % 2 else []
        result = await run
        sessions = json.dumps([message.to_json() for message in ada.session.messages])
        error = told(result.error) + held(result.error) if result.error is not None else ""
        again = await team.replay(str(journal))
        # A piece of a stream is cleaned by itself: only what stands in one piece can be found (see the docs).
        return [*heard, repr(result), json.dumps(result.to_json()), sessions, error, journal.read_text(), repr(again)]

    left = stage.runner.run(run())
    clean(*left, *capfd.readouterr(), *[repr(record) for record in notebook.records])
    clean("" if fault in ECHOED else caplog.text)
    clean(*[repr(record.event) for record in notebook.records], repr(team.agents[0].provider), repr(ada.toolbox))
    sent = json.dumps(stage.server.requests)
    assert KEY not in sent


# -- the command line ---------------------------------------------------------


@attrs.define(eq=False)
class Aside:
    """A server on a thread of its own, for what brings its own loop."""

    server: Server = attrs.Factory(Server)
    _loop: asyncio.AbstractEventLoop = attrs.Factory(asyncio.new_event_loop)

    def __enter__(self) -> Server:
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self.server.open(), self._loop).result()
        return self.server

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.server.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        while self._loop.is_running():
            pass
        self._loop.close()


MODELS = {
    "openai-chat": 'name = "openai:gpt-5", base_url = "URL/v1"',
    "anthropic": 'name = "anthropic:claude-opus-5", base_url = "URL"',
    "gemini": 'name = "gemini:gemini-3-pro", base_url = "URL"',
}
PLANTED = f'api_key = "{KEY}", headers = {{ x-tenant = "{HEADER}" }}'


def team_of(folder: Path, model: str, more: str = "") -> str:
    file = folder / "team.toml"
    file.write_text(f'mode = "round-robin"\n{more}\n[[agents]]\nname = "ada"\nmodel = {model}\n', "utf-8")
    return str(file)


@pytest.mark.parametrize("options", [["--json"], ["--debug"], ["--json", "--debug"]], ids=" ".join)
@pytest.mark.parametrize("fault", ["status 400", "status 401", "status 529", "text", "cut", "hung up", "answer"])
@pytest.mark.parametrize("name", MODELS)
def test_cloudllm_run(tmp_path, name, fault, options, caplog, capfd):
    """What a terminal shows, with tracebacks too, and what is in the file of the journal."""
    wire = WIRES[name]
    with Aside() as server:
        server.script(faults(wire)[fault])
        model = f"{{ {MODELS[name].replace('URL', server.url)}, {PLANTED}, resilience = false }}"
        journal = tmp_path / "run.jsonl"
        words = ["run", team_of(tmp_path, model), f"Use {KEY}.", *options, "--journal", str(journal)]
        status = command_line(words)

    shown = capfd.readouterr()
    assert (0 if fault == "answer" else 1) == status or fault in RAW
    assert "secret:" in shown.out + shown.err + journal.read_text()
    clean(shown.out, shown.err, caplog.text, journal.read_text())


SLIPS = {
    "unknown setting": "{ NAME, api_kye = 1, PLANTED }",
    "wrong type": "{ NAME, api_key = ['KEY'], headers = 'HEADER' }",
    "wrong header": "{ NAME, api_key = 'KEY', headers = { x-tenant = ['HEADER'] } }",
    "header with a line": "{ NAME, api_key = 'KEY', headers = { x-tenant = \"HEADER\\n\" } }",
    "no name": "{ PLANTED }",
    "name of a wrong type": "{ name = { PLANTED }, PLANTED }",
    "no model": "{ name = 'openai', PLANTED }",
    "a list": "[{ NAME, PLANTED }]",
    "wrong timeout": "{ NAME, timeout = -1, PLANTED }",
    "timeout of a wrong type": "{ NAME, timeout = { PLANTED }, PLANTED }",
    "wrong address": "{ NAME, base_url = 'ftp://a.example', PLANTED }",
    "no such provider": "{ name = 'opnai:gpt-5', PLANTED }",
    "no TOML": "{ NAME, PLANTED",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_team_files_with_a_slip(tmp_path, slip, caplog, capfd):
    """The error names the key of the table, and not what stands there."""
    text = SLIPS[slip].replace("NAME", 'name = "openai:gpt-5"').replace("PLANTED", PLANTED)
    file = team_of(tmp_path, text.replace("'KEY'", f'"{KEY}"').replace("HEADER", HEADER))

    assert 2 == command_line(["--debug", "run", file, "Begin."])
    clean(*capfd.readouterr(), caplog.text)


# -- tools --------------------------------------------------------------------

HTTP_FAULTS = {
    "refused": OSError(111, f"no way to {CREDENTIAL}"),
    "echo": f"HTTP/1.1 200 OK\r\nx-key: {CREDENTIAL}\r\nContent-Length: 30\r\n\r\nx-key: {CREDENTIAL}",
    "garbage": f"HTTP/1.1 {CREDENTIAL}\r\n\r\n",
    "bad header": f"HTTP/1.1 200 OK\r\n{CREDENTIAL}\r\n\r\n",
    "redirect": f"HTTP/1.1 302 Found\r\nLocation: http://other.example/?{CREDENTIAL}\r\nContent-Length: 0\r\n\r\n",
    "error": f"HTTP/1.1 500 Oh\r\nContent-Length: 25\r\n\r\n{CREDENTIAL}, sorry",
    "cut": f"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{CREDENTIAL}",
}  # fmt: skip


class Faulty(World):
    """A world in which a host fails in one way, and repeats what it was sent."""

    def __init__(self, folder: Path, fault: Any) -> None:
        super().__init__(folder, "query")
        self.fault = fault

    async def dial(self, address: str, port: int, seconds: float) -> Any:
        import httpcore2

        if isinstance(self.fault, Exception):
            raise self.fault
        return httpcore2.AsyncMockStream([self.fault.encode()])


def left_by(team: Orchestration, notebook: Notebook) -> list[str]:
    """All that a run of *team* leaves behind."""

    async def main() -> list[str]:
        run = team.run("Begin.")
        try:
            result = await run
        finally:
            await team.aclose()
        texts = [record.text for record in run.records]
        sessions = [repr(message) for agent in team.agents for message in agent.session.messages]
        return [*texts, *sessions, repr(result), json.dumps(result.to_json()), *map(repr, notebook.records)]

    return asyncio.run(main())


@pytest.mark.parametrize("fault", HTTP_FAULTS)
def test_credentials_of_the_http_tool(tmp_path, fault, caplog, capfd):
    """A host that has them may repeat them; nobody reads them there."""
    world = Faulty(tmp_path, HTTP_FAULTS[fault])
    tool_ = Http(credentials={"http://a.example": {"x-key": CREDENTIAL}}, resolve=world.look_up, dial=world.dial)
    notebook = Notebook()
    lines = [call("http_get", url="http://a.example/"), call("http_get", url="nonsense://a"), "Done."]
    team = Orchestration([Agent("ada", ScriptedProvider(*lines), tools=[tool_])], RoundRobin(), sinks=[notebook])

    clean(*left_by(team, notebook), repr(tool_), repr(team), *capfd.readouterr())
    if fault in ("refused", "error", "cut"):  # else it is in the head of the answer: see ECHOED
        clean(caplog.text)


def test_child_processes_have_no_secrets(tmp_path):
    """What the bash tool starts has none in its environment, and finds none in those of its parents."""
    notebook = Notebook()
    lines = [call("bash", command="env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; echo done"), "Done."]
    bash = Bash(tmp_path)
    team = Orchestration([Agent("ada", ScriptedProvider(*lines), tools=[bash])], RoundRobin(), sinks=[notebook])

    left = left_by(team, notebook)
    assert any("done" in text for text in left)
    assert not any("CANARY_API_KEY" in text for text in left), "not even by name, which is what would be shown"
    clean(*left)


def test_nothing_prints_its_secrets(stage, wire, tmp_path):
    """Agents, teams and tools as a debugger or a log shows them."""
    tools = [Http(credentials={"a.example": {"x-key": CREDENTIAL}}), Bash(tmp_path)]
    ada = Agent("ada", stage.planted[wire.name], tools=tools)
    team = Orchestration([ada], RoundRobin(), secrets=[Secret(KEY, "K")])

    clean(*[repr(thing) for thing in (ada, team, *tools, ada.toolbox, ada.secrets(), ada.registry, ada.member)])
