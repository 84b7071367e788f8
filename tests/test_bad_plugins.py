"""A zoo of bad plugins: each is shown with its reason, and none of them harms who does not name it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.faults("F11")
DEADLINE = "6"
DECLARED = '''
from typing import Any, Callable, Literal
from mmsdk import EncoderConfig, FusionConfig, hookimpl

class GoodConfig(EncoderConfig):
    """A good encoder."""
    type: Literal["PREFIX.good"] = "PREFIX.good"
    reads = ("tokens",)

@hookimpl
def mmsdk_encoders():
    return [GoodConfig]
'''


class Bad(NamedTuple):
    """A plugin's module, with PREFIX for its prefix; what its line has to say, and its state."""

    code: str
    says: str
    state: str = "failed"
    api: str = "v1"


ZOO = {
    # It cannot be imported.
    "no_module": Bad("import there_is_no_such_module", "No module named 'there_is_no_such_module'"),
    "missing_name": Bad("from mmsdk import NoSuchName", "ImportError: cannot import name 'NoSuchName'"),
    "syntax": Bad("def broken(:", "SyntaxError"),
    "tabs": Bad("if True:\n        x = 1\n\ty = 2", "Error"),
    "not_utf8": Bad("x = '\udcff'", "SyntaxError"),
    "raises": Bad("1 / 0", "ZeroDivisionError: division by zero"),
    "native_library": Bad("raise OSError('libwonder.so.7: cannot open shared object file')", "libwonder.so.7"),
    "endless_recursion": Bad("def f(): f()\nf()", "RecursionError"),
    "wordless": Bad("class E(Exception):\n    def __str__(self): raise E\nraise E", "failed to load: E"),
    # It ends, crashes or holds up the process.
    "system_exit": Bad("raise SystemExit(3)", "SystemExit: 3"),
    "interrupts": Bad("raise KeyboardInterrupt", "crashed (SIGINT)"),
    "leaves": Bad("import os; os._exit(7)", "ended its process (exit code 7"),
    "aborts": Bad("import os; os.abort()", "crashed (SIGABRT)"),
    "segfault": Bad("import ctypes; ctypes.string_at(0)", "crashed (SIGSEGV)"),
    "kills_itself": Bad("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed (SIGKILL)"),
    "sleeps": Bad("import time; time.sleep(600)", f"did not come to an end within {DEADLINE} seconds"),
    "spins": Bad("while True: pass", f"did not come to an end within {DEADLINE} seconds"),
    "stubborn_thread": Bad(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()" + DECLARED, "", "loaded"
    ),
    "leaves_a_child": Bad("import subprocess; subprocess.Popen(['sleep', '600.5'])" + DECLARED, "", "loaded"),
    # It spoils the process for others.
    "talks": Bad("print('x' * 1_000_000)" + DECLARED, "", "loaded"),
    "closes_stdout": Bad("import sys; sys.stdout.close(); sys.stderr.close()" + DECLARED, "", "loaded"),
    "breaks_pluggy": Bad("import sys; sys.modules['pluggy'] = None; 1 / 0", "ZeroDivisionError"),
    "moves_away": Bad("import os; os.chdir('/')" + DECLARED, "", "loaded"),
    # Its hooks are not hooks.
    "no_hooks": Bad("x = 1", "has no hooks"),
    "undecorated": Bad(DECLARED.replace("@hookimpl\n", ""), "is not decorated with @hookimpl"),
    "one_undecorated": Bad(DECLARED + "def mmsdk_fusions(): return []", "'mmsdk_fusions' is not decorated"),
    "misspelt_hook": Bad(DECLARED.replace("mmsdk_encoders", "mmsdk_encoder"), "mmsdk_encoder"),
    "bad_signature": Bad(DECLARED.replace("encoders()", "encoders(pipeline, config)"), "config"),
    "raising_hook": Bad(DECLARED.replace("return", "raise RuntimeError('not today');"), "RuntimeError: not today"),
    "gives_nothing": Bad(DECLARED.replace("return [GoodConfig]", "return None"), "loaded", "loaded"),
    "gives_no_list": Bad(DECLARED.replace("return [GoodConfig]", "return 7"), "must return a list"),
    "gives_names": Bad(DECLARED.replace("[GoodConfig]", "['PREFIX.good']"), "is not a config class"),
    "endless_hook": Bad(DECLARED.replace("return [GoodConfig]", "while True: yield GoodConfig"), "brings two encoders"),
    # Its declarations are none.
    "no_type": Bad(DECLARED.replace('type: Literal["PREFIX.good"]', "other: str"), "needs a field like"),
    "open_type": Bad(DECLARED.replace('Literal["PREFIX.good"]', "str"), "needs a field like"),
    "other_prefix": Bad(DECLARED.replace("PREFIX.good", "speech.good"), "must be called"),
    "bare_word": Bad(DECLARED.replace("PREFIX.good", "transformer"), "must be called"),
    "wrong_kind": Bad(DECLARED.replace("mmsdk_encoders", "mmsdk_fusions"), "kind 'fusion'"),
    "twice": Bad(DECLARED.replace("[GoodConfig]", "[GoodConfig, GoodConfig]"), "brings two encoders"),
    "unknown_field_type": Bad(DECLARED.replace("reads =", "other: 'NoSuchType' = None\n    reads ="), "NoSuchType"),
    "no_schema": Bad(
        DECLARED.replace("reads =", "call: Callable[[int], int] = abs\n    reads ="), "has no JSON Schema", "loaded"
    ),
    # Its metadata.
    "newer": Bad("import os; os._exit(9)", "needs plugin API v2, this mmsdk speaks v1", "incompatible", "v2"),
    "much_newer": Bad("1 / 0", "pip install -U mmsdk", "incompatible", "v999"),
    "older": Bad("1 / 0", "pip install -U test-older", "incompatible", "v0"),
    "Bad-Prefix": Bad(DECLARED, "is not made of lower case"),
    "clash": Bad(DECLARED, "'another-clash', 'test-clash' both claim the prefix 'clash'", "conflict"),
}
assert len(ZOO) >= 25
LOADED_LIKE_ANY = [prefix for prefix, bad in ZOO.items() if bad.state == "loaded" and not bad.says]


