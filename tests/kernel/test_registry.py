"""The registry: names by metadata, classes at the door, and a sentence for each thing that can be wrong."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import types

import attrs
import pytest

from cloudllm_core import Mode, Outcome, Provider, hookimpl
from cloudllm_core._hookspecs import KINDS
from cloudllm_core._installed import fits
from cloudllm_core._registry import Registry, default_registry
from cloudllm_core.errors import (
    BlockedPluginError,
    BrokenPluginError,
    DuplicateNameError,
    IncompatiblePluginError,
    SettingsError,
    UnknownNameError,
)
from tests.kernel.distributions import RALPH, Place


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder on the search path; what was imported from it is forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Place(tmp_path)
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def look(place: Place, **options: object) -> Registry:
    return Registry(**{"path": place.path, "version": "0.1.0", "catalogue": {}} | options)


def sentence(error: type[Exception], registry: Registry, name: str = "ralph", kind: str = "mode") -> str:
    """What is said when *name* is asked for."""
    with pytest.raises(error) as caught:
        registry.get(kind, name)
    return str(caught.value)


def only(registry: Registry):
    (plugin,) = registry.plugins()
    return plugin


# -- names --------------------------------------------------------------------


def test_a_plugin_is_imported_when_its_name_is_asked_for_and_not_before(place):
    """Names and listings come from metadata; only `get` imports, and only that one plugin."""
    place.mode("ralph", "mode_ralph_x", RALPH)
    place.mode("debate", "mode_debate_x", "raise AssertionError('nobody asked')")
    registry = look(place)

    assert ("debate", "ralph") == registry.names("mode")
    assert () == registry.names("provider")
    assert ["ok", "ok"] == [plugin.status for plugin in registry.plugins()]
    assert "mode_ralph_x" not in sys.modules
    assert "ralph" == registry.mode("ralph").name
    assert "mode_ralph_x" in sys.modules
    assert "mode_debate_x" not in sys.modules
    assert registry.mode("ralph") is registry.get("mode", "ralph")


def test_importing_the_kernel_imports_no_plugin_and_no_metadata_reader():
    """`import cloudllm_core` stays light."""
    code = "import sys, cloudllm_core; print([m for m in ('importlib.metadata', 'difflib') if m in sys.modules])"

    assert (
        "[]" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    )


def test_a_listing_tells_what_metadata_tells(place):
    """Kind, name, distribution, version, needs and range, all without an import."""
    place.install(
        "cloudllm-tool-web",
        "[cloudllm.tool_protocol]\nweb = no_such_module\n\n[cloudllm.needs]\nnetwork = x\nfiles = x\n[other]\na = b\n",
        version="0.1.7",
        requires=["attrs", "CloudLLM_Core[testing]>=0.1; extra == 'tests'", "cloudllm_core (>=0.1,<0.2)"],
    )
    plugin = only(look(place))

    assert ("tool_protocol", "web") == (plugin.kind, plugin.name)
    assert ("cloudllm-tool-web", "0.1.7", ">=0.1,<0.2") == (plugin.distribution, plugin.version, plugin.api)
    assert ("files", "network") == plugin.needs
    assert ("ok", "") == (plugin.status, plugin.problem)


def test_the_same_distribution_found_twice_is_one(place, tmp_path_factory):
    """An editable install and a wheel of one distribution do not clash; the first on the path counts."""
    other = Place(tmp_path_factory.mktemp("other"))
    place.mode("ralph", "mode_ralph_x", RALPH, version="0.1.1")
    other.mode("ralph", "mode_ralph_x", RALPH, version="0.1.0", distribution="CloudLLM.Mode_Ralph")
    plugin = only(look(place, path=[*place.path, *other.path]))

    assert ("0.1.1", "ok") == (plugin.version, plugin.status)


def test_a_shadowed_distribution_offers_nothing(place, tmp_path_factory):
    """If the first of its name on the path has no plugins, the second does not speak for it."""
    other = Place(tmp_path_factory.mktemp("other"))
    place.install("cloudllm-mode-ralph", "")
    other.mode("ralph", "mode_ralph_x", RALPH)

    assert () == look(place, path=[*place.path, *other.path]).plugins()


# -- names that lead nowhere --------------------------------------------------


def test_a_misspelt_name_is_answered_with_its_neighbour(place):
    """The error names what was asked for, what is there, and the likely intent."""
    place.mode("ralph", "mode_ralph_x", RALPH)

    expected = "No mode is called 'ralf' (installed: ralph). Did you mean 'ralph'?"
    assert expected == sentence(UnknownNameError, look(place), "ralf")


def test_a_pip_line_is_printed_for_names_of_the_catalogue_only(place):
    """Nobody is sent to install what the kernel does not know."""
    registry = look(place, catalogue={("mode", "debate"): "cloudllm-mode-debate"})

    expected = "No mode is called 'debate' (installed: none). Install it with: pip install cloudllm-mode-debate"
    assert expected == sentence(UnknownNameError, registry, "debate")
    expected = "No mode is called 'zebra' (installed: none). See what is installed with: cloudllm plugins list"
    assert expected == sentence(UnknownNameError, registry, "zebra")
    assert "pip" not in sentence(UnknownNameError, registry, "debate", kind="provider")


def test_an_unknown_kind_is_named(place):
    """A wrong kind is as clear as a wrong name."""
    assert sentence(UnknownNameError, look(place), kind="mod").startswith("No kind of plugin is called 'mod'")


def test_a_name_offered_twice_is_an_error_that_blocking_mends(place):
    """Neither distribution wins in silence, and the sentence's own remedy works."""
    place.mode("ralph", "mode_ralph_x", RALPH)
    place.mode("ralph", "mode_ralph_y", RALPH, distribution="acme-ralph")
    registry = look(place)
    first, second = sorted(plugin.distribution for plugin in registry.plugins())
    said = sentence(DuplicateNameError, registry)

    assert ("acme-ralph", "cloudllm-mode-ralph") == (first, second)
    assert said.startswith("The mode 'ralph' is offered by ")
    assert first in said
    assert second in said
    assert {"duplicate"} == {plugin.status for plugin in registry.plugins()}
    assert {said} == {plugin.problem for plugin in registry.plugins()}
    remedy = said.rpartition("CLOUDLLM_BLOCK=")[2]
    assert "ralph" == look(place, block=[remedy]).mode("ralph").name


