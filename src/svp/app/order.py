"""What a person asks of the page: the options of one video, and the mix of two styles that it may need first."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from svp.errors import InputError, first_problem
from svp.jobs.request import VideoRequest
from svp.style.gallery import DEFAULT_LEVEL, find_style
from svp.style.prior import StylePrior

PICTURE_MISSING: Final = "portrait: none yet; upload a picture or choose one of the faces below it"
SOUND_MISSING: Final = "recording: none yet; upload one or record it with the microphone"
FACE_BOX: Final = "(Face box, folded away below Mouth, head, eyes, frame)"
LONGEST: Final = 100  # bytes of a portrait's or recording's name in that of its video
_FOLDERS: Final = re.compile(r"(?<![\w.])/(?:[^/\s]+/)+")


@dataclass(frozen=True)
class Mix:
    """Two styles of the gallery in one.

    Attributes:
        first, second: names with levels.
        share: of the second, 0 to 1.

    Raises:
        InputError: the share is something else.
    """

    first: str
    second: str
    share: float

    def __post_init__(self) -> None:
        if not isinstance(self.share, int | float) or not 0 <= self.share <= 1:
            raise InputError(f"mix: {self.share} is no share of the second style; give a number from 0 to 1")

    @property
    def file(self) -> str:
        """What the mix is saved as."""
        return f"{self.first}-{self.second}.safetensors".replace(":", "")

    def save(self, folder: Path) -> None:
        """Make the mix."""
        first, second = (StylePrior.load(find_style(name)) for name in (self.first, self.second))
        first.mix(second, self.share).save(folder / self.file)


@dataclass(frozen=True)
class Order:
    """A video as somebody wants it.

    Attributes:
        request: the options of `svp generate`; files of this machine by absolute paths, a mix by its `file`.
        mix: is to be made before the video.
    """

    request: VideoRequest
    mix: Mix | None = None

    @property
    def output(self) -> str:
        """A name for the video, which no input has."""
        stems = (_cut(Path(given).stem) for given in (self.request.portrait, self.request.audio))
        return _another(f"{'_'.join(stems)}.mp4", self.names().values())

    def names(self) -> dict[str, str]:
        """The name of every file of this machine without its folder; no two are equal."""
        names: dict[str, str] = {}
        for value in self.request.model_dump().values():
            for text in value if isinstance(value, tuple) else (value,):
                if isinstance(text, str) and Path(text).is_absolute() and text not in names:
                    names[text] = _another(Path(text).name, names.values())
        return names

    def _names_in_lines(self) -> dict[str, str]:
        """`names`, and that of the mix."""
        names = self.names()
        return names if self.mix is None else names | {self.mix.file: _another(self.mix.file, names.values())}

    def told(self, text: str) -> str:
        """A message about this order without folders of this machine, with the page's names of what helps."""
        for path, name in self.names().items():
            text = text.replace(path, name)
        return _FOLDERS.sub("", text).replace("(--face-box)", FACE_BOX).replace("--face-box", "Face box")

    def command(self) -> str:
        """The lines for a shell that make the same video; files by their names."""
        names, lines = self._names_in_lines(), []
        if self.mix is not None:
            mix = ["svp", "style", "mix", self.mix.first, self.mix.second, "--weight", number(self.mix.share)]
            lines.append(shlex.join([*mix, "-o", names[self.mix.file]]))
        words = []
        for option, value in self.request.model_dump(exclude_defaults=True).items():
            for one in value if isinstance(value, tuple) else (value,):
                flag = f"--{option.replace('_', '-')}"
                words.append(flag if one is True else shlex.join([flag, names.get(str(one), str(one))]))
        lines.append(" \\\n  ".join(["svp generate", *words, shlex.join(["-o", self.output])]))
        return "\n".join(lines)

    def python(self) -> str:
        """The same in Python."""
        request, names = self.request, self._names_in_lines()
        imports, steps = ["from svp import SVPPipeline"], []
        if self.mix is not None:
            imports = ["from svp import StylePrior, SVPPipeline", "from svp.style.gallery import find_style"]
            first, second = (f"StylePrior.load(find_style({name!r}))" for name in (self.mix.first, self.mix.second))
            steps.append(f"{first}.mix({second}, {number(self.mix.share)}).save({names[self.mix.file]!r})")
        model = "mini" if request.model is None else names[request.model]
        steps.append(f"pipe = SVPPipeline.from_pretrained({model!r})")
        style = "None"
        if request.style:
            imports += ["from svp.style.cues import read_cues", "from svp.style.timeline import style_over_time"]
            texts = [names.get(text, text) for text in request.style]
            strength = "" if request.style_strength == 1 else f", {number(request.style_strength)}"
            steps.append(f"style = style_over_time(read_cues({texts!r}), pipe.style{strength})")
            style = "style"
        usual = VideoRequest(portrait=request.portrait, audio=request.audio).sampling()
        options = {name: value for name, value in request.sampling().items() if value != usual[name]}
        given = [repr(names[request.portrait]), repr(names[request.audio]), style]
        given.append(repr(names.get(request.head_motion, request.head_motion)))
        given += [f"{name}={value!r}" for name, value in options.items()]
        if (box := request.box()) is not None:
            given.append(f"face_box={astuple(box)!r}")
        saved = repr(self.output)
        if request.label:
            imports.append("from svp.media.marking import MARKED")
            saved += ", MARKED.labelled(True, None)"
        steps.append(f"pipe.stream({', '.join(given)}).save({saved})")
        return "\n".join([*sorted(imports), "", *steps])