def write(folder: Path, prefix: str, bad: Bad, name: str = "") -> None:
    name = name or f"test-{prefix.lower()}"
    module = f"{name.replace('-', '_')}_plugin"
    text = dedent(bad.code).replace("PREFIX", prefix)
    (folder / f"{module}.py").write_bytes(text.encode("utf-8", "surrogateescape"))
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[mmsdk.{bad.api}]\n{prefix} = {module}\n")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of them, installed side by side."""
    folder = tmp_path_factory.mktemp("zoo")
    for prefix, bad in ZOO.items():
        write(folder, prefix, bad)
    write(folder, "clash", ZOO["clash"], "another-clash")
    return folder


def mmsdk(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder)} | variables
    command = [sys.executable, "-P", "-m", "mmsdk", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=folder)


@pytest.fixture(scope="module")
def shown(zoo: Path) -> dict[str, Any]:
    """What `mmsdk plugins` tells of all of them, by distribution."""
    done = mmsdk(zoo, "plugins", "--json", "--deadline", DEADLINE)
    assert (done.returncode, done.stderr) == (0, "")
    return {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)["plugins"]}


@pytest.mark.parametrize("prefix", ZOO)
def test_each_is_shown_with_its_reason(prefix: str, shown: dict[str, Any]) -> None:
    plugin = shown[f"test-{prefix.lower()}"]
    if prefix == "gives_nothing":
        return
    assert plugin["state"] == ZOO[prefix].state and ZOO[prefix].says in (plugin["reason"] or ""), plugin


def test_sound_ones_are_loaded_beside_them(shown: dict[str, Any]) -> None:
    assert {"fusion.aligned", "fusion.compare", "fusion.mmmu_ba"} <= set(shown["mmsdk-fusion"]["fusions"]) and shown[
        "mmsdk"
    ]["state"] == "loaded"
    assert [shown[f"test-{prefix}"]["encoders"] for prefix in LOADED_LIKE_ANY] == [
        [f"{prefix}.good"] for prefix in LOADED_LIKE_ANY
    ]


def test_no_child_of_theirs_is_left(shown: dict[str, Any]) -> None:
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 600.5" not in lines


