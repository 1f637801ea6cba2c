"""The model of a server and the videos in the making: one at a time, each can be watched and stopped."""

from __future__ import annotations

import math
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from svp.app.order import Order
from svp.app.progress import Progress
from svp.diffusion.inputs import check_inputs
from svp.diffusion.portrait import prepare_portrait
from svp.diffusion.video import FrameStream
from svp.errors import InputError
from svp.media.audio import SAMPLE_RATE, read_audio
from svp.media.marking import MARKED, Marking
from svp.media.video import FPS, probe
from svp.speech.alpha import is_silent
from svp.style.cues import read_cues
from svp.style.gallery import gallery_styles
from svp.style.prior import StylePrior
from svp.style.style_file import is_clip
from svp.style.timeline import style_over_time

if TYPE_CHECKING:
    from svp.diffusion.pipeline import SVPPipeline

ALMOST: Final = 0.99  # the last frames are still to be written and signed
CLIP_FACTOR: Final = 4  # a clip may be so many times longer than a recording: it is measured, not made


class Work:
    """A video in the making, on the studio's thread.

    Attributes:
        folder: its own; what is in it goes unless the video was made and taken.
        notice: what a person should know of the portrait, though it can be used.
    """

    def __init__(self, studio: Studio, order: Order) -> None:
        self.folder = studio.folder / secrets.token_hex(16)
        self._studio, self._order = studio, order
        self._stopped = threading.Event()
        self._stage, self._begin = "Waiting for the video before this one", 0.0
        self._windows = (0, 1)
        self._stream: FrameStream | None = None
        self.notice = ""
        self._future: Future[Path] = studio.pool.submit(self._make)

    def wait(self, seconds: float) -> bool:
        """Whether the video is done, or failed, within that time."""
        try:
            self._future.exception(seconds)
        except TimeoutError:
            return False
        except CancelledError:
            pass
        return True

    def result(self) -> Path:
        """The video.

        Raises:
            InputError: it could not be made of these inputs.
            CancelledError: it was stopped.
        """
        return self._future.result()

    def stop(self) -> None:
        """End the work after the network window that is being computed; its files go."""
        self._stopped.set()
        self._future.cancel()

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        done, total = self._windows
        stream = self._stream
        if stream is None or not done:
            return Progress(self._stage)
        left = (time.monotonic() - self._begin) * (total - done) / done
        at = f"Frame {stream.taken} of {stream.n_frames}" if stream.taken else f"First of {stream.n_frames} frames"
        text = f"{at}, about {duration(left)} left"
        return Progress(noticing(text, self.notice), min(ALMOST, done / total), stream.last)

    def _make(self) -> Path:
        try:
            self.folder.mkdir(parents=True)
            return self._made()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _made(self) -> Path:
        studio, request = self._studio, self._order.request
        self._at("Looking at the portrait")
        check_inputs(request.portrait, request.audio, request.head_motion, request.retarget, request.knobs())
        studio.check_lengths(request.audio, request.head_motion, *request.style)
        if self._order.mix is not None:
            self._order.mix.save(self.folder)
        cues = read_cues(request.style, self.folder)
        size = studio.pipeline.settings.image_size
        portrait = prepare_portrait(request.portrait, size, request.box(), self._notice)
        self._at("Learning the style" if cues else "Listening to the recording")
        learn = partial(studio.pipeline.style, watch=self._watch("Learning the style", studio.longest_clip))
        style = style_over_time(cues, learn, request.style_strength)
        self._at("Listening to the recording")
        self._stream = studio.pipeline.stream(
            portrait,
            request.audio,
            style,
            request.head_motion,
            callback=self._advance,
            watch=self._watch("Following the head"),
            **request.sampling(),
        )
        self._at("Beginning with the first frames")
        self._begin = time.monotonic()
        output = self.folder / self._order.output
        self._stream.made_from(Path(request.portrait), [cue.path for cue in cues])
        if self._order.mix is not None:
            (self.folder / self._order.mix.file).unlink()
        self._stream.save(output, studio.marking.labelled(request.label, request.label_text))
        return output

    def _notice(self, text: str) -> None:
        self.notice = self._order.told(text)

    def _at(self, stage: str) -> None:
        if self._stopped.is_set():
            raise CancelledError
        self._stage = stage

    def _watch(self, stage: str, longest: float = math.inf) -> Callable[[int], None]:
        """What is told how many frames of a clip were measured, and ends the work after so many seconds of it."""

        def told(frames: int) -> None:
            if frames > longest * FPS:  # its file did not say how long it is
                raise InputError(f"clip of the style: longer than the {longest:g} s that are taken here; cut it")
            self._at(f"{stage}: {duration(frames / FPS)} of the clip")

        return told

    def _advance(self, done: int, total: int) -> None:
        self._at(self._stage)
        self._windows = done, total


class Studio:
    """A model and its thread.

    Args:
        pipeline: the model.
        model: name of a shipped one or the folder it came from.
        folder: for the videos, each in a folder of its own.
        max_seconds: the longest recording that is taken.
        marking: how videos say that they were generated.
    """

    def __init__(
        self, pipeline: SVPPipeline, model: str, folder: Path, max_seconds: float, marking: Marking = MARKED
    ) -> None:
        self.pipeline, self.folder, self.max_seconds, self.marking = pipeline, folder, max_seconds, marking
        self.model = None if model == "mini" else str(Path(model).resolve())
        self.pool = ThreadPoolExecutor(1, "studio")
        self._works: set[Work] = set()

    @property
    def longest_clip(self) -> float:
        """Seconds of a clip that are taken."""
        return CLIP_FACTOR * self.max_seconds

    def gallery(self) -> dict[str, StylePrior]:
        """The styles of the gallery that this model understands, by name and level."""
        encoder = self.pipeline.style_encoder
        own = None if encoder is None else encoder.fingerprint()
        return gallery_styles(own)

    @contextmanager
    def work(self, order: Order) -> Iterator[Work]:
        """A video in the making; it ends with the block, and goes if it was not taken to the end."""
        work = Work(self, order)
        self._works.add(work)
        try:
            yield work
        except BaseException:
            work.stop()
            shutil.rmtree(work.folder, ignore_errors=True)
            raise
        finally:
            self._works.discard(work)

    def check_lengths(self, audio: str, *clips: str) -> None:
        """Whether the sound can be heard and nothing takes too long; words that are no files are passed over.

        Raises:
            InputError: if not.
        """
        samples = read_audio(audio, stop=self.max_seconds + 1)
        if len(samples) > self.max_seconds * SAMPLE_RATE:
            raise InputError(f"{audio}: longer than the {self.max_seconds:g} s that are taken here; cut it")
        if is_silent(samples):
            raise InputError(f"{audio}: is silent; record it again, and see that the microphone is on")
        for clip in (Path(clip) for clip in clips):
            if clip.is_absolute() and is_clip(clip) and probe(clip).seconds > self.longest_clip:
                raise InputError(f"{clip}: longer than the {self.longest_clip:g} s that are taken here; cut it")

    def close(self) -> None:
        """Stop what is being made."""
        for work in tuple(self._works):
            work.stop()
        self.pool.shutdown(cancel_futures=True)


def noticing(text: str, notice: str) -> str:
    """How far the work is, and below it what a person should know."""
    return f"{text}\n{notice}" if notice else text


def duration(seconds: float) -> str:
    """A time as a person says it."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 90 else f"{round(whole / 60)} min"