def test_a_rival_that_could_not_be_used_is_no_rival(place):
    """A broken distribution does not take a name away from a sound one."""
    place.mode("ralph", "mode_ralph_x", RALPH)
    place.mode("ralph", "mode_ralph_y", RALPH, distribution="old-ralph", requires=["cloudllm-core<0.1"])

    assert "mode_ralph_x" == look(place).mode("ralph").__module__


def test_a_name_that_is_blocked_here_and_broken_there_is_told_broken(place):
    """Who blocked one of two offers is told what is wrong with the other."""
    place.mode("ralph", "mode_ralph_x", RALPH)
    place.mode("ralph", "mode_ralph_y", RALPH, distribution="old-ralph", requires=["cloudllm-core<0.1"])

    said = sentence(IncompatiblePluginError, look(place, block=["cloudllm-mode-ralph"]))
    assert said.startswith("old-ralph was built for cloudllm-core <0.1")


# -- blocked ------------------------------------------------------------------


@pytest.mark.parametrize("word", ["ralph", "mode:ralph", "CloudLLM_mode_ralph", " x , ralph "])
def test_a_plugin_is_blocked_by_name_kind_or_distribution(place, word):
    """The error says which list keeps it out, and nothing is imported."""
    place.mode("ralph", "mode_ralph_x", "raise AssertionError('imported all the same')")
    registry = look(place, block=word)

    expected = "The mode 'ralph' is installed but kept out by Registry(block=...). Change that list to use it."
    assert expected == sentence(BlockedPluginError, registry)
    assert ("blocked", expected) == (only(registry).status, only(registry).problem)
    assert () == registry.names("mode")


