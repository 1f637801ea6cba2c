"""Reading other people's checkpoints: wrappers, refusals, comparison by name; writing tensor by tensor."""

import hashlib
import os
import pickle
import sys
import types

import pytest
import torch
from safetensors.torch import load_file, save_file

from published_weights import licences
from svp.errors import InputError
from svp.weights.checkpoint import check_shapes, read_checkpoint
from svp.weights.provenance import ImportedFile, imported_files, owners, record_imports
from svp.weights.registry import WEIGHTS, find_weight
from svp.weights.storage import write_weights

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


class RunsCode:
    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def assert_same(got, wanted=TENSORS):
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("wrap", ["bare", "state_dict", "model_state_dict", "module"])
@pytest.mark.parametrize("suffix", [".pth", ".bin", ".ckpt"])
def test_pickles_with_and_without_wrappers(tmp_path, wrap, suffix):
    path = tmp_path / f"weights{suffix}"
    values = {
        "bare": TENSORS,
        "state_dict": {"state_dict": TENSORS, "epoch": 3},
        "model_state_dict": {"model_state_dict": TENSORS},
        "module": {"state_dict": {f"module.{name}": tensor for name, tensor in TENSORS.items()}},
    }[wrap]
    torch.save(values, path)
    assert_same(read_checkpoint(path))


def test_the_old_pickle_format(tmp_path):
    torch.save(TENSORS, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert_same(read_checkpoint(tmp_path / "old.ckpt"))


def test_safetensors_under_any_name(tmp_path):
    save_file(TENSORS, tmp_path / "weights.bin")
    assert_same(read_checkpoint(tmp_path / "weights.bin"))


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_that_runs_code_is_refused(tmp_path, new_format):
    path = tmp_path / "evil.bin"
    torch.save(
        {"state_dict": TENSORS, "x": RunsCode(tmp_path / "made")}, path, _use_new_zipfile_serialization=new_format
    )
    with pytest.raises(InputError, match=r"evil\.bin: refused.*could run code.*safetensors"):
        read_checkpoint(path)
    assert not (tmp_path / "made").exists()


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "noise.pth").write_bytes(bytes(range(200)) * 3)
    save_file(TENSORS, tmp_path / "cut.safetensors")
    cut = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(cut[:-4])
    torch.save(TENSORS, tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:-40])
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("noise.pth", "cut.safetensors", "cut.pth", "list.pth", "absent.pth"):
        with pytest.raises(InputError, match=name) as caught:
            read_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_differences_are_listed(tmp_path):
    wanted = {"a": (2, 3), "b": (4,), "c": (1,)}
    check_shapes(tmp_path, dict(wanted), wanted)
    listed = r"1 missing: c \(1\); 1 unexpected: d \(scalar\); 1 of another shape: a \(3x2 instead of 2x3\)"
    with pytest.raises(InputError, match=listed):
        check_shapes(tmp_path / "x.bin", {"a": (3, 2), "b": (4,), "d": ()}, wanted)
    listed = r"9 missing: n0 \(scalar\), .*n5 \(scalar\) and 3 more; .*--differences"
    with pytest.raises(InputError, match=listed) as caught:
        check_shapes(tmp_path, {"strange": (2, 7)}, {f"n{k}": () for k in range(9)})
    again = pickle.loads(pickle.dumps(caught.value))  # as out of another process
    assert again.differences == {
        "missing": [(f"n{k}", "scalar") for k in range(9)], "unexpected": [("strange", "2x7")]
    }  # fmt: skip
    assert str(again) == str(caught.value) and again.source == tmp_path


def test_weights_are_written_as_float32(tmp_path):
    tensors = {"flag": torch.tensor([True]), "count": torch.tensor(7), **TENSORS, "view": TENSORS["a.weight"].T}
    path = tmp_path / "folder/w.safetensors"
    write_weights(path, tensors)
    got = load_file(path)
    assert got["a.bias"].dtype == torch.float32 and got["count"].dtype == torch.int64
    assert_same(got, tensors | {"a.bias": torch.ones(2)})
    write_weights(path, {name: 2 * tensor for name, tensor in got.items() if name == "view"})  # over what is being read
    assert torch.equal(got["view"], TENSORS["a.weight"].T)


def test_the_record_of_imports(tmp_path):
    for name in ("one.bin", "two.bin"):
        (tmp_path / name).write_text(name)
    assert imported_files(tmp_path) == [] and licences(tmp_path) == []
    spatial, motion = ("unet.spatial", "vae"), ("unet.motion",)
    record_imports(tmp_path, [ImportedFile.of("sd15", tmp_path / "one.bin", "one.bin", spatial)])
    record_imports(tmp_path, [ImportedFile.of("animatediff", tmp_path / "two.bin", "two.bin", motion)])
    assert owners(tmp_path) == {"unet.spatial": "sd15", "vae": "sd15", "unet.motion": "animatediff"}
    first = imported_files(tmp_path)[0]
    assert first.sha256 == hashlib.sha256(b"one.bin").hexdigest()
    assert first.size == 7
    both = ("unet.spatial", "unet.motion")
    record_imports(tmp_path, [ImportedFile.of("v-express", tmp_path / "two.bin", "denoising_unet.bin", both)])
    assert [(entry.kind, entry.parts) for entry in imported_files(tmp_path)] == [
        ("sd15", ("vae",)),
        ("v-express", both),
    ]
    assert licences(tmp_path) == [find_weight("sd15").notice(), find_weight("v-express").notice()]


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "weights.json").write_text('[{"kind": "sd15"}]')
    with pytest.raises(InputError, match=r"weights\.json"):
        licences(tmp_path)


def test_every_weight_says_what_it_is():
    for kind, weight in WEIGHTS.items():
        assert weight.kind == kind
        assert weight.source.startswith("https://") and weight.licence and weight.use and weight.files
    with pytest.raises(InputError, match="no such kind"):
        find_weight("sd16")


def test_stable_diffusions_first_file_names_a_class_of_lightning(tmp_path, monkeypatch):
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    with monkeypatch.context() as patch:
        for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
            patch.setitem(sys.modules, name, module)
        callbacks = {module.ModelCheckpoint: {"monitor": "val/loss"}}
        torch.save({"state_dict": TENSORS, "callbacks": callbacks}, tmp_path / "v1-5-pruned-emaonly.ckpt")
    assert_same(read_checkpoint(tmp_path / "v1-5-pruned-emaonly.ckpt"))


def test_a_damaged_old_pickle_is_not_called_dangerous(tmp_path):
    path = tmp_path / "old.ckpt"
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    content[content.index(b"ctorch._utils")] = 0xFF  # no operation of a pickle
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"old\.ckpt: .*damaged.*download the file again") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value) and "code" not in str(caught.value)
