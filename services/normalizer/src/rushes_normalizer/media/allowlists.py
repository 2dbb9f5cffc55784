"""What of an upload ffmpeg and ffprobe may read: which protocols, which containers, which codecs.

Not a filter of taste: each demuxer and each decoder is code that meets hostile bytes. What review uploads use is
read; the formats of old games and of other people's formats of formats are not, and MagicYUV is not
(CVE-2026-8461).
"""

from __future__ import annotations

from typing import Final

# What is absent is absent on purpose: playlists and lists of files (hls, dash, concat, sdp, image2) read other files
# or the network, and some demuxers (tty) take any text for a movie.
CONTAINERS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "avi",
    "mxf",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "m4v",
    "h264",
    "hevc",
    "obu",
    "ivf",
    "mjpeg",
    "flv",
    "asf",
    "ogg",
    "nut",
    "dv",
    "gxf",
    "gif",
    "apng",
    "yuv4mpegpipe",
)

_DELIVERY: Final = ("h264", "hevc", "av1", "vp8", "vp9", "theora", "mpeg1video", "mpeg2video", "mpeg4", "h263", "flv1")
_WINDOWS: Final = ("wmv1", "wmv2", "wmv3", "vc1", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3")
_EDITING: Final = ("prores", "dnxhd", "cfhd", "dvvideo", "mjpeg", "mjpegb", "jpeg2000", "hap", "qtrle", "svq3")
_UNCOMPRESSED: Final = ("rawvideo", "v210", "v308", "v408", "v410", "r10k", "r210", "yuv4")
_LOSSLESS: Final = ("ffv1", "huffyuv", "ffvhuff", "utvideo")
_PICTURES: Final = ("png", "apng", "gif", "exr", "dpx", "tiff", "targa", "bmp", "webp")
_SOUND: Final = (
    *("aac", "aac_latm", "mp1", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "mlp"),
    *("opus", "vorbis", "flac", "alac", "wavpack", "speex", "amr_nb", "amr_wb"),
    *("wmav1", "wmav2", "wmapro", "wmalossless", "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "s302m"),
    *("pcm_s8", "pcm_u8", "pcm_s8_planar", "pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd"),
    *(f"pcm_{sign}{bits}{order}" for sign in "su" for bits in (16, 24, 32) for order in ("le", "be")),
    *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_s64le", "pcm_s64be"),
    *("pcm_s16le_planar", "pcm_s16be_planar", "pcm_s24le_planar", "pcm_s32le_planar"),
)
# Not shown, but ffprobe refuses a whole file for a subtitle that it may not open.
_SUBTITLES: Final = (
    *("mov_text", "subrip", "ass", "text", "webvtt", "eia_608"),
    *("dvd_subtitle", "dvb_subtitle", "hdmv_pgs_subtitle"),
)

# Names of codecs, as ffprobe tells them.
CODECS: Final = frozenset(
    (*_DELIVERY, *_WINDOWS, *_EDITING, *_UNCOMPRESSED, *_LOSSLESS, *_PICTURES, *_SOUND, *_SUBTITLES)
)
# Decoders of these codecs that go by another name.
_OTHER_NAMES: Final = (
    *("libdav1d", "libaom-av1", "libvpx", "libvpx-vp9", "flv", "msmpeg4", "mpegvideo"),
    *("mp1float", "mp2float", "mp3float", "dca", "libopus", "libvorbis", "amrnb", "amrwb", "libopencore_amrnb"),
    *("libopencore_amrwb", "srt", "ssa", "cc_dec", "dvdsub", "dvbsub", "pgssub"),
)
DECODERS: Final = (*sorted(CODECS), *_OTHER_NAMES)

# Options before an input that let it be one local file of these formats, whatever that file says.
CONFINED: Final = (
    *("-protocol_whitelist", "file"),
    *("-format_whitelist", ",".join(CONTAINERS)),
    *("-codec_whitelist", ",".join(DECODERS)),
)
