"""The front of the media engine: from a source to verified outputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rushes_runtime.together import together
from rushes_schemas.encoding import Encoding
from rushes_schemas.outputs import ObjectKind

from rushes_normalizer import metrics
from rushes_normalizer.media import command
from rushes_normalizer.media.blame import blame
from rushes_normalizer.media.command import movie_command
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.media.plan import MoviePlan, Size, plan_movie
from rushes_normalizer.media.probe import probe
from rushes_normalizer.media.process import ChildError, run
from rushes_normalizer.media.source_length import check_length
from rushes_normalizer.media.stages import Progress, Report, Stage
from rushes_normalizer.media.stills import NAMES, picture_sizes
from rushes_normalizer.media.tools import Tools
from rushes_normalizer.media.uploaded_picture import draw_pictures
from rushes_normalizer.media.verify import check_decoded, verify_by_decoding, verify_movie, verify_pictures

__all__ = ["Made", "MadeOutput", "MediaFacts", "Progress", "Stage", "make_movie", "make_picture"]


@dataclass(frozen=True)
class MadeOutput:
    """One output file."""

    kind: ObjectKind
    path: Path


@dataclass(frozen=True)
class MediaFacts:
    """What the outputs are.

    Attributes:
        width: of the high definition movie (of the low definition one if there is no other), or of the picture.
        height: the same.
        duration_seconds: of each movie; 0 for a picture.
        fps: output frames a second as `numerator/denominator`; empty for a picture.
        frame_count: frames of each movie; 1 for a picture.
        source_fps: the source's rate, or its average if it varies; empty for a picture.
        frames_duplicated: output frames that repeat the one before, because the rate changed.
        frames_dropped: source frames that no output shows, because the rate changed.
    """

    width: int
    height: int
    duration_seconds: float
    fps: str
    frame_count: int
    source_fps: str
    frames_duplicated: int
    frames_dropped: int


@dataclass(frozen=True)
class Made:
    """Verified outputs, and what they are."""

    outputs: tuple[MadeOutput, ...]
    facts: MediaFacts


async def make_movie(
    tools: Tools,
    source: Path,
    scratch: Path,
    *,
    encoding: Encoding,
    defaults: EncodingDefaults,
    limits: Limits,
    progress: Progress,
    decode_all: bool = False,
    frame_is: Callable[[int, int], None] = lambda _width, _height: None,
) -> Made:
    """Make both movies, the four pictures and the contact sheet of a movie.

    With `encoding.skip_normalization` the source itself is the high definition output, and there is no low
    definition. Cancelling ends all children before it returns; files already made stay in `scratch`.

    Args:
        source: a local file; only read.
        scratch: an empty folder of this job; outputs are written here.
        progress: called with the stage and the fraction of the whole job, 0 to 1, never falling. A watchdog may
            count on it: it is called some times a second for as long as frames are found, encoded or decoded.
        frame_is: called once with the width and height of the source's frames, before anything is encoded; what it
            raises goes on.
        decode_all: prove high definition by decoding it whole, too; low definition always is.

    Raises:
        MediaError: with the failure code that follows.
    """
    report = Report(progress)
    report.at(Stage.PROBING)
    facts = await probe(tools, source, scratch, limits, on_frame=lambda: report.at(Stage.PROBING))
    frame_is(facts.video.width, facts.video.height)
    plan = plan_movie(facts, encoding, defaults, limits)
    await _encode(tools, plan, source, scratch, limits, report)

    report.at(Stage.VERIFYING)
    movies = _movies(plan, scratch)
    sizes = picture_sizes(plan.still, limits)
    pictures = {scratch / NAMES[kind]: size for kind, size in sizes.items()}
    await together(
        verify_pictures({**pictures, scratch / command.TILE: plan.tile.size}),
        *(verify_movie(tools, movie.path, _size_of(movie, plan), plan, scratch, limits) for movie in movies),
        *(
            verify_by_decoding(
                tools, movie.path, plan, scratch, limits, on_line=_counter(report, Stage.VERIFYING, plan)
            )
            for movie in (movies if decode_all else movies[-1:])
        ),
    )
    if not movies:
        movies = [MadeOutput(ObjectKind.HIGH_DEFINITION, source)]
    report.at(Stage.VERIFYING, 1.0)
    stills = (MadeOutput(kind, scratch / NAMES[kind]) for kind in sizes)
    return Made((*movies, *stills, MadeOutput(ObjectKind.TILE, scratch / command.TILE)), _facts_of(plan))


async def make_picture(
    source: Path,
    scratch: Path,
    *,
    keep_original: bool,
    limits: Limits,
    progress: Progress,
) -> Made:
    """Make the four pictures of an uploaded one; of an animation or a document, those of its first frame or page.

    Args:
        source: a local PNG, JPEG, GIF, WebP, TIFF, PSD, OpenEXR or Radiance HDR; only read.
        scratch: an empty folder of this job; outputs are written here.
        keep_original: the upload serves as the original picture, so that one is not made.
        progress: as for `make_movie`.

    Raises:
        MediaError: with the failure code that follows.
    """
    report = Report(progress)
    report.at(Stage.PROBING)
    check_length(source, limits)
    report.at(Stage.PICTURES)
    size = await draw_pictures(source, scratch, keep_original=keep_original, limits=limits)
    report.at(Stage.VERIFYING)
    wanted = picture_sizes(size, limits, keep_original=keep_original)
    await verify_pictures({scratch / NAMES[kind]: each for kind, each in wanted.items()})
    report.at(Stage.VERIFYING, 1.0)
    pictures = tuple(MadeOutput(kind, scratch / NAMES[kind]) for kind in wanted)
    return Made(pictures, MediaFacts(size.width, size.height, 0.0, "", 1, "", 0, 0))


async def _encode(tools: Tools, plan: MoviePlan, source: Path, scratch: Path, limits: Limits, report: Report) -> None:
    report.at(Stage.ENCODING)
    count = _counter(report, Stage.ENCODING, plan)
    arguments = movie_command(plan, source, limits)
    began = time.monotonic()
    try:
        log = await run(
            [str(tools.ffmpeg), *arguments],
            scratch=scratch,
            limits=limits,
            reads=[source],
            duration=plan.duration,
            on_line=count,
        )
    except ChildError as failed:
        raise blame(failed, "the encode") from failed
    metrics.ENCODE_SPEED.observe(float(plan.duration) / max(0.001, time.monotonic() - began))
    check_decoded(log, plan)


def _counter(report: Report, stage: Stage, plan: MoviePlan) -> Callable[[str], None]:
    """Turns the lines of `command.COUNTING` into progress of a stage."""
    return lambda line: report.at(stage, (int(line) + 1) / plan.frame_count)


def _movies(plan: MoviePlan, scratch: Path) -> list[MadeOutput]:
    movies = []
    if plan.highdef is not None:
        movies.append(MadeOutput(ObjectKind.HIGH_DEFINITION, scratch / command.HIGH_DEFINITION))
    if plan.lowdef is not None:
        movies.append(MadeOutput(ObjectKind.LOW_DEFINITION, scratch / command.LOW_DEFINITION))
    return movies


def _size_of(movie: MadeOutput, plan: MoviePlan) -> Size:
    settings = plan.highdef if movie.kind is ObjectKind.HIGH_DEFINITION else plan.lowdef
    assert settings is not None
    return settings.size


def _facts_of(plan: MoviePlan) -> MediaFacts:
    source_rate = plan.video.cadence.rate
    return MediaFacts(
        width=plan.still.width,
        height=plan.still.height,
        duration_seconds=float(plan.duration),
        fps=f"{plan.rate.numerator}/{plan.rate.denominator}",
        frame_count=plan.frame_count,
        source_fps=f"{source_rate.numerator}/{source_rate.denominator}",
        frames_duplicated=plan.retiming.duplicated,
        frames_dropped=plan.retiming.dropped,
    )
