"""What the provenance of a video says of its model, inputs, styles and settings."""

import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tiny_pipeline import drawn_portrait, random_style, tiny_pipeline, tone

from command import svp
from svp import Marking, SVPPipeline
from svp.cli.verify import _rows
from svp.diffusion import style_source
from svp.diffusion.model_folder import foreign_weights
from svp.diffusion.origin import Origin
from svp.media.audio import write_wav
from svp.media.hashing import sha256_file
from svp.media.verification import Verification, verify_video
from svp.style.extract import CLIP
from svp.style.timeline import StyleTimeline
from svp.weights.provenance import ImportedFile, record_imports
from svp.weights.registry import find_weight

PORTRAIT = Path(__file__).resolve().parents[2] / "samples" / "portraits" / "ada.png"


def test_files_are_named_by_their_hashes_and_the_model_by_that_of_its_weights(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path / "a_model")
    pipeline = SVPPipeline.from_pretrained(tmp_path / "a_model")
    write_wav(tmp_path / "secret_client.wav", tone(0.2))
    random_style(pipeline, 4).save(tmp_path / "style.safetensors")
    video = pipeline(
        PORTRAIT, tmp_path / "secret_client.wav", tmp_path / "style.safetensors", seed=7, num_inference_steps=1
    )
    video.save(tmp_path / "video.mp4")
    found = verify_video(tmp_path / "video.mp4")
    assert found.state == "valid" and b"secret_client" not in (tmp_path / "video.mp4").read_bytes()
    facts = found.facts
    (tmp_path / "a_model" / "later.safetensors").write_bytes(b"retrained meanwhile")
    assert video.origin.facts()["model"] == facts["model"]  # of the weights that made the video
    (tmp_path / "a_model" / "later.safetensors").unlink()
    listed = subprocess.run(
        'find . -name "*.safetensors" -printf "%P\\n" | LC_ALL=C sort | xargs sha256sum | sha256sum',
        shell=True,
        cwd=tmp_path / "a_model",
        capture_output=True,
        text=True,
        check=True,
    )
    assert facts["model"] == {"name": "a_model", "weights_sha256": listed.stdout.split()[0]}
    assert facts["inputs"] == {
        "portrait": {"sha256": sha256_file(PORTRAIT), "of": "file"},
        "audio": {"sha256": sha256_file(tmp_path / "secret_client.wav"), "of": "file"},
    }
    [style] = facts["styles"]
    assert style["name"] == "style 4" and style["sha256"] == sha256_file(tmp_path / "style.safetensors")
    assert facts["settings"]["seed"] == 7 and facts["settings"]["plan"]["num_inference_steps"] == 1
    assert facts["settings"]["head_motion"] == "natural" and facts["settings"]["frames"] == len(video)


def test_what_was_asked_for_beside_files_is_told():
    asked = {"head_amplitude": 0.5, "blink_rate": 20.0, "gaze": (5.0, -3.0), "aspect": "16:9", "mouth_amplitude": 1.2}
    box = (40.0, 30.0, 180.0, 200.0)
    pipeline = tiny_pipeline()
    told = pipeline.stream(PORTRAIT, tone(0.1), face_box=box, **asked).origin.settings
    assert {name: told[name] for name in asked} == asked | {"gaze": "5,-3"}
    assert told["frame"] == "crop" and told["face_box"] == "40,30,180,200" and told["retarget"] == "pose"
    assert told["audio_encoder"] == "log-mel" and "audio_encoder_sha256" not in told
    pipeline.settings = pipeline.settings.model_copy(update={"audio_encoder": "whisper-tiny.en/normed"})
    silent = np.zeros(1600, np.float32)  # needs no encoder
    assert len(pipeline.stream(PORTRAIT, silent).origin.settings["audio_encoder_sha256"]) == 64


def test_the_command_tells_the_face_box(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path / "model")
    write_wav(tmp_path / "sound.wav", tone(0.2))
    given = ("--model", tmp_path / "model", "--portrait", PORTRAIT, "--audio", tmp_path / "sound.wav", "--steps", 1)
    made = svp("generate", *given, "--face-box", "40,30,180,200", "-o", tmp_path / "video.mp4")
    assert made.returncode == 0, made.stderr
    assert verify_video(tmp_path / "video.mp4").facts["settings"]["face_box"] == "40,30,180,200"


