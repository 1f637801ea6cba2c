"""Published networks of metrics: golden numbers of the original code, names and shapes, and strict loading."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file

from command import svp
from golden_rule import DATA, digest
from published_weights import FakeI3D, FakeInception, licences, publish, publish_scripted, weights
from svp import weights as published
from svp.errors import InputError
from svp.evaluation.sync import sync_score
from svp.weights.metric_import import import_i3d, import_inception
from svp.weights.provenance import imported_files
from svp.weights.registry import WEIGHTS

LOADERS: dict[str, Callable] = {
    "styletalk": published.load_styletalk,
    "syncnet": published.load_syncnet,
    "deep3d": published.load_deep3d,
    "i3d": published.load_i3d,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("published")


def loaded(kind: str, folder: Path) -> torch.nn.Module:
    return LOADERS[kind](publish(kind, folder))


def golden(kind: str, name: str = "golden.safetensors", place: Path = DATA) -> dict[str, np.ndarray]:
    """Stored numbers of a network, after its weights have been found to be those that they were made with."""
    meta = json.loads((place / kind / "meta.json").read_text())
    assert digest(weights(kind)) == meta["init"]["sha256"]
    return load_file(place / kind / name)


def watched(modules: dict[str, torch.nn.Module]) -> dict[str, torch.Tensor]:
    """What modules will give, filled in when they run."""
    seen: dict[str, torch.Tensor] = {}
    for name, module in modules.items():
        module.register_forward_hook(lambda _, given, out, name=name: seen.update({name: out}))
    return seen


def golden_video(seed: int, frames: int) -> np.ndarray:
    """The pictures (N, 224, 224, 3) uint8 that the golden numbers were made with: coarse colours and fine noise."""
    random = np.random.RandomState(seed)
    coarse = np.floor(256.0 * random.random_sample((frames, 7, 7, 3))).astype(np.int64)
    noise = np.floor(41.0 * random.random_sample((frames, 224, 224, 3))).astype(np.int64) - 20
    return np.clip(coarse.repeat(32, 1).repeat(32, 2) + noise, 0, 255).astype(np.uint8)


@torch.inference_mode()
def test_styletalk_gives_the_stored_codes(shared: Path, folder: Path) -> None:
    stored = golden("styletalk", place=shared / "golden")  # real expressions, not ours to publish
    encoder = loaded("styletalk", folder)
    layers = {f"layer{k}": layer for k, layer in enumerate(encoder.encoder.layers)}
    seen, codes = watched({"embed": encoder.increase_embed_dim, **layers}), []
    for clip in ("clip_a", "clip_b", "clip_c"):
        expression, padding = (torch.from_numpy(stored[f"{clip}.{part}"])[None] for part in ("input", "pad_mask"))
        codes.append(encoder(expression, ~padding)[0].double())
        np.testing.assert_allclose(codes[-1], stored[f"{clip}.style_code"], atol=2e-5)
        for name, out in seen.items() if clip == "clip_b" else ():
            np.testing.assert_allclose(out[0, :8], stored[f"clip_b.{name}"], atol=2e-5)
            unpadded = encoder(expression[:, ~padding[0]], ~padding[:, ~padding[0]])[0]
            np.testing.assert_allclose(unpadded, stored["clip_b.style_code_unpadded"], atol=2e-5)
    assert len(seen) == 4
    np.testing.assert_allclose(encoder.pos_embed.pos_table, stored["style_encoder.pos_embed.pos_table"], atol=1e-6)
    units = torch.stack([code / code.norm() for code in codes])
    np.testing.assert_allclose(units @ units.T, stored["cosine"], atol=1e-5)


@torch.inference_mode()
def test_syncnet_gives_the_stored_features_and_score(folder: Path) -> None:
    stored = golden("syncnet", "golden_synthetic.safetensors")
    network = loaded("syncnet", folder)
    lips, sounds = [], []
    network.netfclip.register_forward_hook(lambda _, given, out: lips.append(out))
    network.netfcaud.register_forward_hook(lambda _, given, out: sounds.append(out))
    found = sync_score(golden_video(82, 28), stored["audio_int16_16k"], network)
    lip, sound = torch.cat(lips)[:23], torch.cat(sounds)  # the last window is left out
    np.testing.assert_allclose(lip, stored["lip_features"], atol=5e-4)
    np.testing.assert_allclose(sound, stored["audio_features"], atol=1e-3)
    beyond = torch.nn.functional.pad(sound, (0, 0, 15, 15))
    distances = [torch.nn.functional.pairwise_distance(lip, beyond[shift : shift + 23]) for shift in range(31)]
    np.testing.assert_allclose(torch.stack(distances, dim=1), stored["dists"], atol=5e-3)
    assert found.offset == int(stored["offset"])
    np.testing.assert_allclose(found.distances, stored["mean_dists"], atol=5e-3)
    assert found.min_distance == pytest.approx(float(stored["min_dist"]), abs=5e-3)
    assert found.confidence == pytest.approx(float(stored["confidence"]), abs=5e-3)


@torch.inference_mode()
def test_deep3d_gives_the_stored_coefficients(folder: Path) -> None:
    stored, regressor = golden("deep3d"), loaded("deep3d", folder)
    seen = watched({"layer1": regressor.backbone.layer1, "avgpool": regressor.backbone})
    image = torch.from_numpy(stored["image_rgb_uint8"]).permute(2, 0, 1)[None] / 255
    coefficients = regressor(image)
    np.testing.assert_allclose(coefficients, stored["coeff"], atol=2e-4)
    np.testing.assert_allclose(coefficients[:, 80:144], stored["exp"], atol=2e-4)
    np.testing.assert_allclose(seen["avgpool"].flatten(), stored["avgpool"], atol=1e-4)
    np.testing.assert_allclose(seen["layer1"][0, :8, :8, :8], stored["layer1_corner"], atol=2e-5)


@torch.inference_mode()
def test_i3d_gives_the_stored_logits_of_both_copies(folder: Path) -> None:
    stored, path = golden("i3d"), publish("i3d", folder)
    original, videogpt = published.load_i3d(path), published.load_i3d(path, batch_norm_eps=1e-5)
    ends = ("Conv3d_1a_7x7", "Mixed_3c", "Mixed_4f", "Mixed_5c")
    seen = watched({name: original.get_submodule(name) for name in ends})
    given: dict[str, torch.Tensor] = {}
    for name in ("Conv3d_2b_1x1", "logits"):
        original.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: given.update({name: inputs[0]})
        )
    for frames, seed in ((16, 50), (24, 51)):
        clip = torch.from_numpy(golden_video(seed, frames)).permute(3, 0, 1, 2)[None] / 127.5 - 1
        np.testing.assert_allclose(original(clip), stored[f"piergiaj.logits_{frames}"].mean(axis=2), atol=5e-4)
        np.testing.assert_allclose(videogpt(clip), stored[f"videogpt.logits_{frames}"], atol=5e-4)
        if frames == 16:
            pooled = given["Conv3d_2b_1x1"][0, :4, :2, :6, :6]
            np.testing.assert_allclose(pooled, stored["piergiaj.MaxPool3d_2a_3x3.corner"], atol=5e-4)
            np.testing.assert_allclose(given["logits"].flatten(1), stored["piergiaj.features_16"], atol=5e-4)
        for name in ends if frames == 16 else ():
            np.testing.assert_allclose(seen[name][0, :4, :2, :6, :6], stored[f"piergiaj.{name}.corner"], atol=5e-4)


@pytest.mark.parametrize("kind", LOADERS)
def test_every_name_and_shape_is_needed_and_no_other_taken(kind: str, folder: Path, tmp_path: Path) -> None:
    tensors = weights(kind)
    network = LOADERS[kind](publish(kind, folder, tensors))
    held = network.state_dict()
    taken = {name.removeprefix("style_encoder."): tensor for name, tensor in tensors.items()}
    assert held.keys() == taken.keys() and all(torch.equal(held[name], taken[name]) for name in held)
    name = next(name for name in tensors if name.endswith("weight"))
    stranger = f"{name}.more"
    spoilt = {
        f"1 missing: {name}".replace("style_encoder.", ""): {k: v for k, v in tensors.items() if k != name},
        f"1 unexpected: {stranger}".replace("style_encoder.", ""): tensors | {stranger: torch.zeros(1)},
        r"1 of another shape: .* \(7 instead of ": tensors | {name: torch.zeros(7)},
    }
    for message, content in spoilt.items():
        path = publish(kind, tmp_path, content)
        with pytest.raises(InputError, match=rf"{path.name}: not the published network: .*{message}"):
            LOADERS[kind](path)


def test_other_layouts_of_the_same_weights(tmp_path: Path) -> None:
    deep3d = weights("deep3d")
    prefixed = {f"face_3drecon.{name}": tensor for name, tensor in deep3d.items()} | {"audio2exp.x": torch.ones(1)}
    save_file(prefixed, tmp_path / "SadTalker_V0.0.2_256.safetensors")
    held = published.load_deep3d(tmp_path / "SadTalker_V0.0.2_256.safetensors").state_dict()
    assert all(torch.equal(held[name], tensor) for name, tensor in deep3d.items())
    old = {name: tensor for name, tensor in weights("i3d").items() if not name.endswith("num_batches_tracked")}
    (tmp_path / "i3d").mkdir()
    save_file({name: tensor.half() for name, tensor in old.items()}, tmp_path / "i3d" / "model.safetensors")
    network = published.load_i3d(tmp_path / "i3d")
    assert isinstance(network, torch.nn.Module) and network.get_parameter("logits.conv3d.bias").dtype == torch.float32


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pth", tmp_path):
        with pytest.raises(InputError, match=f"{path.name}: no such weights; name the published file"):
            published.load_styletalk(path)


@torch.inference_mode()
def test_padding_and_what_stands_there_change_no_style_code(folder: Path) -> None:
    encoder = loaded("styletalk", folder)
    generator = torch.Generator().manual_seed(3)
    expression = torch.randn(2, 90, 64, generator=generator)
    alone = encoder(expression, torch.ones(2, 90, dtype=torch.bool))
    padded = torch.cat([expression, torch.full((2, 60, 64), 7.0)], dim=1)
    present = torch.arange(150).expand(2, 150) < 90
    torch.testing.assert_close(encoder(padded, present), alone, atol=1e-5, rtol=0)
    assert (alone[0] - alone[1]).abs().max() > 0.1
    with pytest.raises(ValueError, match="present"):
        encoder(expression, torch.zeros(2, 90, dtype=torch.bool))
    with pytest.raises(ValueError, match="1 to 256"):
        encoder(torch.zeros(1, 257, 64), torch.ones(1, 257, dtype=torch.bool))


@torch.inference_mode()
def test_torchscript_networks_are_called_as_their_authors_do(tmp_path: Path) -> None:
    file = publish_scripted(FakeInception(), tmp_path / "inception" / "model.pt")
    inception = published.load_inception(file.parent, trust_script=True)
    images = torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert inception(images).shape == (2, 2048) and inception(images).std() > 0
    i3d = published.load_i3d(publish_scripted(FakeI3D(), tmp_path / "i3d_torchscript.pt"), trust_script=True)
    clips = torch.linspace(-1, 1, 3 * 9 * 224 * 224).reshape(1, 3, 9, 224, 224)
    torch.testing.assert_close(i3d(clips)[0, :3], clips.mean(dim=(2, 3, 4))[0])
    with pytest.raises(InputError, match=r"gives \(2, 400\) for 2 inputs, not vectors of 2048"):
        published.load_inception(tmp_path / "i3d_torchscript.pt", trust_script=True)(torch.zeros(2, 3, 9, 8, 8))
    with pytest.raises(InputError, match="is no TorchScript file"):
        published.load_inception(publish("syncnet", tmp_path))


class Writes(torch.nn.Module):
    """A TorchScript that writes a file when it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> str:
        return self.path

    @torch.jit.export
    def __setstate__(self, path: str) -> None:
        self.path, self.training = path, False
        torch.save(torch.ones(1), path)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 2048)


