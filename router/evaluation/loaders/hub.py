"""Datasets by their name on the Hugging Face hub, where it can be reached."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import httpx

from router.evaluation.datasets import DatasetError

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
PREFERRED = {"withmartian/routerbench": ("routerbench_0shot.pkl",)}
"""Which files to take where a dataset holds several versions of itself."""
LARGEST = 8 * 2**30
"""Bytes of all files together; more is refused."""


def is_name(source: str) -> bool:
    """Whether this could be a name on the hub: owner/dataset."""
    return NAME.fullmatch(source) is not None


def fetch(name: str, folder: Path) -> Path:
    """Download a dataset's data files below `folder` (once) and return where they are.

    The server is HF_ENDPOINT, else huggingface.co; HF_TOKEN is sent where it is set. Raises
    DatasetError.
    """
    target = folder / name
    done = target / ".complete"
    if not done.exists():
        try:
            with _client() as client:
                for path, size in _files(client, name):
                    _download(client, name, path, size, target)
        except (httpx.HTTPError, OSError) as error:
            raise DatasetError(
                f"{name} is no file here, and the hub did not give it ({error}); "
                "fetch it by other means and name the path"
            ) from error
        done.touch()
    single = PREFERRED.get(name)
    return target / single[0] if single else target


def _client() -> httpx.Client:
    token = os.environ.get("HF_TOKEN")
    return httpx.Client(
        base_url=os.environ.get("HF_ENDPOINT", "https://huggingface.co"),
        headers={"Authorization": f"Bearer {token}"} if token else {},
        follow_redirects=True,
        timeout=30,
    )


def _files(client: httpx.Client, name: str) -> list[tuple[str, int]]:
    answer = client.get(f"/api/datasets/{name}/tree/main", params={"recursive": "true"})
    answer.raise_for_status()
    found = [
        (str(entry["path"]), int(entry.get("size", 0)))
        for entry in answer.json()
        if entry.get("type") == "file"
    ]
    wanted = PREFERRED.get(name)
    kept = [
        (path, size)
        for path, size in found
        if (path in wanted if wanted else path.endswith((".parquet", ".jsonl", ".jsonl.gz")))
    ]
    if not kept:
        raise DatasetError(f"{name}: no data file that Sluice reads among its {len(found)} files")
    if sum(size for _, size in kept) > LARGEST:
        raise DatasetError(f"{name}: larger than {LARGEST} bytes; fetch the part you need")
    return kept


def _download(client: httpx.Client, name: str, path: str, size: int, target: Path) -> None:
    parts = PurePosixPath(path).parts
    if ".." in parts or PurePosixPath(path).is_absolute():
        raise DatasetError(f"{name}: a file named {path!r} is not taken")
    file = target.joinpath(*parts)
    if file.exists() and file.stat().st_size == size:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(file.name + ".part")
    with client.stream("GET", f"/datasets/{name}/resolve/main/{quote(path)}") as answer:
        answer.raise_for_status()
        written = 0
        with draft.open("wb") as out:
            for chunk in answer.iter_bytes():
                written += len(chunk)
                if written > LARGEST:
                    raise DatasetError(f"{name}: {path} is larger than it said")
                out.write(chunk)
    draft.replace(file)
