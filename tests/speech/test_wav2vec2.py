"""wav2vec2 as V-Express hears it: stretched features, windows with zero edges, pieces of long recordings, loading."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from published_weights import licences
from svp.diffusion.audio_track import AudioTrack
from svp.errors import InputError
from svp.speech import wav2vec2
from svp.speech.alpha import find_audio_encoder, load_audio_encoder
from svp.speech.wav2vec2 import Wav2Vec2AudioEncoder
from svp.speech.wav2vec2_import import add_wav2vec2
from svp.weights.differences import DifferentTensorsError
from svp.weights.staging import staged_import
from tiny_wav2vec2 import tiny_wav2vec2


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return tiny_wav2vec2(hidden_size=12, layers=2).eval()


def published_name(name):
    return name.replace("parametrizations.weight.original0", "weight_g").replace(
        "parametrizations.weight.original1", "weight_v"
    )


@pytest.fixture(scope="module")
def hub_folder(model, tmp_path_factory):
    """As published: a whole CTC model under `wav2vec2.`, with a head, its norm under torch's old names; no mask."""
    folder = tmp_path_factory.mktemp("hub") / "wav2vec2-base-960h"
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    tensors = {f"wav2vec2.{published_name(name)}": t for name, t in load_file(path).items() if name != wav2vec2.MASK}
    save_file(tensors | {"lm_head.weight": torch.ones(3, 12)}, path, metadata={"format": "pt"})
    return folder


def import_wav2vec2(source, output):
    with staged_import(source, output) as stage:
        add_wav2vec2(source, stage, width=12)
    return stage.parts


def sound(seconds):
    return np.random.default_rng(0).normal(scale=0.1, size=round(seconds * 16000)).astype(np.float32)


def v_express_windows(audio, n_frames, model):
    """Its recipe: one forward, linear interpolation to two rows a frame, four zero rows on either side, ten a frame."""
    normed = torch.from_numpy((audio - audio.mean()) / np.sqrt(audio.var() + 1e-7))[None]
    with torch.inference_mode():
        features = model(normed).last_hidden_state
    rows = torch.nn.functional.interpolate(features.transpose(1, 2), 2 * n_frames, mode="linear")[0].T
    rows = torch.nn.functional.pad(rows, (0, 0, 4, 4))
    return torch.stack([rows[2 * i : 2 * i + 10] for i in range(n_frames)])


def test_windows_are_v_express(model):
    audio, n_frames = sound(2.0), 50
    encoder = Wav2Vec2AudioEncoder(model)
    track = AudioTrack(encoder.stream(audio, n_frames), n_frames, radius=2, zero_edges=True)
    got = torch.cat([track.windows(0, 20), track.windows(16, 50)[4:]])
    assert got.shape == (50, 5, 24)
    wanted = v_express_windows(audio, n_frames, model)
    torch.testing.assert_close(got.reshape(50, 10, 12), wanted, atol=1e-4, rtol=0)
    assert not got[0, :2].any() and not got[-1, 3:].any() and got[2].all(dim=1).any()


@pytest.mark.parametrize("samples", [1, 300, 640, 5000, 16001])
def test_any_length_gives_its_frames(model, samples):
    encoder = Wav2Vec2AudioEncoder(model)
    for n_frames in (1, 9, 25):
        alpha = encoder.encode(sound(2.0)[:samples], n_frames)
        assert alpha.shape == (n_frames, 24) and alpha.isfinite().all()


def test_one_pass_is_computed_in_pieces(model, monkeypatch):
    audio = sound(6.0)
    audio[: len(audio) // 2] *= 0.1  # what one piece sounds like tells little of the others
    monkeypatch.setattr(wav2vec2, "CONVOLVED", 70)
    monkeypatch.setattr(wav2vec2, "NORM_BLOCK", 7000)
    [alpha] = Wav2Vec2AudioEncoder(model).stream(audio, 150)
    wanted = v_express_windows(audio, 150, model)[:, 4:6]  # the rows of the frame itself
    torch.testing.assert_close(alpha.view(150, 2, 12), wanted, atol=1e-4, rtol=0)


def test_very_long_recordings_are_heard_in_parts(model, monkeypatch):
    encoder, audio = Wav2Vec2AudioEncoder(model), sound(6.0)
    whole = encoder.encode(audio, 150)
    monkeypatch.setattr(wav2vec2, "LONGEST", 200)
    monkeypatch.setattr(wav2vec2, "CONTEXT", 50)
    blocks = list(encoder.stream(audio, 150))
    assert len(blocks) == 3 and sum(map(len, blocks)) == 150
    parts = torch.cat(blocks)
    assert not torch.equal(parts, whole)
    alike = torch.nn.functional.cosine_similarity(parts, whole)
    assert alike.min() > 0.8 and alike.mean() > 0.97


def test_import_and_loading(model, hub_folder, tmp_path):
    tensors = load_file(hub_folder / "model.safetensors")
    assert any(name.endswith("conv.weight_g") for name in tensors) and "wav2vec2.masked_spec_embed" not in tensors
    assert import_wav2vec2(hub_folder, tmp_path) == ("audio_encoder",)
    assert "Apache-2.0" in licences(tmp_path)[0]
    wanted = Wav2Vec2AudioEncoder(model).encode(sound(1.0), 25)
    for encoder in (
        load_audio_encoder(str(hub_folder)),
        find_audio_encoder("wav2vec2-base-960h", tmp_path),
    ):
        assert encoder.id == "wav2vec2-base-960h" and encoder.size == 24
        torch.testing.assert_close(encoder.encode(sound(1.0), 25), wanted, atol=1e-6, rtol=0)


def test_what_is_not_wav2vec2_is_refused(hub_folder, tmp_path):
    tensors = load_file(hub_folder / "model.safetensors")
    config = (hub_folder / "config.json").read_text()
    name = "wav2vec2.encoder.layers.1.attention.k_proj.weight"
    cases = {
        "missing": ({n: t for n, t in tensors.items() if n != name}, config, f"1 missing: {name[9:]}"),
        "strange": (tensors | {"wav2vec2.more": torch.ones(1)}, config, "1 unexpected: wav2vec2.more"),
        "misshapen": (
            tensors | {name: torch.ones(3, 4)},
            config,
            rf"1 of another shape: {name[9:]} \(3x4 instead of 12x12\)",
        ),
        "bert": (tensors, json.dumps({"model_type": "bert"}), "wav2vec2"),
    }
    for case, (stored, text, message) in cases.items():
        folder = tmp_path / case
        folder.mkdir()
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(text)
        with pytest.raises(InputError, match=f"{case}: .*{message}") as caught:
            import_wav2vec2(folder, tmp_path / "out")
        assert isinstance(caught.value, DifferentTensorsError) == (case != "bert")  # which `--differences` writes
    with pytest.raises(InputError, match=r"needs config\.json"):
        import_wav2vec2(tmp_path, tmp_path / "out")
    with (
        pytest.raises(InputError, match="states of 12 numbers, the model hears 768"),
        staged_import(hub_folder, tmp_path / "out") as stage,
    ):
        add_wav2vec2(hub_folder, stage, width=768)
