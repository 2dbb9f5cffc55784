"""Runs within the image: makes the previews of a movie and of a picture, confined as a worker confines them."""

import asyncio
import json
import sys
from pathlib import Path

from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.make import make_movie, make_picture
from rushes_normalizer.media.tools import find_tools
from rushes_normalizer.sandbox_check import check_sandbox
from rushes_schemas.encoding import Encoding

_SOURCES = ("movie.mov", "png.png", "jpeg.jpg", "gif.gif", "tiff.tif", "exr.exr", "radiance.hdr")
_PATTERN = ("-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=24")


async def main() -> None:
    tools, limits = find_tools(), Limits()
    await check_sandbox(tools, limits, required=True)
    folder = Path("/tmp/work")
    made = {}
    for name in _SOURCES:
        source = folder / name
        scratch = folder / source.stem
        scratch.mkdir(parents=True)
        output = ("-t", "1", "-c:v", "prores_ks") if source.stem == "movie" else ("-frames:v", "1")
        making = await asyncio.create_subprocess_exec(tools.ffmpeg, *_PATTERN, *output, source)
        assert await making.wait() == 0
        if source.stem == "movie":
            result = await make_movie(
                tools,
                source,
                scratch,
                encoding=Encoding(),
                defaults=EncodingDefaults(),
                limits=limits,
                progress=lambda _stage, _fraction: None,
            )
        else:
            result = await make_picture(
                source, scratch, keep_original=False, limits=limits, progress=lambda _stage, _fraction: None
            )
        made[source.stem] = {output.kind: output.path.stat().st_size for output in result.outputs}
    json.dump({"ffmpeg": tools.ffmpeg_version, "made": made}, sys.stdout)


asyncio.run(main())
