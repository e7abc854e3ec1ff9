"""The contract of thought chains."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ..._agent import Agent
from ..._thoughts import Thought, ThoughtChain, ThoughtType
from ...errors import SetupError
from .._script import ScriptedProvider
from ._chance import ODD_TEXTS, dice_of, odd_text

HEAD = "=== RESTORED CONTEXT (from ThoughtChain) ==="
FOOT = "=== END RESTORED CONTEXT ==="
META: dict[str, Any] = {
    "text": "caf\u00e9", "": None, "whole": -7, "yes": True, "list": [1, [], {"deep": ["\U0001f600"]}], "table": {},
}  # fmt: skip
WHO = {"name": "ada", "model": "script:any", "instructions": "Look.", "tools": ["look"]}


class ThoughtChainContract:
    """
    What every thought chain promises. Subclass it and write the fixture ``chain``.

    If your chain outlives its object, override `again`, so that what is claimed is claimed of it, too.
    """

    @pytest.fixture
    def chain(self) -> ThoughtChain:
        """The chain under test, which holds no thoughts yet."""
        raise NotImplementedError("Write a fixture `chain` that returns a new, empty chain.")

    def again(self, chain: ThoughtChain) -> ThoughtChain:
        """The same place, opened anew."""
        return chain

    def both(self, chain: ThoughtChain) -> tuple[ThoughtChain, ThoughtChain]:
        return chain, self.again(chain)

    def test_has_a_name(self, chain: ThoughtChain) -> None:
        """Its name is a plain lower-case word."""
        assert re.fullmatch(r"[a-z][a-z0-9-]*", chain.name)

    def test_begins_empty(self, chain: ThoughtChain) -> None:
        """Before the first thought there is none, nothing to catch up with, and nobody has said who they are."""
        assert [] == list(chain.thoughts)
        assert ("", None) == (chain.to_catchup_prompt(5), chain.identity())
        with pytest.raises(SetupError):
            chain.resolve_context(0)

    def test_keeps_what_is_appended(self, chain: ThoughtChain) -> None:
        """A thought comes back as it was given, with its index and its time, from `append` and from `thoughts`."""
        first = chain.append("ada", ThoughtType.FINDING, "The sea is blue.")
        second = chain.append("bob", "Decision", "We swim.", [0], {"why": "It is warm."})

        assert [first, second] == list(chain.thoughts)
        assert (0, "ada", "Finding", "The sea is blue.", (), {}) == told(first)
        assert (1, "bob", "Decision", "We swim.", (0,), {"why": "It is warm."}) == told(second)
        assert 1_600_000_000 < first.at <= second.at + 3600

    def test_is_there_for_whoever_opens_it_next(self, chain: ThoughtChain) -> None:
        """What was appended is there for another handle, at once, and goes on there."""
        chain.append("ada", "Finding", "one", (), META)
        other = self.again(chain)
        assert list(chain.thoughts) == list(other.thoughts)
        other.append("bob", "Finding", "two", [0])
        chain.append("ada", "Finding", "three", [1])

        for handle in self.both(chain):
            assert ["one", "two", "three"] == [thought.content for thought in handle.thoughts]
            assert [0, 1, 2] == [thought.index for thought in handle.thoughts]

    def test_counts_from_nought(self, chain: ThoughtChain) -> None:
        """Indices are places: the thought with index n is ``thoughts[n]``."""
        made = [chain.append("ada", "Finding", str(nth)) for nth in range(20)]

        assert list(range(20)) == [thought.index for thought in made]
        assert all(chain.thoughts[thought.index] == thought for thought in made)

    def test_what_was_read_stays(self, chain: ThoughtChain) -> None:
        """A sequence of thoughts that somebody holds does not grow under their hands."""
        chain.append("ada", "Finding", "one")
        before = chain.thoughts
        chain.append("ada", "Finding", "two")

        assert (1, 2) == (len(before), len(chain.thoughts))
        assert ["one"] == [thought.content for thought in before]

    @pytest.mark.parametrize("ref", [3, 17, -1, True, False, 1.0, "0", None], ids=repr)
    def test_refers_to_earlier_thoughts_only(self, chain: ThoughtChain, ref: Any) -> None:
        """A reference to itself, to what is yet to come or to no index at all is refused, and nothing is added."""
        for nth in range(3):
            chain.append("ada", "Finding", str(nth))
        with pytest.raises(SetupError) as refused:
            chain.append("ada", "Decision", "so", [ref])

        assert repr(ref) in str(refused.value)
        assert all(3 == len(handle.thoughts) for handle in self.both(chain))

    def test_the_first_refers_to_nothing(self, chain: ThoughtChain) -> None:
        """The first thought cannot refer to itself."""
        with pytest.raises(SetupError):
            chain.append("ada", "Finding", "one", [0])

        assert [] == list(chain.thoughts)

    def test_keeps_references_in_order(self, chain: ThoughtChain) -> None:
        """References are kept sorted, each once, however they were given."""
        for nth in range(4):
            chain.append("ada", "Finding", str(nth))
        given = chain.append("ada", "Decision", "so", (nth for nth in (3, 0, 3, 2, 0)))

        assert (0, 2, 3) == given.refs
        assert (0, 2, 3) == self.again(chain).thoughts[4].refs

    def test_finds_what_a_thought_builds_on(self, chain: ThoughtChain) -> None:
        """What a thought builds on is found however far back, sorted, each once, and without the rest."""
        for refs in ([], [], [0], [], [2], [2, 4, 0]):
            chain.append("ada", "Finding", "x", refs)

        for handle in self.both(chain):
            assert [0, 2, 4] == [thought.index for thought in handle.resolve_context(4)]
            assert [0, 2, 4, 5] == [thought.index for thought in handle.resolve_context(5)]
            assert [1] == [thought.index for thought in handle.resolve_context(1)]
            for nowhere in (6, -1):
                with pytest.raises(SetupError):
                    handle.resolve_context(nowhere)

    def test_tells_how_to_go_on(self, chain: ThoughtChain) -> None:
        """The bootstrap prompt holds what a thought builds on, between a first and a last line."""
        chain.append("ada", "Finding", "The sea is blue.")
        chain.append("bob", "Finding", "The sky is grey.")
        chain.append("ada", "Compression", "Seas are blue.", [0])

        expected = [HEAD, "[#0] Finding (ada): The sea is blue.", "[#2] Compression (ada): Seas are blue.",
                    "  refs: 0", FOOT]  # fmt: skip
        assert expected == self.again(chain).to_bootstrap_prompt(2).splitlines()

    def test_tells_what_was_last(self, chain: ThoughtChain) -> None:
        """The catch-up prompt holds the last few thoughts, or as many as there are."""
        for nth in range(3):
            chain.append("ada", "Finding", f"thought {nth}")

        last = chain.to_catchup_prompt(2)
        assert ["thought 1", "thought 2"] == re.findall(r"thought \d", last)
        assert ["thought 0", "thought 1", "thought 2"] == re.findall(r"thought \d", chain.to_catchup_prompt(99))
        assert ("", "") == (chain.to_catchup_prompt(0), chain.to_catchup_prompt(-1))

    def test_takes_any_type(self, chain: ThoughtChain) -> None:
        """Types that nobody has heard of are kept like the known ones."""
        types = [*ThoughtType, "Hunch", "with spaces \u00e9"]
        for each in types:
            chain.append("ada", each, "x")

        assert [str(each) for each in types] == [thought.type for thought in self.again(chain).thoughts]

    def test_keeps_odd_texts(self, chain: ThoughtChain) -> None:
        """Any text is kept exactly, whatever it holds; only half a character, a lone surrogate, is replaced."""
        dice = dice_of("thoughts")
        texts = [*ODD_TEXTS, "a\nb\r\n\u2028{}", *(odd_text(dice) for _ in range(20))]
        for text in texts:
            chain.append("ada", "Finding", text, (), {"said": text})

        whole = [text.replace("\ud800", "\ufffd") for text in texts]
        for handle in self.both(chain):
            assert whole == [thought.content for thought in handle.thoughts]
            assert whole == [thought.meta["said"] for thought in handle.thoughts]

    def test_keeps_what_goes_with_a_thought(self, chain: ThoughtChain) -> None:
        """``meta`` is kept as JSON: texts, whole numbers, truth, nothing, lists and tables, as deep as they go."""
        given = chain.append("ada", "Finding", "x", (), META)

        assert META == given.meta
        assert META == self.again(chain).thoughts[0].meta

    @pytest.mark.parametrize("meta", [{"x": object()}, {"x": {1, 2}}, {"x": b"x"}], ids=["object", "set", "bytes"])
    def test_refuses_what_is_not_json(self, chain: ThoughtChain, meta: dict[str, Any]) -> None:
        """What JSON cannot hold is refused, and nothing is added."""
        with pytest.raises(SetupError):
            chain.append("ada", "Finding", "x", (), meta)

        assert all([] == list(handle.thoughts) for handle in self.both(chain))

    def test_remembers_who_committed(self, chain: ThoughtChain) -> None:
        """A commit says who the agent is where the chain does not end with it already; the last word counts."""
        chain.commit(WHO, "Finding", "one")
        chain.commit(WHO, "Finding", "two", [0])
        chain.append("bob", "Finding", "three")
        chain.commit(WHO, "Finding", "four")
        assert WHO == chain.identity() == self.again(chain).identity()
        other = {**WHO, "instructions": "Listen."}
        chain.commit(other, "Finding", "five")

        assert [True, False, False, False, True] == ["agent" in thought.meta for thought in chain.thoughts]
        assert other == chain.identity() == self.again(chain).identity()

    def test_an_agent_commits_and_comes_back(self, chain: ThoughtChain) -> None:
        """An agent that commits can be made again of its chain, and is told what its last thought builds on."""
        model = ScriptedProvider()
        ada = Agent("ada", model, "Look.", expertise="seas", personality="calm", thoughts=chain)

        async def main() -> None:
            await ada.commit("Finding", "The sea is blue.")
            await ada.commit("Finding", "The sky is grey.")
            await ada.commit("Decision", "We swim.", [0])

        asyncio.run(main())
        kept = ada.thoughts
        assert kept is not None
        back = Agent.resume_from_latest(self.again(kept), model)

        assert ada.identity == back.identity
        (restored,) = back.session.messages
        assert "The sea is blue." in restored.text
        assert "We swim." in restored.text
        assert "grey" not in restored.text

    def test_many_threads_append_at_once(self, chain: ThoughtChain) -> None:
        """Thoughts of many threads and two handles are all kept, once each, without a gap, each thread's in order."""
        handles = self.both(chain)

        def work(who: str, handle: ThoughtChain) -> Callable[[], None]:
            def run() -> None:
                for nth in range(10):
                    handle.append(who, "Finding", str(nth), [0] if handle.thoughts else [])

            return run

        threads = [threading.Thread(target=work(f"agent {nth}", handles[nth % 2])) for nth in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        for handle in handles:
            thoughts = handle.thoughts
            assert list(range(60)) == [thought.index for thought in thoughts]
            for nth in range(6):
                said = [thought.content for thought in thoughts if thought.agent == f"agent {nth}"]
                assert [str(each) for each in range(10)] == said

    def test_closes_and_goes_on(self, chain: ThoughtChain) -> None:
        """Closing twice does no harm, and the next call opens the chain again."""
        chain.append("ada", "Finding", "one")
        chain.close()
        chain.close()
        chain.append("ada", "Finding", "two", [0])
        chain.close()

        assert ["one", "two"] == [thought.content for thought in self.again(chain).thoughts]


def told(thought: Thought) -> tuple[Any, ...]:
    return thought.index, thought.agent, thought.type, thought.content, thought.refs, dict(thought.meta)
