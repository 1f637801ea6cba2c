"""The puppet corpus: portraits that speak and feel become a prepared dataset with ground truth.

A portrait gives several identities, each with a look of its own (look.py). Every identity shows several emotions, each
in several clips: clips of one emotion are positives of each other for the style prior, clips of different emotions are
cross-emotion pairs for the style stage. `expression` holds the true units of each frame (zero: the neutralised
portrait), `landmarks` the true landmarks. What a clip shows follows from the seed, the identity and the number of the
clip alone, so the features do not depend on the number of workers.

Shapes: N frames, E units.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from svp.datasets.clip import SAMPLES_PER_FRAME
from svp.datasets.corpus_plan import ClipPlan, CorpusOptions, Person, find_portraits, known_splits, plan_corpus
from svp.datasets.cutout import cut_out
from svp.datasets.look import Look, look_of
from svp.datasets.manifest import ClipRow
from svp.datasets.material import Material
from svp.datasets.performance import Performance, perform_motion, perform_speech
from svp.datasets.phones import UNKNOWN, frame_phones
from svp.datasets.prepared import DatasetWriter, PreparedDataset
from svp.datasets.puppet import MARGIN, Puppet
from svp.datasets.report import reject_reasons
from svp.datasets.sounds import Sound, motion_sounds, speech_sounds
from svp.errors import InputError
from svp.face.crop import portrait_crop
from svp.face.head_kps import head_kps
from svp.face.landmarks import require_landmarks
from svp.face.model import FaceModel
from svp.media.audio import read_audio
from svp.media.image import read_image
from svp.media.only_writer import only_writer
from svp.workers import run_jobs

_Job = tuple[Person, Sequence[ClipPlan]]  # all clips of one person
DIED = "internal error: the process that renders it dies"
MOST_TOLD = 5  # reasons in a report
MATERIAL_FOLDER = ".material"  # only while the corpus is being made
# Share of the crop that may lie above the picture: beyond its edge a crop is mirrored, and a second head would stand on
# the first. Pictures cut at the hairline reach 0.12 to 0.16, ordinary portraits less than 0.03.
MAX_ABOVE = 0.1


@dataclass(frozen=True)
class CorpusReport:
    """What a run left in the corpus.

    Attributes:
        rows: of the manifest, those of clips that could not be made too.
        left_out: why a recording or real clip is not used, by its name.
    """

    rows: tuple[ClipRow, ...]
    left_out: dict[str, str]

    def __str__(self) -> str:
        accepted = [row for row in self.rows if row.status == "ok"]
        rejected = [row for row in self.rows if row.status != "ok"]
        text = (
            f"{len(accepted)} clips of {len({row.identity for row in accepted})} identities, "
            f"{sum(row.seconds for row in accepted) / 60:.1f} minutes, {len(rejected)} rejected"
        )
        reasons = defaultdict(list)
        for name, reason in sorted(self.left_out.items()):
            reasons[reason].append(name)
        text = "\n".join([text, *reject_reasons(rejected)[1:]])
        common = sorted(reasons.items(), key=lambda item: -len(item[1]))
        told = [f"{len(names)} {reason} (such as {names[0]})" for reason, names in common[:MOST_TOLD]]
        if others := sum(len(names) for _, names in common[MOST_TOLD:]):
            told.append(f"{others} for other reasons")
        return text + (f"\n{len(self.left_out)} recordings left out: {', '.join(told)}" if told else "")


def make_corpus(
    portraits: Path,
    out: Path,
    options: CorpusOptions,
    *,
    speech: Path | None = None,
    motions: Path | None = None,
    workers: int = 1,
    progress: bool = True,
) -> CorpusReport:
    """Portraits speak recordings, repeat real clips, or both.

    Args:
        portraits: folder of pictures; each is one identity.
        out: the prepared dataset; a run that was interrupted is continued. What was made of a picture or recording
            that has changed since is made again, what was made of one that is gone is removed, and the people who stay
            keep their splits.
        options: what to make.
        speech: folder of recordings (`X.wav` with `X.phones.json` or `X.txt`, and `X.json` if labelled).
        motions: prepared dataset whose expressions and head motion are repeated, with those clips' sound.
        workers: processes that render side by side.
        progress: show a progress bar.

    Returns:
        The rows of the manifest, rejected clips included, and the recordings that were left out.

    Raises:
        InputError: neither speech nor motions, a folder holds nothing usable, or `out` was made with other options.
    """
    from svp.datasets.extract import shared_audio_encoder

    if speech is None and motions is None:
        raise InputError("svp puppet: give --speech DIR, --motions DATASET or both")
    sounds: list[Sound] = []
    left_out: dict[str, str] = {}
    if speech is not None:
        sounds, left_out = speech_sounds(speech, options.min_frames)
        shared_audio_encoder(options.audio_encoder)  # a wrong one is told before anything is written
    if motions is not None:
        sounds += motion_sounds(_motion_dataset(motions, options), options.min_frames)
    pictures = find_portraits(portraits)
    motion = "+".join(name for name, folder in (("speech", speech), ("clips", motions)) if folder is not None)
    with only_writer(out, "making it"):
        description = options.model_dump(mode="json") | {"maker": "puppet", "motion": motion}
        writer = DatasetWriter(out, description, FaceModel.load().encoder_id, options.audio_encoder, options.size)
        done = writer.done()
        plans = plan_corpus(pictures, sounds, options, known_splits(done.values()))
        for clip_id in done.keys() - {clip.row.clip_id for clips in plans.values() for clip in clips}:
            writer.remove(clip_id)  # of a portrait or recording that is gone
        todo = {
            person: undone
            for person, clips in plans.items()
            if (undone := [clip for clip in clips if not _is_current(done.get(clip.row.clip_id), clip.row)])
        }
        material = Material(out / MATERIAL_FOLDER)
        heard = {clip.sound.digest: clip.sound for clips in todo.values() for clip in clips}
        missing = [heard[digest] for digest in sorted(heard) if not material.has(heard[digest])]
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, disable=not progress) as bar:
            chunks = [missing[k : k + 8] for k in range(0, len(missing), 8)]
            task = bar.add_task("sounds", total=len(missing), visible=bool(missing))
            unusable: dict[str, str] = {}
            measure = partial(_measure, material, options.audio_encoder)
            for n, failed in run_jobs(chunks, measure, workers, _measuring_died):
                bar.advance(task, n)
                unusable |= failed
            for clip in (clip for clips in todo.values() for clip in clips if clip.sound.digest in unusable):
                _reject(writer, unusable[clip.sound.digest], clip)
            todo = {
                person: usable
                for person, clips in todo.items()
                if (usable := [clip for clip in clips if clip.sound.digest not in unusable])
            }
            task = bar.add_task("puppet clips", total=sum(len(clips) for clips in todo.values()))
            perform = partial(_perform, writer, material, motions, options)
            for n in run_jobs(list(todo.items()), perform, workers, partial(_rejected, writer, DIED)):
                bar.advance(task, n)
        rows = writer.finish()
        shutil.rmtree(material.folder, ignore_errors=True)
    if not any(row.status == "ok" for row in rows):
        raise InputError(f"{out}: no clip could be made ({rows[0].reason}); correct this first")
    for digest, reason in unusable.items():
        left_out[heard[digest].name] = reason
    return CorpusReport(tuple(rows), left_out)


def _motion_dataset(motions: Path, options: CorpusOptions) -> PreparedDataset:
    """The dataset whose motion is repeated.

    Raises:
        InputError: its features are not those of the face model and the options.
    """
    dataset = PreparedDataset(motions)
    model = FaceModel.load()
    if dataset.expression_encoder != model.encoder_id:
        raise InputError(
            f"{motions}: expressions are {dataset.expression_encoder}, the puppet needs {model.encoder_id}; "
            "prepare the clips with that encoder"
        )
    if dataset.audio_encoder != options.audio_encoder:
        raise InputError(
            f"{motions}: sound features are {dataset.audio_encoder}, not {options.audio_encoder}; "
            f"make the corpus with {dataset.audio_encoder}"
        )
    return dataset


def _is_current(present: ClipRow | None, planned: ClipRow) -> bool:
    """Whether a clip is there and was made of the same picture and recording, for the same split and voice."""
    return present is not None and all(
        getattr(present, key) == getattr(planned, key) for key in ("sha256", "split", "voice")
    )


def _measure(material: Material, encoder_id: str, sounds: Sequence[Sound]) -> tuple[int, dict[str, str]]:
    """Measure some sounds; how many, and why some cannot be used."""
    return len(sounds), material.measure(encoder_id, sounds)


def _measuring_died(sounds: Sequence[Sound]) -> tuple[int, dict[str, str]]:
    raise RuntimeError(f"{', '.join(f'{sound.path}: {sound.name}' for sound in sounds)}: reading these kills a process")


def load_puppet(portrait: Path, size: int, look: Look | None = None) -> Puppet:
    """The puppet of a picture file, `size` x `size` pixels, as it is or with another look.

    Raises:
        InputError: the picture cannot be read, or shows no face or one without room above the head.
    """
    look = look or Look()
    image = read_image(portrait)
    if look.mirror:
        image = np.ascontiguousarray(image[:, ::-1])
    landmarks = require_landmarks(image, portrait)
    crop = portrait_crop(landmarks, size, image.shape[:2])
    above = -crop.origin[1] / crop.side
    if above > MAX_ABOVE:
        raise InputError(
            f"{portrait}: too tight, {above:.0%} of the crop lie above the picture; use one with room above the head"
        )
    wide, margin = crop.widened(MARGIN), round(MARGIN * size)
    picture, points = look.reshaped(wide.apply(image, cv2.BORDER_REPLICATE), wide.points(landmarks))
    cutout = cut_out(look.lit(picture, points), points, margin, wide.covered(image.shape[:2]))
    cutout = look.dressed(cutout)
    points = (points - np.array([margin, margin, 0])).astype(np.float32)
    return Puppet(cutout.composed(), points, FaceModel.load(), cutout)


def _perform(writer: DatasetWriter, material: Material, motions: Path | None, options: CorpusOptions, job: _Job) -> int:
    """All clips of one person; runs in a worker."""
    person, clips = job
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):  # the last bits of a matrix product depend on the number of threads
            puppet = load_puppet(person.portrait, options.render_size, look_of(person.seed, person.look))
    except InputError as error:
        return _rejected(writer, str(error), job)
    dataset = PreparedDataset(motions) if motions else None
    for clip in clips:
        try:
            audio, alpha, phones, performance = _heard(material, person, clip, dataset, puppet.yaw_range)
        except InputError as error:
            _reject(writer, str(error), clip)
            continue
        moved = [
            puppet.move(*pose)
            for pose in zip(
                performance.expression, performance.rotation, performance.translation, performance.gaze, strict=True
            )
        ]
        landmarks = np.stack([mesh.landmarks for mesh in moved]) * (options.size / options.render_size)
        features = {
            "expression": performance.expression.astype(np.float32),
            "audio": alpha,
            "landmarks": landmarks.astype(np.float32),
            "head_kps": head_kps(landmarks).astype(np.float32),
            "phones": phones,
        }
        writer.add_clip(clip.row, _frames(puppet, moved, options.size), audio, features)
    return len(clips)


def _rejected(writer: DatasetWriter, reason: str, job: _Job) -> int:
    """All clips of one person are set aside."""
    for clip in job[1]:
        _reject(writer, reason, clip)
    return len(job[1])


def _reject(writer: DatasetWriter, reason: str, clip: ClipPlan) -> None:
    writer.reject(clip.row.model_copy(update={"frames": 0}).rejected(reason))


def _frames(puppet: Puppet, moved: Sequence[Any], size: int) -> Iterator[np.ndarray]:
    for mesh in moved:
        frame = puppet.draw(mesh)
        yield frame if puppet.size == size else cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)


def _heard(
    material: Material,
    person: Person,
    clip: ClipPlan,
    dataset: PreparedDataset | None,
    yaw_range: tuple[float, float],
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray, Performance]:
    """Sound (samples,), alpha (N,A), phones (N,) and motion of a clip."""
    model = FaceModel.load()
    start, stop = clip.start, clip.start + clip.row.frames
    if clip.sound.real:
        assert dataset is not None
        real = dataset.clip(clip.sound.name)
        rotation, translation = material.head(clip.sound)
        performance = perform_motion(
            real.features("expression", start, stop), rotation[start:stop], translation[start:stop], model, yaw_range
        )
        sound = real.audio(start, stop) if real.row.has_sound else None
        return sound, real.features("audio", start, stop), np.full(clip.row.frames, UNKNOWN, np.int16), performance
    audio = read_audio(clip.sound.path)
    alpha, phones = material.recording(clip.sound)
    performance = perform_speech(
        phones,
        audio,
        start,
        stop,
        clip.row.emotion,
        clip.row.intensity,
        model,
        person.seed,
        clip.clip_seed,
        yaw_range,
    )
    sound = audio[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
    return sound, np.asarray(alpha[start:stop]), frame_phones(phones, start, clip.row.frames), performance