@pytest.mark.parametrize("word", ["provider:ralph", "ral", "mode"])
def test_a_word_blocks_what_it_names_and_no_more(place, word):
    """A list entry is a whole name."""
    place.mode("ralph", "mode_ralph_x", RALPH)

    assert "ralph" == look(place, block=[word]).mode("ralph").name


def test_an_allow_list_keeps_all_others_out(place):
    """Only what it names is there."""
    place.mode("ralph", "mode_ralph_x", RALPH)
    place.mode("debate", "mode_debate_x", "")
    registry = look(place, allow=["ralph"])

    assert ("ralph",) == registry.names("mode")
    expected = "The mode 'debate' is installed but kept out by Registry(allow=...). Change that list to use it."
    assert expected == sentence(BlockedPluginError, registry, "debate")


def test_the_environment_blocks_and_allows(place):
    """The variables are read when the registry is made, and named when they keep something out."""
    place.mode("ralph", "mode_ralph_x", RALPH)
    place.mode("debate", "mode_debate_x", RALPH)
    environ = {"CLOUDLLM_BLOCK": "debate,other", "CLOUDLLM_ALLOW": ""}
    registry = attrs.evolve(Registry.from_environment(environ), path=place.path, version="0.1.0")

    assert ("ralph",) == registry.names("mode")
    assert "kept out by CLOUDLLM_BLOCK." in sentence(BlockedPluginError, registry, "debate")
    registry = attrs.evolve(Registry.from_environment({"CLOUDLLM_ALLOW": "debate"}), path=place.path, version="0.1.0")
    assert "kept out by CLOUDLLM_ALLOW." in sentence(BlockedPluginError, registry, "ralph")


def test_the_default_registry_is_made_once():
    """Everybody who asks for it shares it."""
    assert default_registry() is default_registry()


# -- versions -----------------------------------------------------------------


def test_a_plugin_for_another_kernel_is_not_imported(place):
    """The range its distribution requires is checked on metadata."""
    place.mode("ralph", "mode_ralph_x", "raise AssertionError('imported all the same')")
    registry = look(place, version="0.2.0")

    expected = (
        "cloudllm-mode-ralph was built for cloudllm-core >=0.1,<0.2, and 0.2.0 is installed. "
        "Upgrade both: pip install --upgrade cloudllm-core cloudllm-mode-ralph"
    )
    assert expected == sentence(IncompatiblePluginError, registry)
    assert ("incompatible", expected) == (only(registry).status, only(registry).problem)


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("0.1.0", ">=0.1,<0.2", True),
        ("0.2.0", ">=0.1,<0.2", False),
        ("0.0.9", ">=0.1,<0.2", False),
        ("0.2.0", "<=0.2", True),
        ("0.2.1", "<=0.2", False),
        ("0.1", ">0.1.0", False),
        ("0.10.0", ">0.9", True),
        ("1.0", "==1.0.0", True),
        ("1.0.1", "==1.0", False),
        ("1.0.1", "==1.0.*", True),
        ("1.1", "!=1.0.*", True),
        ("1.0", "!=1", False),
        ("1.4.9", "~=1.4.2", True),
        ("1.4.1", "~=1.4.2", False),
        ("1.5.0", "~=1.4.2", False),
        ("1.9", "~=1.4", True),
        ("2.0", "~=1.4", False),
        ("0.2.0rc1", "<0.2", False),
        ("0.2.dev3+g12", ">=0.2.0a1", True),
        ("0.1.0", " >= 0.1 , ", True),
        ("0.1.0", "", True),
    ],
)
def test_ranges_mean_what_installers_take_them_to_mean(version, wanted, expected):
    """Dotted numbers compare as numbers, and missing ones are zero."""
    assert expected == fits(version, wanted)


def test_any_version_of_the_kernel_will_do_where_none_is_named(place):
    """A bare requirement, or one by address, says nothing about versions."""
    for name, requirement in [("a", "cloudllm-core"), ("b", "cloudllm-core @ file:///somewhere")]:
        place.mode(name, f"mode_{name}_x", "", requires=[requirement])

    assert [("", "ok"), ("", "ok")] == [(plugin.api, plugin.status) for plugin in look(place).plugins()]


