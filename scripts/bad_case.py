"""A case of the corpus of bad inputs: a command to try and how it shall end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Something to try.

    Attributes:
        command: arguments of `svp`, paths relative to the folder of the corpus.
        expected: "error" or "works".
        word: that the line of an error holds.
        code: with which the process ends.
        without: what the process must lack: "room" on the disk at once or "later", or the "power" of root.
        part: of the corpus.
    """

    name: str
    command: tuple[str, ...]
    expected: str
    word: str = ""
    code: int = 0
    without: str = ""
    part: str = ""


def works(name: str, *command: str) -> Case:
    return Case(name, command, "works")


def error(name: str, word: str, *command: str, without: str = "") -> Case:
    return Case(name, command, "error", word, 2, without)


def generate(*more: str, portrait: str = "good.png", audio: str = "good.wav", out: str = "out/video.mp4") -> list[str]:
    return ["generate", "--portrait", portrait, "--audio", audio, "--steps", "1", "-o", out, *more]


def extract(clip: str) -> list[str]:
    return ["style", "extract", clip, "-o", "out/style.safetensors"]
