"""What every manifest must be, over the documents that `kubectl apply -k` would send."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from servicekit.config import describe, load
from servicekit.embedded.nats import NatsServer
from servicekit.grpc.server import READY
from servicekit.process.lifecycle import STOP_WITHIN
from tests.deploy.manifests import (
    ROOT,
    Document,
    matches,
    name_of,
    named,
    of_kind,
    pod,
    rendered,
    variants,
    workloads,
)

KUBERNETES_VERSION = "1.37"
ENFORCED_ELSEWHERE = {"ScaledObject", "HTTPRoute", "PodMonitor", "ServiceMonitor", "PrometheusRule"}
"""Kinds that a cluster may lack; a real API server takes them in test_api_server."""

SECRETS = {
    "rushes-database": {"url", "password"},
    "rushes-blobs": {"access-key", "secret-key"},
    "rushes-keys": {"signing-key", "admin-key"},
    "rushes-provider": {"token"},
}
"""The secrets that an operator makes."""

TWO_CORES_M = 1800
"""Millicores of two cores that are left for us: the cluster's own parts take the rest."""

ALL = [pytest.param(documents, id=name) for name, documents in variants()]
every_variant = pytest.mark.parametrize("documents", ALL)


def our_services(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Deployments of our own services, by the service's name."""
    for deployment in of_kind(documents, "Deployment"):
        labels = pod(deployment)["metadata"]["labels"]
        if labels.get("app.kubernetes.io/component") == "service":
            yield labels["app.kubernetes.io/name"], deployment


def containers(workload: Document) -> list[Document]:
    spec = pod(workload)["spec"]
    return [*spec["containers"], *spec.get("initContainers", [])]


def test_every_document_is_valid_to_the_letter() -> None:
    different = {str(document): document for _, documents in variants() for document in documents}
    for document in different.values():
        if document["kind"] not in ENFORCED_ELSEWHERE:
            kubernetes_validate.validate(document, KUBERNETES_VERSION, strict=True)


@every_variant
def test_the_namespace_comes_first_and_enforces_the_restricted_level(documents: list[Document]) -> None:
    assert documents[0]["kind"] == "Namespace"
    assert documents[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    namespaces = {document["metadata"].get("namespace") for document in documents[1:]}
    assert namespaces == {"rushes"}


@every_variant
def test_every_pod_runs_without_privileges(documents: list[Document]) -> None:
    for workload in workloads(documents):
        spec = pod(workload)["spec"]
        about = name_of(workload)
        assert spec["automountServiceAccountToken"] is False, about
        assert spec["enableServiceLinks"] is False, about
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, about
        assert security["runAsUser"] > 0, about
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, about
        if "volumeClaimTemplates" in workload["spec"] or any(
            "persistentVolumeClaim" in volume for volume in spec.get("volumes", [])
        ):
            assert security["fsGroup"] == security["runAsUser"], about
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, about


@every_variant
def test_every_image_has_a_fixed_tag_and_is_pulled_once(documents: list[Document]) -> None:
    for workload in workloads(documents):
        for container in containers(workload):
            _, _, tag = container["image"].rpartition("/")[2].partition(":")
            assert tag, f"{name_of(workload)}: {container['image']} has no tag"
            assert tag != "latest", name_of(workload)
            assert container["imagePullPolicy"] == "IfNotPresent", name_of(workload)
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", name_of(workload)


@every_variant
def test_every_container_asks_for_what_it_needs(documents: list[Document]) -> None:
    for workload in workloads(documents):
        for container in containers(workload):
            resources = container["resources"]
            assert set(resources["requests"]) == {"cpu", "memory"}, name_of(workload)
            # No limit of processor time: what is throttled answers its probes too late.
            assert set(resources["limits"]) == {"memory"}, name_of(workload)
            assert mebibytes(resources["limits"]["memory"]) >= mebibytes(resources["requests"]["memory"])
        for volume in pod(workload)["spec"].get("volumes", []):
            if "emptyDir" in volume:
                assert mebibytes(volume["emptyDir"]["sizeLimit"]) > 0, name_of(workload)


def test_kind_fits_two_cores_while_everything_is_rolled() -> None:
    total = 0
    for workload in workloads(rendered("kind")):
        replicas = workload["spec"].get("replicas", 1)
        surge = workload["kind"] == "Deployment" and workload["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        cpu = sum(millicores(each["resources"]["requests"]["cpu"]) for each in containers(workload))
        total += cpu * (replicas + int(surge))
    assert total <= TWO_CORES_M


@every_variant
def test_probes_are_those_of_the_health_service(documents: list[Document]) -> None:
    for service, deployment in our_services(documents):
        [container] = containers(deployment)
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        settings = settings_of(documents, service)
        assert settings["GRPC_LISTEN"] == f"0.0.0.0:{ports['grpc']}"
        assert settings["METRICS_LISTEN"] == f"0.0.0.0:{ports['metrics']}"
        if "http" in ports:
            http = settings.get("HTTP_LISTEN") or settings["SANDBOX_LISTEN"]
            assert http == f"0.0.0.0:{ports['http']}"
        alive = {"port": ports["grpc"]}
        # The API server fills in the empty service; rendered, it is not there.
        assert container["startupProbe"]["grpc"] == alive, service
        assert container["livenessProbe"]["grpc"] == alive, "what is away is not mended by a restart"
        assert container["readinessProbe"]["grpc"] == {**alive, "service": READY}, service


@every_variant
def test_every_service_has_time_to_stop_in_order(documents: list[Document]) -> None:
    for service, deployment in our_services(documents):
        spec = pod(deployment)["spec"]
        [container] = containers(deployment)
        leaving = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert 0 < leaving + STOP_WITHIN < spec["terminationGracePeriodSeconds"], service


@every_variant
def test_a_rolling_update_takes_no_replica_away_before_the_next_is_ready(documents: list[Document]) -> None:
    for service, deployment in our_services(documents):
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        owns_a_volume = service == "sandbox"
        assert rolling == {"maxUnavailable": int(owns_a_volume), "maxSurge": int(not owns_a_volume)}, service


@every_variant
def test_every_setting_is_set_and_the_service_takes_them(documents: list[Document]) -> None:
    for service, deployment in our_services(documents):
        settings = importlib.import_module(f"{service}.config").Settings
        declared = {each.env: each.secret for each in describe(settings)}
        plain, secret = settings_of(documents, service), secrets_of(deployment)
        assert set(plain) == {name for name, hidden in declared.items() if not hidden}, service
        assert set(secret) == {name for name, hidden in declared.items() if hidden}, service
        load(settings, {**plain, **dict.fromkeys(secret, "secret")})


@every_variant
def test_every_secret_is_a_documented_one(documents: list[Document]) -> None:
    made = {
        re.sub(r"-[a-z0-9]{10}$", "", secret["metadata"]["name"]): set(secret["data"])
        for secret in of_kind(documents, "Secret")
    }
    needed = made or SECRETS
    assert needed == SECRETS
    for workload in workloads(documents):
        for container in containers(workload):
            for variable in container.get("env", []):
                if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
                    name = re.sub(r"-[a-z0-9]{10}$", "", reference["name"]) if made else reference["name"]
                    assert reference["key"] in SECRETS[name], name_of(workload)


def test_production_writes_no_secret() -> None:
    assert not of_kind(rendered("production"), "Secret")


@every_variant
def test_services_find_pods_and_their_ports(documents: list[Document]) -> None:
    for service in of_kind(documents, "Service"):
        ports = {port["name"] for each in containers(behind(documents, service)) for port in each["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, name_of(service)
        if "grpc" in {port["name"] for port in service["spec"]["ports"]}:
            # Behind one address, one connection would stay with one pod.
            assert service["spec"]["clusterIP"] == "None", name_of(service)


@every_variant
def test_policies_let_each_service_reach_what_its_settings_name(documents: list[Document]) -> None:
    """By the addresses in its settings: what the callee lets in, and what the caller lets out."""
    services = {each["metadata"]["name"] for each in of_kind(documents, "Service")}
    for service, deployment in our_services(documents):
        own = pod(deployment)["metadata"]["labels"]
        for setting, value in settings_of(documents, service).items():
            if not (address := re.fullmatch(r"(?:\w+://)?([a-z-]+):(\d+)", value)):
                continue
            if address[1] not in services:  # it is elsewhere, and the overlay names it
                assert setting == "BLOB_ENDPOINT"
                continue
            called = named(documents, "Service", address[1])
            [port] = [
                each["targetPort"] for each in called["spec"]["ports"] if each["port"] == int(address[2])
            ]
            theirs = pod(behind(documents, called))["metadata"]["labels"]
            # PUBLIC_URL is the way from the provider to the gateway.
            caller = {"app.kubernetes.io/name": "sandbox"} if setting == "PUBLIC_URL" else own
            about = f"{service}: {setting}={value}"
            assert allowed(documents, "ingress", "from", theirs, caller, port), f"{about}: not let in"
            assert allowed(documents, "egress", "to", caller, theirs, port), f"{about}: not let out"


@every_variant
def test_the_log_takes_events_as_large_as_on_one_machine(documents: list[Document]) -> None:
    embedded = NatsServer(Path("unused"))._config()
    configs = [
        each["data"]["nats.conf"] for each in of_kind(documents, "ConfigMap") if "nats.conf" in each["data"]
    ]
    assert [largest_event(config) for config in configs] == [largest_event(embedded)]


@every_variant
def test_policies_choose_pods_that_exist(documents: list[Document]) -> None:
    labels = [pod(workload)["metadata"]["labels"] for workload in workloads(documents)]
    for policy in of_kind(documents, "NetworkPolicy"):
        assert any(matches(policy["spec"]["podSelector"], each) for each in labels), name_of(policy)


@every_variant
def test_storage_is_of_the_default_class(documents: list[Document]) -> None:
    claims = of_kind(documents, "PersistentVolumeClaim") + [
        claim
        for workload in of_kind(documents, "StatefulSet")
        for claim in workload["spec"].get("volumeClaimTemplates", [])
    ]
    assert claims
    for claim in claims:
        assert "storageClassName" not in claim["spec"]
        assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


@every_variant
def test_a_disruption_budget_stands_where_there_is_more_than_one(documents: list[Document]) -> None:
    guarded = {each["metadata"]["name"] for each in of_kind(documents, "PodDisruptionBudget")}
    counts = {
        each["metadata"]["name"]: each["spec"].get("replicas")
        for each in of_kind(documents, "Deployment", "StatefulSet")
    }
    scaled = set(scaled_names(documents))
    for name, count in counts.items():
        assert (name in guarded) == ((count or 0) > 1 or (name in scaled and bool(guarded))), name


@every_variant
def test_what_is_scaled_names_no_number_of_its_own(documents: list[Document]) -> None:
    for name in scaled_names(documents):
        assert "replicas" not in named(documents, "Deployment", name)["spec"]


@every_variant
def test_scaling_asks_for_consumers_that_exist(documents: list[Document]) -> None:
    flow = (ROOT / "docs" / "flow.md").read_text()
    durables = set(re.findall(r"^\| `([a-z-]+)` \| `", flow.partition("## Consumers")[2], re.MULTILINE))
    for scaled in of_kind(documents, "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            assert trigger["metadata"]["consumer"] in durables
            assert trigger["metadata"]["consumer"].startswith(scaled["metadata"]["name"])
    for scaled in of_kind(documents, "HorizontalPodAutoscaler"):
        for metric in scaled["spec"]["metrics"]:
            if metric["type"] == "External":
                consumer = metric["external"]["metric"]["selector"]["matchLabels"]["consumer"]
                assert consumer in durables


def behind(documents: list[Document], service: Document) -> Document:
    """The one workload whose pods a Service finds."""
    [found] = [
        workload
        for workload in workloads(documents)
        if matches({"matchLabels": service["spec"]["selector"]}, pod(workload)["metadata"]["labels"])
    ]
    return found


def scaled_names(documents: list[Document]) -> list[str]:
    return [
        each["spec"]["scaleTargetRef"]["name"]
        for each in of_kind(documents, "ScaledObject", "HorizontalPodAutoscaler")
    ]


def settings_of(documents: list[Document], service: str) -> dict[str, str]:
    data: dict[str, str] = named(documents, "ConfigMap", service)["data"]
    return data


def secrets_of(workload: Document) -> dict[str, Any]:
    """What a container reads from secrets, by variable."""
    return {
        variable["name"]: variable["valueFrom"]["secretKeyRef"]
        for container in containers(workload)
        for variable in container["env"]
        if "valueFrom" in variable
    }


def allowed(
    documents: list[Document],
    direction: str,
    side: str,
    chosen: dict[str, str],
    other: dict[str, str],
    port: str,
) -> bool:
    """Whether a policy of the `chosen` pods lets the `other` ones in, or itself out to them, on that port."""
    return any(
        matches(policy["spec"]["podSelector"], chosen)
        and any(
            any(each.get("port") == port for each in rule.get("ports", []))
            and (
                side not in rule
                or any("podSelector" in peer and matches(peer["podSelector"], other) for peer in rule[side])
            )
            for rule in policy["spec"].get(direction, [])
        )
        for policy in of_kind(documents, "NetworkPolicy")
    )


def largest_event(config: str) -> str:
    """What a configuration of nats-server takes at most in a message."""
    found = re.search(r"^\s*max_payload: *(\w+)", config, re.MULTILINE)
    assert found
    return found[1]


def millicores(quantity: str) -> int:
    return int(quantity.removesuffix("m")) if quantity.endswith("m") else int(float(quantity) * 1000)


def mebibytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * (1024 if unit == "Gi" else 1)
