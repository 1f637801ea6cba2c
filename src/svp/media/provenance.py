"""Provenance of a generated video: a signed C2PA manifest inside its mp4 says that, how and from what it was made."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from svp import __version__
from svp.errors import InputError
from svp.media.certificate import Certificate, load_c2pa
from svp.media.whole_file import whole_file

GENERATION: Final = "svp.generation"  # the assertion with the facts of a video
ACTIONS: Final = "c2pa.actions.v2"
MADE_BY_AI: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SOFTWARE: Final = {"name": "svp", "version": __version__}
BUFFER_MB: Final = 16  # of what the library keeps in memory besides one copy of the file; its own default is 512
OFFLINE: Final = {"remote_manifest_fetch": False, "ocsp_fetch": False}


def sign_video(path: Path, facts: Mapping[str, Any], certificate: Certificate) -> None:
    """Put a manifest into an mp4, in place; pictures and sound stay as they are.

    Args:
        path: of the complete mp4.
        facts: what it was made from and how, of JSON's kinds.
        certificate: to sign with.

    Raises:
        InputError: it cannot be signed.
    """
    with whole_file(path) as partial, path.open("rb") as source, partial.open("w+b") as target:
        sign(source, target, "video/mp4", facts, certificate)


def sign(
    source: IO[bytes], target: IO[bytes], media_type: str, facts: Mapping[str, Any], certificate: Certificate
) -> None:
    """Copy a file with a manifest added to it; the copy is read back and verified.

    Raises:
        InputError: it cannot be signed.
    """
    c2pa = load_c2pa()
    settings = {
        "verify": OFFLINE | {"verify_after_sign": True},
        "builder": {"thumbnail": {"enabled": False}},
        "core": {"backing_store_memory_threshold_in_mb": BUFFER_MB},
    }
    try:
        with (
            c2pa.Settings.from_dict(settings) as chosen,
            c2pa.Context(chosen) as context,
            certificate.signer() as signer,
            c2pa.Builder(_manifest(facts), context) as builder,
        ):
            builder.sign(signer, media_type, source, target)
    except c2pa.C2paError.Io as error:
        raise InputError(f"the signed file cannot be written ({error}); make room on the disk") from error
    except c2pa.C2paError as error:
        raise certificate.unusable(error) from error


def _manifest(facts: Mapping[str, Any]) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    created = {
        "action": "c2pa.created",
        "when": now,
        "softwareAgent": SOFTWARE,
        "digitalSourceType": MADE_BY_AI,
    }
    return {
        "claim_generator_info": [SOFTWARE],
        "assertions": [
            {"label": ACTIONS, "data": {"actions": [created]}},
            {"label": GENERATION, "data": dict(facts)},
        ],
    }
