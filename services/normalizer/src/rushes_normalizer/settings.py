"""The normalizer's settings."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator
from rushes_runtime.fairness import Fairness
from rushes_runtime.ledger import Takes
from rushes_runtime.settings import DatabaseClientSettings, RuntimeSettings, Seconds
from rushes_schemas.encoding import Bitrate, Rate, X264Preset

from rushes_normalizer.absences import FloodLimits
from rushes_normalizer.kinds import UploadKind, kind_of
from rushes_normalizer.media.defaults import EncodingDefaults
from rushes_normalizer.media.limits import Limits
from rushes_normalizer.sizing import LargeFrom, SizeCheck

Extensions = Annotated[str, Field(pattern=r"^[a-z0-9]{1,6}(,[a-z0-9]{1,6})*$")]


class AbsenceSettings(DatabaseClientSettings):
    """What is still no flood of absences."""

    absence_flood_number: Annotated[int, Field(ge=0)] = Field(
        100, description="Sources that may be absent within the window, however large their share."
    )
    absence_flood_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Share of the sources looked at (0 to 1) that may be absent, however large their number."
    )
    absence_flood_window: Seconds = Field(3600, description="Seconds that absences count towards a flood.")

    def flood_limits(self) -> FloodLimits:
        """What is still no flood."""
        return FloodLimits(self.absence_flood_number, self.absence_flood_share, float(self.absence_flood_window))


class NormalizerSettings(RuntimeSettings, AbsenceSettings):
    """What the normalizer needs."""

    movie_extensions: Extensions = Field(
        "mp4,mov,m4v,avi,mkv,webm,wmv",
        description="Uploads that are movies; others are pictures or plain files.",
    )
    picture_extensions: Extensions = Field(
        "png,jpg,jpeg,jpe",
        description="Uploads to make pictures of; other files are kept as they are. "
        "Add any of gif, webp, tif, tiff, psd, exr, hdr.",
    )
    default_fps: Rate | None = Field(
        None, description="Output rate of every movie without a rate of its own; default: the source's."
    )
    default_height: Annotated[int, Field(ge=2, le=8192)] = Field(1080, description="Canvas height in pixels.")
    highdef_bitrate: Bitrate = Field("28M", description="Target and cap of the high definition movie, bits a second.")
    lowdef_bitrate: Bitrate = Field("6M", description="Target and cap of the low definition movie, bits a second.")
    preset: X264Preset | None = Field(None, description="x264 preset; default: a tuning for keyframes every 2 frames.")
    vbv_bufsize_factor: Annotated[float, Field(gt=0, le=10)] = Field(
        2.0, description="VBV buffer in seconds of bitrate."
    )
    max_source_bytes: Annotated[int, Field(ge=1)] = Field(
        107_374_182_400, description="Bytes of the largest upload that is read."
    )
    max_duration: Seconds = Field(14_400, description="Seconds of the longest movie that is encoded.")
    max_frames: Annotated[int, Field(ge=1)] = Field(500_000, description="Frames of the longest movie.")
    max_streams: Annotated[int, Field(ge=1)] = Field(100, description="Streams of one movie, of every kind.")
    max_frame_hold: Seconds = Field(
        60, description="Seconds that one frame may stand in a movie of variable rate; it is repeated at the output's."
    )
    max_pixels: Annotated[int, Field(ge=4)] = Field(100_000_000, description="Pixels of the largest frame or picture.")
    max_output_bytes: Annotated[int, Field(ge=1_000_000)] = Field(
        107_374_182_400, description="Bytes of one file that an ffmpeg writes."
    )
    max_cpu_seconds: Annotated[int, Field(ge=1)] = Field(
        86_400, description="Seconds of processor time of one ffmpeg, all its threads together."
    )
    timeout_floor: Seconds = Field(1800, description="Seconds that each ffmpeg gets, however short its movie is.")
    timeout_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        120, description="Seconds that an ffmpeg gets for each second of a movie, if that is more."
    )
    require_sandbox: bool = Field(
        False, description="Refuse to start workers where the kernel cannot confine ffmpeg (Landlock and seccomp)."
    )
    verify: Literal["standard", "full"] = Field(
        "standard", description="Movies decoded whole before `ready`: low definition, or with `full` both."
    )
    ffmpeg: str | None = Field(None, description="Path of ffmpeg; default: the wheel's, else the PATH's.")
    ffprobe: str | None = Field(None, description="Path of ffprobe; default: the wheel's, else the PATH's.")
    ffmpeg_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        0, description="Threads of each decoder, encoder and picture; 0 takes what the machine has."
    )
    ffmpeg_memory: Annotated[int, Field(ge=268_435_456)] = Field(
        8_589_934_592, description="Bytes of address space of one ffmpeg, or of one child that draws pictures."
    )
    takes: Takes = Field(
        Takes.ALL,
        description="Jobs that a worker takes: `all`, those on `large` sources, or the `ordinary` ones. Jobs on large "
        "sources that no worker takes wait.",
    )
    large_from_bytes: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Bytes from which on a source is large; default: none is, however many it has."
    )
    large_from_pixels: Annotated[int, Field(ge=4)] | None = Field(
        None,
        description="Pixels from which on a movie's frame makes its source large (7000000 for 4K); default: none does.",
    )
    missing_confirm_after: Seconds = Field(60, description="Seconds between the two looks that prove a source missing.")
    keep_playable: bool = Field(
        False, description="A failed renormalization leaves a preview ready if all its outputs still exist."
    )
    single_offset: Seconds = Field(3600, description="Seconds that uploads may overtake a single request.")
    bulk_offset: Seconds = Field(86_400, description="Seconds that other work may overtake a bulk request.")
    project_step: Seconds = Field(
        30,
        description="Seconds that a job is ranked behind the last waiting one of its project and priority, so that "
        "jobs of others come between; the longer a project's queue, the less.",
    )
    project_delay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        3600,
        description="Seconds that a job may be ranked behind its own time for that, at most, and never so many that "
        "requests of a lower priority come before it; 0: oldest first, whatever the project.",
    )
    operations_attention: bool = Field(
        False, description="Serve `GET /attention` on the operations port, to everybody who reaches it; it only reads."
    )
    purge_after: Seconds = Field(
        604_800, description="Seconds after a deletion that the preview's outputs go; until then it may come back."
    )
    purges_per_minute: Annotated[int, Field(ge=1, le=100_000)] = Field(
        60, description="Deleted previews whose outputs go in any minute, at most."
    )
    tombstone_after: Seconds = Field(
        604_800, description="Seconds after a deletion that its tombstone follows on `status-changed`."
    )

    def kind(self, extension: str) -> UploadKind:
        """What is made of an upload, by its extension."""
        return kind_of(
            extension,
            movies=frozenset(self.movie_extensions.split(",")),
            pictures=frozenset(self.picture_extensions.split(",")),
        )

    def encoding_defaults(self) -> EncodingDefaults:
        """What `Encoding` leaves out."""
        return EncodingDefaults(
            fps=Fraction(self.default_fps) if self.default_fps else None,
            height=self.default_height,
            highdef_bitrate=self.highdef_bitrate,
            lowdef_bitrate=self.lowdef_bitrate,
            vbv_bufsize_factor=self.vbv_bufsize_factor,
            preset=self.preset,
        )

    @model_validator(mode="after")
    def _sizes_are_told_apart(self) -> NormalizerSettings:
        if self.takes is not Takes.ALL and self.large_from_bytes is None and self.large_from_pixels is None:
            msg = f"TAKES is {self.takes.value}, but neither LARGE_FROM_BYTES nor LARGE_FROM_PIXELS says what is large"
            raise ValueError(msg)
        return self

    def large_from(self) -> LargeFrom:
        """From what on a source is large."""
        return LargeFrom(self.large_from_bytes, self.large_from_pixels)

    def size_check(self) -> SizeCheck:
        """What a worker does not begin."""
        return SizeCheck(self.takes, self.large_from())

    def fairness(self) -> Fairness:
        """How projects take turns; a job that stands back for others still comes before the next lane's."""
        room = min(self.project_delay, self.single_offset, max(0.0, self.bulk_offset - self.single_offset))
        return Fairness(timedelta(seconds=self.project_step), timedelta(seconds=room))

    def limits(self) -> Limits:
        """What a source may cost."""
        return Limits(
            max_source_bytes=self.max_source_bytes,
            max_pixels=self.max_pixels,
            max_duration_seconds=Fraction(self.max_duration),
            max_frames=self.max_frames,
            max_streams=self.max_streams,
            max_hold_seconds=Fraction(self.max_frame_hold),
            max_memory_bytes=self.ffmpeg_memory,
            max_output_bytes=self.max_output_bytes,
            max_cpu_seconds=self.max_cpu_seconds,
            timeout_floor_seconds=self.timeout_floor,
            timeout_per_second=self.timeout_per_second,
            threads=self.ffmpeg_threads,
        )
