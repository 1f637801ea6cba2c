"""The videos of an experiment: its inputs become files, and a jobs file that `svp generate --jobs` could run as well.

    videos/references/<clip_id>.png, .npz   the portrait of each case, for other systems to start from, and measured
    videos/<experiment>.jsonl               the jobs
    videos/<experiment>/<system>/*.mp4      what they make; a second run makes only what is missing

Shapes: N frames.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from svp.bar import transient_bar
from svp.datasets.prepared import PreparedDataset
from svp.datasets.selection import Selection
from svp.diffusion.model_folder import find_trained, saved_settings
from svp.diffusion.portrait import Portrait
from svp.diffusion.sampling_plan import SamplingPlan, plan_sampling
from svp.diffusion.settings import STANDARD_STEPS
from svp.errors import InputError
from svp.evaluation.report import write_text
from svp.face.gaze import lid_opening
from svp.face.model import FaceModel
from svp.jobs.features import PORTRAIT_SUFFIX, save_portrait
from svp.jobs.run import generate_all
from svp.media.image import write_png
from svp.reproduce.case import Case
from svp.reproduce.models import STYLE_ENCODER, StyleModel, load_models
from svp.reproduce.setting import Setting, describe
from svp.training.model_folder import stages_done

VIDEOS: Final = "videos"
REFERENCES: Final = "references"

Line = Mapping[str, Any]  # of a jobs file, without what all lines of an experiment share


@dataclass(frozen=True)
class Videos:
    """What came of the jobs of an experiment.

    Attributes:
        folders: of the videos by system; all hold at least one.
        problems: why some are missing, in words.
    """

    folders: dict[str, Path]
    problems: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Experiment:
    """What the tables and figures of generated videos have in common.

    Attributes:
        model: name or folder.
        folder: of the results.
        selection: of the splits.
        limit: most clips that are made again; None for all.
        steps: Euler steps; the model's own where None.
        weights: folder of imported networks.
        cache: where measurements of videos are kept; None keeps nothing.
        workers: processes; None for as many as there are processors.
        ray: address of a Ray cluster that makes the videos.
        command: how it was called, for the record.
    """

    dataset: PreparedDataset
    model: str
    folder: Path
    selection: Selection = "test"
    limit: int | None = None
    seed: int = 0
    fast: str = "exact"
    steps: int | None = None
    weights: Path | None = None
    cache: Path | None = None
    workers: int | None = None
    ray: str | None = None
    command: str = ""

    @cached_property
    def style_model(self) -> StyleModel:
        """The style encoder of the model."""
        return load_models([self.model])[0]

    @property
    def style_encoder(self) -> Path:
        """Its folder."""
        return find_trained(self.model) / STYLE_ENCODER

    def check_model(self, name: str) -> None:
        """What can be found wrong with a model before its networks are loaded.

        Raises:
            InputError: it has no settings, makes videos of another size than the clips, learns styles from
                expressions that are not measured here, was not made for `fast`, or has style layers that do not know
                its prior.
        """
        settings = saved_settings(find_trained(name))
        if settings.image_size != self.dataset.size:
            raise InputError(
                f"{self.dataset.root}: clips of {self.dataset.size} pixels, but {name} makes {settings.image_size}; "
                f"prepare the dataset with --size {settings.image_size}, or name another model"
            )
        measured = FaceModel.load().encoder_id
        if settings.expression_encoder != measured:
            raise InputError(
                f"{name}: learns styles from expressions {settings.expression_encoder}, but those of clips are "
                f"measured as {measured}; name a model trained on these"
            )
        self._plan(name)
        stages = stages_done(find_trained(name))
        if "prior" in stages and "style" not in stages[len(stages) - stages[::-1].index("prior") :]:
            raise InputError(
                f"{name}: its style layers were not trained with its prior, so its videos say nothing of styles; go on "
                f"with `svp train style --init {name}`, and name that run"
            )

    def setting(self, cases: Sequence[Case], models: Sequence[StyleModel] = (), notes: Sequence[str] = ()) -> Setting:
        """What the cases were measured with; of the experiment's own model where none is named."""
        rows = list({case.target.clip_id: case.target for case in cases}.values())
        used = list(models or [self.style_model])
        how = [
            f"videos: seed {self.seed}, --fast {self.fast}; styles learned from the clips' videos, as "
            "`svp generate --style CLIP` learns them",
            *(f"videos of {model.name}: {_sampled(self._plan(model.name))}" for model in used),
        ]
        return describe(self.dataset, rows, self.selection, used, self.command, self.seed, [*how, *notes])

    def line(self, case: Case) -> Line:
        """The job of a case: the target's sound and Head-Kps, the portrait as it is cropped."""
        target = self.dataset.clip(case.target.clip_id)
        job = {
            "portrait": str(self.reference_path(case).resolve()),
            "audio": str(target.audio_path.resolve()),
            "head_motion": str(target.features_path.resolve()),
            "retarget": "none",
        }
        if case.style is not None:
            job["style"] = str(self.dataset.clip(case.style.clip_id).video_path.resolve())
        return job

    def lines(self, cases: Sequence[Case]) -> dict[str, Line]:
        """The jobs of cases, by the ids of the clips that are made again."""
        return {case.target.clip_id: self.line(case) for case in cases}

    def reference_path(self, case: Case) -> Path:
        """The measured portrait of a case; the picture lies beside it."""
        return self.folder / VIDEOS / REFERENCES / f"{case.reference.clip_id}{PORTRAIT_SUFFIX}"

    def write_references(self, cases: Sequence[Case]) -> None:
        """Write the portraits of cases: of each clip the first frame with open eyes."""
        clips = {case.reference.clip_id: case for case in cases}
        with transient_bar("portraits") as told:
            for done, case in enumerate(clips.values(), start=1):
                path = self.reference_path(case)
                path.parent.mkdir(parents=True, exist_ok=True)
                portrait = Portrait.of_crop(*self._open_eyed(case))
                write_png(path.with_suffix(".png"), portrait.image)
                save_portrait(path, portrait)
                told(done, len(clips))

    def reference_image(self, case: Case) -> np.ndarray:
        """The portrait (S, S, 3) uint8 of a case."""
        return self._open_eyed(case)[0]

    def make(
        self, name: str, systems: Mapping[str, Mapping[str, Line]], models: Mapping[str, str] | None = None
    ) -> Videos:
        """Make the videos of an experiment that are not there yet.

        Args:
            name: of the experiment, a folder of its own.
            systems: per system the jobs by the names of their videos.
            models: the model of each system that has not that of the experiment.

        Raises:
            InputError: of a system no video could be made; the first reason.
        """
        root = self.folder / VIDEOS
        root.mkdir(parents=True, exist_ok=True)
        lines = []
        for system, jobs in systems.items():
            folder = find_trained((models or {}).get(system, self.model)).resolve()
            shared = {"model": str(folder), "fast": self.fast, "steps": self.steps, "seed": self.seed}
            outputs = {clip: f"{name}/{slug(system)}/{clip}.mp4" for clip in jobs}
            lines += [{**shared, **job, "output": outputs[clip]} for clip, job in jobs.items()]
        path = root / f"{name}.jsonl"
        write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
        report = generate_all(path, root, workers=self.workers, ray=self.ray)
        folders = {system: root / name / slug(system) for system in systems}
        bad = [row for row in report.rows if row.status != "ok"]
        for row in bad:
            (root / row.output).unlink(missing_ok=True)  # of an earlier run with other inputs
        for folder in folders.values():
            if not any((root / row.output).parent == folder for row in report.rows if row.status == "ok"):
                raise InputError(f"{folder}: no video could be made: {bad[0].reason}")
        return Videos(folders, tuple(f"{row.output} could not be made: {row.reason}" for row in bad))

    def _plan(self, name: str) -> SamplingPlan:
        """How a model's videos are sampled."""
        return plan_sampling(
            self.fast, saved_settings(find_trained(name)), torch.device("cpu"), num_inference_steps=self.steps
        )

    def _open_eyed(self, case: Case) -> tuple[np.ndarray, np.ndarray]:
        """The picture (S, S, 3) and landmarks (478, 3) of the first frame whose eyes are as open as usual."""
        clip = self.dataset.clip(case.reference.clip_id)
        landmarks = clip.features("landmarks")
        opening_N = lid_opening(landmarks).min(axis=1)
        at = int((opening_N >= np.median(opening_N)).argmax())
        return clip.frames(at, at + 1)[0], landmarks[at]


def _sampled(plan: SamplingPlan) -> str:
    """Steps and guidance in words, beside the paper's."""
    steps = f"{plan.num_inference_steps} Euler step{'s' if plan.num_inference_steps > 1 else ''}"
    paper = "" if plan.num_inference_steps == STANDARD_STEPS else f" (the paper's figures: {STANDARD_STEPS})"
    return f"{steps}{paper}, guidance {plan.guidance_audio:g} to the sound, {plan.guidance_style:g} to the style"


def slug(name: str) -> str:
    """A name of a system as that of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
