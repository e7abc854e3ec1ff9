"""What all stores have from the kernel: items, the slow way to the first match, and how a failure is told."""

from __future__ import annotations

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from cloudllm_core import Item, Store
from cloudllm_core.errors import StoreError
from tests.kernel.shelves import Shelf

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.builds(Item, key=st.text(min_size=1), value=JSON, version=st.integers(1), written=st.floats(0, 1e10)))
def test_an_item_survives_a_journal(item):
    """It is JSON, and from that JSON the same item again."""
    assert item == Item.from_json(json.loads(json.dumps(item.to_json())))


def test_a_value_inside_an_item_stays_what_it_is():
    """Objects in a value are not taken apart, and nothing is left out."""
    item = Item(key="a", value={"deep": [{"er": 1}]}, version=3, written=1.0, expires=2.0)

    assert {"key": "a", "value": item.value, "version": 3, "written": 1.0, "expires": 2.0} == item.to_json()


def test_a_store_that_only_lists_finds_the_first_match():
    """`first` needs nothing but `list`: by key, under the prefix, with just these fields."""

    async def main():
        shelf = Shelf()
        for key, value in {"t:2": {"state": "ready"}, "t:1": {"state": "done"}, "a": {"state": "ready"}}.items():
            await shelf.put(key, value)
        found = [await Store.first(shelf, "t:", {"state": state}) for state in ("ready", "done", "dead")]
        return [item and item.key for item in found]

    assert ["t:2", "t:1", None] == asyncio.run(main())


def test_a_failure_is_a_sentence():
    """It names the store and says what happened."""
    error = StoreError("/data/team.db", "did not write: the disk is full. Make room.")

    assert "The store /data/team.db did not write: the disk is full. Make room." == str(error)
