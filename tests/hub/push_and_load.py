"""Run as a program: push, load and stream, and print which hosts were looked up or connected to; others are refused.

Arguments: a prepared folder; a repository; `ours` or `stock`: with or without `radikal_datasets`.
"""

from __future__ import annotations

import json
import sys

hosts: set[str] = set()


def watch(event: str, arguments: tuple) -> None:
    """Record every lookup and connection of this process, whichever library makes it."""
    if event == "socket.getaddrinfo":
        host = str(arguments[0])
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
    else:
        return
    hosts.add(host)
    if host != "127.0.0.1":  # nothing leaves this machine; the rest continues
        raise OSError(f"a test reached for {host}")


sys.addaudithook(watch)

import datasets  # noqa: E402
import huggingface_hub  # noqa: E402
from datasets import load_dataset  # noqa: E402

folder, repo, door = sys.argv[1:4]
if door == "ours":  # after the libraries, as in many notebooks
    import radikal_datasets
    from radikal_datasets.hub.push import push_to_hub

datasets.disable_progress_bars()
if door == "ours":
    push_to_hub(folder, repo)
    radikal_datasets.load_dataset(repo, revision="main", streaming=True)
else:
    api = huggingface_hub.HfApi()
    api.create_repo(repo, repo_type="dataset", private=True)
    api.upload_folder(repo_id=repo, repo_type="dataset", folder_path=folder, ignore_patterns=[".*"])
loaded = load_dataset(repo)
first = next(iter(load_dataset(repo, streaming=True, split="train")))
assert first["image_id"] == loaded["train"][0]["image_id"]
loaded.push_to_hub(f"{repo}-again", private=True)
print(json.dumps({"rows": loaded["train"].num_rows, "hosts": sorted(hosts)}))
