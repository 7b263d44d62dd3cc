"""Child processes of a service whose gRPC is at work, in an interpreter of their own: gRPC is set up once."""

import subprocess
import sys

CHILDREN = 40
"""One in five crashed: of so many, at least one in nearly every run."""

SERVICE = f"""
import asyncio
from collections import Counter

import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.clock import SystemClock
from servicekit.grpc.client import GrpcChannel
from servicekit.grpc.server import GrpcServer

def watch(channel):
    async def follow():
        async for _ in channel.stub(health_pb2_grpc.HealthStub).Watch(health_pb2.HealthCheckRequest()):
            pass
    return asyncio.ensure_future(follow())

async def main():
    server = GrpcServer("127.0.0.1:0", [], clock=SystemClock(), service="parent")
    await server.start()
    channel = GrpcChannel(f"127.0.0.1:{{server.port}}")
    await channel.check_serving()
    watching = [watch(channel) for _ in range(4)]
    ends = Counter()
    for _ in range({CHILDREN}):
        child = await asyncio.create_subprocess_exec("true")
        ends[await child.wait()] += 1
    for each in watching:
        each.cancel()
    await channel.stop()
    await server.stop()
    print(dict(ends))

uvloop.run(main())
"""


def test_every_child_becomes_its_program() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVICE], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == str({0: CHILDREN})
