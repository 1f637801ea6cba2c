"""Whisper's encoder from its three published files: the same weights, whatever they came in."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_whisper_package import ct2_file, ct2_variables
from tiny_whisper import tiny_config
from transformers import WhisperModel

from svp.errors import InputError
from svp.speech.package import read_ctranslate2
from svp.speech.whisper import load_whisper
from svp.speech.whisper_import import CONFIG_NAMES, LAYER_NAMES, import_whisper
from svp.weights.differences import DifferentTensorsError
from svp.weights.provenance import ImportedFile, imported_files, record_imports


@pytest.fixture(scope="module")
def whole():
    torch.manual_seed(0)
    config = tiny_config(max_source_positions=1500)
    config.d_model = 384  # whisper-tiny's: alpha has five states of 384
    config.encoder_ffn_dim = config.decoder_ffn_dim = 4 * 384  # as in every published Whisper
    model = WhisperModel(config).eval()
    return model.half().float()  # exact in the files of half precision


def hub_folder(model, folder, weights="model.safetensors"):
    folder.mkdir()
    config = model.config.to_dict() | {"architectures": ["WhisperForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    if weights.endswith(".bin"):
        torch.save(tensors, folder / weights)
    else:
        save_file(tensors, folder / weights)
    return folder


def openai_file(model, path, dims=None):
    """Under OpenAI's names, of which transformers' follow by the table that is tested here and three more."""
    sizes = {theirs: getattr(model.config, ours) for theirs, ours in CONFIG_NAMES.items()}
    tensors = {"decoder.token_embedding.weight": torch.zeros(60, 8).half()}
    for name, tensor in model.encoder.state_dict().items():
        for theirs, ours in LAYER_NAMES.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
        name = name.replace("layers.", "blocks.").replace("embed_positions.weight", "positional_embedding")
        name = name.replace("layer_norm.", "ln_post.")
        tensors[f"encoder.{name}"] = tensor.half()
    torch.save({"dims": sizes | (dims or {}), "model_state_dict": tensors}, path)
    return path


def ctranslate2_file(model, path):
    variables = ct2_variables(model.encoder)
    variables["encoder/num_heads"] = np.array(2, np.int16)
    variables["decoder/embeddings/weight"] = np.zeros((60, 8), np.int8)
    path.write_bytes(ct2_file(variables))
    return path


def test_openai_names_are_the_published_ones(shared):
    from svp.speech.whisper_import import _transformers_name

    names = json.loads((shared / "golden/whisper/openai_names.json").read_text())
    for ours, theirs in names.items():
        assert "model.encoder." + _transformers_name(theirs.removeprefix("encoder.")) == ours


def test_every_layout_gives_the_same_encoder(whole, tmp_path):
    sources = [
        hub_folder(whole, tmp_path / "hub"),
        hub_folder(whole, tmp_path / "older_hub", "pytorch_model.bin"),
        openai_file(whole, tmp_path / "tiny.pt"),
        ctranslate2_file(whole, tmp_path / "model.bin"),
    ]
    for source in sources:
        output = tmp_path / f"from_{source.name}"
        import_whisper(source, output)
        loaded = load_whisper(str(output))
        assert loaded.config.encoder_attention_heads == 2 and loaded.config.vocab_size == 60
        got = loaded.state_dict()
        assert got.keys() == whole.encoder.state_dict().keys()
        for name, tensor in whole.encoder.state_dict().items():
            assert torch.equal(got[name], tensor), name
        assert imported_files(output)[0].licence.startswith("MIT")
        assert all("decoder" not in name for name in load_file(output / "audio_encoder/model.safetensors"))


def test_what_is_not_whisper_is_refused(whole, tmp_path):
    openai_file(whole, tmp_path / "wide.pt", {"n_audio_state": 16})
    wanted = torch.load(openai_file(whole, tmp_path / "bare.pt"))
    torch.save({"dims": wanted["dims"]}, tmp_path / "bare.pt")
    openai_file(whole, tmp_path / "heads.pt", {"n_audio_head": 7})
    narrow = tiny_config(max_source_positions=1500)
    narrow.encoder_ffn_dim = narrow.decoder_ffn_dim = 32
    openai_file(WhisperModel(narrow), tmp_path / "narrow.pt")
    openai_file(whole, tmp_path / "deep.pt", {"n_audio_layer": 5})
    wanted["model_state_dict"]["encoder.more"] = torch.ones(1)
    torch.save(wanted, tmp_path / "strange.pt")
    torch.save({"model_state_dict": {"a": torch.ones(1)}}, tmp_path / "other.pt")
    folder = hub_folder(whole, tmp_path / "bert")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "empty").mkdir()
    for name, reason in (
        ("wide.pt", "of another shape"),
        ("bare.pt", "not OpenAI's Whisper"),
        ("strange.pt", "1 unexpected: more"),
        ("heads.pt", "heads.pt: not the published network"),
        ("narrow.pt", "narrow.pt: .*5 states of 8: alpha needs 5 of 384"),
        ("deep.pt", "missing: layers.4."),
        ("other.pt", "not OpenAI's Whisper"),
        ("bert", "no configuration of a Whisper"),
        ("empty", "needs config.json"),
    ):
        with pytest.raises(InputError, match=reason):
            import_whisper(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tensors_of_other_sizes_than_whisper_tinys_are_named(whole, tmp_path):
    """Also where they agree with the configuration, and where a file without one could define what is wanted."""
    ctranslate2_file(whole, tmp_path / "whole.bin")
    variables = read_ctranslate2((tmp_path / "whole.bin").read_bytes())
    table, kernel = "encoder/position_encodings/encodings", "encoder/conv1/weight"
    for name, changed, message in (
        ("short.bin", {table: variables[table][:1000]}, r"embed_positions\.weight \(1000x384 instead of 1500x384\)"),
        ("few.bin", {kernel: variables[kernel][:, :70]}, r"conv1\.weight \(384x70x3 instead of 384x80x3\)"),
    ):
        (tmp_path / name).write_bytes(ct2_file(variables | changed))
        with pytest.raises(DifferentTensorsError, match=f"{name}: .*: 1 of another shape: {message}"):
            import_whisper(tmp_path / name, tmp_path / "out")
    cut = {name: array for name, array in variables.items() if not name.startswith("encoder/layer_3/")}
    (tmp_path / "cut.bin").write_bytes(ct2_file(cut))
    with pytest.raises(DifferentTensorsError) as caught:
        import_whisper(tmp_path / "cut.bin", tmp_path / "out")
    last = {name for name in whole.encoder.state_dict() if name.startswith("layers.3.")}
    assert {name for name, _ in caught.value.differences["missing"]} == last
    folder = hub_folder(whole, tmp_path / "hub")
    (folder / "config.json").write_text(json.dumps(whole.config.to_dict() | {"max_source_positions": 1000}))
    tensors = load_file(folder / "model.safetensors")
    tensors["model.encoder.embed_positions.weight"] = tensors["model.encoder.embed_positions.weight"][:1000].clone()
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(DifferentTensorsError, match="1 of another shape: embed_positions"):
        import_whisper(folder, tmp_path / "out")


def test_a_model_keeps_the_encoder_it_hears_through(whole, tmp_path):
    source, output = openai_file(whole, tmp_path / "tiny.pt"), tmp_path / "model"
    encoder = output / "audio_encoder"
    encoder.mkdir(parents=True)
    (encoder / "config.json").write_text("{}")
    index = output / "model_index.json"
    index.write_text(json.dumps({"settings": {"audio_encoder": "wav2vec2-base-960h"}}))
    with pytest.raises(InputError, match="its audio_encoder would be lost; import into a new folder"):
        import_whisper(source, output)  # a model that was made elsewhere
    (tmp_path / "x").write_text("x")
    record_imports(output, [ImportedFile.of("v-express", tmp_path / "x", "x", ("unet.spatial",))])
    with pytest.raises(InputError, match=r"hears through wav2vec2-base-960h, tiny\.pt is whisper-tiny; import into"):
        import_whisper(source, output)
    assert (encoder / "config.json").read_text() == "{}" and list(encoder.iterdir()) == [encoder / "config.json"]
    index.write_text(json.dumps({"settings": {"audio_encoder": "whisper-tiny/normed"}}))
    assert import_whisper(source, output) == ("audio_encoder",)
    (output / "training.json").write_text(json.dumps([{"stage": "motion", "steps": 3}]))
    with pytest.raises(InputError, match="its audio_encoder would be lost"):
        import_whisper(source, output)
