"""Settings: one typed model per service, read from the environment, refused all at once in plain words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]


def _asyncpg_url(url: SecretStr) -> SecretStr:
    try:
        driver = make_url(url.get_secret_value()).drivername
    except ArgumentError:
        driver = "nothing"
    if driver != "postgresql+asyncpg":
        msg = f"an address is postgresql+asyncpg://user:password@host:port/database; this one names {driver}"
        raise ValueError(msg)
    return url


class SettingsError(Exception):
    """Settings that cannot be used; the text has one line per wrong value."""


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
    ssl_cafile: Path | None = Field(None, description="File of the authorities to trust (PEM).")
    ssl_certfile: Path | None = Field(None, description="Client certificate (PEM).")
    ssl_keyfile: Path | None = Field(None, description="Key of the client certificate (PEM).")
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,60}$", description="Put before each topic's name.")
    check_crcs: bool = Field(True, description="Verify checksums of fetched batches.")
    batch_records: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1000, description="Records taken in by one database transaction, at most."
    )
    max_poll_interval: Seconds = Field(
        300, description="Seconds between two polls after which the broker takes a consumer for dead."
    )

    @model_validator(mode="after")
    def _credentials_with_sasl(self) -> KafkaSettings:
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            msg = "a SASL protocol needs KAFKA__SASL_USERNAME and KAFKA__SASL_PASSWORD"
            raise ValueError(msg)
        return self


class StoreSettings(BaseModel):
    """One place that holds objects: an S3 endpoint or a local folder."""

    kind: Literal["s3", "local"] = Field(description="`s3` or `local`.")
    root: Path | None = Field(None, description="With `local`: the folder.")
    endpoint_url: Annotated[str, Field(pattern=r"^https?://")] | None = Field(
        None, description="With `s3`: the endpoint, `http://…` or `https://…`; default: AWS."
    )
    region: str = Field("us-east-1", description="With `s3`: the region.")
    access_key_id: str | None = Field(None, description="With `s3`: default: the AWS credential chain.")
    secret_access_key: SecretStr | None = Field(None, description="With `s3`: goes with `access_key_id`.")
    bucket_prefix: str = Field(
        "", pattern=r"^[a-z0-9.-]{0,40}$", description="Put before `movies`, `pictures` and `files`."
    )
    connect_timeout: Seconds = Field(5, description="Seconds to wait for a connection.")
    read_timeout: Seconds = Field(60, description="Seconds to wait for the next bytes.")

    @model_validator(mode="after")
    def _complete(self) -> StoreSettings:
        if self.kind == "local" and self.root is None:
            msg = "a local store needs its ROOT folder"
            raise ValueError(msg)
        if (self.access_key_id is None) != (self.secret_access_key is None):
            msg = "ACCESS_KEY_ID and SECRET_ACCESS_KEY go together"
            raise ValueError(msg)
        return self


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

    database_url: Annotated[SecretStr, AfterValidator(_asyncpg_url)] = Field(
        description="`postgresql+asyncpg://user:password@host:port/database`."
    )
    database_pool_size: Annotated[int, Field(ge=2, le=100)] = Field(10, description="Connections, at most.")


class KafkaClientSettings(CommandSettings):
    """What a command needs that talks to Kafka alone."""

    kafka: KafkaSettings


class RequestSettings(KafkaClientSettings, DatabaseClientSettings):
    """What a command needs that looks into the database and sends events."""


class RuntimeSettings(KafkaClientSettings, DatabaseClientSettings):
    """What every service needs."""

    store: StoreSettings = Field(description="The main store: where uploads come and outputs go.")
    expose_missing: bool = Field(False, description="Show API consumers `missing`; off, they see `broken`.")
    operations_host: str = Field("127.0.0.1", description="Address of `/metrics`, `/livez`, `/readyz`, `/startupz`.")
    operations_port: Annotated[int, Field(ge=0, le=65535)] = Field(9090, description="Its port; 0 picks a free one.")
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
            if field.is_required() and (name == variable or name.startswith(f"{variable}__"))
        ]
        # A member of a dictionary, such as a site, is no field of the model: its variable is the location itself.
        return [f"  {name} is not set: {field.description}" for name, field in wanted] or [f"  {variable} is not set"]
    reason = str(details["msg"]).removeprefix("Value error, ")
    if not variable:
        return [f"  {reason}"]
    secret = re.search(r"PASSWORD|SECRET|URL", variable) or variable not in os.environ
    return [f"  {variable}: {reason}" + ("" if secret else f" (given: {os.environ[variable]!r})")]


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
