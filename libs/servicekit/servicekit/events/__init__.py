"""The event log on NATS JetStream: events are stored once and delivered at least once."""

from servicekit.events.ack_policy import RetryLater
from servicekit.events.bucket import Bucket
from servicekit.events.consumer import Consumer, Handler
from servicekit.events.event import Event
from servicekit.events.lease import Lease
from servicekit.events.log import EventLog
from servicekit.events.topology import ConsumerSpec, StreamSpec

__all__ = [
    "Bucket",
    "Consumer",
    "ConsumerSpec",
    "Event",
    "EventLog",
    "Handler",
    "Lease",
    "RetryLater",
    "StreamSpec",
]