def test_a_child_ends_by_itself_when_nobody_waits_for_it(tmp_path: Path) -> None:
    """Whoever asked may be killed; a plugin that spins must not go on for ever."""
    write(tmp_path, "spins", ZOO["spins"])
    program = (
        "import os, threading; from mmsdk.plugins.looking import look; "
        "threading.Timer(3, os._exit, [0]).start(); look(4)"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-P", "-c", program], env=environment, timeout=60, check=True)
    assert running(tmp_path)
    for _ in range(300):
        if not running(tmp_path):
            return
        time.sleep(0.1)
    pytest.fail("it is still there")


def running(folder: Path) -> list[str]:
    """Processes with this folder on their path."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += [path.parent.name] if f"PYTHONPATH={folder}".encode() in path.read_bytes() else []
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_the_schema_leaves_out_those_that_are_not_sound(zoo: Path) -> None:
    done = mmsdk(zoo, "schema", "--deadline", DEADLINE)
    assert done.returncode == 0
    types = {
        part["properties"]["type"]["const"]
        for part in json.loads(done.stdout)["$defs"].values()
        if "const" in part.get("properties", {}).get("type", {})
    }
    assert {"concat", "fusion.compare", "moves_away.good"} <= types and "no_schema.good" not in types
    assert "left out: plugin 'leaves'" in done.stderr
    # Sound alone, but not beside one that has closed what it writes to.
    assert "talks.good" in types or "left out: plugin 'talks'" in done.stderr


CONFIG = """\
streams:
  word: {modality: text, encoder: {type: bag, width: 8}}
  size: {modality: features, encoder: {type: mlp, width: 8}}
fusion: {type: fusion.compare, width: 8}
heads: {y: {type: classification, target: y}}
data: {path: rows.jsonl, holdout: {test: 0.2}}
training: {epochs: 1}
"""


@pytest.mark.slow
def test_every_command_works_for_who_does_not_name_them(zoo: Path) -> None:
    (zoo / "pipeline.yaml").write_text(CONFIG)
    rows = [{"word": f"w{n % 5}", "size": [n % 7], "y": "ab"[n % 2]} for n in range(40)]
    (zoo / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for command in (
        ["--help"],
        ["validate", "pipeline.yaml"],
        ["data", "pipeline.yaml"],
        ["train", "pipeline.yaml", "--out", "run"],
        ["evaluate", "run"],
        ["predict", "run", "word=w1"],
        ["plugins", "check", "video"],
    ):
        done = mmsdk(zoo, *command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_doctor_lists_them_all(zoo: Path) -> None:
    done = mmsdk(zoo, "doctor", "--json", "--deadline", DEADLINE)
    problems = "\n".join(json.loads(done.stdout)["problems"])
    assert done.returncode == 1 and not [
        prefix for prefix, bad in ZOO.items() if bad.says not in problems and bad.state != "loaded"
    ]


@pytest.mark.parametrize("prefix", ["leaves", "sleeps", "wordless"])
def test_checking_one_tells_why(prefix: str, zoo: Path) -> None:
    done = mmsdk(zoo, "plugins", "check", prefix, "--deadline", DEADLINE)
    assert done.returncode == 1 and ZOO[prefix].says in done.stdout and "Traceback" not in done.stderr


def test_they_can_be_switched_off(zoo: Path) -> None:
    names = ",".join([*ZOO, "another-clash"])
    off = mmsdk(zoo, "plugins", "--json", MMSDK_DISABLE_PLUGINS=names)
    states = {plugin["distribution"]: plugin for plugin in json.loads(off.stdout)["plugins"]}
    assert {states[f"test-{prefix.lower()}"]["state"] for prefix in ZOO} == {"disabled"}
    assert "MMSDK_DISABLE_PLUGINS=" in states["test-leaves"]["reason"] and states["mmsdk-fusion"]["state"] == "loaded"


def test_only_some_can_be_allowed(zoo: Path) -> None:
    done = mmsdk(zoo, "plugins", "--json", MMSDK_PLUGINS="fusion, talks")
    loaded = [each["distribution"] for each in json.loads(done.stdout)["plugins"] if each["state"] == "loaded"]
    assert loaded == ["mmsdk", "mmsdk-fusion", "test-talks"]


def test_switching_off_one_of_two_settles_a_clash(zoo: Path) -> None:
    done = mmsdk(zoo, "plugins", "--json", MMSDK_PLUGINS="test-clash")
    states = {plugin["distribution"]: plugin["state"] for plugin in json.loads(done.stdout)["plugins"]}
    assert (states["test-clash"], states["another-clash"]) == ("loaded", "disabled")


@pytest.mark.slow
def test_one_that_crashes_in_a_promise_is_survived(tmp_path: Path) -> None:
    """The contract runs in a process of its own; what comes after the crash is said not to be tested."""
    code = DECLARED.replace(
        'reads = ("tokens",)',
        'reads = ("tokens",)\n\n    def build(self, format):\n        import os\n        os._exit(5)',
    )
    write(tmp_path, "crashes", Bad(code, ""))
    done = mmsdk(tmp_path, "plugins", "check", "crashes", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1 and told["sound"] is False
    crashed = [promise for promise in told["promises"] if promise["outcome"] == "crashed"]
    assert crashed and "exit code 5" in crashed[0]["why"] and crashed[0]["component"] == "encoder crashes.good"
    assert [
        promise for promise in told["promises"] if promise["component"] == "Plugin" and promise["outcome"] == "passed"
    ]


def test_a_plugin_that_is_not_there(cli: Callable[..., Any]) -> None:
    done = cli("plugins", "check", "fuson")
    assert done.exit_code == 1 and "Did you mean 'fusion'?" in done.stderr
