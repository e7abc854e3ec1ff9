"""What users import: `__all__` says all of it and nothing else."""

from __future__ import annotations

import importlib
import types

import pytest

import blueprint

PUBLIC = [
    "cloudllm_core",
    "cloudllm_core.errors",
    "cloudllm_core.events",
    "cloudllm_core.testing",
    *(plugin.package for plugin in blueprint.plugins()),
]


def public_names(module):
    """The names in *module* that look public: ours, neither private nor a module nor an answer to a hook."""
    root = module.__name__.partition(".")[0]
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith(("_", "cloudllm_register_"))
        and not isinstance(value, types.ModuleType)
        and (getattr(value, "__module__", None) or "").partition(".")[0] == root
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_complete(name):
    """
    What can be imported without an underscore is in `__all__`, and what is in `__all__` can be imported.

    Only a module that takes nothing from others of ours may do without the list: all it holds is its own.
    """
    module = importlib.import_module(name)
    own = [name for name in public_names(module) if getattr(module, name).__module__ == module.__name__]
    exported = getattr(module, "__all__", own)

    assert [] == sorted(public_names(module) - set(exported)), "not in __all__"
    assert [] == [export for export in exported if not hasattr(module, export)], "not there"


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_sorted(name):
    """`__all__` is in the order that ruff keeps and names nothing twice, so that a change shows as one line."""
    from sync import isort_key

    exported = list(getattr(importlib.import_module(name), "__all__", []))

    assert sorted(set(exported), key=isort_key) == exported
