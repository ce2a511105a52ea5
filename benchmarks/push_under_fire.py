"""Does a push survive? Concurrent pushes, and SIGKILL of the pushing process and of the Hub at random moments.

    python benchmarks/push_under_fire.py [--concurrent 10] [--client 20] [--server 20] [--seed 0]

On one embedded Hub on loopback, with the synthetic DAGM sample. A reader checks the repository continuously: in every
commit it sees, the files must be exactly those that this commit's manifest names, by checksum.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path

CONFIGS = [f"class{number}" for number in range(1, 7)]


class Server:
    """`radikal-datasets hub serve` in a separate process that can be killed and restarted on the same port."""

    def __init__(self, root: Path):
        self.root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin("user", "add", "fire")
        self.token = self.admin("token", "create", "fire", "--role", "write").split()[-1]
        self.start()

    def admin(self, *words: str) -> str:
        command = [sys.executable, "-m", "radikal_datasets.hub_server", *words, "--root", str(self.root)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def start(self) -> None:
        command = [sys.executable, "-m", "radikal_datasets.hub_server", "serve", "--root", str(self.root)]
        command += ["--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise SystemExit("the Hub did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


# Each process is forked from one that has imported everything and does nothing else: it starts immediately, and no lock
# is held in it.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["radikal_datasets.hub.push"])


def push(folder: Path, repo_id: str) -> None:
    from radikal_datasets.hub.push import push_to_hub

    push_to_hub(folder, repo_id)


def start_push(folder: Path, repo_id: str) -> ForkServerProcess:
    process = processes.Process(target=push, args=(folder, repo_id))
    process.start()
    return process


class Reader:
    """A process that reads a repository until it is stopped, and logs every incomplete state."""

    def __init__(self, repo_id: str, log: Path):
        self._log, self._done = log, processes.Event()
        log.write_text("")
        self._process = processes.Process(target=read_on, args=(repo_id, log, self._done))
        self._process.start()

    def stop(self) -> int:
        """Stop it and return the number of complete commits it saw."""
        self._done.set()
        self._process.join()
        lines = self._log.read_text().splitlines()
        bad = [line for line in lines if not line.startswith("whole ")]
        if bad:
            raise SystemExit(f"the reader saw an incomplete commit: {bad[:3]}")
        return len(set(lines))


def read_on(repo_id: str, log: Path, done: Event) -> None:
    with log.open("a", buffering=1) as file:
        while not done.is_set():
            try:
                commit, problem = look(repo_id, "main")
            except Exception:  # no repository yet, or the Hub is down: nothing was seen
                time.sleep(0.02)
                continue
            file.write(f"{problem or f'whole {commit}'}\n")


def look(repo_id: str, revision: str) -> tuple[str | None, str]:
    """Return the commit, and how it differs from its own manifest; '' if it does not."""
    from radikal_datasets.hub.repository import Repository
    from radikal_datasets.hub_client.endpoint import Hub
    from radikal_datasets.prepared.manifest import Manifest

    snapshot = Repository(Hub.current(), repo_id).read(revision)
    shards = {path for path in snapshot.tree if path.endswith(".parquet")}
    if snapshot.manifest is None or snapshot.card is None:
        return snapshot.commit, f"{len(shards)} shards without manifest or card" if shards else ""
    files = Manifest.parse(snapshot.manifest).files
    if set(files) - set(snapshot.tree) or shards - set(files):
        return snapshot.commit, f"files and manifest differ: {sorted(set(files) ^ shards)[:3]}"
    wrong = [path for path in shards if snapshot.tree[path].lfs.sha256 != files[path].sha256]  # type: ignore[union-attr]
    return snapshot.commit, f"other contents: {wrong[:3]}" if wrong else ""


def tree(repo_id: str) -> dict[str, str]:
    from radikal_datasets.hub.repository import Repository
    from radikal_datasets.hub_client.endpoint import Hub

    files = Repository(Hub.current(), repo_id).read("main").tree
    return {path: file.lfs.sha256 if file.lfs else file.blob_id for path, file in files.items()}


def check_loads(repo_id: str, configs: list[str]) -> None:
    """Check in a separate process, with stock `datasets`, that the card lists all configurations and each loads."""
    code = (
        "import sys, datasets\n"
        "repo, *configs = sys.argv[1:]\n"
        "found = datasets.get_dataset_config_names(repo)\n"
        "assert sorted(found) == sorted(configs), found\n"
        "for config in configs:\n"
        "    assert datasets.load_dataset(repo, config)['train'].num_rows > 0\n"
    )
    environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
    with tempfile.TemporaryDirectory() as home:
        subprocess.run(
            [sys.executable, "-c", code, repo_id, *configs], check=True, env={**environment, "HF_HOME": home}
        )


def concurrent(folders: dict[str, Path], runs: int, log: Path) -> None:
    for run in range(runs):
        repo_id = f"fire/concurrent{run}"
        reader = Reader(repo_id, log)
        start = time.perf_counter()
        pushes = [start_push(folder, repo_id) for folder in folders.values()]
        for process in pushes:
            process.join()
        seconds = time.perf_counter() - start
        seen = reader.stop()
        if any(process.exitcode for process in pushes):
            raise SystemExit("a push failed")
        check_loads(repo_id, list(folders))
        print(
            f"concurrent {run + 1}/{runs}: 6 in the card and loaded, {seconds:.1f} s, {seen} commits seen", flush=True
        )


def kill_client(
    folder: Path, times: int, longest: float, wanted: dict[str, str], rng: random.Random, log: Path
) -> None:
    for number in range(times):
        repo_id = f"fire/client{number}"
        reader = Reader(repo_id, log)
        process = start_push(folder, repo_id)
        moment = rng.uniform(0, longest)
        process.join(moment)
        died = process.is_alive()
        if died:
            process.kill()
        process.join()
        rerun(folder, repo_id)
        seen = reader.stop()
        if tree(repo_id) != wanted:
            raise SystemExit("another tree")
        state = "killed" if died else "finished"
        print(f"client {number + 1}/{times}: {state} after {moment:.2f} s, same tree; {seen} commits seen", flush=True)


def kill_server(
    server: Server, folder: Path, times: int, longest: float, wanted: dict[str, str], rng: random.Random, log: Path
) -> None:
    for number in range(times):
        repo_id = f"fire/server{number}"
        reader = Reader(repo_id, log)
        process = start_push(folder, repo_id)
        moment = rng.uniform(0, longest)
        time.sleep(moment)
        server.kill()
        time.sleep(rng.uniform(0, 1))
        server.start()
        process.join()
        first = "recovered by itself" if process.exitcode == 0 else "gave up"
        rerun(folder, repo_id)
        seen = reader.stop()
        if tree(repo_id) != wanted:
            raise SystemExit("another tree")
        print(
            f"server {number + 1}/{times}: killed at {moment:.2f} s, the push {first}, same tree; {seen} commits seen",
            flush=True,
        )


def rerun(folder: Path, repo_id: str) -> None:
    process = start_push(folder, repo_id)
    process.join()
    if process.exitcode:
        raise SystemExit("the re-run failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concurrent", type=int, default=10)
    parser.add_argument("--client", type=int, default=20)
    parser.add_argument("--server", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        server = Server(Path(scratch, "hub"))
        os.environ |= {
            "HF_ENDPOINT": server.url,
            "HF_TOKEN": server.token,
            "HF_HOME": str(Path(scratch, "home")),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        import datasets

        from radikal_datasets import build_hub_folder
        from radikal_datasets.samples import make_sample

        datasets.disable_progress_bars()
        try:
            make_sample("dagm2007", Path(scratch, "raw"), images=24)
            folders = {
                name: build_hub_folder("dagm2007", name, data_dir=Path(scratch, "raw"), output_dir=Path(scratch, name))
                for name in CONFIGS
            }
            whole = build_hub_folder(
                "dagm2007",
                CONFIGS,
                data_dir=Path(scratch, "raw"),
                output_dir=Path(scratch, "all"),
                max_shard_bytes=10**6,
            )
            log = Path(scratch, "seen")
            concurrent(folders, arguments.concurrent, log)
            start = time.perf_counter()
            rerun(whole, "fire/uninterrupted")
            longest = time.perf_counter() - start
            wanted = tree("fire/uninterrupted")
            print(f"an uninterrupted push of {len(wanted)} files takes {longest:.1f} s", flush=True)
            kill_client(whole, arguments.client, longest, wanted, rng, log)
            kill_server(server, whole, arguments.server, longest, wanted, rng, log)
            print(server.admin("verify").strip())
        finally:
            server.kill()


if __name__ == "__main__":
    main()
