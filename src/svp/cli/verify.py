"""`svp verify`: what a video says of its own origin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

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

        typer.echo(json.dumps({"file": str(video)} | asdict(found), indent=2, ensure_ascii=False))
    else:
        print_verification(video, found)
    if code := EXIT_CODES[found.state]:
        raise typer.Exit(code)


def print_verification(video: Path, found: Verification) -> None:
    """A verdict in one sentence, then what the manifest says; hashes are SHA-256 and stand in one line of 80."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(Text(f"{video}: {found.state}: {_verdict(found)}"), soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    for name, value in _rows(found):
        table.add_row(name, Text(value, overflow="fold"))
    if table.row_count:
        console.print(table)


def _verdict(found: Verification) -> str:
    problems = ", ".join(found.problems)
    if found.state == "unsigned":
        return "it says nothing of its origin; it may never have been signed, or have been stripped"
    if found.state == "altered":
        return f"it is not as it was signed ({problems}); what it says below need not be true of it"
    if found.state == "untrusted":
        return f"it is as it was signed, but the signer is not to be trusted ({problems})"
    if found.trusted:
        return "it is as it was signed, and an authority that you trust vouches for the signer"
    if found.local:
        return "it is as svp signed it on some computer; the certificate was made there, whose it is nobody verified"
    return "it is as it was signed; whether the signer is who the certificate says was not checked, see --trust"


def _rows(found: Verification) -> list[tuple[str, str]]:
    facts = found.facts
    model, inputs, settings = (facts.get(key, {}) for key in ("model", "inputs", "settings"))
    who = found.signer if found.local or not found.issuer else f"{found.signer} ({found.issuer})"
    rows = [("signed by", who)]
    rows += [("when", found.when), ("made with", found.software)]
    rows += [("made by AI", "yes" if found.generated else "not said")] if found.software else []
    if model:
        rows += [("model", model["name"] or "built in memory"), ("  weights", model["weights_sha256"])]
        rows += [("  adapters", digest) for digest in model.get("adapters_sha256", ())]
        rows += [("  made of", f"{of['title']}: {of['licence']}") for of in _once(model.get("weights", ()))]
    for style in facts.get("styles", ()):
        rows.append(("style", f"{style['name']}, from {style['seconds']:g} s on"))
        rows += [("  file", style.get("sha256", "")), ("  clip", style["source_sha256"])]
    for role, hashed in inputs.items():
        of = "" if hashed["of"] == "file" else f" ({hashed['of']})"
        rows.append((role.replace("_", " "), hashed["sha256"] + of))
    if "label" in facts:
        rows.append(("label", facts["label"]))
    rows += [(name.replace("_", " "), _plain(value)) for name, value in settings.items() if value not in ([], "given")]
    return [(name, value) for name, value in rows if value]


def _once(weights: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """One of the files of each weight."""
    return list({of["title"]: of for of in weights}.values())


def _plain(value: object) -> str:
    return ", ".join(f"{k} {_plain(v)}" for k, v in value.items()) if isinstance(value, dict) else str(value)
