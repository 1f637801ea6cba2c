"""SVP: style-enhanced vivid portraits. Names are imported when first used, so that `import svp` stays quick."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svp.diffusion.pipeline import SVPPipeline
    from svp.media.certificate import Certificate
    from svp.media.marking import Marking
    from svp.style.encoder import StyleEncoder
    from svp.style.prior import StylePrior

# Read by OpenMP when torch is first imported: how often a thread looks again before it sleeps. Threads that spin for
# long take the cores from other programs: beside one, a video took twice as long; alone it takes as long as before.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
__all__ = ["Certificate", "Marking", "SVPPipeline", "StyleEncoder", "StylePrior"]

_HOMES = {
    "Certificate": "svp.media.certificate",
    "Marking": "svp.media.marking",
    "SVPPipeline": "svp.diffusion.pipeline",
    "StyleEncoder": "svp.style.encoder",
    "StylePrior": "svp.style.prior",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'svp' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
