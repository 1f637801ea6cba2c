"""What a video says of its own origin, and whether that can be believed: reads C2PA manifests, also those of others."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from svp.errors import InputError
from svp.media.certificate import LOCAL_NAME, load_c2pa
from svp.media.provenance import GENERATION, MADE_BY_AI, OFFLINE

State = Literal["valid", "altered", "untrusted", "unsigned"]
UNTRUSTED: Final = "signingCredential.untrusted"
UNPARSED: Final = "asset could not be parsed"  # C2PA's words for a file whose very structure is broken
MANIFEST_BOX: Final = b"uuid" + bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # begins what holds it in an mp4
OF_SIGNER: Final = ("signingCredential.", "timeStamp.", "claimSignature.outsideValidity")  # nothing about the content


@dataclass(frozen=True)
class Verification:
    """What was found in a file.

    Attributes:
        state: `valid`: unchanged since it was signed; `altered`: changed afterwards; `untrusted`: unchanged, but the
            certificate is expired, revoked or, where a chain was asked for, not under it; `unsigned`: no manifest.
        problems: what is wrong, in C2PA's words.
        signer, issuer: names in the certificate.
        local: the certificate was made by svp on some computer, nobody verified whose.
        trusted: the chain ends in the certificate that was asked for.
        when: UTC, as the signer says.
        software: that made it, with its version.
        generated: whether the manifest says that AI made it.
        facts: what svp wrote of the video, see docs/provenance.md; empty where another program made it. Whoever signs
            may have written anything of JSON's kinds.
    """

    state: State
    problems: tuple[str, ...] = ()
    signer: str = ""
    issuer: str = ""
    local: bool = False
    trusted: bool = False
    when: str = ""
    software: str = ""
    generated: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


def verify_video(path: Path, trust: Path | None = None) -> Verification:
    """Read the manifest of a file and compare it with the file; nothing is fetched.

    Args:
        path: mp4, or another file that C2PA knows.
        trust: PEM with the certificates of authorities of which one must vouch for the signer.

    Raises:
        InputError: a file cannot be read, or is damaged so that nothing can be said.
    """
    c2pa = load_c2pa()
    settings: dict[str, Any] = {"verify": OFFLINE}
    if trust is not None:
        settings["trust"] = {"user_anchors": _read_anchors(trust)}
    try:
        with (
            path.open("rb") as file,
            c2pa.Settings.from_dict(settings) as chosen,
            c2pa.Context(chosen) as context,
            c2pa.Reader(None, file, context=context) as reader,
        ):
            store = json.loads(reader.json())
    except c2pa.C2paError.ManifestNotFound:
        return Verification("unsigned")
    except c2pa.C2paError.RemoteManifest as error:
        raise InputError(
            f"{path}: its manifest lies on the network, and nothing is fetched; give a file with the manifest in it"
        ) from error
    except (c2pa.C2paError, OSError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        unreadable = (OSError, c2pa.C2paError.Io, c2pa.C2paError.NotSupported)
        if (isinstance(error, unreadable) or UNPARSED in why) and not _has_manifest(path):
            raise InputError(f"{path}: cannot be verified ({why}); give the mp4 as it was made or sent") from error
        return Verification("altered", (why,))  # there is a manifest, and it or the file is damaged
    return _read_store(store, trust is not None)


def judge(problems: list[str], asked_for_trust: bool) -> State:
    """The state that C2PA's failure codes mean."""
    if any(not code.startswith(OF_SIGNER) for code in problems):
        return "altered"
    if problems and (asked_for_trust or problems != [UNTRUSTED]):
        return "untrusted"
    return "valid"


def _read_store(store: dict[str, Any], asked_for_trust: bool) -> Verification:
    results = store["validation_results"]
    failures = list(results["activeManifest"]["failure"])
    for ingredient in results.get("ingredientDeltas", []):
        failures += ingredient["validationDeltas"]["failure"]
    codes = list(dict.fromkeys(failure["code"] for failure in failures))
    manifest = store["manifests"].get(store["active_manifest"])
    if manifest is None:  # so damaged that C2PA does not show it
        return Verification("altered", tuple(codes))
    assertions = {assertion["label"]: assertion["data"] for assertion in manifest.get("assertions", [])}
    actions = [
        action
        for label, data in assertions.items()
        if label.startswith("c2pa.actions") and isinstance(data, dict)
        for action in _dicts(data.get("actions"))
    ]
    signature = manifest.get("signature_info") or {}
    software = next(iter(_dicts(manifest.get("claim_generator_info"))), {})
    facts = assertions.get(GENERATION, {})
    dates = (_text(said.get(key)) for said, key in ((signature, "time"), *((action, "when") for action in actions)))
    return Verification(
        judge(codes, asked_for_trust),
        problems=tuple(code for code in codes if code != UNTRUSTED or asked_for_trust),
        signer=_text(signature.get("common_name")),
        issuer=_text(signature.get("issuer")),
        local=signature.get("common_name") == LOCAL_NAME,
        trusted=store.get("validation_state") == "Trusted",
        when=next(filter(None, dates), ""),
        software=f"{_text(software.get('name'))} {_text(software.get('version'))}".strip(),
        generated=any(action.get("digitalSourceType") == MADE_BY_AI for action in actions),
        facts=facts if isinstance(facts, dict) else {"facts": facts},
    )


def _has_manifest(path: Path) -> bool:
    """Whether an mp4 begins as a signed one: the manifest stands in front of all that plays."""
    try:
        with path.open("rb") as file:
            return MANIFEST_BOX in file.read(4096)
    except OSError:
        return False


def _dicts(values: object) -> list[dict[str, Any]]:
    """Those of a list that are dictionaries: the signer may have written anything."""
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _read_anchors(path: Path) -> str:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        text = path.read_bytes()
        load_pem_x509_certificates(text)
        return text.decode("ascii")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no certificates in PEM"
        raise InputError(f"{path}: {why}; give --trust the certificate of the authority, in PEM") from error
