"""`svp verify`: what a video says of its own origin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from svp.cli.paths import need_file

if TYPE_CHECKING:
    from svp.media.verification import State, Verification

EXIT_CODES: Final[dict[State, int]] = {"valid": 0, "altered": 1, "unsigned": 3, "untrusted": 4}  # 2 is bad input


def verify(
    video: Annotated[Path, typer.Argument(help="The mp4.")],
    trust: Annotated[
        Path | None,
        typer.Option(
            help="The signer must be vouched for by an authority in this file (PEM); else who it is stays open."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say whether a video is as it was signed, by whom, when, and from what it was made.

    The exit code is 0 for valid, 1 for altered, 3 for unsigned and 4 for a signer who is not to be trusted (not under
    --trust, expired, revoked); 2 for a file that cannot be read.

    Example: svp verify hello.mp4
    """
    need_file(video, "VIDEO")
    if trust is not None:
        need_file(trust, "--trust")
    from svp.media.verification import verify_video

    found = verify_video(video, trust)
    if as_json:
        import json
        from dataclasses import asdict

        told = json.dumps({"file": str(video)} | asdict(found), indent=2, ensure_ascii=False)
        typer.echo("\n".join(_printable(line) for line in told.splitlines()))
    else:
        print_verification(video, found)
    if code := EXIT_CODES[found.state]:
        raise typer.Exit(code)


def print_verification(video: Path, found: Verification) -> None:
    """A verdict in one sentence, then what the manifest says; hashes are SHA-256 and stand in one line of 80."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print(Text(_printable(f"{video}: {found.state}: {_verdict(found)}")), soft_wrap=True)
    rows = _rows(found)
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:  # one line each, that a hash is whole in a file too
        console.print(Text(f"{name:<{width}}  {value}"), soft_wrap=True)


def _verdict(found: Verification) -> str:
    problems = ", ".join(found.problems)
    if found.state == "unsigned":
        return "it says nothing of its origin; it may never have been signed, or have been stripped"
    if found.state == "altered":
        doubt = "; what it says below need not be true of it" if _rows(found) else ""
        return f"it is not as it was signed ({problems}){doubt}"
    if found.state == "untrusted":
        return f"it is as it was signed, but the signer is not to be trusted ({problems})"
    if found.trusted:
        return "it is as it was signed, and an authority that you trust vouches for the signer"
    if found.local:
        return "it is as svp signed it on some computer; the certificate was made there, whose it is nobody verified"
    return "it is as it was signed; whether the signer is who the certificate says was not checked, see --trust"


def _rows(found: Verification) -> list[tuple[str, str]]:
    """Name and value of what there is to tell, as plain text."""
    who = found.signer if found.local or not found.issuer else f"{found.signer} ({found.issuer})"
    rows: list[tuple[str, object]] = [("signed by", who), ("when", found.when), ("made with", found.software)]
    rows += [("made by AI", "yes" if found.generated else "not said")] if found.software else []
    for name in (*READERS, *(name for name in found.facts if name not in READERS)):
        if name in found.facts:
            rows += _read(name, found.facts[name])
    told = [(_printable(name), _printable(_plain(value))) for name, value in rows]
    return [(name, value) for name, value in told if value]


def _read(name: str, value: Any) -> list[tuple[str, object]]:
    """A fact in rows; whatever is not of the shape that svp writes, for anybody can sign a manifest, as it stands."""
    try:
        return READERS[name](value)
    except (AttributeError, LookupError, TypeError, ValueError):
        return [(name, value)]


def _model(model: Any) -> list[tuple[str, object]]:
    if not model:
        return []
    rows = [("model", model["name"] or "built in memory"), ("  weights", model["weights_sha256"])]
    rows += [("  adapters", digest) for digest in model.get("adapters_sha256", ())]
    return rows + [("  made of", f"{of['title']}: {of['licence']}") for of in _once(model.get("weights", ()))]


def _styles(styles: Any) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for style in styles:
        rows.append(("style", f"{style['name']}, from {style['seconds']:g} s on"))
        rows += [("  file", style.get("sha256", "")), ("  clip", style["source_sha256"])]
    return rows


def _inputs(inputs: Any) -> list[tuple[str, object]]:
    return [
        (role.replace("_", " "), hashed["sha256"] + ("" if hashed["of"] == "file" else f" ({hashed['of']})"))
        for role, hashed in inputs.items()
    ]


def _settings(settings: Any) -> list[tuple[str, object]]:
    return [(name.replace("_", " "), value) for name, value in settings.items() if value not in (None, [], "given")]


READERS: Final[dict[str, Callable[[Any], list[tuple[str, object]]]]] = {
    "model": _model,
    "styles": _styles,
    "inputs": _inputs,
    "label": lambda label: [("label", label)],
    "settings": _settings,
}


def _once(weights: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """One of the files of each weight."""
    return list({of["title"]: of for of in weights}.values())


def _plain(value: object) -> str:
    return ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _printable(text: str) -> str:
    """Without what a terminal would obey: whoever signs a video writes into our window."""
    return "".join(letter for letter in text if letter.isprintable())
