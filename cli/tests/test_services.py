from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rushes_cli.data_folder import DataFolder
from rushes_cli.errors import CommandError
from rushes_cli.stack.services import ServiceProcessSpec, StackOptions, parse_replicas, plan_services

INFRASTRUCTURE = {"NATS_URL": "nats://127.0.0.1:4", "BLOB_ENDPOINT": "http://127.0.0.1:5"}


def _services(tmp_path: Path, **environ: str) -> dict[str, ServiceProcessSpec]:
    folder = DataFolder(tmp_path)
    folder.prepare()
    return {each.name: each for each in plan_services(folder, StackOptions(environ=environ), INFRASTRUCTURE)}


def test_without_a_token_the_sandbox_is_the_provider(tmp_path: Path) -> None:
    table = _services(tmp_path)
    sandbox = table["sandbox"].address
    assert table["generator"].env["REPLICATE_BASE_URL"] == sandbox
    assert table["downloader"].env["FETCH_ALLOW"] == sandbox.removeprefix("http://")
    assert table["generator"].env["PUBLIC_URL"] == table["gateway"].address


def test_with_a_token_there_is_no_sandbox_and_nothing_private_may_be_fetched(tmp_path: Path) -> None:
    table = _services(tmp_path, REPLICATE_API_TOKEN="r8_x")
    assert "sandbox" not in table
    assert "REPLICATE_BASE_URL" not in table["generator"].env
    assert table["downloader"].env["FETCH_ALLOW"] == ""
    assert table["generator"].env["PUBLIC_URL"] == "", "the internet cannot reach this machine"


def test_a_provider_on_this_machine_may_be_fetched_from(tmp_path: Path) -> None:
    table = _services(tmp_path, REPLICATE_BASE_URL="http://127.0.0.1:8123")
    assert table["downloader"].env["FETCH_ALLOW"] == "127.0.0.1:8123"
    assert table["generator"].env["PUBLIC_URL"] == table["gateway"].address


def test_the_admin_key_goes_to_the_catalog_alone(tmp_path: Path) -> None:
    table = _services(tmp_path)
    assert [name for name, each in table.items() if "RUSHES_ADMIN_KEY" in each.env] == ["catalog"]


@pytest.mark.parametrize(
    ("service", "setting"),
    [("stitcher", "STITCHER_WORK_DIR"), ("downloader", "SPOOL_DIR"), ("gateway", "UPLOAD_DIR")],
)
def test_work_in_hand_lies_in_the_data_folder(tmp_path: Path, service: str, setting: str) -> None:
    assert Path(_services(tmp_path)[service].env[setting]).is_relative_to(tmp_path)
    assert _services(tmp_path, **{setting: "/srv/work"})[service].env[setting] == "/srv/work"


def test_replicas_have_names_and_ports_of_their_own(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    table = plan_services(folder, StackOptions(replicas={"generator": 2, "gateway": 2}), INFRASTRUCTURE)
    names = [each.name for each in table]
    assert {"generator-1", "generator-2", "gateway-1", "gateway-2", "catalog"} <= set(names)
    assert len({each.health for each in table}) == len(table)
    catalog = next(each for each in table if each.name == "catalog")
    assert catalog.env["GENERATOR_ADDRESS"].startswith("ipv4:127.0.0.1:")
    assert catalog.env["GENERATOR_ADDRESS"].count(",") == 1
    assert catalog.env["STITCHER_ADDRESS"] == next(each.health for each in table if each.name == "stitcher")


def test_the_address_stays_the_same_from_start_to_start(tmp_path: Path) -> None:
    first = _services(tmp_path)["gateway"].address
    assert _services(tmp_path)["gateway"].address == first
    with socket.socket() as taken:
        host, _, port = first.removeprefix("http://").partition(":")
        taken.bind((host, int(port)))
        taken.listen()
        assert _services(tmp_path)["gateway"].address != first


def test_outputs_of_the_sandbox_are_where_they_were_after_a_restart(tmp_path: Path) -> None:
    first = _services(tmp_path)["sandbox"].address
    table = _services(tmp_path)
    assert table["sandbox"].address == first
    assert table["downloader"].env["FETCH_ALLOW"] == first.removeprefix("http://")
    folder = DataFolder(tmp_path)
    configured = StackOptions(port=int(first.rpartition(":")[2]))
    moved = {each.name: each for each in plan_services(folder, configured, INFRASTRUCTURE)}
    assert moved["gateway"].address == first
    assert moved["sandbox"].address != first


@pytest.mark.parametrize("text", ["sandbox=2", "generator=0", "generator=x", "generator", "=2", "gateway=99"])
def test_replicas_that_cannot_be(text: str) -> None:
    with pytest.raises(CommandError, match="--replicas"):
        parse_replicas([text], {})


def test_several_catalogs_need_postgresql() -> None:
    for sqlite in ({}, {"DATABASE_URL": "sqlite:///catalog.db"}):
        with pytest.raises(CommandError, match=r"--replicas catalog=2 .* SQLite serves one") as raised:
            parse_replicas(["catalog=2"], sqlite)
        assert "postgresql://" in raised.value.way_out
        assert parse_replicas(["catalog=1"], sqlite) == {"catalog": 1}
    assert parse_replicas(["catalog=2"], {"DATABASE_URL": "postgresql://db/rushes"}) == {"catalog": 2}
