"""Writes ffmpeg's arguments for a plan. Pure; one pass makes both movies, the pictures and the contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rushes_schemas.outputs import ObjectKind

from rushes_normalizer.media.allowlists import CONFINED
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.plan import H264, MoviePlan, Size
from rushes_normalizer.media.stills import picture_sizes, png_output, stills_chains, stills_outputs

AUDIO_RATE: Final = 48000
# The fast coder: at this bitrate as true in each band as the default one, in a third of its time.
AAC: Final = ("-c:a", "aac", "-aac_coder", "fast", "-b:a", "192k")
# Another matrix costs precision: without these flags patches are off by up to 6 of 255.
_EXACT: Final = "accurate_rnd+full_chroma_int+full_chroma_inp"
_BT709: Final = "out_color_matrix=bt709:out_range=tv"
_TAGS: Final = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
# From our own YUV to RGB, whatever a filter before has made of the tags.
_TO_RGB: Final = "in_color_matrix=bt709:in_range=tv"

# BT.2408: diffuse white of HDR lies at 203 cd/m2, which becomes SDR's 1.0 before the curve; masters seldom pass 1000.
_HDR_WHITE: Final = 203
_HDR_PEAK: Final = 1000 / _HDR_WHITE

HIGH_DEFINITION: Final = "high_definition.mp4"
LOW_DEFINITION: Final = "low_definition.mp4"
TILE: Final = "tile.png"

# A line on stdout for each frame that is encoded: its number, from 0. `-progress` would be silent until every output
# has its header, and that of the contact sheet comes with the last frame.
COUNTING: Final = ("-stats_enc_post:v:0", "pipe:1", "-stats_enc_post_fmt:v:0", "{n}")


def movie_command(plan: MoviePlan, source: Path, limits: Limits) -> tuple[str, ...]:
    """One pass from the source to both movies, the pictures of the first frame and the contact sheet.

    Arguments of ffmpeg without the program; outputs are names relative to the working folder. Without movies (the
    source serves as it came) the pass counts the frames on the way. The log says how many frames were decoded (at
    `verbose`), and stdout counts those that left the first output (`COUNTING`).
    """
    movies = [(name, h264) for name, h264 in _movies(plan) if h264 is not None]
    sizes = picture_sizes(plan.still, limits)
    graph = _graph(plan, movies, sizes)
    arguments = ["-hide_banner", "-nostdin", "-nostats", "-y", "-loglevel", "level+verbose", "-copyts"]
    arguments += _source(plan, source, limits)
    arguments += ["-filter_complex_threads", str(limits.threads), "-filter_complex", graph]
    for number, (name, h264) in enumerate(movies):
        arguments += _movie_output(plan, h264, number, limits, name)
    if not movies:
        arguments += ["-map", "[count]", "-fps_mode", "passthrough", *COUNTING, "-f", "null", "-"]
    return (*arguments, *stills_outputs(sizes), *png_output("[tile]", TILE, "rgb24"))


def _movies(plan: MoviePlan) -> tuple[tuple[str, H264 | None], ...]:
    return ((HIGH_DEFINITION, plan.highdef), (LOW_DEFINITION, plan.lowdef))


def _source(plan: MoviePlan, source: Path, limits: Limits) -> list[str]:
    threads = ["-threads", str(limits.threads)] if limits.threads else []
    return [*CONFINED, "-max_pixels", str(limits.max_pixels), *threads, "-i", f"file:{source}"]


def _graph(plan: MoviePlan, movies: list[tuple[str, H264]], sizes: dict[ObjectKind, Size]) -> str:
    head = [*_deinterlace(plan), *_timing(plan), *_composite(plan), *_canvas(plan)]
    chains = []
    if not movies:
        head.append("split=3[count][cells][still]")
    elif plan.highdef is None:
        head += [_scale_to(movies[0][1].size), "split=3[v0][cells][still]"]
    else:
        head.append("split=3[v0][less][still]")
        # The contact sheet is scaled from low definition: a quarter of the pixels.
        chains.append(f"[less]{_scale_to(movies[1][1].size)},split=2[v1][cells]")
    chains.insert(0, f"[0:{plan.video.index}]{','.join(head)}")
    chains += stills_chains(f"[still]trim=end_frame=1,scale={_TO_RGB},format=rgb24", plan.still, sizes)
    chains.append(_tile(plan))
    if movies:
        chains.append(_audio(plan, len(movies)))
    return ";".join(chains)


def _deinterlace(plan: MoviePlan) -> list[str]:
    # One frame for each frame; frames that are marked progressive pass untouched.
    return ["bwdif=mode=send_frame:parity=auto:deint=interlaced"] if plan.video.interlaced else []


def _timing(plan: MoviePlan) -> list[str]:
    """Frame n of a constant source is frame n of the outputs, whatever its timestamps say or where they start.

    `fps` sets the rate and, if it changes, repeats and drops as `cadence.retime` foresees. What it does with the last
    frame differs between versions, so the length is set here: repeat it without end, then cut at the planned frame.
    The cut comes after the source's own end, so all of it is decoded, and counted.
    """
    source = plan.video.cadence
    if source.constant:
        rate = source.rate
        stamps = [f"settb={rate.denominator}/{rate.numerator}", "setpts=N"]
    else:
        stamps = ["setpts=PTS-STARTPTS"]
    return [
        *stamps,
        f"fps={plan.rate.numerator}/{plan.rate.denominator}:round=near",
        "tpad=stop=-1:stop_mode=clone",
        f"trim=end_frame={plan.frame_count}",
    ]


def _composite(plan: MoviePlan) -> list[str]:
    """Transparent pixels over black: colours times alpha, before any scaling mixes them with their neighbours."""
    if not plan.colour.alpha:
        return []
    planar = "gbrap16le" if plan.colour.deep else "gbrap"
    matrix = f"scale=in_color_matrix={plan.colour.matrix}:flags={_EXACT}," if plan.colour.matrix else ""
    # The alpha plane goes with the conversion to the canvas. ffmpeg 9 leaves lines unwritten when 16 bits of planar RGB
    # lose it by a conversion of its own.
    return [f"{matrix}format={planar}", "premultiply=inplace=1"]


def _canvas(plan: MoviePlan) -> list[str]:
    if plan.colour.hdr or plan.colour.wide:
        return [*_wide(plan), *_bars(plan)]
    reads_yuv = plan.colour.matrix is not None and not plan.colour.alpha
    matrix = f":in_color_matrix={plan.colour.matrix}" if reads_yuv else ""
    flags = "bicubic" if reads_yuv and plan.colour.matrix == "bt709" else f"bicubic+{_EXACT}"
    return [
        f"scale={plan.picture.width}:{plan.picture.height}:flags={flags}{matrix}:{_BT709}",
        "format=yuv420p",
        *_bars(plan),
    ]


def _bars(plan: MoviePlan) -> list[str]:
    bars = [f"pad={plan.canvas.width}:{plan.canvas.height}:-1:-1:color=black"] if plan.picture != plan.canvas else []
    return [*bars, "setsar=1", _TAGS]


def _wide(plan: MoviePlan) -> list[str]:
    """BT.2020 and high dynamic range to BT.709. Scaled before, because floats cost four times the memory.

    Tone mapping is done in linear light: Mobius' curve keeps what is darker than a third of white as it is, and rolls
    off the rest.
    """
    colour = plan.colour
    size = f"scale={plan.picture.width}:{plan.picture.height}:flags=bicubic+{_EXACT}"
    planar = colour.matrix is None or colour.alpha
    matrix = "gbr" if planar else "2020_ncl" if colour.matrix == "bt2020" else "709"
    spread = "full" if planar or plan.video.colour.range == "pc" else "limited"
    read = (
        f"zscale=transferin={colour.hdr or 709}:primariesin={2020 if colour.wide else 709}"
        f":matrixin={matrix}:rangein={spread}"
    )
    written = "transfer=709:matrix=709:range=limited"
    if colour.hdr:
        light = [
            f"{read}:transfer=linear:npl={_HDR_WHITE}",
            "format=gbrpf32le",
            "zscale=primaries=709",
            f"tonemap=mobius:peak={_HDR_PEAK:.3f}:desat=0",
            f"zscale={written}",
        ]
    else:
        light = [f"{read}:primaries=709:{written}"]
    return [*(["format=gbrp16le"] if planar else []), size, *light, "format=yuv420p"]


def _scale_to(size: Size) -> str:
    return f"scale={size.width}:{size.height}:flags=bicubic,setsar=1"


def _tile(plan: MoviePlan) -> str:
    tile = plan.tile
    every = f"select='not(mod(n,{tile.every}))'," if tile.every > 1 else ""
    scale = f"scale={tile.cell.width}:{tile.cell.height}:flags=bicubic:{_TO_RGB},format=rgb24"
    return f"[cells]{every}{scale},tile={tile.columns}x{tile.rows}[tile]"


def _audio(plan: MoviePlan, copies: int) -> str:
    """Stereo for each movie, exactly as long as the video: cut, or filled with silence, or silence alone.

    The video begins at 0, so the audio moves by as much as the video did; what then lies before 0 is cut, and a
    later start or a gap is filled.
    """
    end = f"atrim=end={float(plan.duration):.6f}"
    labels = "".join(f"[a{number}]" for number in range(copies))
    audio = plan.audio
    if audio is None:
        return f"anullsrc=r={AUDIO_RATE}:cl=stereo,{end},asplit={copies}{labels}"
    start = plan.video.cadence.start
    filters = [
        f"asetpts=PTS-({start.numerator}/{start.denominator})/TB",
        # Channels without speakers have no rule of mixing: the first two are left and right.
        *(["pan=stereo|c0=c0|c1=c1"] if audio.layout is None and audio.channels > 2 else []),
        f"aresample={AUDIO_RATE}:async=1:first_pts=0",
        "aformat=sample_fmts=fltp:channel_layouts=stereo",
        "apad",
        end,
    ]
    return f"[0:{audio.index}]{','.join(filters)},asplit={copies}{labels}"


def _movie_output(plan: MoviePlan, h264: H264, number: int, limits: Limits, name: str) -> list[str]:
    threads = ["-threads", str(limits.threads)] if limits.threads else []
    return [
        *("-map", f"[v{number}]", "-map", f"[a{number}]"),
        *(COUNTING if number == 0 else ()),
        *("-map_metadata", "-1", "-map_chapters", "-1"),
        *("-c:v", "libx264", "-preset", h264.preset.value, "-x264-params", h264.parameters, *threads),
        *("-b:v", str(h264.bits_per_second), "-maxrate", str(h264.bits_per_second), "-bufsize", str(h264.vbv_bits)),
        *("-pix_fmt", "yuv420p", "-fps_mode", "passthrough"),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
        *AAC,
        *("-movflags", "+faststart", "-f", "mp4", name),
    ]
