"""Whisper's hidden states: stored numbers of transformers and of OpenAI's code, lengths, loading."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_whisper import position_table, rule_whisper, rule_whisper_weights, tiny_config
from transformers import BertConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from golden_rule import DATA, digest
from svp.errors import InputError
from svp.speech.whisper import encode_segments, hidden_states, load_whisper, log_mel, segment_states

META = json.loads((DATA / "whisper/meta.json").read_text())
STATES_ATOL = 2e-4
MEL_ATOL = 2e-5


@pytest.fixture(scope="module")
def golden():
    return load_file(DATA / "whisper/golden.safetensors")


@pytest.fixture(scope="module")
def rule_encoder():
    assert digest(rule_whisper_weights()) == META["init"]["sha256"]
    return rule_whisper()


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return WhisperEncoder(tiny_config()).eval()


def noise(seconds, seed=0):
    return np.random.default_rng(seed).normal(scale=0.1, size=round(seconds * 16000)).astype(np.float32)


def test_log_mel_is_transformers(golden):
    wave = np.zeros((1, 480000), np.float32)
    wave[0, : len(golden["audio_int16"])] = golden["audio_int16"].numpy() / 32768
    features = log_mel(wave, 80)[0]
    assert (features[:, :400] - golden["input_features_400"]).abs().max() <= MEL_ATOL
    assert (features[:, 332:] - golden["input_features_pad_value"]).abs().max() <= MEL_ATOL


@pytest.mark.parametrize("last_state", ["normed", "raw"])
def test_states_are_the_stored_ones(golden, rule_encoder, last_state):
    table = position_table()
    assert (table[:165] - golden["embed_positions_165"]).abs().max() < 1e-5
    assert (table[1499] - golden["embed_positions_1499"]).abs().max() < 1e-4
    expected = golden["states_raw"].transpose(0, 1).clone()
    if last_state == "normed":
        expected[:, 4] = golden["last_layernormed"]
    audio = golden["audio_int16"] if last_state == "normed" else golden["audio_int16"].numpy() / 32768
    states = hidden_states(audio, rule_encoder, last_state=last_state)
    assert states.shape == (165, 5, 384) and states.dtype == torch.float32
    assert (states - expected).abs().max() <= STATES_ATOL
    with pytest.raises(ValueError, match="last_state"):
        hidden_states(golden["audio_int16"], rule_encoder, last_state="layernormed")


def test_features_and_raw_states_are_those_of_openai(shared, golden, rule_encoder):
    port = load_file(shared / "golden/whisper/openai_port.safetensors")
    audio = golden["audio_int16"].numpy() / np.float32(32768)
    wave = np.pad(np.pad(audio, (0, 200), mode="reflect"), (0, 480000 - 200 - len(audio)))  # it sees no silence behind
    assert (log_mel(wave[None], 80)[0, :, :330] - port["log_mel"]).abs().max() <= MEL_ATOL
    features = torch.zeros(1, 80, 3000)
    features[0, :, : port["log_mel"].shape[1]] = port["log_mel"]
    states = encode_segments(features, rule_encoder, "raw")[0, :165]
    assert (states - port["states_raw"].transpose(0, 1)).abs().max() <= STATES_ATOL


def test_any_whisper_model_gives_transformers_own_states(tiny):
    torch.manual_seed(1)
    whole = WhisperForConditionalGeneration(tiny_config()).eval()
    audio = noise(4.0)
    features = WhisperFeatureExtractor()(audio, sampling_rate=16000, return_tensors="pt").input_features
    with torch.inference_mode():
        reference = whole.model.encoder(features, output_hidden_states=True).hidden_states
    expected = torch.stack(reference, dim=2)[0, :200]
    for model in (whole, whole.model, whole.model.encoder):
        assert torch.allclose(hidden_states(audio, model), expected, atol=1e-6)
    assert not torch.allclose(hidden_states(audio, whole, "raw")[:, 4], expected[:, 4], atol=1e-2)


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 16000, 480000, 480001, 999999])
def test_any_length_is_covered(tiny, samples):
    states = hidden_states(noise(samples / 16000)[:samples], tiny)
    assert states.shape == (-(-samples // 320), 5, 8) and states.isfinite().all()


def test_segments_start_at_multiples_of_30_seconds(tiny):
    audio = noise(70.0)
    states = hidden_states(audio, tiny)
    for first in (0, 30, 60):
        alone = hidden_states(audio[first * 16000 : (first + 30) * 16000], tiny)
        assert torch.equal(states[first * 50 : first * 50 + len(alone)], alone)


def test_hours_need_no_more_memory_than_minutes(tiny):
    audio = np.broadcast_to(np.float32(0.01), 3 * 3600 * 16000)
    segments = segment_states(audio, tiny, "normed", 360)
    next(segments)
    tracemalloc.start()
    shapes = {next(segments).shape for _ in range(5)}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert shapes == {(1500, 5, 8)}
    assert peak < 20e6  # NumPy's share: a segment or two of samples, not hours of them


def test_bad_sound_is_a_programming_error(tiny):
    with pytest.raises(ValueError, match="samples"):
        hidden_states(np.zeros((2, 100), np.float32), tiny)
    with pytest.raises(ValueError, match="int32"):
        hidden_states(np.zeros(100, np.int32), tiny)


@pytest.mark.parametrize("kind", ["whole", "bare", "encoder"])
def test_loads_a_folder_of_any_whisper_model(tmp_path, kind):
    torch.manual_seed(2)
    whole = WhisperForConditionalGeneration(tiny_config()).eval()
    model = {"whole": whole, "bare": whole.model, "encoder": whole.model.encoder}[kind]
    assert isinstance(whole.model, WhisperModel)
    model.save_pretrained(tmp_path)
    loaded = load_whisper(str(tmp_path))
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(hidden_states(noise(1.0), loaded), hidden_states(noise(1.0), whole))


def test_half_precision_weights_run_in_float32(tmp_path):
    torch.manual_seed(3)
    WhisperModel(tiny_config()).half().save_pretrained(tmp_path)
    assert load_whisper(str(tmp_path)).conv1.weight.dtype == torch.float32


def test_unusable_folders_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SVP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(InputError, match="no such folder"):
        load_whisper("./no such folder")
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_whisper(str(tmp_path))
    BertConfig().save_pretrained(tmp_path)
    save_file({"encoder.x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="Whisper"):
        load_whisper(str(tmp_path))
    tiny_config().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="not a readable Whisper"):  # tensors are missing
        load_whisper(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="not a readable Whisper"):
        load_whisper(str(tmp_path))