def test_only_published_programs_run_and_those_somebody_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil, output = publish_scripted(Writes(str(tmp_path / "made")), tmp_path / "evil.pt"), tmp_path / "weights"
    for load in (import_inception, import_i3d):
        with pytest.raises(InputError, match=r"evil.pt: not the published .*can write files.*--trust-script"):
            load(evil, output)
    assert not (tmp_path / "made").exists() and not output.exists()
    own = publish_scripted(FakeInception(), tmp_path / "own.pt")
    import_inception(own, output, trust_script=True)
    assert "unknown, not the published file" in licences(output)[0]
    assert published.load_inception(output / "inception").size == 2048  # it was vouched for once
    shutil.copyfile(evil, output / "inception" / "model.pt")
    with pytest.raises(InputError, match="not the published"):
        published.load_inception(output / "inception")
    known = dataclasses.replace(WEIGHTS["inception"], scripts=(hashlib.sha256(own.read_bytes()).hexdigest(),))
    monkeypatch.setitem(WEIGHTS, "inception", known)
    import_inception(own, output)
    assert "Apache-2.0" in licences(output)[0] and published.load_inception(own).size == 2048
    published.load_inception(evil, trust_script=True)
    assert (tmp_path / "made").exists()  # as all of these would


def test_clips_that_i3d_cannot_take_are_refused(folder: Path) -> None:
    network = loaded("i3d", folder)
    for shape in ((1, 3, 8, 224, 224), (1, 3, 16, 112, 112), (3, 16, 224, 224)):
        with pytest.raises(ValueError, match="at least 9"):
            network(torch.zeros(shape))


