"""What there is to do: the tasks as a user writes them, checked where they are written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import attrs

LENGTH = 128
"""Characters an id of a task or a pool may have."""


def id_problem(id: object, what: str) -> str | None:
    """Why *id* cannot be part of a key, as a sentence; None if it can."""
    if not isinstance(id, str) or not id:
        return f"The id of a {what} is text such as 'first', and not {id!r}."
    if ":" in id:
        return f"The id {id!r} of a {what} cannot be part of a key: it has a ':' in it. Write '-' instead."
    if id != id.strip() or not id.isprintable():
        return f"The id {id!r} of a {what} has spaces around it or characters that cannot be printed."
    if len(id) > LENGTH:
        return f"The id {id[:20]!r}... of a {what} is {len(id)} characters long, and {LENGTH} is the most."
    return None


def _id_is_plain(_: object, __: object, id: str) -> None:
    if problem := id_problem(id, "task"):
        raise ValueError(problem)


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"A task takes lists of texts, such as [{value!r}], and not the text {value!r}.")
    return tuple(value)


@attrs.frozen
class WorkItem:
    """One task of a pool."""

    id: str = attrs.field(validator=_id_is_plain)
    description: str = ""
    acceptance_criteria: str = ""
    """What must be true of the result."""

    title: str = ""
    after: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Ids of the tasks that must be done first."""

    needs: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Names of tools, or tags, that whoever works on it must have."""


def as_items(items: Iterable[WorkItem]) -> tuple[WorkItem, ...]:
    listed = tuple(items)
    for item in listed:
        if not isinstance(item, WorkItem):
            raise TypeError(f"A pool takes tasks such as WorkItem('id', 'what to do'), and not {item!r}.")
    return listed


def in_order(items: Sequence[WorkItem], known: Collection[str] = ()) -> list[WorkItem]:
    """
    *items*, each after those it waits for.

    Args:
        known: ids of tasks that are in the pool already.

    Raises:
        ValueError: an id comes twice, a task waits for one that does not exist, or some wait in a circle.
    """
    ids = [item.id for item in items]
    if repeated := next((id for id in ids if ids.count(id) > 1), None) if len(set(ids)) < len(ids) else None:
        raise ValueError(f"The id {repeated!r} is used for more than one task. Give each its own.")
    here, placed, ordered = set(ids), set(known), list[WorkItem]()
    for item in items:
        if missing := next((id for id in item.after if id not in placed and id not in here), None):
            raise ValueError(f"The task {item.id!r} comes after {missing!r}, and there is no such task.")
    placed -= here
    left = list(items)
    while ready := [item for item in left if placed.issuperset(item.after)]:
        ordered += ready
        placed.update(item.id for item in ready)
        left = [item for item in left if item.id not in placed]
    if left:
        circle = _circle({item.id: next(id for id in item.after if id not in placed) for item in left})
        raise ValueError(f"These tasks wait for each other, in a circle: {' -> '.join(map(repr, circle))}.")
    return ordered


def _circle(waits: dict[str, str]) -> list[str]:
    """The circle that *waits* (who waits for whom) leads into."""
    path = [next(iter(waits))]
    while path.count(path[-1]) == 1:
        path.append(waits[path[-1]])
    return path[path.index(path[-1]) :]