# -- faults in metadata -------------------------------------------------------


def test_faults_in_metadata_are_listed_and_harm_nobody(place):
    """Each has its sentence; a sound plugin, even of the same distribution, stays usable."""
    place.install("acme-a", "[cloudllm.mod]\nx = acme\n\n[cloudllm.zzz]\ny = acme\n")
    place.install(
        "acme-b",
        "[cloudllm.mode]\nno value at all\nz = not a module!\nralph = mode_ralph_x\n",
        modules={"mode_ralph_x": RALPH},
    )
    place.install("acme-c", "[cloudllm.mode]\nlone = acme\n", requires=[])
    place.install("acme-d", "[cloudllm.mode]\nodd = acme\n", requires=["cloudllm-core=0.1"])
    registry = look(place)
    problems = {plugin.name: plugin.problem for plugin in registry.plugins() if plugin.status == "fault"}

    expected = {
        "x": "The plugin 'x' of acme-a is in the entry-point group 'cloudllm.mod', and there is no such kind. "
        "Did you mean 'mode'?",
        "y": "The plugin 'y' of acme-a is in the entry-point group 'cloudllm.zzz', and there is no such kind. "
        f"There are: {', '.join(KINDS)}.",
        "no value at all": "The mode 'no value at all' of acme-b has the entry point '', which names no module. "
        'Write: no value at all = "package.module"',
        "z": "The mode 'z' of acme-b has the entry point 'not a module!', which names no module. "
        'Write: z = "package.module"',
        "lone": "The mode 'lone' of acme-c does not say which cloudllm-core it was built for. "
        "Add cloudllm-core to its dependencies.",
        "odd": "The mode 'odd' of acme-d was built for cloudllm-core =0.1, which cannot be read. "
        "Write a range such as: cloudllm-core>=0.1,<0.2",
    }
    assert expected == problems
    assert ("ralph",) == registry.names("mode")
    assert "ralph" == registry.mode("ralph").name
    assert expected["lone"] == sentence(BrokenPluginError, registry, "lone")


def test_a_half_removed_distribution_is_listed_and_harms_nobody(place):
    """Unreadable metadata is told with its folder."""
    place.mode("ralph", "mode_ralph_x", RALPH)
    ruin = place.folder / "ruin-1.0.dist-info"
    ruin.mkdir()
    (ruin / "entry_points.txt").write_bytes(b"[cloudllm.mode]\n\xff = x\n")
    fault, sound = look(place).plugins()[::-1]

    assert ("fault", "ok") == (fault.status, sound.status)
    assert "ruin-1.0.dist-info has metadata that cannot be read (UnicodeDecodeError: " in fault.problem


# -- faults at the door -------------------------------------------------------

CLASS = """
from cloudllm_core import Mode, hookimpl

class R(Mode):
    name = "ralph"
    async def run(self, hub, prompt): ...

"""
HOOK = CLASS + "@hookimpl\ndef cloudllm_register_mode(): "
ABSTRACT = HOOK.replace("async def run(self, hub, prompt): ...", "")
WHO = "The mode 'ralph' of cloudllm-mode-ralph "
REPAIR = " Repair or uninstall it."
NO_HOOK = "has no cloudllm_register_mode() marked with @hookimpl. Write one that returns the class."
NO_SUCH = "answers the hook '{}', which does not exist. "
NEAR = "Did you mean 'cloudllm_register_mode'?"

