"""What a worker does: load the model once, make a feature, make a video."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from svp.errors import InputError
from svp.face.motion_library import SUFFIX as LIBRARY_SUFFIX
from svp.jobs.features import Feature, load_portrait, load_track, prepared_landmarks, save_portrait, save_track
from svp.jobs.manifest import VideoRow
from svp.jobs.request import VideoJob
from svp.media.marking import Marking
from svp.workers import this_worker

if TYPE_CHECKING:
    from svp.diffusion.pipeline import SVPPipeline
    from svp.diffusion.portrait import MotionSource
    from svp.diffusion.settings import PipelineSettings

INTERNAL = "internal error: "
DIED = f"{INTERNAL}the process that makes it died twice (out of memory?)"


@dataclass(frozen=True)
class VideoTask:
    """A job.

    Attributes:
        folder: of its video.
        features: that are ready for it: its portrait, its style clips, the clip that moves its head.
        marking: how the video says that it was generated, but for the label, which the job names.
        max_memory: GB that the worker may take.
    """

    job: VideoJob
    folder: Path
    features: tuple[Feature, ...]
    marking: Marking
    max_memory: float | None = None


_loaded: dict[tuple[str, str | None], SVPPipeline] = {}  # the model of this worker; jobs come sorted by model


def loaded(model: str, adapters: str | None) -> SVPPipeline:
    """The pipeline of this worker; that of another model goes before it is loaded."""
    from svp.device import computing_device
    from svp.diffusion.pipeline import SVPPipeline

    if (model, adapters) not in _loaded:
        _loaded.clear()
        pipeline = SVPPipeline.from_pretrained(model)
        if adapters is not None:
            pipeline.merge_adapters(adapters)
        _loaded[model, adapters] = pipeline.to(computing_device())
    return _loaded[model, adapters]


def make_feature(feature: Feature) -> tuple[Feature, str]:
    """Compute and keep a feature; (it, why not)."""
    from svp.diffusion.portrait import prepare_portrait
    from svp.face.landmarks import track_landmarks
    from svp.media.video import FPS, read_frames

    try:
        if feature.kind == "portrait":
            save_portrait(feature.path, prepare_portrait(feature.source, feature.size, feature.face_box))
        elif feature.kind == "motion":
            save_track(feature.path, track_landmarks(read_frames(feature.source, seconds=feature.frames / FPS)))
        else:
            loaded(*feature.model).style(feature.source).save(feature.path)
    except Exception as error:  # one job never stops the others
        return feature, _reason(error)
    return feature, ""


def feature_died(feature: Feature) -> tuple[Feature, str]:
    return feature, DIED


def make_video(task: VideoTask) -> VideoRow:
    """Make a video and say what became of it."""
    begin, job = time.perf_counter(), task.job
    row = VideoRow(output=job.output, line=job.line, status="ok", worker=this_worker())
    try:
        facts = _make(task)
    except Exception as error:  # one job never stops the others
        return row.model_copy(update={"status": "failed", "reason": _reason(error), "took": _since(begin)})
    made = {"key": job.key, "signed": task.marking.provenance, "took": _since(begin)}
    return row.model_copy(update=facts | made)


def video_failed(job: VideoJob, error: Exception) -> VideoRow:
    return VideoRow(output=job.output, line=job.line, status="failed", reason=_reason(error))


def video_died(task: VideoTask) -> VideoRow:
    return VideoRow(output=task.job.output, line=task.job.line, status="failed", reason=DIED)


def _make(task: VideoTask) -> dict[str, int]:
    """The video of `svp generate` with the same options; how many frames it has and how large they are."""
    from svp.diffusion.generation import sampling_of
    from svp.diffusion.memory_plan import within_memory
    from svp.diffusion.portrait import clips_among
    from svp.diffusion.video import partial_folder
    from svp.style.timeline import style_over_time

    job, request, output = task.job, task.job.request, task.folder / task.job.output
    pipeline = loaded(*job.model)
    learned = {feature.source: feature.path for feature in task.features if feature.kind != "motion"}
    if job.portrait in learned:
        portrait = replace(load_portrait(learned[job.portrait], job.portrait), face_box=request.box())
    else:  # measured already
        portrait = load_portrait(job.portrait, None)
    cues = [replace(cue, path=learned.get(cue.path, cue.path)) for cue in job.cues]
    style = style_over_time(cues, pipeline.style, request.style_strength)
    output.parent.mkdir(parents=True, exist_ok=True)
    motion = _motion(task, pipeline.settings)
    sampling = sampling_of(pipeline, request.fast, request.steps, request.guidance_audio, request.guidance_style)
    clips = clips_among([cue.path for cue in job.cues], job.head_motion)
    fitted = within_memory(pipeline, job.audio, task.max_memory, sampling, styled=bool(cues), clips=clips)
    with fitted, partial_folder(output) as partial:
        stream = pipeline.stream(portrait, job.audio, style, motion, partial=partial, **request.sampling())
        stream.made_from(job.portrait, [cue.path for cue in job.cues], job.driving_clip)
        stream.save(output, task.marking.labelled(request.label, request.label_text))
    return {"frames": stream.n_frames, "width": stream.width, "height": stream.height}


def _motion(task: VideoTask, settings: PipelineSettings) -> MotionSource:
    """What moves the head: measured already, or as it was given."""
    from svp.diffusion.portrait import clip_motion
    from svp.face.key_points import KEY_POINTS
    from svp.media.audio import count_samples
    from svp.media.video import count_frames

    job, retarget, key_points = task.job, task.job.request.retarget, KEY_POINTS[settings.head_kps]
    for feature in task.features:
        if feature.kind == "motion" and feature.path.is_file():
            landmarks = load_track(feature.path)[: count_frames(count_samples(job.audio))]
            return clip_motion(landmarks, feature.source, settings.image_size, retarget, key_points)
    if retarget == "none" and job.head_motion.endswith(LIBRARY_SUFFIX):  # of a prepared clip's features, too
        return key_points.seen(prepared_landmarks(Path(job.head_motion)))
    return job.head_motion


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, InputError) else f"{INTERNAL}{type(error).__name__}: {text}"


def _since(begin: float) -> float:
    return round(time.perf_counter() - begin, 3)