def test_a_style_learned_from_a_clip_does_not_tell_the_clip_s_name(tmp_path, monkeypatch):
    pipeline = tiny_pipeline()
    (clip := tmp_path / "secret_client.mp4").write_bytes(b"x")
    monkeypatch.setattr(style_source, "read_style_file", lambda path: None)
    monkeypatch.setattr(style_source, "extract_style", lambda path, *_, **__: named(CLIP))

    def named(name):
        return replace(random_style(pipeline), name=name)

    def told(style):
        return pipeline.stream(drawn_portrait(), tone(0.1), style, "still").origin

    assert told(clip).styles[0]["name"] == told(pipeline.style(clip)).styles[0]["name"] == "clip"
    assert told(pipeline.style(clip).scale(2)).styles[0]["name"] == "clip x2"
    assert told(named("secret_client")).read_from(styles=[clip]).styles[0]["name"] == "clip"  # kept by an older version
    named("sad").save(saved := tmp_path / "mine.safetensors")
    assert told(named("sad")).read_from(styles=[saved]).styles[0]["name"] == told(saved).styles[0]["name"] == "sad"


def test_the_package_s_hash_is_not_told_of_a_model_s_own_encoder(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    pipeline = SVPPipeline.from_pretrained(tmp_path)
    pipeline.settings = pipeline.settings.model_copy(update={"audio_encoder": "whisper-tiny.en/normed"})
    silent = np.zeros(1600, np.float32)
    assert "audio_encoder_sha256" in pipeline.stream(PORTRAIT, silent).origin.settings
    (tmp_path / "audio_encoder").mkdir()
    assert "audio_encoder_sha256" not in pipeline.stream(PORTRAIT, silent).origin.settings


def test_the_weights_that_a_model_was_imported_from_are_named(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    (path := tmp_path / "secret.bin").write_bytes(b"x")
    record = ImportedFile.of("v-express", path, path.name, ("unet.spatial", "guider"))
    record_imports(tmp_path, [record])
    index = json.loads((tmp_path / "model_index.json").read_text())
    index["settings"]["audio_encoder"] = "wav2vec2-base-960h"  # which is fetched from the hub
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    facts = Origin(tmp_path, "", (), {}, (), {}).facts()
    research, free = find_weight("v-express"), find_weight("wav2vec2")
    assert facts["model"]["weights"] == [
        {"title": "V-Express", "licence": research.licence, "sha256": record.sha256},
        {"title": "wav2vec2-base-960h", "licence": "Apache-2.0"},
    ]
    assert [weight.title for weight in foreign_weights(tmp_path)] == [research.title, free.title]
    (tmp_path / "audio_encoder").mkdir()  # its own
    assert [weight.title for weight in foreign_weights(tmp_path)] == [research.title]
    rows = _rows(Verification(state="valid", facts=facts))
    assert [text for name, text in rows if name == "  made of"] == [f"{w.title}: {w.licence}" for w in (research, free)]


def test_arrays_are_named_by_the_hash_of_their_content(tmp_path):
    pipeline, portrait, sound = tiny_pipeline(), drawn_portrait(), tone(0.4)
    styles = StyleTimeline((0.0, 0.2), (random_style(pipeline, 1), random_style(pipeline, 2)))
    points = np.full((3, 8, 2), 16.0, np.float32)
    stream = pipeline.stream(
        portrait,
        sound,
        styles,
        points,
        retarget="none",
        generator=torch.Generator().manual_seed(5),
        num_inference_steps=1,
    )
    facts = stream.origin.facts()
    assert facts["model"] == {"name": "", "weights_sha256": ""}
    expected = {"portrait": (portrait.image, "crop"), "audio": (sound, "array"), "head_motion": (points, "array")}
    for role, (array, of) in expected.items():
        assert facts["inputs"][role] == {"sha256": hashlib.sha256(array.tobytes()).hexdigest(), "of": of}
    assert [(style["name"], style["seconds"]) for style in facts["styles"]] == [("style 1", 0.0), ("style 2", 0.2)]
    assert facts["settings"]["seed"] == 5 and facts["settings"]["head_motion"] == "given"
    stream.save(tmp_path / "video.mp4", Marking(label="AI"))
    assert verify_video(tmp_path / "video.mp4").facts == facts | {"label": "AI"}


def test_a_picture_and_its_pixels_have_one_hash():
    pipeline = tiny_pipeline()
    picture = Image.open(PORTRAIT).convert("RGB")
    hashes = [
        pipeline.stream(given, tone(0.1), head_motion="still").origin.inputs["portrait"]["sha256"]
        for given in (picture, np.asarray(picture))
    ]
    assert hashes[0] == hashes[1]
    origin = Origin(None, "", (), {}, ({"name": "a", "seconds": 0.0, "source_sha256": ""},), {})
    assert origin.read_from(PORTRAIT, [PORTRAIT]).styles[0]["sha256"] == sha256_file(PORTRAIT)
