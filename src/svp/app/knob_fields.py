"""The fields of the page that set how much a face moves, and what of the picture is shown."""

from __future__ import annotations

import gradio as gr
from gradio.components import Component

from svp.app.style_fields import QUIET
from svp.diffusion.knobs import MOST_BLINKS, MOST_GAZE, MOST_HEAD, MOST_MOUTH

SHAPES = {"As it is": "", "1:1": "1:1", "4:3": "4:3", "16:9": "16:9", "3:4": "3:4", "9:16": "9:16"}


class KnobFields:
    """Fields in a closed accordion.

    Attributes:
        components: in the order of the arguments of `Page.generate`.
    """

    def __init__(self) -> None:
        most_right, most_up = MOST_GAZE
        with gr.Accordion("Mouth, head, eyes, frame", open=False, elem_id="knobs"):
            with gr.Row():
                mouth = gr.Slider(0, MOST_MOUTH, 1, step=0.05, label="Mouth", min_width=140)
                head = gr.Slider(0, MOST_HEAD, 1, step=0.05, label="Head", min_width=140)
            with gr.Row():
                own = gr.Checkbox(True, label="Blinks of the motion", min_width=140)
                blinks = gr.Slider(
                    0, MOST_BLINKS, 15, step=1, label="Else blinks a minute", min_width=140, interactive=False
                )
                own.change(lambda ticked: gr.update(interactive=not ticked), own, blinks, **QUIET)
            with gr.Row():
                right = gr.Slider(-most_right, most_right, 0, step=1, label="Gaze to the right, degrees", min_width=140)
                up = gr.Slider(-most_up, most_up, 0, step=1, label="Gaze up, degrees", min_width=140)
            box = gr.Textbox(
                label="Face box, if no face is found or another is meant: left, top, width, height in pixels",
                placeholder="120,80,200,240",
                max_length=60,
            )
            with gr.Row():
                frame = gr.Radio(
                    [("Face", "crop"), ("Whole picture", "full")], value="crop", label="Shown", min_width=140
                )
                shape = gr.Dropdown(list(SHAPES.items()), value="", label="Shape", min_width=140)
                label = gr.Checkbox(False, label="Visible label \u201cAI-generated\u201d", min_width=140)
        self.components: list[Component] = [mouth, head, own, blinks, right, up, frame, shape, label, box]
