"""Every error says what, why and what to do, and can be told from its like."""

from __future__ import annotations

import copy
import pickle

import pytest

from cloudllm_core import PastEnds, errors

SENTENCES: list[tuple[errors.CloudLLMError, str]] = [
    (
        errors.UnknownNameError("mode", "ralf", ("ralph", "debate")),
        "No mode is called 'ralf' (installed: ralph, debate). Did you mean 'ralph'?",
    ),
    (
        errors.UnknownNameError("mode", "swarm", (), "cloudllm-mode-swarm"),
        "No mode is called 'swarm' (installed: none). Install it with: pip install cloudllm-mode-swarm",
    ),
    (
        errors.UnknownNameError("mode", "swarm", ()),
        "No mode is called 'swarm' (installed: none). See what is installed with: cloudllm plugins list",
    ),
    (
        errors.DuplicateNameError("mode", "ralph", ("one", "two")),
        "The mode 'ralph' is offered by one and two. Uninstall one of them, or block one: CLOUDLLM_BLOCK=two",
    ),
    (
        errors.BrokenPluginError("mode", "ralph", "one", "could not be imported: no module 'x'"),
        "The mode 'ralph' of one could not be imported: no module 'x'. Repair or uninstall it.",
    ),
    (
        errors.IncompatiblePluginError("one", ">=2", "1.0"),
        (
            "one was built for cloudllm-core >=2, and 1.0 is installed. "
            "Upgrade both: pip install --upgrade cloudllm-core one"
        ),
    ),
    (
        errors.BlockedPluginError("mode", "ralph", "CLOUDLLM_BLOCK"),
        "The mode 'ralph' is installed but kept out by CLOUDLLM_BLOCK. Change that list to use it.",
    ),
    (
        errors.SettingsError("team.toml: agents[2].model", "7", "text of the form 'provider:model'"),
        "team.toml: agents[2].model: found 7, expected text of the form 'provider:model'.",
    ),
    (
        errors.SettingsError("mode", "'x'", "a mode", "Did you mean 'y'?"),
        "mode: found 'x', expected a mode. Did you mean 'y'?",
    ),
    (
        errors.BusyAgentError("ada"),
        (
            "Agent 'ada' cannot take a turn now: it is answering already in this run. "
            "Wait for that turn to end, or use a fork."
        ),
    ),
    (
        errors.ToolSchemaError("look", "it yields", "Return a list instead."),
        "'look' cannot become a tool: it yields. Return a list instead.",
    ),
    (
        errors.ToolConflictError("read", ("files", "notes")),
        (
            "The tool 'read' comes from files and from notes, and a model could not tell them apart. "
            "Give one a prefix: Prefixed(notes, prefix='...')"
        ),
    ),
    (
        errors.HistoryError(3, "it is empty"),
        "Message 3 breaks the history: it is empty. Use repair_history() to mend it.",
    ),
    (errors.AgentFailedError("ada", "no luck"), "Agent 'ada' failed: no luck"),
    (
        errors.LimitReachedError("calls", 3),
        "The run reached its limit of 3 calls. Raise it with Limits(calls=...).",
    ),
    (
        errors.LimitReachedError("seconds", 2.5),
        "The run reached its limit of 2.5 seconds. Raise it with Limits(seconds=...).",
    ),
    (
        errors.ContextOverflowError("ada", 900, 500, "Do something."),
        "The session of 'ada' needs about 900 tokens and its budget is 500. Do something.",
    ),
    (
        errors.NotCompleteError("r1", "failed", "no luck"),
        "Run r1 is not complete; it ended with 'failed': no luck",
    ),
    (errors.NotCompleteError("r1", "stalled", None), "Run r1 is not complete; it ended with 'stalled'"),
    (errors.EffectError("check", "OSError: full"), "check failed: OSError: full"),
    (
        errors.StoreError("sqlite:team.db", "is locked by another process. Try again."),
        "The store sqlite:team.db is locked by another process. Try again.",
    ),
    (errors.ProviderError("no answer"), "The provider: no answer."),
    (
        errors.RateLimited("too many", "acme", "m1", 429, "req-7", "Wait.", retry_after=2.0),
        "acme:m1 (HTTP 429): too many [request req-7]. Wait.",
    ),
    (errors.Overloaded("too much", "acme"), "acme: too much."),
    (errors.ConnectionFailed("it broke", "acme"), "acme: it broke."),
    (errors.ProviderTimeout("no answer in 60 s", "acme"), "acme: no answer in 60 s."),
    (errors.StreamTruncated("the stream ended without its end", "acme"), "acme: the stream ended without its end."),
    (errors.AuthenticationFailed("the key is wrong", "acme", status=401), "acme (HTTP 401): the key is wrong."),
    (errors.BadRequest("no such parameter", "acme", "m1", 400), "acme:m1 (HTTP 400): no such parameter."),
    (errors.ContextTooLong("9 tokens too many", "acme"), "acme: 9 tokens too many."),
    (errors.ContentFiltered("filtered", "acme"), "acme: filtered."),
    (errors.BadResponse("no choices", "acme"), "acme: no choices."),
    (
        errors.ForeignAwaitError("run", "mode.py:7 in run"),
        (
            "'run' waits at mode.py:7 in run for something the hub does not know, so it could not be replayed. "
            "Instead of asyncio's own, use hub.ask_all or hub.each (gather, tasks), hub.sleep, hub.timeout, "
            "or hub.do(name, function) for files, HTTP and the rest."
        ),
    ),
    (
        errors.ForeignTaskError(),
        "The hub was called from a task it did not start. Start branches with hub.ask_all or hub.each.",
    ),
    (errors.RunOverError(), "The run is over; its hub answers no more. Start another run."),
    (
        errors.StuckError((("run", "the end of 'a'"), ("a", "nothing"))),
        (
            "The run is stuck: run waits for the end of 'a'; a waits for nothing. "
            "Nothing is under way that could wake any of them."
        ),
    ),
    (errors.ModeError("It broke a rule."), "It broke a rule."),
    (errors.JournalError("It cannot be read."), "It cannot be read."),
    (PastEnds("The journal ends before the run does."), "The journal ends before the run does."),
    (
        errors.DivergenceError(7, "ada", 2, "a", "b"),
        "The replay diverges at record 7 (lane 'ada', position 2): recorded a; now b.",
    ),
    (
        errors.DivergenceError(1, "run", 0, "'a'", "'b'", "prompt"),
        "The replay diverges at record 1 (lane 'run', position 0) in prompt: recorded 'a'; now 'b'.",
    ),
    (
        errors.TamperedError("run.jsonl", 7, "does not match its hash"),
        "run.jsonl: record 7 does not match its hash. The journal was changed after it was written.",
    ),
    (errors.SetupError("Give it a name."), "Give it a name."),
    (errors.PluginError("It is at fault."), "It is at fault."),
    (errors.RunError("The world let it down."), "The world let it down."),
    (errors.CloudLLMError("Anything."), "Anything."),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_each_error_has_its_sentence(error: errors.CloudLLMError, sentence: str) -> None:
    """What, why and what to do; braces and percent signs in facts do no harm."""
    assert sentence == str(error)


def kinds(cls: type[errors.CloudLLMError] = errors.CloudLLMError) -> set[type[errors.CloudLLMError]]:
    """All error classes of the kernel."""
    own = {sub for sub in cls.__subclasses__() if sub.__module__.startswith("cloudllm_core")}
    return {cls, *own, *(deeper for sub in own for deeper in kinds(sub))}


def test_every_class_has_a_tested_sentence() -> None:
    """A new error comes with a new line above."""
    # attrs makes a class twice when it gives it slots; the first one is never seen again.
    tested = {type(error).__qualname__ for error, _ in SENTENCES}
    assert {cls.__qualname__ for cls in kinds()} == tested


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_each_error_can_be_sent_to_another_process(error: errors.CloudLLMError, sentence: str) -> None:
    """Pickled and copied, it is the same class with the same facts and sentence."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(error) is type(twin)
        assert sentence == str(twin)
        assert error.args == twin.args


@pytest.mark.parametrize("name", ["{agent}", "100%", "{0}", "{", "}{"])
def test_facts_with_braces_are_told_as_they_are(name: str) -> None:
    """What a user named is never a template."""
    assert f"Agent {name!r} failed: {name}" == str(errors.AgentFailedError(name, name))


def test_the_tree_is_as_it_is_drawn() -> None:
    """The docstring of the module draws every class under its parent."""
    drawn = errors.__doc__ or ""
    for cls in kinds() - {errors.CloudLLMError, PastEnds}:
        assert cls.__name__ in drawn
    assert issubclass(errors.ContextTooLong, errors.BadRequest)
    for retry in (errors.RateLimited, errors.Overloaded, errors.ConnectionFailed, errors.StreamTruncated):
        assert issubclass(retry, errors.ProviderError)


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("paralel", ("parallel", "debate"), "Did you mean 'parallel'?"),
        ("xyz", ("parallel",), ""),
        ("a", (), ""),
    ],
)
def test_a_near_miss_is_offered_only_when_it_is_near(word: str, known: tuple[str, ...], hint: str) -> None:
    """A guess that is far off would mislead."""
    assert hint == errors.near_miss(word, known)
