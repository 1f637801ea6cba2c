"""The options of `svp generate` that say whether a video is signed as generated, and by whom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from svp.errors import InputError

if TYPE_CHECKING:
    from svp.media.marking import Marking


def choose_marking(provenance: bool, certificate: Path | None, key: Path | None) -> Marking:
    """The marking that the options mean; whether it can be signed is found out at once.

    Raises:
        InputError: the options contradict one another, or nothing can be signed with the certificate.
    """
    from svp.media.certificate import find_certificate
    from svp.media.marking import Marking

    if not provenance:
        for option, given in (("--certificate", certificate), ("--key", key)):
            if given is not None:
                raise InputError(f"{option} {given}: signs the provenance; leave it or --no-provenance out")
        return Marking(provenance=False)
    marking = Marking(certificate=find_certificate(certificate, key))
    marking.check()
    return marking
