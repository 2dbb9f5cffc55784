"""Values that cannot work are refused before anything is installed, with a sentence or the misspelt name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.helm_binaries import VERSIONS
from tests.chart.rendering import RefusedError, render

Values = dict[str, Any]


def pool(**own: Any) -> Values:
    """Values of one pool."""
    return {"normalizer": {"pools": {"general": own}}}


def site(**own: Any) -> Values:
    """Values of one site."""
    return {"syncer": {"enabled": True, "sites": {"lyon": own}}}


def kitsu(**own: Any) -> Values:
    """Values of the bridge to Kitsu."""
    return {"kitsu": {"enabled": True, **own}}


def api(**own: Any) -> Values:
    """Values of the read API."""
    return {"api": {"enabled": True, "accessSecret": {"name": "access"}, **own}}


KEDA = {"enabled": True, "existingSecret": {"name": "reader"}}
CONTRADICTIONS: dict[str, tuple[Values, str]] = {
    "grace of a pool": (
        pool(terminationGracePeriodSeconds=600),
        "normalizer.pools.general.terminationGracePeriodSeconds is 600, but running jobs get 600 seconds",
    ),
    "grace under a longer drain": ({"settings": {"DRAIN_BUDGET": 3600}}, "but running jobs get 3600 seconds"),
    "grace of a site": (site(terminationGracePeriodSeconds=30), "syncer.sites.lyon.terminationGracePeriodSeconds"),
    "two scalers": (pool(autoscaling={"hpa": {"enabled": True}, "keda": KEDA}), "hpa and keda are both enabled"),
    "hpa from zero": (pool(autoscaling={"minReplicas": 0, "hpa": {"enabled": True}}), "only KEDA scales from zero"),
    "more at least than at most": (
        pool(autoscaling={"minReplicas": 11, "keda": KEDA}),
        "minReplicas is 11, more than maxReplicas (10)",
    ),
    "cooldown": (pool(autoscaling={"keda": {**KEDA, "cooldownPeriod": 660}}), "cooldownPeriod is 660, not longer"),
    "keda without a connection": (pool(autoscaling={"keda": {"enabled": True}}), "names no Secret with a connection"),
    "keda without prometheus": (
        pool(autoscaling={"keda": {"enabled": True, "trigger": "prometheus"}}),
        "prometheusAddress is empty",
    ),
    "small scratch": (pool(scratch={"size": "39Gi"}), "scratch.size is 39Gi, but its 2 slots may each hold 20Gi"),
    "small scratch of a site": (site(scratch={"size": "1Gi"}), "syncer.sites.lyon.scratch.size is 1Gi"),
    "sources larger than what a site copies": (
        {"syncer": {"enabled": True, "settings": {"SYNC_SOURCE_MOVIES": True}, "sites": {"lyon": {}}}},
        "syncer.sites.lyon.largestObject is 8Gi",
    ),
    "lease and heartbeat": ({"settings": {"HEARTBEAT": 21}}, "LEASE is 60s and HEARTBEAT is 21s"),
    "lease and janitor": ({"settings": {"LEASE": 12}}, "LEASE is 12s and JANITOR_INTERVAL is 5s"),
    "no site": ({"syncer": {"enabled": True}}, "syncer.sites names no site"),
    "sites without a syncer": ({"syncer": {"sites": {"lyon": {}}}}, "syncer.enabled is false"),
    "a site without processes": (site(replicas=0), "syncer.sites.lyon.replicas is 0"),
    "a pool for what is not said": (pool(takes="ordinary"), "neither LARGE_FROM_BYTES nor LARGE_FROM_PIXELS"),
    "large jobs for nobody": (pool(takes="ordinary"), "no pool takes large jobs"),
    "ordinary jobs for nobody": (pool(takes="large"), "no pool takes ordinary jobs"),
    "no control roles": ({"normalizer": {"control": {"replicas": 0}}}, "normalizer.control.replicas is 0"),
    "a budget that blocks drains": (
        pool(disruptionBudget={"maxUnavailable": 0}),
        "normalizer.pools.general.disruptionBudget.maxUnavailable is 0: no node",
    ),
    "the same of the control roles": (
        {"normalizer": {"control": {"disruptionBudget": {"maxUnavailable": 0}}}},
        "normalizer.control.disruptionBudget.maxUnavailable is 0",
    ),
    "nobody who answers zou": (kitsu(serve={"replicas": 0}), "kitsu.serve.replicas is 0"),
    "pods that are killed while they answer": (
        kitsu(settings={"NOMAD_LINGER": 60}),
        "terminationGracePeriodSeconds is 60, but calls are answered for 60 seconds",
    ),
    "a zou without a token": (kitsu(zou={"url": "https://kitsu/api"}), "kitsu.zou.tokenSecret.name names no Secret"),
    "blocked zou": (
        kitsu(zou={"url": "http://kitsu/api", "tokenSecret": {"name": "zou"}}),
        "kitsu.zou.url uses port 80, which networkPolicy.zou.ports",
    ),
    "nobody who builds playlists": (
        kitsu(builder={"replicas": 0}, settings={"TILE_JOB": ""}),
        "kitsu.builder.replicas is 0, but kitsu.settings.PLAYLIST_JOB is served",
    ),
    "small scratch of playlists": (kitsu(builder={"scratch": {"size": "1Gi"}}), "kitsu.builder.scratch.size is 1Gi"),
    "authorities without a certificate": (
        kitsu(nomad={"clientCa": {"secret": "ca"}}),
        "kitsu.nomad.certificateSecret names no certificate",
    ),
    "an api for nobody": ({"api": {"enabled": True}}, "api.accessSecret.name names no Secret"),
    "an api without processes": (api(replicas=0), "api.replicas is 0"),
    "an api that is killed while it answers": (
        api(settings={"API_LINGER": 50}),
        "api.terminationGracePeriodSeconds is 60, but calls are answered for 50 seconds",
    ),
    "an api that blocks drains": (api(disruptionBudget={"maxUnavailable": 0}), "api.disruptionBudget.maxUnavailable"),
    "sasl without credentials": ({"kafka": {"securityProtocol": "SASL_SSL"}}, "names no Secret with user and password"),
    "tls without tls": ({"tls": {"kafka": {"caSecret": "ca"}}}, "kafka.securityProtocol is PLAINTEXT, which uses no"),
    "folder without a volume": ({"store": {"kind": "local"}}, "store.existingClaim names no volume"),
    "strimzi without a cluster": ({"topics": {"createdBy": "strimzi"}}, "names no Kafka cluster"),
    "blocked broker": ({"kafka": {"bootstrapServers": "kafka:9093"}}, "port 9093, which networkPolicy.kafka.ports"),
    "blocked store": (
        {"store": {"endpointUrl": "http://seaweedfs:8333"}},
        "store.endpointUrl uses port 8333, which networkPolicy.store.ports",
    ),
    "blocked site": (site(store={"endpointUrl": "http://lyon"}), "syncer.sites.lyon.store.endpointUrl uses port 80"),
    "alerts without metrics": (
        {"alerts": {"enabled": True}},
        "alerts.enabled is true, but podMonitor",
    ),
    "dashboards without metrics": ({"dashboards": {"enabled": True}}, "dashboards.enabled is true, but podMonitor"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_values_that_contradict_each_other_are_refused_with_a_sentence(name: str) -> None:
    values, sentence = CONTRADICTIONS[name]
    with pytest.raises(RefusedError) as refused:
        render(values)
    assert sentence in str(refused.value)


def test_all_contradictions_are_named_at_once() -> None:
    with pytest.raises(RefusedError) as refused:
        render({"syncer": {"enabled": True}, "normalizer": {"control": {"replicas": 0}}}, "3.17")
    assert "names no site" in str(refused.value)
    assert "control.replicas is 0" in str(refused.value)


MISSPELT: dict[str, tuple[Values, str]] = {
    "value": ({"instnace": "studio"}, "instnace"),
    "value of a pool": (pool(slotz=3), "slotz"),
    "value deep in a pool": (pool(autoscaling={"keda": {"colldownPeriod": 5}}), "colldownPeriod"),
    "value of a site": (site(store={"endpoint": "http://x"}), "endpoint"),
    "alert": ({"alerts": {"rules": {"OutboxStaled": {"enabled": False}}}}, "OutboxStaled"),
    "resource": ({"migration": {"resources": {"limit": {}}}}, "limit"),
    "spread": ({"normalizer": {"control": {"topologySpread": [{"maxSkews": 1}]}}}, "maxSkew"),
    "setting": ({"settings": {"LOG_LEVLE": "info"}}, "LOG_LEVLE"),
    "setting of a pool": (pool(settings={"FFMPEG_THREAD": 2}), "FFMPEG_THREAD"),
    "setting that the chart sets": ({"settings": {"SLOTS": 3}}, "SLOTS"),
    "secret among settings": ({"settings": {"DATABASE_URL": "postgresql+asyncpg://u:p@h/d"}}, "DATABASE_URL"),
    "setting of the other service": ({"syncer": {"settings": {"KEEP_PLAYABLE": True}}}, "KEEP_PLAYABLE"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_value_is_refused_with_its_name(name: str, version: str) -> None:
    values, word = MISSPELT[name]
    with pytest.raises(RefusedError) as refused:
        render(values, version)
    assert word in str(refused.value)


WRONG: dict[str, tuple[Values, str]] = {
    "type": ({"operations": {"port": "http"}}, "port"),
    "bounds of a setting": ({"settings": {"LEASE": 0}}, "LEASE"),
    "word of a setting": ({"settings": {"LOG_LEVEL": "loud"}}, "LOG_LEVEL"),
    "quantity": ({"normalizer": {"largestSource": "20 GB"}}, "largestSource"),
    "root": ({"user": {"uid": 0}}, "uid"),
    "name of a pool": ({"normalizer": {"pools": {"Large_4K": {}}}}, "Large_4K"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_with_its_name(name: str, version: str) -> None:
    values, word = WRONG[name]
    with pytest.raises(RefusedError) as refused:
        render(values, version)
    assert word in str(refused.value)


def test_the_chart_can_be_part_of_another() -> None:
    assert render({"global": {"anything": 1}})
