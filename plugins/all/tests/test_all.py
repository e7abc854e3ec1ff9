"""`cloudllm`: all names in one place, and none of them paid for before it is used."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import cloudllm
import cloudllm_core


def test_importing_it_imports_nothing_of_ours():
    """`import cloudllm` loads neither the kernel nor a plugin."""
    code = "import cloudllm, sys; print(*(name for name in sys.modules if name.startswith('cloudllm_')))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()


def test_its_names_are_the_names_of_their_homes():
    """A class is the same class wherever it is imported from."""
    for name in cloudllm_core.__all__:
        assert getattr(cloudllm_core, name) is getattr(cloudllm, name)


def test_every_name_is_there():
    """Each name that it promises can be imported, and is listed."""
    assert [] == [name for name in cloudllm.__all__ if getattr(cloudllm, name, None) is None]
    assert set(cloudllm.__all__) <= set(dir(cloudllm))


def test_a_misspelt_name_is_an_import_error():
    """A name that nobody exports is refused by name, as by any module."""
    with pytest.raises(ImportError, match="cannot import name 'Agnet' from 'cloudllm'"):
        from cloudllm import Agnet  # noqa: F401
    with pytest.raises(AttributeError, match="module 'cloudllm' has no attribute 'Agnet'"):
        _ = cloudllm.Agnet


def test_it_pins_every_part_to_its_own_version():
    """What was tested together is installed together."""
    version = importlib.metadata.version("cloudllm")
    needs = importlib.metadata.requires("cloudllm")

    assert needs
    assert [] == [need for need in needs if not need.endswith(f"=={version}")]