def place_order(
    portrait: str | None,
    audio: str | None,
    *,
    styles: Sequence[str] = (),
    clip: str | None = None,
    mix: Mix | None = None,
    **options: Any,
) -> Order:
    """An order from what was filled in.

    Args:
        portrait, audio: files of this machine.
        styles: of the gallery, with times perhaps.
        clip: to learn the style from, instead.
        mix: instead of both.
        options: others of `VideoRequest`.

    Raises:
        InputError: something is missing or out of range.
    """
    if portrait is None:
        raise InputError(PICTURE_MISSING)
    if audio is None:
        raise InputError(SOUND_MISSING)
    wanted = (mix.file,) if mix is not None else (str(Path(clip).resolve()),) if clip is not None else tuple(styles)
    if not wanted:
        options.pop("style_strength", None)  # there is nothing to strengthen
    files = {"portrait": str(Path(portrait).resolve()), "audio": str(Path(audio).resolve())}
    try:
        return Order(VideoRequest.model_validate({"style": wanted, **files, **options}), mix)
    except ValidationError as error:
        place, problem = first_problem(error, VideoRequest.model_fields)
        where = ".".join(map(str, place)).replace("_", " ")
        raise InputError(f"{where or 'options'}: {problem}; correct it") from error


def _cut(stem: str) -> str:
    """A name of which two, and what tells one from another, fit into the 255 bytes of a file's."""
    return stem.encode()[:LONGEST].decode(errors="ignore")


def _another(name: str, taken: Iterable[str]) -> str:
    """The name, or one made of it that none of the others is; some systems take Ada.mp4 for ada.mp4."""
    others = {other.casefold() for other in taken}
    while name.casefold() in others:
        name = f"other_{name}"
    return name


def number(value: Any) -> str:
    """A number as a person writes it, without loss.

    Raises:
        InputError: it is none.
    """
    try:
        return repr(float(value)).removesuffix(".0")
    except (TypeError, ValueError) as error:
        raise InputError(f"{value!r}: no number; give one") from error


def timeline_texts(rows: Iterable[Sequence[Any]], gallery: Mapping[str, object]) -> list[str]:
    """The rows of a table (style, from which second) as style arguments; empty rows are passed over.

    Raises:
        InputError: a style is none of the gallery, or a time is no number.
    """
    texts = []
    for row, cells in enumerate(rows, 1):
        if not isinstance(cells, Sequence) or isinstance(cells, str) or len(cells) != 2:
            raise InputError(f"row {row}: {cells} is no style and time; write both, as in happy and 2.5")
        style, second = cells
        if style in (None, "") and second in (None, ""):
            continue
        name = known_style(str(style).strip(), gallery)
        texts.append(f"{name}@{number(_second(row, second))}")
    if not texts:
        raise InputError("styles over time: the table is empty; write a style into its first row")
    return texts


def continued(rows: Sequence[Sequence[Any]], name: str) -> list[Sequence[Any]]:
    """The rows with a style, and one more for `name` two seconds after the last.

    Raises:
        InputError: a time is no number.
    """
    filled = {place: row for place, row in enumerate(rows, 1) if row[0] not in (None, "")}
    last = max((_second(place, row[1]) for place, row in filled.items()), default=-2.0)
    return [*filled.values(), [name, last + 2]]


def _second(row: int, cell: Any) -> float:
    """The time in a row of the table; an empty cell is 0.

    Raises:
        InputError: it is no number.
    """
    try:
        return float(number(cell or 0))
    except InputError as error:
        raise InputError(f"row {row}: {cell} is no time; give a number of seconds") from error


def known_style(name: str | None, gallery: Mapping[str, object]) -> str:
    """A style of the gallery with its level; a visitor's text is never taken for a file.

    Raises:
        InputError: there is none of that name.
    """
    name = str(name or "")
    for text in (name, f"{name}:{DEFAULT_LEVEL}"):
        if text in gallery:
            return text
    known = ", ".join(dict.fromkeys(full.partition(":")[0] for full in gallery)) or "none for this model"
    raise InputError(
        f"style {name or 'without a name'}: not in the gallery; choose one of {known}, as in happy or sad:2"
    )