BROKEN = {
    "import": ("import nowhere", "could not be imported: ModuleNotFoundError: No module named 'nowhere'." + REPAIR),
    "exit": ("raise SystemExit(3)", "could not be imported: SystemExit: 3." + REPAIR),
    "cancelled": ("import asyncio; raise asyncio.CancelledError", "could not be imported: CancelledError." + REPAIR),
    "no hook": ("", NO_HOOK),
    "no marker": (HOOK.replace("@hookimpl", "") + "return R", NO_HOOK),
    "nothing": (
        HOOK + "return None",
        "offers nothing here: cloudllm_register_mode() returned None. Its README should say where it works.",
    ),
    "no class": (
        HOOK + "return 'R'",
        "answers cloudllm_register_mode() with 'R', which is not a class. Return a subclass of Mode.",
    ),
    "wrong class": (HOOK + "return dict", "offers dict, which is not a Mode. Write: class dict(Mode)"),
    "abstract": (ABSTRACT + "return R", "offers R, which is abstract. Write what it lacks: run."),
    "other name": (
        HOOK.replace("ralph", "rolf") + "return R",
        "offers R, whose name is 'rolf'. Write in R: name = \"ralph\"",
    ),
    "no name": (
        HOOK.replace('name = "ralph"', "") + "return R",
        'offers R, whose name is nothing. Write in R: name = "ralph"',
    ),
    "misspelt": (HOOK.replace("_mode", "_mod") + "return R", NO_SUCH.format("cloudllm_register_mod") + NEAR),
    "misspelt at the front": (
        HOOK.replace("cloudllm_reg", "cloudlm_reg") + "return R",
        NO_SUCH.format("cloudlm_register_mode") + NEAR,
    ),
    "unknown": (
        HOOK.replace("_mode", "_zzz") + "return R",
        NO_SUCH.format("cloudllm_register_zzz") + f"After cloudllm_register_ comes one of: {', '.join(KINDS)}.",
    ),
    "arguments": (
        HOOK.replace("mode()", "mode(hub, agents)") + "return R",
        "has cloudllm_register_mode(hub, agents), and the kernel gives no arguments. Take none.",
    ),
    "wrapper": (
        HOOK.replace("@hookimpl", "@hookimpl(wrapper=True)") + "return R",
        "has a hook that pluggy refuses: "
        "Declared as wrapper=True or hookwrapper=True but function is not a generator function." + REPAIR,
    ),
    "raises": (
        HOOK + "raise ValueError('no luck.')",
        "failed in cloudllm_register_mode(): ValueError: no luck." + REPAIR,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_named_with_cause_and_remedy(place, case):
    """The sentence says whose fault it is; asked again it says the same; other plugins go on."""
    source, said = BROKEN[case]
    place.mode("ralph", "mode_ralph_x", source)
    place.mode("sound", "mode_sound_x", RALPH.replace("ralph", "sound"))
    registry = look(place)

    assert WHO + said == sentence(BrokenPluginError, registry)
    assert WHO + said == sentence(BrokenPluginError, registry)
    assert "sound" == registry.mode("sound").name


def test_a_failed_import_keeps_its_cause(place):
    """The traceback is there for who wants it."""
    place.mode("ralph", "mode_ralph_x", "def f(:\n")
    with pytest.raises(BrokenPluginError) as caught:
        look(place).mode("ralph")

    assert isinstance(caught.value.__cause__, SyntaxError)


def test_ctrl_c_during_an_import_is_ctrl_c(place):
    """The one thing that is not blamed on a plugin."""
    place.mode("ralph", "mode_ralph_x", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        look(place).mode("ralph")


def test_one_module_may_offer_several_kinds(place):
    """A mode and its command, say; each is asked for by its own hook."""
    source = RALPH + (
        "from cloudllm_core import Command\n"
        "class Tasks(Command):\n"
        "    name, help = 'tasks', ''\n"
        "    def configure(self, parser): ...\n"
        "    def run(self, arguments): ...\n"
        "@hookimpl\ndef cloudllm_register_command(): return Tasks\n"
    )
    entry_points = "[cloudllm.mode]\nralph = mode_ralph_x\n[cloudllm.command]\ntasks = mode_ralph_x\n"
    place.install("cloudllm-mode-ralph", entry_points, modules={"mode_ralph_x": source})
    registry = look(place)

    assert ("Ralph", "Tasks") == (registry.mode("ralph").__name__, registry.command("tasks").__name__)


def test_an_entry_point_may_name_an_object(place):
    """``module:object`` works, for plugins that are not modules."""
    hook = "@hookimpl\ndef cloudllm_register_mode():"
    inside = "class plugin:\n  @staticmethod\n  @hookimpl\n  def cloudllm_register_mode():"
    modules = {"mode_ralph_x": RALPH.replace(hook, inside)}
    place.install("acme", "[cloudllm.mode]\nralph = mode_ralph_x:plugin\n", modules=modules)

    assert "ralph" == look(place).mode("ralph").name


MEETING = """
import threading
from cloudllm_core import Mode, hookimpl

door = threading.Barrier(2)

@hookimpl
def cloudllm_register_mode():
    try:
        door.wait(0.2)  # a second thread in here would open it at once; there must be none
    except threading.BrokenBarrierError:
        pass

    class Ralph(Mode):
        name = "ralph"
        async def run(self, hub, prompt): ...

    return Ralph
"""


def test_many_threads_get_one_class(place):
    """Loading is done once, whoever asks at the same time."""
    place.mode("ralph", "mode_ralph_x", MEETING)
    registry, start, got = look(place), threading.Barrier(4), []

    def ask() -> None:
        start.wait(10)
        got.append(registry.mode("ralph"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert (4, 1) == (len(got), len(set(got)))


# -- plugins of this process --------------------------------------------------


@attrs.frozen
class Chorus(Mode):
    name = "chorus"
    voices: int = 2

    async def run(self, hub, prompt):
        return Outcome(complete=True)


@attrs.frozen
class Solo(Mode):
    name = "solo"
    voice: int

    async def run(self, hub, prompt):
        return Outcome(complete=True)


class Echo(Provider):
    name = "echo"

    def __init__(self, base_url: str = "", headers: dict[str, str] | None = None) -> None:
        self.base_url, self.closed = base_url, 0

    async def complete(self, request): ...

    async def aclose(self):
        self.closed += 1
        if self.base_url == "bad":
            raise OSError("would not close")


def offering(name: str, *classes: type) -> types.ModuleType:
    """A module that offers *classes*."""
    module = types.ModuleType(name)
    for cls in classes:
        kind = next(kind for kind, contract in KINDS.items() if issubclass(cls, contract))
        setattr(module, f"cloudllm_register_{kind}", hookimpl(lambda cls=cls: cls))
    return module


def test_a_plugin_of_this_process_needs_no_metadata():
    """`Registry.of` knows what it is given, and nothing that is installed."""
    registry = Registry.of(offering("mine", Chorus, Echo))

    assert [("mode", "chorus", "mine"), ("provider", "echo", "mine")] == [
        (plugin.kind, plugin.name, plugin.distribution) for plugin in registry.plugins()
    ]
    assert (Chorus, Echo) == (registry.mode("chorus"), registry.provider("echo"))


def test_adding_a_plugin_twice_is_adding_it_once():
    """The same module does not clash with itself."""
    module = offering("mine", Chorus)

    assert Chorus is Registry.of(module, module).mode("chorus")


def test_plugins_of_this_process_clash_as_others_do(place):
    """With one another, and with what is installed."""
    registry = Registry.of(offering("mine", Chorus), offering("yours", Chorus))
    assert "The mode 'chorus' is offered by mine and yours." in sentence(DuplicateNameError, registry, "chorus")

    place.mode("chorus", "mode_chorus_x", "")
    registry = look(place)
    registry.add(offering("mine", Chorus))
    assert "offered by cloudllm-mode-chorus and mine." in sentence(DuplicateNameError, registry, "chorus")


def test_a_broken_plugin_of_this_process_is_refused_when_it_is_added():
    """Its sentence names the module; the registry goes on without it."""
    module = types.ModuleType("mine")
    module.cloudllm_register_mode = hookimpl(lambda: Mode)
    registry = Registry.of()
    for _ in range(2):
        with pytest.raises(BrokenPluginError) as caught:
            registry.add(module)
        assert "The mode 'mine' of mine offers Mode, which is abstract. Write what it lacks: run." == str(caught.value)

    module.cloudllm_register_mod = hookimpl(lambda: Chorus)
    with pytest.raises(BrokenPluginError) as caught:
        Registry.of(module)
    assert str(caught.value).startswith("The plugin 'mine' of this process answers the hook 'cloudllm_register_mod'")
    assert () == registry.plugins()


# -- building -----------------------------------------------------------------


def test_a_name_a_table_or_the_thing_itself_is_built():
    """Three ways to say the same mode."""
    registry, itself = Registry.of(offering("mine", Chorus)), Chorus(3)

    assert Chorus() == registry.build("mode", "chorus")
    assert Chorus(3) == registry.build("mode", {"name": "chorus", "voices": 3})
    assert itself is registry.build("mode", itself)


EXPECTED = "expected a name, a table with a 'name', or an instance of Mode."
NEARLY = "Did you mean 'voices'?"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (7, f"agents[0].mode: found 7, {EXPECTED}"),
        (
            Chorus,
            f"agents[0].mode: found {Chorus!r}, {EXPECTED} Make one of the class: Chorus(...)",
        ),
        ("solo", "agents[0].mode: found no 'voice', expected 'voice', which 'solo' needs."),
        ({"voices": 1}, "agents[0].mode.name: found nothing, expected text."),
        ({"name": "chorus", "voices": "x"}, "agents[0].mode.voices: found 'x', expected a whole number."),
        (
            {"name": "chorus", "voice": 1},
            "agents[0].mode.voice: found the unknown setting 'voice', expected one of voices for 'chorus'. " + NEARLY,
        ),
    ],
)
def test_what_cannot_be_built_is_told_with_its_place(spec, expected):
    """Where, what was found, what was expected."""
    with pytest.raises(SettingsError) as caught:
        Registry.of(offering("mine", Chorus), offering("ours", Solo)).build("mode", spec, "agents[0].mode")

    assert expected == str(caught.value)


def test_a_provider_is_shared_by_those_with_the_same_options():
    """One connection per set of options, whatever their order and the model."""
    registry = Registry.of(offering("mine", Echo))
    one, model = registry.resolve_provider("echo:small:v2")
    two, _ = registry.resolve_provider({"name": "echo:large"})
    three, _ = registry.resolve_provider({"name": "echo:x", "base_url": "u", "headers": {"a": "1", "b": "2"}})
    four, _ = registry.resolve_provider({"headers": {"b": "2", "a": "1"}, "base_url": "u", "name": "echo:y"})

    assert "small:v2" == model
    assert one is two
    assert three is four
    assert one is not three
    assert "u" == three.base_url


def test_a_provider_made_by_the_user_is_taken_as_it_is():
    """It goes with an empty model name and is not the registry's to close."""
    registry, echo = Registry.of(), Echo()
    asyncio.run(registry.aclose())

    assert (echo, "") == registry.resolve_provider(echo)
    assert 0 == echo.closed


@pytest.mark.parametrize("spec", ["gpt-5", ":gpt-5", "echo:", {"name": "gpt-5"}])
def test_a_model_without_its_provider_is_told_the_form(spec):
    """The sentence shows the form and the providers there are."""
    with pytest.raises(SettingsError) as caught:
        Registry.of(offering("mine", Echo)).resolve_provider(spec, "agents[1].model")

    place, found = ("agents[1].model", spec) if isinstance(spec, str) else ("agents[1].model.name", spec["name"])
    expected = f"{place}: found {found!r}, expected text of the form 'provider:model'. Installed providers: echo."
    assert expected == str(caught.value)


def test_a_wrong_option_of_a_provider_is_told_with_its_place():
    """A misspelt option is not a provider without it."""
    with pytest.raises(SettingsError) as caught:
        Registry.of(offering("mine", Echo)).resolve_provider({"name": "echo:x", "base_ur": "u"})

    assert str(caught.value).startswith("model.base_ur: found the unknown setting 'base_ur'")
    assert str(caught.value).endswith("Did you mean 'base_url'?")


def test_closing_reaches_every_provider():
    """One that will not close does not keep the others open."""
    registry = Registry.of(offering("mine", Echo))
    made = [registry.resolve_provider({"name": "echo:x", "base_url": url})[0] for url in ("a", "bad", "c")]
    with pytest.raises(OSError, match="would not close"):
        asyncio.run(registry.aclose())

    assert [1, 1, 1] == [provider.closed for provider in made]
