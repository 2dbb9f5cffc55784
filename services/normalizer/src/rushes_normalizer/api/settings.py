"""The settings of the read API."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Self

from pydantic import Field, FilePath, SecretStr, model_validator
from rushes_runtime.settings import (
    ExposureSettings,
    OperationsSettings,
    Port,
    RequestSettings,
    Seconds,
    read_secret,
    refuse_both,
)

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")]


class ApiSettings(OperationsSettings, ExposureSettings, RequestSettings):
    """What `rushes-normalizer api` needs: a database address that may only read, and Kafka."""

    api_host: str = Field("127.0.0.1", description="Address on which the API answers.")
    api_port: Port = Field(8080, description="Its port; 0 picks a free one.")
    api_tls_certfile: FilePath | None = Field(
        None, description="Certificate (PEM): answer by HTTPS only. A new one is taken up without a restart."
    )
    api_tls_keyfile: FilePath | None = Field(None, description="Its key (PEM).")
    api_access: SecretStr | None = Field(
        None, description="Who may read what, as JSON ([api.md](api.md#who-may-read-what)); it holds hashes of tokens."
    )
    api_access_file: FilePath | None = Field(
        None, description="File that holds it instead; a change counts from the next call on."
    )
    api_proxy_addresses: str = Field(
        "",
        description="Addresses or networks, by commas, of proxies whose word counts: where a call comes from, by"
        " `X-Forwarded-For`, and with both headers below who calls; default: none.",
    )
    api_proxy_user_header: HeaderName | None = Field(
        None,
        description="Header in which these proxies name the person they authenticated, such as `X-Forwarded-User`.",
    )
    api_proxy_groups_header: HeaderName | None = Field(
        None, description="… and their groups, by commas, such as `X-Forwarded-Groups`."
    )
    api_requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        600, description="Requests of one token or person that each process answers in a minute."
    )
    api_burst: Annotated[int, Field(ge=1, le=100_000)] = Field(
        100, description="Requests that may come at once after a pause."
    )
    api_guesses_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        20, description="Different unknown tokens of one address in a minute, after which its calls are not looked at."
    )
    api_streams: Annotated[int, Field(ge=1, le=10_000)] = Field(
        200, description="Streams of status changes that each process serves at once."
    )
    api_streams_each: Annotated[int, Field(ge=1, le=10_000)] = Field(
        10, description="… and of these to one token or person."
    )
    api_stream_history: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="Status changes that each process keeps in memory, for clients that come back or are slow."
    )
    api_stream_heartbeat: Seconds = Field(15, description="Seconds without a status change before a heart-beat.")
    api_stream_patience: Seconds = Field(30, description="Seconds that a client may take nothing before it is dropped.")
    api_linger: Annotated[float, Field(ge=0, le=600)] = Field(
        10, description="Seconds after SIGTERM that calls are still answered, until the network has turned away."
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.api_tls_certfile is None) != (self.api_tls_keyfile is None):
            raise ValueError("API_TLS_CERTFILE and API_TLS_KEYFILE go together")
        refuse_both(self, "api_access")
        if self.api_access is None and self.api_access_file is None:
            raise ValueError("API_ACCESS_FILE, or API_ACCESS, must say who may read what (docs/api.md)")
        proxies, named = self.proxies(), (self.api_proxy_user_header, self.api_proxy_groups_header)
        if any(named) and not (all(named) and proxies):
            raise ValueError(
                "API_PROXY_USER_HEADER and API_PROXY_GROUPS_HEADER go together, and need API_PROXY_ADDRESSES"
            )
        return self

    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Where proxies call from that are believed.

        Raises:
            ValueError: an address is none.
        """
        return tuple(ip_network(each.strip()) for each in self.api_proxy_addresses.split(",") if each.strip())

    def read_api_access(self) -> str:
        """The JSON of who may read what, as it is now.

        Raises:
            UnreadableSecretError: its file cannot be read, or is empty.
        """
        return read_secret(self.api_access, self.api_access_file) or ""
