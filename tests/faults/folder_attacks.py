"""What a stranger may have done to a folder: each attack changes a good one, and makes its checksums right again.

Whoever can change a file can change the manifest, so that checksums stop none of these.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

DEEP = "[" * 200_000 + "]" * 200_000
"""JSON that no recursive parser takes."""
OUTSIDE = "/etc/passwd"


class Attack(NamedTuple):
    """kind: of the folder. change: what is done to it. told: part of the message that refuses it; None: it opens,
    and is as good as before."""

    name: str
    kind: str
    change: Callable[[Path], object]
    told: str | None


def program(folder: Path) -> bytes:
    """A pickle that makes the file `canary` beside the folder. Written out by hand: nothing here imports pickle."""
    command = f"touch {folder.parent / 'canary'}"
    return b"\x80\x02cposix\nsystem\nX" + struct.pack("<I", len(command)) + command.encode() + b"\x85R."


def archive(folder: Path) -> bytes:
    """The same as torch.save would pack it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("archive/data.pkl", program(folder))
        file.writestr("archive/version", "3\n")
    return made.getvalue()


CANARY = """
from pathlib import Path
Path({!r}).write_text("ran")
class Evil:
    def __init__(self, *_, **__): pass
    register_for_auto_class = from_pretrained = classmethod(lambda *_, **__: None)
"""
"""A module that a config may point at; importing it makes the file."""
POISON: dict[str, Any] = {
    "trust_remote_code": True,
    "auto_map": dict.fromkeys(["AutoConfig", "AutoModel", "AutoTokenizer", "AutoImageProcessor"], "canary.Evil"),
    "_attn_implementation": "kernels-evil/attention",
    "_attn_implementation_internal": "kernels-evil/attention",
    "attn_implementation": "kernels-evil/attention",
    "_target_": "canary.Evil",
    "quantization_config": {"quant_method": "canary"},
    "_name_or_path": "evil/model",
}


def sealed(folder: Path) -> None:
    """Make the checksums right again."""
    manifest = folder / "MANIFEST.json"
    if not manifest.is_file():
        return
    try:
        files = json.loads(manifest.read_text())["files"]
    except (ValueError, RecursionError, TypeError):  # is itself what was attacked
        return
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if name in files and path.is_file() and path.stat().st_size:
            data = path.read_bytes()
            files[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest.write_text(json.dumps({"files": files}))


def file(name: str, content: bytes | str | Callable[[Path], bytes]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        data = content(folder) if callable(content) else content
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)

    return change


def values(name: str, **changes: Any) -> Callable[[Path], object]:
    """Set values of a JSON file; `a__0__b` is what stands at ["a"][0]["b"]."""

    def change(folder: Path) -> None:
        tree = json.loads((folder / name).read_text())
        for place, value in changes.items():
            *parents, last = place.split("__")
            node = tree
            for key in parents:
                node = node[int(key) if isinstance(node, list) else key]
            node[last] = value
        (folder / name).write_text(json.dumps(tree))

    return change


def poisoned(name: str, beside: bool = True) -> Callable[[Path], object]:
    """Everything evil in a JSON file, at each depth; and the module that it points at, beside it."""

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poison(part) for key, part in value.items()} | POISON
        return [poison(part) for part in value] if isinstance(value, list) else value

    def change(folder: Path) -> None:
        if beside:
            (folder / "canary.py").write_text(CANARY.format(str(folder.parent / "canary")))
        (folder / name).write_text(json.dumps(poison(json.loads((folder / name).read_text()))))

    return change


