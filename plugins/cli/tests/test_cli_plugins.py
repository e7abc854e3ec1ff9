"""`cloudllm plugins list`: what is installed, read from metadata."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cloudllm_core import Registry

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\nRequires-Dist: cloudllm-core{api}\n"


@pytest.fixture
def shelf(tmp_path):
    """A registry of three distributions: one works, one was built for another kernel, one is misspelt."""

    def put(name, entries, api=">=0.1,<0.2"):
        info = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(METADATA.format(name=name, api=api), "utf-8")
        (info / "entry_points.txt").write_text(entries, "utf-8")

    put("acme-modes", "[cloudllm.mode]\nacme = acme_modes\n[cloudllm.needs]\nnetwork = acme\nfiles = acme\n")
    put("old-sink", "[cloudllm.event_sink]\nold = old_sink\n", ">=9,<10")
    put("odd-one", "[cloudllm.modes]\nodd = odd\n")
    return Registry(path=[str(tmp_path)], version="0.1.0")


def test_the_table(cloudllm, shelf):
    """One line for each offer, with what it needs and whether it can be used; then what is wrong, in sentences."""
    said = cloudllm_of(cloudllm, shelf)

    lines = said.out.splitlines()
    assert (0, "") == (said.status, said.err)
    assert ["KIND", "NAME", "DISTRIBUTION", "NEEDS"] == lines[0].split()[:4]
    assert ["mode", "acme", "acme-modes", "1.2", "files,", "network", ">=0.1,<0.2", "ok"] == found(
        lines, "acme"
    ).split()
    assert ["event_sink", "old", "old-sink", "1.2", ">=9,<10", "incompatible"] == found(lines, "old").split()
    assert "fault" == found(lines, "odd").split()[-1]
    assert (
        "old-sink was built for cloudllm-core >=9,<10, and 0.1.0 is installed. "
        "Upgrade both: pip install --upgrade cloudllm-core old-sink"
    ) in lines
    assert (
        "The plugin 'odd' of odd-one is in the entry-point group 'cloudllm.modes', and there is no such kind. "
        "Did you mean 'mode'?"
    ) in lines


def found(lines, name):
    return next(line for line in lines if f" {name} " in line)


def cloudllm_of(cloudllm, shelf, *words):
    """The list of *shelf*, by the command of the command line's own registry."""
    from cloudllm_cli import plugins

    shelf.add(plugins)
    return cloudllm("plugins", "list", *words, registry=shelf)


def test_json(cloudllm, shelf):
    """`--json` gives the same as data."""
    told = {plugin["name"]: plugin for plugin in json.loads(cloudllm_of(cloudllm, shelf, "--json").out)}

    assert {
        "kind": "mode",
        "name": "acme",
        "distribution": "acme-modes",
        "version": "1.2",
        "needs": ["files", "network"],
        "api": ">=0.1,<0.2",
        "status": "ok",
        "problem": "",
    } == told["acme"]
    assert ("incompatible", "fault") == (told["old"]["status"], told["odd"]["status"])


def test_something_else_than_a_list_is_refused(cloudllm):
    """Only `list` can be asked of it; the sentence says so."""
    said = cloudllm("plugins", "lsit")

    assert 2 == said.status
    assert said.err.startswith("cloudllm: Argument what: invalid choice: 'lsit'")


def test_listing_imports_no_plugin():
    """No module of a plugin is imported for the list, but the command line's own."""
    code = """
import sys
from cloudllm_cli.main import main
status = main(["plugins", "list", "--json"])
mine = {"cloudllm_core", "cloudllm_cli"}
print(status, sorted({n.partition(".")[0] for n in sys.modules if n.startswith("cloudllm")} - mine), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert "0 []\n" == done.stderr
    assert {"run", "demo", "plugins", "replay"} <= {plugin["name"] for plugin in json.loads(done.stdout)}
