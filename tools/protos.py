"""Generates libs/contracts from protos/: modules, type stubs, and the descriptor image with its comments."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
CONTRACTS = ROOT / "libs" / "contracts" / "rushes"
SITE = Path(sysconfig.get_paths()["purelib"])


def generate(into: Path) -> None:
    """Writes every generated file of the package `rushes` into the folder `into`."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    into.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc",
            f"-I{PROTOS}", f"-I{SITE}",
            f"--python_out={into}", f"--mypy_out=quiet:{into}",
            f"--grpc_python_out={into}", f"--mypy_grpc_out=quiet:{into}",
            "--include_imports", "--include_source_info",
            f"--descriptor_set_out={into / 'rushes' / 'contracts.binpb'}",
            *sources,
        ],
        check=True,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
    )  # fmt: skip
    for path in sources:  # grpc stubs of files without a service say nothing
        stem = into / path.removesuffix(".proto")
        for suffix in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
            stub = stem.with_name(stem.name + suffix)
            if stub.exists() and "service " not in (PROTOS / path).read_text():
                stub.unlink()
    (into / "rushes" / "py.typed").touch()


def _files(folder: Path) -> dict[Path, bytes]:
    """Every file of a folder by its path in it, byte-code left out."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder): path.read_bytes() for path in found}


def main() -> int:
    """Writes the generated files, or with --check says which ones are not fresh."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        (fresh / "rushes").mkdir()
        generate(fresh)
        files = _files(fresh / "rushes")
        if "--check" in sys.argv[1:]:
            there = _files(CONTRACTS)
            stale = sorted(str(k) for k in files.keys() | there.keys() if files.get(k) != there.get(k))
            if stale:
                print(
                    "Not fresh in libs/contracts/rushes (run `make protos` and commit):", *stale, sep="\n  "
                )
                return 1
            print(f"{len(files)} generated files are fresh.")
            return 0
        shutil.rmtree(CONTRACTS, ignore_errors=True)
        shutil.copytree(fresh / "rushes", CONTRACTS)
        print(f"Wrote {len(files)} files to libs/contracts/rushes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
