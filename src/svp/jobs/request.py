"""A line of a jobs file: one video, in the options of `svp generate`.

{"portrait": "ada.png", "audio": "hello.wav", "style": "happy", "seed": 3, "output": "ada/hello.mp4"}
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from svp import __version__
from svp.diffusion.knobs import Knobs, parse_gaze
from svp.diffusion.model_folder import find_model
from svp.diffusion.portrait import NATURAL, STILL, driving_clip
from svp.diffusion.settings import MOST_GUIDANCE
from svp.errors import InputError, first_problem
from svp.face.canvas import View
from svp.face.face_box import FaceBox
from svp.media.hashing import sha256_file, sha256_text
from svp.media.marking import MARKED
from svp.style.cues import Cue, read_cues

NAMED_MOTIONS = (NATURAL, STILL)


class VideoRequest(BaseModel):
    """The options of `svp generate`, with its defaults; words may be joined by - or _. Paths as they stand in the file.

    Attributes:
        portrait: a picture, or a measured portrait (`features.save_portrait`), which is not cropped again.
        output: the mp4, inside the folder of the videos; by default named after the number of the line.
        head_motion: as in `svp generate`; with `retarget` none also the features of a prepared clip, whose points are
            taken as they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    portrait: str
    audio: str
    output: str = ""
    style: tuple[str, ...] = ()
    style_strength: float = 1.0
    head_motion: str = "natural"
    mouth_amplitude: float = 1.0
    head_amplitude: float = 1.0
    blink_rate: float | None = None
    gaze: str = "0,0"
    frame: Literal["crop", "full"] = "crop"
    aspect: str | None = None
    face_box: str | None = None
    preset: Literal["mini"] | None = None
    model: str | None = None
    adapters: str | None = None
    fast: Literal["exact", "balanced", "turbo"] = "exact"
    steps: int | None = Field(default=None, ge=1, le=1000)
    guidance_audio: float | None = Field(default=None, ge=-MOST_GUIDANCE, le=MOST_GUIDANCE)
    guidance_style: float | None = Field(default=None, ge=-MOST_GUIDANCE, le=MOST_GUIDANCE)
    seed: int = Field(default=0, ge=0)
    retarget: Literal["pose", "none"] = "pose"
    label: bool = False
    label_text: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, values: Any) -> Any:
        return {k.replace("-", "_"): v for k, v in values.items()} if isinstance(values, dict) else values

    @field_validator("style", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return () if value is None else (value,) if isinstance(value, str) else value

    @field_validator("gaze", "face_box", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return ",".join(map(str, value)) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.preset is not None and self.model is not None:
            raise ValueError("preset and model are both given; give one of the two")
        if not self.style and (self.style_strength != 1.0 or self.guidance_style is not None):
            raise ValueError("style_strength and guidance_style need a style")
        self.sampling()
        self.box()
        MARKED.labelled(self.label, self.label_text)
        if self.output:
            path = PurePosixPath(self.output)
            if path.is_absolute() or ".." in path.parts or path.suffix.lower() != ".mp4":
                raise ValueError(f"output {self.output}: give a name inside the output folder that ends in .mp4")
        return self

    def sampling(self) -> dict[str, Any]:
        """The arguments of `SVPPipeline.stream` that are no files."""
        named = self.model_dump(include={"fast", "seed", "guidance_audio", "guidance_style", "retarget"})
        return {
            "num_inference_steps": self.steps,
            **named,
            **asdict(self.knobs()),
            **asdict(View(self.frame, self.aspect)),
        }

    def knobs(self) -> Knobs:
        """How much mouth, head, eyes and gaze move."""
        return Knobs(self.mouth_amplitude, self.head_amplitude, self.blink_rate, parse_gaze(self.gaze))

    def box(self) -> FaceBox | None:
        """Where the portrait's face is, if that is told."""
        return None if self.face_box is None else FaceBox.parse(self.face_box)


@dataclass(frozen=True)
class VideoJob:
    """A request whose files were found.

    Attributes:
        line: number in the jobs file, from 1.
        output: relative to the folder of the videos.
        key: changes with everything that the video follows from, the content of files included.
        model: folder or name, and file of adapters.
        cues: the styles over time.
    """

    line: int
    output: str
    key: str
    request: VideoRequest
    portrait: Path
    audio: Path
    head_motion: str
    model: tuple[str, str | None]
    cues: tuple[Cue, ...]

    @property
    def driving_clip(self) -> Path | None:
        """The clip that moves the head, if one does."""
        return driving_clip(self.head_motion)


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be used, and why."""

    line: int
    output: str
    reason: str


def read_jobs(path: Path) -> list[VideoJob | BadLine]:
    """The jobs of a file; its paths are relative to its folder. Empty lines are passed over.

    Raises:
        InputError: the file cannot be read, or holds no line.
    """
    model_key.cache_clear()
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # U+2028 and its like may stand within a line
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a file with one JSON object per line") from error
    folder = path.resolve().parent  # workers may have another current folder
    jobs: list[VideoJob | BadLine] = []
    taken: dict[str, int] = {}
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        name = f"{number:06d}.mp4"
        try:
            job = _find(VideoRequest.model_validate(_parse(text)), number, folder)
            if (first := taken.setdefault(job.output, number)) != number:
                raise ValueError(f"output {job.output} is that of line {first} too; name another one")
            jobs.append(job)
        except ValidationError as error:
            place, problem = first_problem(error, VideoRequest.model_fields)
            where = ".".join(map(str, place))
            jobs.append(BadLine(number, name, f"{where}: {problem}" if where else problem))
        except (InputError, ValueError, OSError) as error:
            jobs.append(BadLine(number, name, " ".join(str(error).split())))
    jobs = [
        replace(job, output=f"line {job.line}") if isinstance(job, BadLine) and job.output in taken else job
        for job in jobs
    ]
    if not jobs:
        raise InputError(f"{path}: holds no job; write one JSON object per line")
    return jobs


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON object ({error})") from error


def _find(request: VideoRequest, line: int, folder: Path) -> VideoJob:
    """Find the files of a request, and hash them."""
    portrait, audio = (_file(folder / name) for name in (request.portrait, request.audio))
    motion = request.head_motion
    if motion not in NAMED_MOTIONS:
        motion = str(_file(folder / motion))
    adapters = None if request.adapters is None else str(_file(folder / request.adapters))
    model = request.preset or "mini" if request.model is None else str(folder / request.model)
    cues = read_cues(request.style, folder)
    facts = [
        __version__,
        request.model_dump(exclude={"output", "portrait", "audio", "style", "head_motion", "model", "adapters"}),
        [file_hash(portrait), file_hash(audio), motion if motion in NAMED_MOTIONS else file_hash(Path(motion))],
        [[cue.seconds, file_hash(cue.path), cue.strength] for cue in cues],
        [model_key(model, adapters)],
    ]
    output = str(PurePosixPath(request.output)) if request.output else f"{line:06d}.mp4"
    key = sha256_text(json.dumps(facts, sort_keys=True))
    return VideoJob(line, output, key, request, portrait, audio, motion, (model, adapters), tuple(cues))


@cache  # until other jobs are read
def model_key(model: str, adapters: str | None) -> str:
    """A hash of a model's files, and of adapters.

    Raises:
        InputError: there is no such model.
    """
    folder = find_model(model)
    files = {str(path.relative_to(folder)): file_hash(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    return sha256_text(json.dumps([files, None if adapters is None else file_hash(Path(adapters))]))


def _file(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; correct the path")
    return path.resolve()


def file_hash(path: Path) -> str:
    """Of what is in the file now."""
    status = path.stat()
    return _hash_once(path, status.st_size, status.st_mtime_ns, status.st_ino)


@cache
def _hash_once(path: Path, *_state: int) -> str:
    return sha256_file(path)
