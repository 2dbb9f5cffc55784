"""The media engine: a local source file in, verified output files in a scratch folder out.

It knows no database, no store and no bus. Decisions are pure functions over values (`cadence`, `plan`, `command`,
`blame`); `process` starts the children; `make` is the front.
"""

from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.errors import MediaError
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import Made, MadeOutput, MediaFacts, Stage, make_movie, make_picture
from rushes_normalizer.media.tools import Tools, ToolsError, find_tools

__all__ = [
    "EncodingDefaults",
    "Limits",
    "Made",
    "MadeOutput",
    "MediaError",
    "MediaFacts",
    "Stage",
    "Tools",
    "ToolsError",
    "find_tools",
    "make_movie",
    "make_picture",
]
