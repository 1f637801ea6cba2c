"""What a folder of recordings may be: names of the layouts of `svp prepare`, and of MEAD's cameras."""

from typing import Literal

VideoLayout = Literal["folder", "mead", "hdtf"]
AnyLayout = Literal["folder", "mead", "hdtf", "coefficients"]
View = Literal["front", "down", "top", "left_30", "left_60", "right_30", "right_60"]
