"""Settings: one typed model per service, read from the environment, refused all at once in plain words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]


def _asyncpg_url(url: str | None) -> str:
    try:
        driver = make_url(url or "").drivername
    except (ArgumentError, ValueError):  # its own words may hold a part of the password
        driver = "nothing"
    if not url or driver != "postgresql+asyncpg":
        msg = f"an address is postgresql+asyncpg://user:password@host:port/database; this one names {driver}"
        raise ValueError(msg)
    return url


class SettingsError(Exception):
    """Settings that cannot be used; the text has one line per wrong value."""


_TWO_WAYS: Final = "{0} and {0}_FILE are two ways to give one secret: give one of them"


class UnreadableSecretError(OSError, ValueError):
    """A file that holds a secret cannot be read, or holds none; the text names the file, never what it holds."""


def read_secret(value: SecretStr | str | None, file: Path | None) -> str | None:
    """A secret as it is now: the value, or what its file holds at this moment, without spaces around it.

    Raises:
        UnreadableSecretError: it stands in a file that cannot be read or is empty.
    """
    if file is None:
        return value.get_secret_value() if isinstance(value, SecretStr) else value
    try:
        held = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableSecretError(f"{file}: {type(error).__name__}") from None
    if not held:
        raise UnreadableSecretError(f"{file} is empty")
    return held


def refuse_both(settings: BaseModel, *names: str) -> None:
    """Refuse secrets of a model that are given as a value and as a file at once.

    Raises:
        ValueError: names the first of them.
    """
    for name in names:
        if getattr(settings, name) is not None and getattr(settings, f"{name}_file") is not None:
            raise ValueError(_TWO_WAYS.format(name.upper()))


class KafkaSettings(BaseModel):
    """How to reach the brokers."""

    bootstrap_servers: str = Field(description="Brokers to start from, `host:port,host:port`.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How the connection is secured."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="With a SASL protocol: the mechanism."
    )
    sasl_username: str | None = Field(None, description="With a SASL protocol: the user.")
    sasl_password: SecretStr | None = Field(None, description="With a SASL protocol: the password.")
    sasl_password_file: FilePath | None = Field(
        None, description="File that holds the password instead; a new one is taken up without a restart."
    )
    ssl_cafile: FilePath | None = Field(
        None, description="File of the authorities to trust (PEM); of this and the next two, new ones are taken up too."
    )
    ssl_certfile: FilePath | None = Field(None, description="Client certificate (PEM).")
    ssl_keyfile: FilePath | None = Field(None, description="Key of the client certificate (PEM).")
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,60}$", description="Put before each topic's name.")
    check_crcs: bool = Field(True, description="Verify checksums of fetched batches.")
    batch_records: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1000, description="Records taken in by one database transaction, at most."
    )
    max_poll_interval: Seconds = Field(
        300, description="Seconds between two polls after which the broker takes a consumer for dead."
    )
    session_timeout: Seconds = Field(
        10,
        description="Seconds without a heartbeat after which the broker takes a consumer for dead; "
        "a broker refuses less than its `group.min.session.timeout.ms` (6 s by default).",
    )

    @model_validator(mode="after")
    def _credentials_with_sasl(self) -> KafkaSettings:
        refuse_both(self, "sasl_password")
        password = self.sasl_password or self.sasl_password_file
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and password):
            msg = "a SASL protocol needs KAFKA__SASL_USERNAME and KAFKA__SASL_PASSWORD or KAFKA__SASL_PASSWORD_FILE"
            raise ValueError(msg)
        return self

    def read_sasl_password(self) -> str | None:
        """The password as it is now.

        Raises:
            UnreadableSecretError: its file cannot be read.
        """
        return read_secret(self.sasl_password, self.sasl_password_file)


class StoreSettings(BaseModel):
    """One place that holds objects: an S3 endpoint or a local folder."""

    kind: Literal["s3", "local"] = Field(description="`s3` or `local`.")
    root: Path | None = Field(None, description="With `local`: the folder.")
    endpoint_url: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        None, description="With `s3`: the endpoint, `http://…` or `https://…`; default: AWS."
    )
    region: str = Field("us-east-1", description="With `s3`: the region.")
    access_key_id: str | None = Field(None, description="With `s3`: default: the AWS credential chain.")
    access_key_id_file: FilePath | None = Field(None, description="File that holds it instead, read for each request.")
    secret_access_key: SecretStr | None = Field(None, description="With `s3`: goes with `access_key_id`.")
    secret_access_key_file: FilePath | None = Field(
        None, description="File that holds it instead, read for each request."
    )
    bucket_prefix: str = Field(
        "", pattern=r"^[a-z0-9.-]{0,40}$", description="Put before `movies`, `pictures` and `files`."
    )
    connect_timeout: Seconds = Field(5, description="Seconds to wait for a connection.")
    read_timeout: Seconds = Field(60, description="Seconds to wait for the next bytes.")
    conditions: Literal["kept", "looked_at"] = Field(
        "kept",
        description="With `s3`: whether the endpoint keeps the conditions of writes (`kept`; one that doesn't refuses "
        "to start), or Rushes looks right before each write (`looked_at`; docs/stores.md says what that leaves open).",
    )

    @model_validator(mode="after")
    def _complete(self) -> StoreSettings:
        if self.kind == "local" and self.root is None:
            msg = "a local store needs its ROOT folder"
            raise ValueError(msg)
        refuse_both(self, "access_key_id", "secret_access_key")
        key_id = self.access_key_id or self.access_key_id_file
        if (key_id is None) != ((self.secret_access_key or self.secret_access_key_file) is None):
            msg = "ACCESS_KEY_ID and SECRET_ACCESS_KEY, or their files, go together"
            raise ValueError(msg)
        return self

    def read_access_key(self) -> tuple[str, str] | None:
        """Id and secret of the access key as they are now; None: the AWS credential chain is to be asked.

        Files that are replaced between the one and the other are read again, so that both are of one key.

        Raises:
            UnreadableSecretError: a file cannot be read.
        """
        key_id = read_secret(self.access_key_id, self.access_key_id_file)
        while True:
            key = read_secret(self.secret_access_key, self.secret_access_key_file)
            again = read_secret(self.access_key_id, self.access_key_id_file)
            if key_id is None or key is None:
                return None
            if again == key_id:
                return key_id, key
            key_id = again


class CommandSettings(BaseSettings):
    """What every command needs. Environment variables are the field names in upper case, `__` for a dot."""

    model_config = SettingsConfigDict(env_nested_delimiter="__", extra="ignore", frozen=True)

    instance: Name = Field(
        "rushes",
        description="Binds database, store and consumer groups together; a mismatch refuses to start.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level to log.")
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="`auto` is text in a terminal, JSON elsewhere."
    )


class DatabaseClientSettings(CommandSettings):
    """What a command needs that talks to the database alone."""

    database_url_file: FilePath | None = Field(
        None, description="File that holds `DATABASE_URL` instead, read for each new connection."
    )
    database_url: SecretStr | None = Field(
        None,
        validate_default=True,
        description="`postgresql+asyncpg://user:password@host:port/database`; **required**, unless its file is given.",
    )
    database_pool_size: Annotated[int, Field(ge=2, le=100)] = Field(10, description="Connections, at most.")

    @field_validator("database_url")
    @classmethod
    def _one_address(cls, url: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """One of the two gives an address. A check of this field alone is heard with all else that is wrong."""
        if "database_url_file" not in info.data:  # that one was refused itself
            return url
        file: Path | None = info.data["database_url_file"]
        if url is None and file is None:
            raise PydanticCustomError("missing", "is not set")
        if url is not None and file is not None:
            raise ValueError(_TWO_WAYS.format("DATABASE_URL"))
        _asyncpg_url(read_secret(url, file))
        return url

    def read_database_url(self) -> str:
        """The address as it is now.

        Raises:
            UnreadableSecretError: its file cannot be read, or holds no address.
        """
        try:
            return _asyncpg_url(read_secret(self.database_url, self.database_url_file))
        except ValueError as error:
            raise UnreadableSecretError(f"{self.database_url_file}: {error}") from None


class KafkaClientSettings(CommandSettings):
    """What a command needs that talks to Kafka alone."""

    kafka: KafkaSettings


class RequestSettings(KafkaClientSettings, DatabaseClientSettings):
    """What a command needs that looks into the database and sends events."""


class OperationsSettings(CommandSettings):
    """What every process needs that runs until it is told to stop."""

    operations_host: str = Field("127.0.0.1", description="Address of `/metrics`, `/livez`, `/readyz`, `/startupz`.")
    operations_port: Port = Field(9090, description="Its port; 0 picks a free one.")


class ExposureSettings(CommandSettings):
    """What every process needs that tells API consumers of statuses."""

    expose_missing: bool = Field(False, description="Show API consumers `missing`; off, they see `broken`.")


class RuntimeSettings(OperationsSettings, ExposureSettings, RequestSettings):
    """What every service needs."""

    store: StoreSettings = Field(description="The main store: where uploads come and outputs go.")
    scratch: Path = Field(Path("/tmp/rushes"), description="Folder for files in work; emptied of leftovers.")  # noqa: S108
    slots: Annotated[int, Field(ge=1, le=64)] = Field(2, description="Jobs that a worker process runs at once.")
    lease: Seconds = Field(60, description="Seconds without a renewal after which a worker's job is another's.")
    heartbeat: Seconds = Field(5, description="Seconds between renewals.")
    poll_interval: Seconds = Field(0.5, description="Seconds between looks into the ledger and the outbox.")
    stall_timeout: Seconds = Field(300, description="Seconds without progress after which an attempt ends.")
    attempt_timeout: Seconds = Field(14_400, description="Seconds after which an attempt ends in any case.")
    drain_budget: Seconds = Field(600, description="Seconds that running jobs get to end at a shutdown.")
    retry_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        8, description="Attempts with a transient failure before a job ends."
    )
    retry_age: Seconds = Field(86_400, description="Seconds after its request that a job is still tried again.")
    retry_first_wait: Seconds = Field(5, description="Seconds before the second attempt; doubles each time.")
    retry_longest_wait: Seconds = Field(900, description="Seconds between two attempts, at most.")
    store_failures: Annotated[int, Field(ge=1, le=100)] = Field(
        3, description="Attempts in a row that find a store down before a worker begins no more that need it."
    )
    store_failures_within: Seconds = Field(60, description="Seconds that they must lie within.")
    store_probe_first_wait: Seconds = Field(
        5, description="Seconds before a store that is down is probed; doubles each time."
    )
    store_probe_longest_wait: Seconds = Field(120, description="Seconds between two probes, at most.")
    loss_limit: Annotated[int, Field(ge=1, le=100)] = Field(
        3, description="Workers that a job may lose before it counts as poison."
    )
    janitor_interval: Seconds = Field(5, description="Seconds between the janitor's rounds.")
    retention: Seconds = Field(2_592_000, description="Seconds that inbox, sent outbox and ended jobs are kept.")
    audit_retention: Seconds = Field(7_776_000, description="Seconds that the history of attempts is kept.")

    @model_validator(mode="after")
    def _lease_outlives_rounds(self) -> RuntimeSettings:
        """An outage that the janitor cannot see takes two thirds of a lease at most, and leaves time for a renewal."""
        for name in ("heartbeat", "janitor_interval"):
            seconds = getattr(self, name)
            if self.lease < 3 * seconds:
                msg = f"LEASE ({self.lease:g} s) must be at least three times {name.upper()} ({seconds:g} s)"
                raise ValueError(msg)
        return self


SettingsModel = TypeVar("SettingsModel", bound=BaseSettings)


def load_settings(model: type[SettingsModel]) -> SettingsModel:
    """The settings of a service, from the environment.

    Raises:
        SettingsError: with one line for each missing or wrong value.
    """
    try:
        return model()
    except ValidationError as error:
        lines = [line for details in error.errors() for line in _complaints(model, dict(details))]
        raise SettingsError("\n".join(["These settings cannot be used:", *lines])) from None
    except ValueError as error:  # a nested variable that is no JSON where JSON is due
        raise SettingsError(f"These settings cannot be used:\n  {error}") from None


def nest_variables(environment: Mapping[str, str]) -> dict[str, Any]:
    """Environment variables as the values that a settings model takes: `STORE__KIND` is `kind` of `store`."""
    values: dict[str, Any] = {}
    for name, value in environment.items():
        *parents, last = name.lower().split("__")
        inner = values
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return values


def _complaints(model: type[BaseSettings], details: dict[str, Any]) -> list[str]:
    location = [str(part) for part in details["loc"]]
    variable = "__".join(location).upper()
    if details["type"] == "missing":
        wanted = [
            (name, field)
            for name, field in describe_settings(model)
            if name == variable or (field.is_required() and name.startswith(f"{variable}__"))
        ]
        # A member of a dictionary, such as a site, is no field of the model: its variable is the location itself.
        return [f"  {name} is not set: {field.description}" for name, field in wanted] or [f"  {variable} is not set"]
    reason = str(details["msg"]).removeprefix("Value error, ")
    if not variable:
        return [f"  {reason}"]
    secret = re.search(r"PASSWORD|SECRET|URL", variable) and not variable.endswith("_FILE")
    shown = variable in os.environ and not secret
    return [f"  {variable}: {reason}" + (f" (given: {os.environ[variable]!r})" if shown else "")]


def describe_settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Each environment variable of a settings model, with its field."""
    for name, field in model.model_fields.items():
        nested = _nested_model(field.annotation)
        if nested is None:
            yield f"{prefix}{name}".upper(), field
        elif get_origin(field.annotation) is dict:
            yield from describe_settings(nested, f"{prefix}{name}__NAME__")
        else:
            yield from describe_settings(nested, f"{prefix}{name}__")


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in {dict, Union, UnionType}:
        for argument in get_args(annotation):
            if nested := _nested_model(argument):
                return nested
    return None
