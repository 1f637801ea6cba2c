"""A model of which parts are untrained is refused where it can only make noise, and what others lack is told."""

import json
import warnings
from pathlib import Path

import pytest
from published import diffusers_folder
from tiny_pipeline import drawn_portrait, random_style, tiny_pipeline, tone

from command import svp
from svp.diffusion.model_import import import_sd15
from svp.diffusion.pipeline import SVPPipeline
from svp.diffusion.untrained import check_trained, untrained_parts
from svp.errors import InputError, InputWarning

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def went_through(folder: Path, *stages: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "training.json").write_text(json.dumps([{"stage": name} for name in stages]))
    return folder


@pytest.mark.parametrize(
    ("stages", "missing"),
    [
        ((), []),  # of a model without records nothing is claimed
        (("vae", "prior"), ["guider", "motion modules", "audio projection", "style layers"]),
        (("vae", "appearance"), ["motion modules", "audio projection", "style encoder", "style layers"]),
        (("appearance", "motion"), ["style encoder", "style layers"]),
        (("appearance", "motion", "prior", "style"), []),
    ],
)
def test_what_no_stage_has_trained(tmp_path, stages, missing):
    assert [part.name for part in untrained_parts(went_through(tmp_path, *stages))] == missing


def test_stable_diffusion_alone_can_only_make_noise(tmp_path):
    import_sd15(diffusers_folder(tmp_path / "sd15"), tmp_path / "base")
    given = ("--portrait", SAMPLES / "portraits/ada.png", "--audio", SAMPLES / "speech/face.wav")
    done = svp("generate", "--model", tmp_path / "base", *given, "-o", tmp_path / "out.mp4")
    assert done.returncode == 2 and not (tmp_path / "out.mp4").exists()
    assert done.stderr == (
        f"svp: {tmp_path}/base: can only make noise, untrained are guider (`svp train appearance`), motion modules "
        "and audio projection (`svp train motion`); train them in this order, or "
        "`svp import v-express` into a new folder\n"
    )
    pipeline = SVPPipeline.from_pretrained(tmp_path / "base")
    with pytest.raises(InputError, match="can only make noise"):
        pipeline.stream(drawn_portrait(), tone(0.1))


def test_what_a_video_will_lack_is_told(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path)
    pipeline = SVPPipeline.from_pretrained(went_through(tmp_path, "appearance"))
    with pytest.warns(InputWarning, match=r"projection \(`svp train motion`\).* the mouth does not follow the sound"):
        pipeline.stream(drawn_portrait(), tone(0.1), head_motion="still")
    went_through(tmp_path, "appearance", "motion")
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        pipeline.stream(drawn_portrait(), tone(0.1), head_motion="still")
    with pytest.warns(InputWarning, match="style layers .*until then styles mean nothing") as told:
        pipeline.stream(drawn_portrait(), tone(0.1), random_style(pipeline, 1), head_motion="still")
    assert len(told) == 1
    pipeline.merged.append("of adapters that may hold anything")
    went_through(tmp_path, "prior")
    pipeline.stream(drawn_portrait(), tone(0.1), head_motion="still")


def test_a_broken_record_of_stages_is_named(tmp_path):
    (tmp_path / "training.json").write_text('[{"steps": 1}]')
    with pytest.raises(InputError, match=r"training\.json: not readable as a record of stages"):
        check_trained(tmp_path, styled=False)
