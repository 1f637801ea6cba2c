"""The part of the form that says which style: of the gallery or its map, of a clip, a mix, several over time, none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import gradio as gr

from svp.app.order import continued
from svp.app.style_map import StyleMap
from svp.errors import InputError

SOURCES: Final = {
    "gallery": "Gallery",
    "clip": "A clip",
    "mix": "Mix of two",
    "timeline": "Over time",
    "none": "None",
}
FIRST: Final = "happy:3"
SECOND: Final = "neutral:3"
TABLE: Final = "Styles over time: happy or sad:2, and from which second; a row without a style is left out"
ROWS: Final = [["sad", 0], ["happy", 2.5]]
QUIET: Final[dict[str, Any]] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Options of what changes what is shown alone: it does not wait for videos, and no progress fades it."""


class StyleFields:
    """Fields in the order of the arguments of `Page.generate`, from `style_from` to `style_strength`.

    Made within the page they belong to.

    Args:
        gallery: names of the styles that the model understands.
        style_map: of them; None without any.
        clips: whether the model can learn a style from a clip.
    """

    def __init__(self, gallery: Sequence[str], style_map: StyleMap | None, clips: bool) -> None:
        self._map = style_map
        offered = [name for name in SOURCES if name == "none" or (clips if name == "clip" else bool(gallery))]
        start = offered[0]
        names = [(name.replace(":", " "), name) for name in gallery]
        source = gr.Radio([(SOURCES[name], name) for name in offered], value=start, label="Style", elem_id="style-from")
        with gr.Row(visible=start == "gallery") as named:
            style = gr.Dropdown(names, value=FIRST if names else None, label="Name and level", elem_id="style")
            second = gr.Dropdown(names, value=SECOND if names else None, label="Mixed with", visible=False)
        share = gr.Slider(0, 1, 0.5, step=0.05, label="Share of the second", visible=False)
        clip = gr.Video(
            label="A clip of somebody who speaks so",
            sources=["upload"],
            visible=False,
            height=240,
            elem_id="style-clip",
        )
        rows = gr.Dataframe(
            ROWS,
            headers=["style", "from second"],
            datatype=["str", "number"],
            type="array",
            column_count=2,
            label=TABLE,
            visible=False,
            elem_id="timeline",
        )
        with gr.Column(visible=start == "gallery") as mapped:
            if style_map is not None:
                picture = gr.Image(
                    style_map.marked(FIRST),
                    show_label=False,
                    interactive=False,
                    buttons=[],
                    format="png",
                    elem_id="style-map",
                    alt_text="Map of the styles; the list above has the same ones",
                )
                picture.select(self._clicked, [source, rows], [style, rows], **QUIET)
                style.change(style_map.marked, style, picture, **QUIET)
        strength = gr.Slider(
            0, 2, 1, step=0.1, label="Strength: 0 is neutral, 1 the style, 2 exaggerates it", visible=start != "none"
        )
        show_on(
            source,
            [
                (named, ("gallery", "mix")),
                (second, ("mix",)),
                (share, ("mix",)),
                (clip, ("clip",)),
                (rows, ("timeline",)),
                (mapped, ("gallery", "mix", "timeline")),
                (strength, ("gallery", "clip", "mix", "timeline")),
            ],
        )
        self.components: list[gr.components.Component] = [source, style, clip, second, share, rows, strength]

    def _clicked(self, source: str, rows: list[list[Any]], event: gr.SelectData) -> tuple[Any, Any]:
        """The nearest style becomes the chosen one, or one more row two seconds after the last."""
        if self._map is None:
            return gr.skip(), gr.skip()
        name = self._map.nearest(*event.index)
        if source != "timeline":
            return name, gr.skip()
        try:
            return gr.skip(), gr.update(value=continued(rows, name), label=TABLE)
        except InputError as error:  # told where it is seen: Gradio shows no error of what does not wait in the queue
            return gr.skip(), gr.update(label=f"{TABLE}: {error}")


def show_on(source: gr.Radio, shown: Sequence[tuple[gr.blocks.Block, tuple[str, ...]]]) -> None:
    """Each block is seen only while `source` has one of its values."""

    def update(chosen: str) -> dict[gr.blocks.Block, Any]:
        return {block: gr.update(visible=chosen in values) for block, values in shown}

    source.change(update, source, [block for block, _ in shown], **QUIET)