def tensors(name: str, changed: Callable[[dict[str, torch.Tensor]], object], **about: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / name
        found = load_file(path)
        made = changed(found)
        save_file(made if isinstance(made, dict) else found, path, {"format": "pt", **about})

    return change


def not_a_number(found: dict[str, torch.Tensor]) -> None:
    largest = max(found, key=lambda name: found[name].numel() * found[name].is_floating_point())
    found[largest] = torch.full_like(found[largest], float("nan"))


def other_shape(found: dict[str, torch.Tensor]) -> None:
    first = next(iter(found))
    found[first] = torch.zeros(3, 5, dtype=found[first].dtype)


def one_more(found: dict[str, torch.Tensor]) -> None:
    found["canary"] = torch.zeros(2)


def one_less(found: dict[str, torch.Tensor]) -> None:
    del found[next(iter(found))]


def claims(header: bytes | None = None, length: int | None = None) -> bytes:
    """A .safetensors file whose header says what is not so."""
    told = header or json.dumps({"x": {"dtype": "F32", "shape": [2_500_000_000], "data_offsets": [0, 10**10]}}).encode()
    return struct.pack("<Q", length if length is not None else len(told)) + told + b"\0" * 16


def link(name: str, target: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return change


def pipe(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def outside(name: str) -> Callable[[Path], object]:
    """An entry of the manifest that is not in the folder."""
    return values("MANIFEST.json", **{f"files__{name}": {"size": 1, "sha256": "0" * 64}})


def component(place: str, value: Any) -> Callable[[Path], object]:
    return values("pipeline.json", **{f"config__{place}": value})


def pipelines() -> Iterator[tuple[str, Callable[[Path], object], str | None]]:
    weights, state, head = "model.safetensors", "modalities.safetensors", "pipeline.json"
    yield "weights are a pickle", file(weights, program), "does not fit"
    yield "weights are an archive of torch.save", file(weights, archive), "does not fit"
    yield "a pickle beside the weights", file("pytorch_model.bin", archive), None
    yield "statistics are a pickle", file(state, program), "cannot be read"
    yield "the head is a pickle", file(head, program), "damaged"
    yield "the manifest is a pickle", file("MANIFEST.json", program), "damaged"
    yield "_target_ in an encoder", component("streams__text__encoder___target_", "canary.Evil"), "_target_"
    yield "_target_ for an encoder", component("streams__text__encoder", {"_target_": "os.system"}), "encoder"
    yield "a dotted path as type", component("streams__text__encoder__type", "os.system"), "os.system"
    yield "a module beside it as type", component("fusion__type", "canary.Evil"), "canary.Evil"
    yield "everything evil at once", poisoned(head), "damaged"
    about = {"_target_": "canary.Evil", "config": json.dumps(POISON)}
    yield "_target_ in the metadata of tensors", tensors(weights, lambda found: None, **about), None
    yield "a header of 10 GB", file(weights, claims(length=10**10)), "does not fit"
    yield "tensors of 10 GB", file(weights, claims()), "does not fit"
    yield "statistics of 10 GB", file(state, claims()), "cannot be read"
    yield "a header that is nested deeply", file(weights, claims(DEEP.encode())), "does not fit"
    yield "weights that are no numbers", tensors(weights, not_a_number), "not finite"
    yield "weights of another shape", tensors(weights, other_shape), "does not fit"
    yield "one tensor more", tensors(weights, one_more), "does not fit"
    yield "one tensor less", tensors(weights, one_less), "does not fit"
    yield "statistics that are no numbers", tensors(state, not_a_number), "modalities"
    yield "statistics of another shape", tensors(state, other_shape), "modalities"
    for name in (head, "modalities.json", "MANIFEST.json"):
        yield f"{name} is nested deeply", file(name, DEEP), name.partition(".")[0]
        yield f"{name} is a list", file(name, "[]"), name.partition(".")[0]
        yield f"{name} is a huge number", file(name, "9" * 5000), name.partition(".")[0]
    yield "the state of a modality is a list", values("modalities.json", streams=[]), "modalities"
    yield "a tensor's name is a mapping", values("modalities.json", streams__text={"$tensor": {}}), "modalities"
    yield "a tensor that is not there", values("modalities.json", streams__text={"$tensor": "99"}), "modalities"
    yield "the state of a stream is missing", values("modalities.json", streams={}), "modalities"
    yield "a stream that is not there", values("modalities.json", streams__canary={}), "modalities"
    yield "a tokenizer that is none", values("modalities.json", streams__text__tokenizer="{"), "modalities"
    yield "a tokenizer that is nested deeply", values("modalities.json", streams__text__tokenizer=DEEP), "modalities"
    yield "classes that are a number", values("modalities.json", targets__colour__classes=7), "modalities"
    yield "../ in the manifest", outside("../../canary"), None
    yield "an absolute name in the manifest", outside("/canary"), None
    yield "weights are a link to elsewhere", link(weights, OUTSIDE), "model.safetensors"
    yield "weights are a device", link(weights, "/dev/zero"), "model.safetensors"
    yield "the head is a pipe", pipe(head), "no saved pipeline"
    yield "statistics are a pipe", pipe("modalities.json"), "modalities.json"
    yield "a link to itself", link("again", "."), None
    yield "a fusion of a width of 1e9", component("fusion__width", 10**9), "parameters"
    yield "an encoder of a width of 1e6", component("streams__text__encoder__width", 10**6), "does not fit"
    yield "a billion layers", component("streams__text__encoder__layers", 10**9), "does not fit"
    yield "another format", values(head, format=[1]), "format"
    yield "plugins are a list", values(head, plugins=["canary"]), "pipeline.json"
    yield "a plugin is a number", values(head, plugins={"canary": 3}), "pipeline.json"
    command = {"x": {"distribution": "a; touch canary", "version": "1"}}
    yield "a command as the name of a package", values(head, plugins=command), "prefix"
    yield "data elsewhere", component("data", {"path": f"{OUTSIDE}.jsonl"}), None
    yield "begins with a folder elsewhere", component("init_from", {"run": "/etc"}), None


def hubs() -> Iterator[tuple[str, Callable[[Path], object], str | None]]:
    """Saved pipelines of pre-trained parts."""
    text = "config__streams__text"
    yield "everything evil at once", poisoned_architecture, None
    far = {f"{text}__encoder__model": "evil/model", f"{text}__encoder__architecture": None}
    yield "an encoder that only the hub knows", values("pipeline.json", **far), "architecture"
    far = {f"{text}__modality__model": "evil/model", f"{text}__modality__max_length": None}
    yield "a tokenizer that only the hub knows", values("pipeline.json", **far), "max_length"
    processor = {"config__streams__image__modality__model": "evil/model"}
    processor["config__streams__image__modality__processor"] = None  # type: ignore[assignment]
    yield "an image processor that only the hub knows", values("pipeline.json", **processor), "processor"
    yield "the tokenizer is missing", values("modalities.json", streams__text={}), "modalities"
    kind = f"{text}__encoder__architecture__model_type"
    yield "a path as the kind of a model", values("pipeline.json", **{kind: "../../canary"}), "model_type"


def poisoned_architecture(folder: Path) -> None:
    path = folder / "pipeline.json"
    head = json.loads(path.read_text())
    for stream in head["config"]["streams"].values():
        for part in (stream["encoder"].get("architecture"), stream["modality"].get("processor")):
            if part:
                part.update(POISON, **{key: each | POISON for key, each in part.items() if isinstance(each, dict)})
    path.write_text(json.dumps(head))


def runs() -> Iterator[tuple[str, Callable[[Path], object], str | None]]:
    """Runs that are to go on. A checkpoint that is damaged is passed over: the one before it does."""
    last = "checkpoints/step-00000003"
    yield "weights are a pickle", file(f"{last}/model.safetensors", program), "does not fit"
    yield "weights that are no numbers", tensors(f"{last}/model.safetensors", not_a_number), "not finite"
    yield "moments are a pickle", file(f"{last}/optimizer.safetensors", program), "cannot be read"
    yield "moments nested deeply", file(f"{last}/optimizer.json", DEEP), "optimizer.json"
    yield "a position that is nested deeply", file(f"{last}/position.json", DEEP), "position.json"
    yield "_target_ in the position", values(f"{last}/position.json", _target_="canary.Evil"), "position.json"
    yield "a position of text", values(f"{last}/position.json", total="six"), "position.json"
    yield "../ in a checkpoint's manifest", lambda folder: outside("../../canary")(folder / last), None
    yield "a file more in a checkpoint", file(f"{last}/custom_checkpoint_0.pkl", program), None
    yield "random_states_0.pkl in a run", file("random_states_0.pkl", program), None
    yield "facts nested deeply", file("config.json", DEEP), "config.json"
    yield "everything evil in the facts", poisoned("config.json"), "config"
    yield "statistics are a pickle", file("modalities/modalities.safetensors", program), "cannot be read"
    yield "a checkpoint is a link to elsewhere", linked_checkpoint, None
    yield "a log of bytes", file("log.jsonl", b"\xff\0" * 900 + b"\n"), None


def linked_checkpoint(folder: Path) -> None:
    """One that would be removed as old; what it points at must stay."""
    victim = folder.parent / "victim"
    victim.mkdir()
    (victim / "kept").write_text("kept")
    (folder / "checkpoints" / "step-00000001").symlink_to(victim)


def exports() -> Iterator[tuple[str, Callable[[Path], object], str | None]]:
    yield "the graph is a pickle", file("model.onnx", program), "cannot open"
    yield "a program of torch.export", as_program, "does not open"
    yield "the header is nested deeply", file("export.json", DEEP), "export.json"
    yield "everything evil in the header", poisoned("export.json", beside=False), "export.json"
    yield "heads that are numbers", values("export.json", heads=[3]), "export.json"
    yield "plugins are a list", values("export.json", plugins=["canary"]), "export.json"
    yield "weights that lie elsewhere", data_elsewhere, "cannot open"
    yield "statistics are a pickle", file("modalities.safetensors", program), "cannot be read"


def as_program(folder: Path) -> None:
    values("export.json", kind="torch")(folder)
    (folder / "model.onnx").write_bytes(archive(folder))


def data_elsewhere(folder: Path) -> None:
    """External data of ONNX is named by a path beside the graph."""
    import onnx

    (folder.parent / "secret").write_bytes(b"\0" * 10_000)
    model = onnx.load(folder / "model.onnx")
    for each in model.graph.initializer:
        if each.data_type == onnx.TensorProto.FLOAT and each.raw_data:
            each.ClearField("raw_data")
            each.data_location = onnx.TensorProto.EXTERNAL
            for key, value in {"location": "../secret", "offset": "0"}.items():
                entry = each.external_data.add()
                entry.key, entry.value = key, value
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def indexes() -> Iterator[tuple[str, Callable[[Path], object], str | None]]:
    yield "vectors are a pickle", file("vectors.safetensors", program), "damaged"
    yield "vectors of 10 GB", file("vectors.safetensors", claims()), "damaged"
    yield "vectors that are no numbers", tensors("vectors.safetensors", not_a_number), "length 1"
    yield "vectors of another shape", tensors("vectors.safetensors", other_shape), "vectors"
    yield "one tensor more", tensors("vectors.safetensors", one_more), "streams"
    yield "the header is nested deeply", file("index.json", DEEP), "damaged"
    yield "_target_ in the header", values("index.json", _target_="canary.Evil"), "_target_"
    yield "a row nested deeply", file("rows.jsonl", DEEP), "damaged"
    yield "a row that is a pickle", file("rows.jsonl", program), "damaged"
    yield "a run at an address", values("index.json", run="https://evil.example/run"), None


def models() -> Iterator[tuple[str, Callable[[Path], object], str | None]]:
    """Folders of pre-trained models, as a hub has them."""
    weights = "model.safetensors"
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        yield f"everything evil in {name}", poisoned(name), None
        yield f"{name} is nested deeply", file(name, DEEP), name
        yield f"{name} is a list", file(name, "[]"), name
    yield "a pickle beside the weights", file("pytorch_model.bin", archive), None
    yield "nothing but a pickle", only_pickle, "pickles"
    yield "weights are a pickle", file(weights, program), "cannot be read"
    yield "weights of 10 GB", file(weights, claims()), "cannot be read"
    yield "weights that are no numbers", tensors(weights, not_a_number), "not finite"
    yield "weights of another shape", tensors(weights, other_shape), "shape"
    yield "one tensor more", tensors(weights, one_more), None
    yield "_target_ in the metadata of tensors", tensors(weights, lambda found: None, _target_="canary.Evil"), None
    elsewhere = {"up": "../secret.safetensors", "an absolute path": "/secret.safetensors", "a pickle": "canary.bin"}
    for name, path in {**elsewhere, "a backslash": "..\\secret.safetensors"}.items():
        yield f"parts at {name}", in_parts(path), "names no safetensors"
    yield "a path as the kind of model", values("config.json", model_type="../../canary"), "model_type"
    yield "a width of 1e9", values("config.json", text_config__hidden_size=10**9), "cannot be built"
    yield "a billion layers", values("config.json", text_config__num_hidden_layers=10**9), "num_hidden_layers"
    yield "the tokenizer is a pickle", file("tokenizer.json", program), "tokenizer.json"
    yield "the tokenizer is nested deeply", file("tokenizer.json", DEEP), "tokenizer.json"
    yield "pictures of 1e9 pixels", values("processor_config.json", image_processor__crop_size=10**9), "cannot be built"
    yield "adapters of another model", file("adapter_config.json", json.dumps({"auto_mapping": POISON})), None


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(archive(folder))


def in_parts(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder.parent / "secret.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))

    return change


def features() -> Iterator[tuple[str, Callable[[Path], object], str | None]]:
    """Shards of the feature cache. A damaged one is removed, and what it held is encoded again."""

    def shard(change: Callable[[str], Callable[[Path], object]]) -> Callable[[Path], object]:
        def changed(root: Path) -> None:
            (path,) = root.glob("features/*/*.safetensors")
            change(path.name)(path.parent)

        return changed

    def with_(name: str, value: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], object]:
        return shard(lambda path: tensors(path, lambda found: found | {name: value(found[name]).contiguous()}))

    yield "a shard is a pickle", shard(lambda path: file(path, program)), None
    yield "a shard of 10 GB", shard(lambda path: file(path, claims())), None
    yield "a tensor less", shard(lambda path: tensors(path, one_less)), None
    yield "keys that are no bytes", with_("keys", lambda keys: keys.float()), None
    yield "shapes that are no list", with_("shapes.tokens", lambda shapes: shapes[0]), None
    yield "shapes below zero", with_("shapes.tokens", lambda shapes: -shapes), None
    yield "shapes that overflow", with_("shapes.tokens", lambda shapes: torch.full_like(shapes, 2**32)), None
    yield "tokens of another width", with_("shapes.tokens", lambda shapes: shapes.flip(1)), None
    yield "vectors that are tables", with_("shapes.pooled", lambda each: torch.cat([each // each, each], 1)), None
    yield "a mask that is too short", with_("values.mask", lambda each: each[:1]), None
    yield "masks of other lengths than tokens", shard(lambda path: tensors(path, longer_masks)), None
    yield "a folder that is a link to elsewhere", linked_features, "is a link"


def longer_masks(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    shapes = found["shapes.mask"] + 1
    return found | {"shapes.mask": shapes, "values.mask": torch.ones(int(shapes.sum()), dtype=torch.bool)}


def linked_features(root: Path) -> None:
    """Its files are no shards: they must stay."""
    (folder,) = (root / "features").iterdir()
    victim = root.parent / "victim"
    folder.rename(root / "before")
    victim.mkdir()
    save_file({"precious": torch.ones(3)}, victim / "kept.safetensors")
    folder.symlink_to(victim)


KINDS = {
    "pipeline": pipelines,
    "hub": hubs,
    "run": runs,
    "export": exports,
    "index": indexes,
    "model": models,
    "features": features,
}
ATTACKS = [Attack(name, kind, change, told) for kind, made in KINDS.items() for name, change, told in made()]


def title(attack: Attack) -> str:
    """As the name of a folder."""
    return re.sub(r"\W+", "-", f"{attack.kind}-{attack.name}").strip("-")
