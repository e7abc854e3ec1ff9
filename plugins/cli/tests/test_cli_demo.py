"""The demo's files, and where it puts them; what it shows is tested where all plugins are installed."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest


def shipped(name):
    return tomllib.loads(resources.files("cloudllm_cli.demo").joinpath(name).read_text("utf-8"))


def test_every_agent_has_its_part():
    """The script has a role for each agent of the team, and no other."""
    roles = {agent["model"]["name"].removeprefix("script:") for agent in shipped("team.toml")["agents"]}

    assert roles == set(shipped("script.toml"))


def test_every_task_is_claimed_in_the_script():
    """Each of the ten tasks is completed by some agent, with evidence."""
    script = shipped("script.toml")
    calls = [call for lines in script.values() for line in lines for call in line.get("call", ())]
    claimed = [call["arguments"] for call in calls if call["tool"] == "complete_task"]
    tasks = {task["id"] for task in shipped("team.toml")["tasks"]}

    assert 10 == len(tasks)
    assert tasks == {claim["id"] for claim in claimed}
    assert all(claim["evidence"] for claim in claimed)


@pytest.mark.parametrize("name", ["team.toml", "script.toml", "star-catcher"])
def test_nothing_is_overwritten(cloudllm, tmp_path, name):
    """A folder that holds something of the demo's names is refused; what is there stays."""
    (tmp_path / name).mkdir()

    said = cloudllm("demo", "--dir", tmp_path)

    assert (2, "") == (said.status, said.out)
    assert (
        f"cloudllm: {tmp_path / name} is there already and would be overwritten. Choose another folder.\n"
    ) == said.err
    assert [name] == [path.name for path in tmp_path.iterdir()]


def test_a_folder_that_cannot_be_made_is_told(cloudllm, tmp_path):
    """Where no folder can be, the sentence says why."""
    (tmp_path / "file").write_text("", "utf-8")

    said = cloudllm("demo", "--dir", tmp_path / "file")

    assert 2 == said.status
    assert said.err == f"cloudllm: The demo cannot write to {tmp_path / 'file'}: File exists. Choose another folder.\n"


def test_what_is_missing_for_the_demo_is_told(cloudllm, tmp_path):
    """Without its plugins the demo says which one to install."""
    said = cloudllm("demo", "--dir", tmp_path)

    assert 2 == said.status
    assert "No mode is called 'ralph'" in said.err
    assert "pip install cloudllm-mode-ralph" in said.err
