"""What a killed S3 store has left is removed, and nothing of one that runs."""

from __future__ import annotations

import socket
from pathlib import Path

from rushes_cli.stack.leftovers import remove_leftovers
from servicekit.embedded.process import free_port


def _socket(kind: str, port: int) -> tuple[Path, socket.socket]:
    path = Path(f"/tmp/seaweedfs-{kind}-{port}.sock")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return path, listening


def test_sockets_and_folders_of_a_killed_store_are_removed(tmp_path: Path) -> None:
    dead_port, live_port, other_port, admin_port = (free_port() for _ in range(4))
    data = tmp_path / "data"
    (data / f"m{dead_port}" / "snapshot").mkdir(parents=True)
    (data / "filerldb2").mkdir()
    (data / "mini.options").write_text(
        f"# comment\nadmin.port={admin_port}\nfiler.port={dead_port}\nmaster.port.grpc={live_port}\nip=::1\n"
    )
    dead, dead_socket = _socket("filer", dead_port)
    admin, admin_socket = _socket("admin-grpc", admin_port + 10_000)
    other, other_socket = _socket("filer", other_port)
    live, live_socket = _socket("master-grpc", live_port)
    for each in (dead_socket, admin_socket, other_socket):
        each.close()
    try:
        remove_leftovers(tmp_path)
        assert (dead.exists(), admin.exists()) == (False, False)
        assert live.exists(), "somebody listens"
        assert other.exists(), "of another folder"
        assert [each.name for each in data.iterdir() if each.is_dir()] == ["filerldb2"]
    finally:
        live_socket.close()
        for path in (dead, admin, other, live):
            path.unlink(missing_ok=True)


def test_a_folder_that_has_never_been_used(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "s3")
    assert not (tmp_path / "s3").exists()
