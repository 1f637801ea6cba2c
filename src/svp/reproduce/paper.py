"""The figures of the paper's Tables 1 and 2, measured on MEAD and HDTF."""

from __future__ import annotations

from typing import Final

from svp.evaluation.report import Part

COLUMNS: Final = ("fvd", "fid", "psnr", "ssim", "f_lmd", "m_lmd", "sync_offset", "sync_confidence", "style_sim")
OURS: Final = "Ours"
WITHOUT_STYLE: Final = "Ours w/o style"


class PaperRow(Part):
    """What the paper says of a method.

    Attributes:
        dataset: that it was measured on.
        figures: by the names of metrics.
    """

    dataset: str
    method: str
    figures: dict[str, float]


def _rows(dataset: str, figures: dict[str, tuple[float, ...]]) -> list[PaperRow]:
    return [
        PaperRow(dataset=dataset, method=method, figures=dict(zip(COLUMNS, values, strict=False)))
        for method, values in figures.items()
    ]


TABLE1: Final = [
    *_rows(
        "MEAD",
        {
            "V-Express": (340.01, 33.66, 27.51, 0.8939, 5.28, 8.12, 2.10, 4.59),
            "Hallo": (445.49, 35.06, 25.84, 0.8666, 9.60, 12.42, 1.70, 5.94),
            "AniPortrait": (460.04, 40.65, 27.16, 0.8982, 5.86, 9.03, 8.30, 1.40),
            "EAMM": (529.34, 58.77, 21.88, 0.8139, 11.88, 12.43, 1.90, 3.98),
            "SadTalker": (492.40, 52.94, 27.33, 0.8863, 7.23, 11.03, 0.40, 4.74),
            OURS: (235.70, 28.80, 28.87, 0.9126, 4.64, 6.45, 0.30, 4.76),
        },
    ),
    *_rows(
        "HDTF",
        {
            "V-Express": (125.36, 12.33, 26.35, 0.8688, 30.58, 35.56, 2.70, 6.05),
            "Hallo": (231.96, 15.31, 22.44, 0.8078, 31.86, 35.63, 2.10, 6.74),
            "AniPortrait": (292.18, 13.27, 25.27, 0.8616, 31.20, 36.37, 4.00, 0.53),
            "EAMM": (797.23, 43.46, 18.47, 0.7202, 29.93, 30.48, 2.40, 4.54),
            "SadTalker": (536.68, 23.70, 22.62, 0.8042, 28.81, 32.60, 0.50, 5.96),
            OURS: (102.40, 10.39, 26.38, 0.8800, 22.95, 26.01, 0.20, 5.40),
        },
    ),
]
TABLE2: Final = _rows(
    "MEAD",
    {
        "V-Express": (367.91, 63.17, 21.23, 0.7904, 7.41, 9.33, 2.03, 4.25, 0.7819),
        "Hallo": (399.18, 59.05, 19.70, 0.7573, 26.16, 28.54, 1.93, 4.85, 0.7851),
        "AniPortrait": (535.53, 68.18, 19.34, 0.7583, 26.55, 29.81, 8.67, 1.32, 0.7711),
        "EAMM": (550.90, 63.94, 21.25, 0.7848, 12.51, 12.72, 2.17, 4.20, 0.7349),
        "SadTalker": (492.83, 82.71, 20.07, 0.7670, 27.00, 29.55, 0.70, 4.93, 0.7417),
        WITHOUT_STYLE: (485.47, 57.96, 21.73, 0.8151, 8.49, 10.20, 0.93, 4.03, 0.7879),
        OURS: (392.31, 56.69, 22.07, 0.8210, 6.76, 8.44, 0.77, 4.14, 0.8473),
    },
)
