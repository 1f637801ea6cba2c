"""HDTF as it is distributed: lists of videos, time stamps and crop boxes, and the videos that one has downloaded.

The lists of a part (RD, WDA, WRA) are text files with a video or clip at the start of each line:

    RD_video_url.txt        Radio11 https://...
    RD_annotion_time.txt    Radio11.mp4 00:30-01:00 01:30-02:30
    RD_crop_wh.txt          Radio11_0.mp4 412 599 0 599             left, width, top, height
    RD_resolution.txt       Radio11.mp4 720                         height of the video whose pixels the boxes count

A clip is called by its video and its number among the time stamps.
"""

import re
from pathlib import Path

from svp.datasets.sources import VIDEO_SUFFIXES, ClipSource, safe_ids
from svp.errors import InputError

URLS, TIMES, BOXES, HEIGHTS = "_video_url.txt", "_annotion_time.txt", "_crop_wh.txt", "_resolution.txt"
SAME_PERSON = {"WhipJimClyburn": "JamesClyburn"}
Lists = dict[str, list[str]]  # cells after the name, by video or clip


def hdtf_sources(folder: Path, exclude: Path | None = None) -> list[ClipSource]:
    """The clips that the lists name: where they begin and end, and in which box the face is.

    Videos and lists lie anywhere below `folder`. A video is `Radio11.mp4` (any suffix of a video); where clips were cut
    already, as the authors of HDTF advise, they are `Radio11_0.mp4` or `RD_Radio11_000.mp4` and taken whole. The
    box only tells which face is meant, so a clip without one is taken as well. Clips of a person share the identity:
    the video's name without its number; of the radio speakers (RD) nothing but the video is known.

    Raises:
        InputError: no such folder, no list of time stamps, or a line that cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the one that holds HDTF's lists and videos")
    times, boxes, heights, urls = (_read_lists(folder, ending) for ending in (TIMES, BOXES, HEIGHTS, URLS))
    if not times:
        raise InputError(f"{folder}: holds no list of time stamps (*{TIMES}); put HDTF's lists beside the videos")
    videos = _videos(folder, exclude)
    found: list[dict[str, object]] = []
    for video, spans in times.items():
        whole = videos.get(_plain(video))
        for number, span in enumerate(spans):
            clip = f"{video}_{number}"
            start, seconds = _span(span, clip)
            fields: dict[str, object] = {"clip": clip, "video": video, "path": whole or folder / f"{video}.mp4"}
            if cut := videos.get(_plain(clip)):
                fields["path"] = cut
            elif whole is None:
                fields["problem"] = "is not there; download it under the name it has in the lists, if it still exists"
            else:
                box = _numbers(boxes.get(clip, []), 4, clip)
                fields |= {"start": start, "seconds": seconds}
                if box:
                    left, width, top, height = box
                    fields |= {"box": (left, top, width, height)}
                    fields |= {"box_height": (_numbers(heights.get(video, []), 1, video) or [0])[0]}
            found.append(fields)
    for video in sorted(set(urls) - set(times)):
        path = videos.get(_plain(video), folder / f"{video}.mp4")
        problem = f"has no time stamps in the lists (*{TIMES}); add its line to use it"
        found.append({"clip": video, "video": video, "path": path, "problem": problem})
    ids = safe_ids(str(fields["clip"]) for fields in found)
    return [_source(folder, ids, fields) for fields in found]


def _source(folder: Path, ids: dict[str, str], fields: dict[str, object]) -> ClipSource:
    clip, video, path = str(fields.pop("clip")), str(fields["video"]), fields["path"]
    assert isinstance(path, Path)
    name = path.relative_to(folder).as_posix()
    return ClipSource.model_validate(fields | {"name": name, "clip_id": ids[clip], "identity": person_of(video)})


def person_of(video: str) -> str:
    """Who is seen in a video: its name without the number, except those of the radio, which tell no person."""
    name = video if re.fullmatch(r"Radio\d+", video) else re.sub(r"\d+$", "", video) or video
    return SAME_PERSON.get(name, name)


def _videos(folder: Path, exclude: Path | None) -> dict[str, Path]:
    """Videos by the `_plain` form of their names."""
    skipped = exclude.resolve() if exclude is not None else None
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
            if skipped is not None and skipped in path.resolve().parents:
                continue
            found.setdefault(_plain(path.stem), path)
    return found


def _plain(name: str) -> str:
    """A name without what HDTF's own downloader adds: the part in front, and zeros before the number of the clip."""
    return re.sub(r"_0*(\d+)$", r"_\1", re.sub(r"^(RD|WDA|WRA)_", "", name))


def _read_lists(folder: Path, ending: str) -> Lists:
    """The lines of all lists of a kind by the name at their start, without `.mp4`."""
    lines: Lists = {}
    for path in sorted(folder.rglob(f"*{ending}")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a readable list in UTF-8 ({error}); get HDTF's lists again") from error
        for line in text.splitlines():
            if cells := line.split():
                lines.setdefault(cells[0].removesuffix(".mp4"), cells[1:])
    return lines


def _span(text: str, clip: str) -> tuple[float, float]:
    """Start and length in seconds of a time stamp such as 00:30-01:00."""
    if not (match := re.fullmatch(r"((?:\d+:)?\d+:\d+)-((?:\d+:)?\d+:\d+)", text)):
        raise InputError(f"{clip}: time stamp {text!r} in the lists (*{TIMES}) is not as 00:30-01:00; correct it")
    start, stop = (_seconds(moment) for moment in match.groups())
    if stop <= start:
        raise InputError(f"{clip}: time stamp {text!r} in the lists (*{TIMES}) ends before it begins; correct it")
    return start, stop - start


def _seconds(moment: str) -> float:
    total = 0
    for part in moment.split(":"):
        total = 60 * total + int(part)
    return float(total)


def _numbers(cells: list[str], count: int, name: str) -> list[int]:
    """The numbers of a line, none if the lists have no such line."""
    if cells and (len(cells) != count or not all(cell.isdigit() for cell in cells)):
        raise InputError(f"{name}: {' '.join(cells)!r} in the lists is not {count} whole numbers; correct the line")
    return [int(cell) for cell in cells]
