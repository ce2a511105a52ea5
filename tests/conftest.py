"""Shared by all tests: no network but loopback, caches in a temporary folder, one set of sample trees per session."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

# Set before datasets and huggingface_hub are imported: they read these once.
_CACHE = tempfile.mkdtemp(prefix="radikal-tests-")
os.environ["HF_HOME"] = _CACHE
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0)):
    # Set before torch is imported: workers, and the processes they start, slow each other down if each uses every core.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
for name in ("HF_ENDPOINT", "HF_TOKEN", "RADIKAL_DATA", "RADIKAL_NAMESPACE", "RADIKAL_MIRROR", "HF_DATASETS_CACHE"):
    os.environ.pop(name, None)

import datasets  # noqa: E402
import hypothesis  # noqa: E402
import pytest  # noqa: E402

from radikal_datasets.samples import make_sample  # noqa: E402

datasets.disable_progress_bars()
# Deadlines measure the machine, not the code; derandomize keeps CI from failing on an unrelated change.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci")

SAMPLE_IMAGES = 12


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-xdist take the files in the order below, not by their number of tests."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest, so that `--dist loadfile` does not end with one of them on one core."""
    seconds: Counter[Path] = Counter()
    for item in items:
        seconds[item.path] += 150 if item.get_closest_marker("slow") else 1  # in tenths
    items.sort(key=lambda item: -seconds[item.path])


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that connects to another machine."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):  # type: ignore[index]
            raise AssertionError(f"a test tried to connect to {address}")
        connect(self, address)  # type: ignore[arg-type]

    def guarded_look_up(host: object, *args: object, **options: object) -> object:
        if host not in (None, "", "127.0.0.1", "::1", "localhost", b"127.0.0.1", b"localhost"):
            raise AssertionError(f"a test tried to look up {host}")
        return look_up(host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(scope="session", autouse=True)
def _remove_caches() -> Iterator[None]:
    yield
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def sample_tree(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`sample_tree("neu_det")`, or with `broken=True`: a tree, generated once. Do not modify it: copy it."""
    made: dict[tuple[str, bool], Path] = {}

    def get(source: str, *, broken: bool = False) -> Path:
        if (source, broken) not in made:
            out = tmp_path_factory.mktemp("samples") / source
            make_sample(source, out, images=SAMPLE_IMAGES, seed=0, broken=broken)
            made[source, broken] = out
        return made[source, broken]

    return get


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """`real_data("neu_det")`: the real images; otherwise skip and say where they were expected."""
    root = Path(os.environ.get("RADIKAL_REAL", Path(__file__).parents[2] / "shared" / "real"))

    def get(source: str) -> Path:
        if not (root / source).is_dir():
            pytest.skip(f"no real {source} at {root / source}: set RADIKAL_REAL")
        return root / source

    return get
