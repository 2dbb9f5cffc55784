"""The settings of the bridge to Kitsu."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FilePath, SecretStr, model_validator
from rushes_runtime.settings import RuntimeSettings, Seconds, UnreadableSecretError, read_secret, refuse_both
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

JobName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Port = Annotated[int, Field(ge=0, le=65535)]


class KitsuSettings(RuntimeSettings):
    """What `rushes-kitsu` needs."""

    nomad_host: str = Field("127.0.0.1", description="Address on which Zou's calls are answered.")
    nomad_port: Port = Field(4646, description="Its port: Zou calls 4646, unless `NOMAD_ADDR` tells it another.")
    nomad_token: SecretStr | None = Field(
        None, description="What Zou must show as `X-Nomad-Token` (its `NOMAD_TOKEN`); default: anybody may call."
    )
    nomad_token_file: FilePath | None = Field(None, description="File that holds it instead, read for each call.")
    nomad_tls_certfile: FilePath | None = Field(None, description="Certificate (PEM): answer by HTTPS only.")
    nomad_tls_keyfile: FilePath | None = Field(None, description="Its key (PEM).")
    nomad_tls_client_cafile: FilePath | None = Field(
        None, description="Authorities (PEM), one of which must have signed Zou's `NOMAD_CLIENT_CERT`."
    )
    nomad_linger: Annotated[float, Field(ge=0, le=600)] = Field(
        10, description="Seconds after SIGTERM that calls are still answered, until the network has turned away."
    )
    normalize_job: JobName = Field(
        "rushes-normalize", description="Name of the job that is served: Zou's `JOB_QUEUE_NOMAD_NORMALIZE_JOB`."
    )
    playlist_job: JobName | Literal[""] = Field(
        "zou-playlist",
        description="Name of the job that builds playlists: Zou's `JOB_QUEUE_NOMAD_PLAYLIST_JOB`. `rushes-kitsu build` "
        "does the work. Empty: passed on.",
    )
    tile_job: JobName | Literal[""] = Field(
        "rushes-tile",
        description="Name of the job that builds missing tiles: Zou's `JOB_QUEUE_NOMAD_TILE_JOB`. As above.",
    )
    pass_on_to: Annotated[str, Field(pattern=r"^https?://[^/]+$")] | None = Field(
        None, description="Nomad that gets all other jobs, `http://host:4646`; default: they are refused."
    )
    zou_endpoints: str = Field(
        "",
        description="What Zou may call the main store, by commas: its `FS_S3_ENDPOINT` or `FS_SWIFT_AUTHURL`; "
        "default: `STORE__ENDPOINT_URL`.",
    )
    zou_preview_folder: Path | None = Field(
        None, description="With a local store: the folder as Zou names it (`PREVIEW_FOLDER`); default: `STORE__ROOT`."
    )

    zou_database_url: SecretStr | None = Field(
        None,
        description="Zou's database, `postgresql+asyncpg://user:password@host:port/zoudb`; only read. For `import`; "
        "for `serve`, which learns projects and names from it; for `follow`, which tells Rushes of pictures, files and "
        "deletions that Zou handled itself.",
    )
    zou_database_url_file: FilePath | None = Field(None, description="File that holds it instead.")

    zou_url: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        None, description="For `follow`: Zou's API, such as `https://kitsu.studio/api`."
    )
    zou_token: SecretStr | None = Field(
        None, description="For `follow`: a token of Zou's for a user, such as a bot, that may change previews."
    )
    zou_token_file: FilePath | None = Field(None, description="File that holds it instead, read for each call.")
    follow_interval: Seconds = Field(10, description="For `follow`: seconds between looks.")
    follow_patience: Seconds = Field(
        3600,
        description="For `follow`: seconds after its end that a movie may still be `processing` in Zou, which is its "
        "`JOB_QUEUE_TIMEOUT`; then it is set right.",
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.nomad_tls_certfile is None) != (self.nomad_tls_keyfile is None):
            msg = "NOMAD_TLS_CERTFILE and NOMAD_TLS_KEYFILE go together"
            raise ValueError(msg)
        if self.nomad_tls_client_cafile and not self.nomad_tls_certfile:
            msg = "NOMAD_TLS_CLIENT_CAFILE needs NOMAD_TLS_CERTFILE and NOMAD_TLS_KEYFILE"
            raise ValueError(msg)
        served = [name for name in (self.normalize_job, self.playlist_job, self.tile_job) if name]
        if len(set(served)) < len(served):
            msg = "NORMALIZE_JOB, PLAYLIST_JOB and TILE_JOB must be three names"
            raise ValueError(msg)
        refuse_both(self, "nomad_token", "zou_database_url", "zou_token")
        return self

    def read_nomad_token(self) -> str | None:
        """The token as it is now; None: anybody may call.

        Raises:
            UnreadableSecretError: its file cannot be read, or is empty.
        """
        return read_secret(self.nomad_token, self.nomad_token_file)

    def read_zou_database_url(self) -> URL | None:
        """The address of Zou's database; None: it was not given.

        Raises:
            UnreadableSecretError: its file cannot be read, or it is no address.
        """
        held = read_secret(self.zou_database_url, self.zou_database_url_file)
        try:
            url = make_url(held) if held else None
        except (ArgumentError, ValueError):  # its own words may hold a part of the password
            url = None
        if held and (url is None or url.drivername != "postgresql+asyncpg"):
            raise UnreadableSecretError(
                "ZOU_DATABASE_URL is no address like postgresql+asyncpg://user:password@host/zoudb"
            )
        return url

    def read_zou_token(self) -> str | None:
        """The token for Zou's API as it is now; None: it was not given.

        Raises:
            UnreadableSecretError: its file cannot be read, or is empty.
        """
        return read_secret(self.zou_token, self.zou_token_file)

    def store_names(self) -> frozenset[str]:
        """What Zou may call the main store; empty for AWS's own endpoint."""
        named = [name for name in self.zou_endpoints.split(",") if name.strip()]
        own = [self.store.endpoint_url] if self.store.endpoint_url else []
        return frozenset(endpoint_name(name) for name in named or own)


def endpoint_name(url: str) -> str:
    """An endpoint in one spelling, so that two can be compared."""
    return url.strip().rstrip("/").lower()