def test_the_command_shows_the_licence_and_keeps_it_with_the_hash(tmp_path: Path) -> None:
    path = publish("styletalk", tmp_path)
    done = svp("import", "styletalk", path, "-o", tmp_path / "weights")
    assert done.returncode == 0 and "MIT" in done.stderr, done.stderr
    [record] = imported_files(tmp_path / "weights")
    assert (record.kind, record.file, record.parts) == ("styletalk", path.name, ("styletalk",))
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    held = published.load_styletalk(tmp_path / "weights" / "styletalk").state_dict()
    assert all(torch.equal(held[name], tensor) for name, tensor in published.load_styletalk(path).state_dict().items())
    refused = svp("import", "syncnet", path, "-o", tmp_path / "weights")
    assert refused.returncode == 2 and "styletalk_checkpoint.pth: not the published network" in refused.stderr
    assert "Traceback" not in refused.stderr and not (tmp_path / "weights" / "syncnet").exists()


@pytest.mark.parametrize("kind", LOADERS)
def test_an_archive_whose_directory_is_damaged_is_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / WEIGHTS[kind].files[0]
    torch.save({"weight": torch.zeros(3)}, file)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"PK\x01\x02", b"PK\x00\x00"))
    with pytest.raises(InputError, match=file.name) as caught:
        LOADERS[kind](file)
    assert "\n" not in str(caught.value)
