"""Describes the streams and consumers as data, and creates or updates them accordingly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

from servicekit.errors import Invalid, Precondition

STREAM = "RUSHES"
DEAD_LETTERS = "RUSHES_DLQ"
DEAD_LETTER_PREFIX = "dlq"

NAME_IN_USE = 10058
"""JetStream: the stream exists with another configuration (JSStreamNameExistErr)."""

NO_PEERS = 10005
"""JetStream: the cluster has fewer servers than there shall be replicas, as yet (JSClusterNoPeersErrF)."""

NOT_CLUSTERED = 10074
"""JetStream: a server that is no part of a cluster has no replicas (JSStreamReplicasNotSupportedErr)."""


@dataclass(frozen=True)
class StreamSpec:
    """A stream on file.

    Args:
        subjects: what it stores, `<entity>.>` each; they may not overlap with another stream's.
        max_age: how long a message is kept; None: for ever.
        duplicate_window: within which time a second message with the same id is dropped.
    """

    name: str
    subjects: tuple[str, ...]
    max_age: timedelta | None = timedelta(days=30)
    duplicate_window: timedelta = timedelta(hours=2)


def event_streams(entities: Sequence[str]) -> tuple[StreamSpec, ...]:
    """The stream of events about these entities (first tokens of subjects), and that of dead letters."""
    return (
        StreamSpec(STREAM, tuple(f"{entity}.>" for entity in entities)),
        StreamSpec(DEAD_LETTERS, (f"{DEAD_LETTER_PREFIX}.>",)),
    )


@dataclass(frozen=True)
class ConsumerSpec:
    """A durable consumer.

    Args:
        name: the durable's name, the same in every replica.
        subjects: filters such as "prediction.succeeded.>"; they may not overlap.
        slots: events that one replica handles at once.
        max_in_flight: events delivered and not acknowledged over all replicas; beyond it none is delivered.
            Mind that an event that is to be retried later counts until it is delivered again: where one
            may wait for long while another is urgent, it must be more than can ever wait.
        ack_wait: seconds without a heartbeat after which the server gives the event to another replica.
        max_internal_errors: after that many errors of ours (in one replica) an event becomes a dead letter.
    """

    name: str
    subjects: tuple[str, ...]
    slots: int = 8
    max_in_flight: int = 1000
    ack_wait: float = 10.0
    max_internal_errors: int = 10

    @property
    def heartbeat(self) -> float:
        """Seconds between two heartbeats: two may be lost before the third is too late."""
        return self.ack_wait / 3


async def apply_stream(js: JetStreamContext, spec: StreamSpec, replicas: int) -> None:
    """Create the stream, or update it; Precondition when what exists cannot become what is wanted.

    `replicas`: the servers that have it. One that has more keeps them.
    """
    config = api.StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        max_age=spec.max_age.total_seconds() if spec.max_age else 0,
        duplicate_window=spec.duplicate_window.total_seconds(),
        allow_direct=True,
        num_replicas=replicas,
    )
    try:
        await js.add_stream(config)
    except APIError as error:
        refuse_replicas(error, replicas)
        if error.err_code != NAME_IN_USE:
            raise
        await _update(js, spec.name, config)


async def _update(js: JetStreamContext, name: str, config: api.StreamConfig) -> None:
    try:
        existing = (await js.stream_info(name)).config.num_replicas or 1
        await js.update_stream(replace(config, num_replicas=max(config.num_replicas or 1, existing)))
    except NotFoundError:
        await js.add_stream(config)
    except APIError as error:
        refuse_replicas(error, config.num_replicas or 1)
        # No leader yet, or too few servers, or out of resources: not a matter of the configuration.
        if error.code == 503 or error.err_code == NO_PEERS:
            raise
        raise Precondition(
            f"stream {name} exists, and its configuration cannot become ours ({error.description}): "
            f"change it by hand, or remove it with its data: nats stream rm {name}"
        ) from error


def refuse_replicas(error: APIError, replicas: int) -> None:
    """Precondition when the server can have no replicas, ever."""
    if error.err_code == NOT_CLUSTERED:
        raise Precondition(
            f"EVENT_LOG_REPLICAS is {replicas}, and the server at NATS_URL is no part of a cluster: "
            "set it to 1, or NATS_URL to a cluster"
        ) from error


async def apply_consumer(js: JetStreamContext, spec: ConsumerSpec) -> None:
    """Create the durable, or update it; Invalid when the server refuses it.

    `add_consumer` is create-or-update, where `pull_subscribe(config=…)` of nats-py ignores the
    configuration of a durable that exists.
    """
    config = api.ConsumerConfig(
        durable_name=spec.name,
        filter_subjects=list(spec.subjects),
        deliver_policy=api.DeliverPolicy.ALL,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=spec.ack_wait,
        max_deliver=-1,  # giving up is ours to decide (see `ack_policy`), never the server's
        max_ack_pending=spec.max_in_flight,
    )
    try:
        await js.add_consumer(STREAM, config)
    except APIError as error:
        if error.code in {404, 503}:
            raise
        raise Invalid(f"consumer {spec.name} on {', '.join(spec.subjects)}: {error.description}") from error


async def write_error(client: Client, stream: str, *, within: float) -> str:
    """Why the stream stores nothing any more; "" while no write has failed. Raises as nats-py does.

    Once a write has failed (a full disk), nats-server stores nothing more in that stream until it is
    restarted, also when there is room again. It leaves publishers without an answer, still acknowledges
    duplicates, and its stream information shows nothing (seen with 2.15.1). But it refuses a purge, with the
    reason, even one that matches no message. This one never matches: no subject of ours is a single token.
    """
    subject, request = f"$JS.API.STREAM.PURGE.{stream}", json.dumps({"filter": "probe"}).encode()
    response = json.loads((await client.request(subject, request, timeout=within)).data)
    return str(response.get("error", {}).get("description", ""))
