"""The page: a form for a video, its making and the result, and a second tab with reports."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.data_classes import ImageData

from svp.app.failure import explained
from svp.app.given import judge_ourselves
from svp.app.knob_fields import KnobFields
from svp.app.order import Mix, Order, known_style, number, place_order, timeline_texts
from svp.app.progress import STYLE, TEMPLATE, Progress
from svp.app.reports import Reports, framed
from svp.app.studio import Studio, noticing
from svp.app.style_fields import FIRST, QUIET, SECOND, SOURCES, StyleFields, show_on
from svp.app.style_map import StyleMap
from svp.diffusion.model_folder import ASSETS
from svp.diffusion.sampling_plan import MODES
from svp.errors import InputError
from svp.style.style_file import is_clip

FACES: Final = ASSETS / "portraits"
POLL: Final = 0.3  # seconds between two looks at the work
MOTIONS: Final = {"natural": "Natural", "still": "Still", "clip": "From a clip"}
INTRODUCTION: Final = """# SVP
A portrait, a recording and a *style* become a talking-head video."""
CONSENT: Final = """Use pictures and voices only of people who agreed to it, and say that the video is generated.
What you upload and what is made of it is deleted after {minutes} minutes."""


class Page:
    """The page and its functions.

    Args:
        studio: makes the videos.
        reports: of the second tab.
        keep: seconds after which files go.
        queue: how many may wait for their video.
    """

    def __init__(self, studio: Studio, reports: Reports, keep: int, queue: int) -> None:
        self.studio, self.reports, self.keep, self.queue = studio, reports, keep, queue
        self.gallery = studio.gallery()

    def blocks(self) -> gr.Blocks:
        """The page as Gradio serves it."""
        with gr.Blocks(title="SVP", analytics_enabled=False) as blocks:
            gr.Markdown(INTRODUCTION)
            with gr.Tab("Video"):
                self._video_tab()
            with gr.Tab("Reports"):
                self._reports_tab()
        for block in blocks.blocks.values():
            judge_ourselves(block)
        return blocks.queue(max_size=self.queue, api_open=False)

    # ------------------------------------------------------------------ a video

    def _video_tab(self) -> None:
        pipeline = self.studio.pipeline
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=340):
                with gr.Row(equal_height=False):
                    portrait = gr.Image(
                        label="Portrait",
                        sources=["upload", "clipboard"],
                        type="filepath",
                        image_mode=None,
                        buttons=[],
                        height=260,
                        min_width=240,
                        elem_id="portrait",
                    )
                    portrait.preprocess = _uploaded  # type: ignore[method-assign]  # no opening where nothing can be told
                    audio = gr.Audio(
                        label=f"Recording, up to {self.studio.max_seconds:g} s",
                        sources=["upload", "microphone"],
                        type="filepath",
                        buttons=["download"],  # the lines for a shell need the file of a microphone's recording
                        min_width=240,
                        elem_id="recording",
                    )
                heard = gr.HTML(Progress().shown(), html_template=TEMPLATE, css_template=STYLE, elem_id="heard")
                faces = [[str(path)] for path in sorted(FACES.glob("*.png"))]
                gr.Examples(faces, [portrait], label="Or the face of nobody", elem_id="faces")
                style_map = StyleMap(self.gallery) if self.gallery else None
                style = StyleFields(list(self.gallery), style_map, clips=pipeline.style_encoder is not None)
                motion = gr.Radio(
                    [(text, name) for name, text in MOTIONS.items()], value="natural", label="Head motion"
                )
                moving = gr.Video(
                    label="A clip whose head motion is taken", sources=["upload"], visible=False, height=240
                )
                show_on(motion, [(moving, ("clip",))])
                able = [name for name, mode in MODES.items() if pipeline.settings.turbo_steps or not mode.distilled]
                with gr.Row():
                    quality = gr.Radio(
                        [(name.capitalize(), name) for name in able], value="exact", label="Quality", min_width=240
                    )
                    seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=120)
                knobs = KnobFields()
            with gr.Column(scale=2, min_width=340):
                with gr.Row():
                    make = gr.Button("Make video", variant="primary", min_width=120, elem_id="make")
                    cancel = gr.Button("Cancel", variant="stop", min_width=120, elem_id="cancel")
                gr.Markdown(CONSENT.format(minutes=self.keep // 60), elem_classes="consent")
                progress = gr.HTML(
                    Progress().shown(), html_template=TEMPLATE, css_template=STYLE, elem_id="progress", min_height=80
                )
                video = gr.Video(label="Video", interactive=False, buttons=["download"], elem_id="video")
                with gr.Accordion("The same from the command line", open=False):
                    command = gr.Code(
                        label="Shell", language="shell", wrap_lines=True, show_line_numbers=False, elem_id="command"
                    )
                    python = gr.Code(
                        label="Python", language="python", wrap_lines=True, show_line_numbers=False, elem_id="python"
                    )
        audio.change(self._heard, audio, heard, **QUIET)
        # what is told of the video before would be taken for this one's while it waits
        make.click(None, outputs=[progress], js=f"() => ({json.dumps(Progress().shown())})", **QUIET)
        making = make.click(
            self.generate,
            [portrait, audio, *style.components, motion, moving, quality, seed, *knobs.components],
            [video, progress, command, python],
            api_name="generate",
            concurrency_limit=1,
            show_progress="minimal",
            show_progress_on=[progress],
        )
        making.failure(self._turned_away, [progress], [progress], **QUIET)
        # said before, for a video that waits fails by it as one that is turned away, and afterwards: what was still on
        # its way from the work would take its place
        cancelled = Progress("Cancelled", failed=True).shown
        cancel.click(None, outputs=[progress], js=f"() => ({json.dumps(cancelled())})", **QUIET)
        stopped = cancel.click(None, cancels=[making], **QUIET)
        stopped.then(cancelled, outputs=[progress], **QUIET)

    def generate(
        self,
        portrait: str | None,
        audio: str | None,
        style_from: str = "gallery",
        style: str | None = FIRST,
        style_clip: str | None = None,
        mix_with: str | None = SECOND,
        mix_share: float = 0.5,
        timeline: list[list[Any]] | None = None,
        style_strength: float = 1.0,
        head_motion: str = "natural",
        motion_clip: str | None = None,
        quality: str = "exact",
        seed: int = 0,
        mouth_amplitude: float = 1.0,
        head_amplitude: float = 1.0,
        own_blinks: bool = True,
        blink_rate: float = 15.0,
        gaze_right: float = 0.0,
        gaze_up: float = 0.0,
        frame: str = "crop",
        aspect: str | None = None,
        label: bool = False,
        face_box: str | None = None,
    ) -> Iterator[tuple[str | None, dict[str, Any], str, str]]:
        """Make a video; what does not matter to `style_from` and `head_motion` is left aside.

        Args:
            portrait: picture with one visible face.
            audio: speech, its length is the video's.
            style_from: gallery, clip, mix, timeline or none.
            style: of the gallery, such as happy:2; the first one of a mix.
            style_clip: video to learn the style from.
            mix_with: the second one of a mix.
            mix_share: its share, 0 to 1.
            timeline: rows of a style of the gallery and the second from which it holds.
            style_strength: 0 is neutral, 1 the style as it is.
            head_motion: natural, still or clip.
            motion_clip: video whose head motion is taken.
            quality: exact, balanced, or turbo where the model was made for few steps.
            seed: the same one and the same inputs give the same video.
            mouth_amplitude, head_amplitude: how far they move, 1 as the model and the motion have it.
            own_blinks: those of the motion; otherwise `blink_rate` of them a minute.
            gaze_right, gaze_up: degrees.
            frame: crop around the face, or full for the whole picture.
            aspect: W:H of the video; None leaves the shape as it is.
            label: draw "AI-generated" into the frames.
            face_box: left, top, width and height of the face in pixels of the picture, if none is found.

        Yields:
            The video (None until it is there), how far it is, and the shell and Python lines that make it too.
        """
        try:
            with explained():
                order = self._order(
                    None if portrait is None else self._upload("portrait", portrait),
                    None if audio is None else self._upload("recording", audio),
                    *(style_from, style, style_clip, mix_with, mix_share, timeline),
                    style_strength=style_strength,
                    head_motion=self._motion(head_motion, motion_clip),
                    fast=quality,
                    seed=seed,
                    mouth_amplitude=mouth_amplitude,
                    head_amplitude=head_amplitude,
                    blink_rate=None if own_blinks else blink_rate,
                    gaze=f"{number(gaze_right)},{number(gaze_up)}",
                    frame=frame,
                    aspect=aspect or None,
                    label=label,
                    face_box=face_box or None,
                    model=self.studio.model,
                )
            lines = order.command(), order.python()
            with explained(order.told), self.studio.work(order) as work:
                while not work.wait(POLL):
                    yield None, work.progress.shown(), *lines
                yield str(work.result()), Progress(noticing("Done", work.notice), 1.0).shown(), *lines
        except gr.Error as error:  # which is seen for some seconds; this stays
            yield None, _failed(error), "", ""
            raise

    def _order(
        self,
        portrait: str | None,
        audio: str | None,
        style_from: str,
        style: str | None,
        style_clip: str | None,
        mix_with: str | None,
        mix_share: float,
        timeline: list[list[Any]] | None,
        **options: Any,
    ) -> Order:
        clip, mix, styles = None, None, []
        if style_from == "gallery":
            styles = [known_style(style, self.gallery)]
        elif style_from == "clip":
            if style_clip is None:
                raise InputError("style clip: none yet; upload a video of somebody speaking, or take a style otherwise")
            clip = self._upload("style clip", style_clip)
            if not is_clip(Path(clip)):
                raise InputError(
                    f"style clip {Path(clip).name}: is no video; upload one, or give a saved style to `svp generate`"
                )
        elif style_from == "mix":
            mix = Mix(known_style(style, self.gallery), known_style(mix_with, self.gallery), mix_share)
        elif style_from == "timeline":
            styles = timeline_texts(timeline or [], self.gallery)
        elif style_from != "none":
            raise InputError(f"style_from {style_from}: unknown; use one of {', '.join(SOURCES)}")
        return place_order(portrait, audio, styles=styles, clip=clip, mix=mix, **options)

    def _upload(self, what: str, given: str) -> str:
        """A file that was given, by its real path.

        Raises:
            InputError: it was not uploaded to this server, as a program may name any path, or it is gone already.
        """
        try:
            path = Path(given).resolve()
            there = path.is_file()
        except (OSError, ValueError):  # a name that cannot be
            path, there = Path(), False
        if not path.is_relative_to(self.studio.folder):
            raise InputError(f"{what}: is no upload; upload the file itself")
        if not there:
            raise InputError(f"{what}: is deleted, {self.keep // 60} minutes after its upload; upload it again")
        return str(path)

    def _heard(self, given: str | None) -> Any:
        """What is wrong with a recording, told beside it as soon as it is there."""
        if given is None:
            return Progress().shown()
        try:
            with explained(lambda text: text.replace(str(Path(given).resolve()), Path(given).name)):
                self.studio.check_lengths(self._upload("recording", given))
        except gr.Error as error:
            return _failed(error)
        return Progress().shown()

    def _motion(self, name: str, clip: str | None) -> str:
        if str(name) not in MOTIONS:
            raise InputError(f"head motion {name}: unknown; use one of {', '.join(MOTIONS)}")
        if name != "clip":
            return name
        if clip is None:
            raise InputError("head motion: no clip yet; upload one, or choose natural or still")
        return self._upload("head motion", clip)

    def _turned_away(self, shown: dict[str, Any]) -> Any:
        """The reason that stays for a visitor whose video was not begun; Gradio's own is seen for some seconds."""
        if shown["text"]:
            return gr.skip()
        text = (
            f"Not begun: the server did not take it; most often {self.queue} wait already and its queue is full. "
            "Try again in some minutes, or reload the page"
        )
        return Progress(text, failed=True).shown()

    # ------------------------------------------------------------------ reports

    def _reports_tab(self) -> None:
        gr.Markdown("What `svp evaluate` measured.")
        with gr.Row(equal_height=False):
            if self.reports.folder is not None:
                choice = gr.Dropdown(self.reports.names(), value=None, label="Reports of this server", elem_id="report")
            upload = gr.File(label="A report of yours (.json)", file_types=[".json"], height=140, elem_id="own-report")
        shown = gr.HTML(elem_id="report-page")
        upload.upload(self._uploaded_report, upload, shown, **QUIET)
        if self.reports.folder is not None:
            choice.focus(lambda: gr.update(choices=self.reports.names()), outputs=choice, **QUIET)
            choice.input(self._report, choice, shown, **QUIET | {"show_progress": "full"})

    def _report(self, name: str) -> str:
        return _or_reason(lambda: self.reports.page(name))

    def _uploaded_report(self, path: str) -> str:
        return _or_reason(lambda: framed(Path(self._upload("report", path))))


def _uploaded(payload: ImageData | None) -> str | None:
    return None if payload is None else payload.path


def _failed(error: gr.Error) -> dict[str, Any]:
    """What went wrong, as it stays on the page."""
    return Progress(html.unescape(error.message), failed=True).shown()


def _or_reason(page: Callable[[], str]) -> str:
    """A page, or why there is none: Gradio does not tell of an error where nothing waits in the queue."""
    try:
        with explained():
            return page()
    except gr.Error as error:
        return f'<p role="alert">{error.message}</p>'
