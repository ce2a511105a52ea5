"""Training neck and head on cached feature maps of the frozen backbone, and the cache on disk."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
import torch

from radikal_datasets.errors import SettingsError
from training import train
from training.run import feature_cache, head_first
from training.run.feature_cache import folder_of_caches, key_of, open_cache, write_cache

DENSE = ["--model_type", "dense", "--head_first_epochs", "3", "--max_train_steps", "2", "--augment", "true"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache.config, "HF_CACHE_HOME", str(tmp_path / "home"))


def some_batches(views: int, edge: int = 4):
    """Maps of two levels and labels, in batches of two; the number of a view fills its maps."""
    for start in range(0, views, 2):
        numbers = torch.arange(start, min(start + 2, views)).float()
        maps = [numbers[:, None, None, None].expand(-1, 3, edge // k, edge // k) for k in (1, 2)]
        labels = [
            {"class_labels": torch.zeros(int(n) % 3, dtype=torch.int64), "boxes": torch.rand(int(n) % 3, 4)}
            for n in numbers
        ]
        yield maps, labels


def write(key: str, views: int = 5, limit: float = 1.0, edge: int = 4):
    return write_cache(key, some_batches(views, edge), views, limit, lambda _: None)


def test_a_cache_gives_back_what_was_written():
    expected = [label for _, labels in some_batches(5) for label in labels]
    cache = write("a" * 32)
    for found in (cache, open_cache("a" * 32)):
        assert found is not None and len(found) == 5
        maps, labels = found.batch(np.array([4, 1]), torch.device("cpu"))
        assert [tuple(one.shape) for one in maps] == [(2, 3, 4, 4), (2, 3, 2, 2)]
        assert [one[0].unique().item() for one in maps] == [4, 4] and maps[0].dtype == torch.float32
        assert [len(one["boxes"]) for one in labels] == [1, 1] == [len(expected[4]["boxes"]), len(expected[1]["boxes"])]
    assert open_cache("b" * 32) is None


@pytest.mark.parametrize("damage", ["short file", "no labels", "broken labels", "broken meta", "other shapes"])
def test_a_damaged_cache_is_made_again(damage):
    write("a" * 32)
    folder = folder_of_caches() / ("a" * 32)
    if damage == "short file":
        os.truncate(folder / "level1.f16", 10)
    elif damage == "no labels":
        (folder / "labels.npz").unlink()
    elif damage == "broken labels":
        (folder / "labels.npz").write_bytes(b"half")
    elif damage == "broken meta":
        (folder / "meta.json").write_text("{", encoding="utf-8")
    else:
        (folder / "meta.json").write_text(json.dumps({"shapes": [[4, 3, 4, 4], [4, 3, 2, 2]]}), encoding="utf-8")
    assert open_cache("a" * 32) is None
    assert len(write("a" * 32)) == 5


def test_the_caches_stay_within_their_limit():
    write("a" * 32, edge=64)
    one = sum(file.stat().st_size for file in (folder_of_caches() / ("a" * 32)).iterdir()) / feature_cache.GIB
    for number, name in enumerate("abc"):
        write(name * 32, limit=2.5 * one, edge=64)
        os.utime(folder_of_caches() / (name * 32), (number, number))
    assert {folder.name[0] for folder in folder_of_caches().iterdir()} == {"b", "c"}
    with pytest.raises(SettingsError, match="but feature_cache_gib is"):
        write("d" * 32, limit=0.5 * one, edge=64)
    assert {folder.name[0] for folder in folder_of_caches().iterdir()} == {"b", "c"}


def test_an_interrupted_computation_leaves_nothing():
    def interrupted():
        yield next(some_batches(5))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cache("a" * 32, interrupted(), 5, 1.0, lambda _: None)
    assert list(folder_of_caches().iterdir()) == []


def test_the_key_follows_values_and_weights():
    weights = [torch.arange(6.0)]
    keys = {key_of({"a": 1}, weights), key_of({"a": 2}, weights), key_of({"a": 1}, [torch.arange(6.0) + 1])}
    assert len(keys) == 3 and key_of({"a": 1}, weights) in keys


def test_a_run_uses_the_maps_again_and_a_changed_one_does_not(tiny_config, tmp_path, capsys, monkeypatch):
    seen = []
    original = head_first.train_head

    def watched(model, *args, **kwargs):
        backbone = {name: value.clone() for name, value in model.backbone.state_dict().items()}
        head = model.class_head.weight.clone()
        original(model, *args, **kwargs)
        assert all(torch.equal(value, backbone[name]) for name, value in model.backbone.state_dict().items())
        assert not torch.equal(model.class_head.weight, head)
        seen.append(model.class_head.weight.clone())

    monkeypatch.setattr(train, "train_head", watched)
    run = [str(tiny_config), *DENSE, "--overwrite_output_dir", "true"]
    assert train.main(run) == 0
    assert "from the cache" not in capsys.readouterr().err
    assert train.main(run) == 0
    assert "from the cache" in capsys.readouterr().err and torch.equal(*seen)
    assert train.main([*run, "--seed", "1"]) == 0
    assert "from the cache" not in capsys.readouterr().err and len(list(folder_of_caches().iterdir())) == 2
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_a_head_learns_on_frozen_maps(tiny_config, tmp_path, capsys):
    """The loss of the complete run starts far below that of a run whose head is still random."""
    losses = []
    for epochs in ("0", "20"):
        more = ["--head_first_epochs", epochs, "--max_train_steps", "1", "--overwrite_output_dir", "true"]
        assert train.main([str(tiny_config), *DENSE, "--learning_rate", "1e-3", *more]) == 0
        losses.append(json.loads((tmp_path / "run/metrics.json").read_text())["training"]["history"][0]["loss"])
    assert losses[1] < 0.9 * losses[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["--model_type", "rt_detr_v2"], "head_first_epochs needs model_type dense"),
        (["--head_first_epochs", "-1"], "head_first_epochs is -1"),
        (["--head_first_views", "0"], "head_first_views is 0"),
        (["--feature_cache_gib", "0"], "but feature_cache_gib is 0"),
    ],
)
def test_bad_settings_are_one_message(tiny_config, capsys, settings, message):
    assert train.main([str(tiny_config), *DENSE, *settings]) == 1
    assert message in capsys.readouterr().err


def test_several_processes_are_refused():
    with pytest.raises(SettingsError, match="one process, but there are 2"):
        head_first.check_one_process(2)


def test_what_another_run_is_writing_stays_and_what_a_killed_one_left_does_not():
    write("a" * 32, edge=64)
    size = sum(file.stat().st_size for file in (folder_of_caches() / ("a" * 32)).iterdir())
    for name, age in ((".now", 0), (".killed", 2 * 24 * 60 * 60)):
        folder = folder_of_caches() / name
        folder.mkdir()
        (folder / "level0.f16").write_bytes(bytes(size))
        then = time.time() - age
        os.utime(folder, (then, then))
    write("b" * 32, limit=3.5 * size / feature_cache.GIB, edge=64)
    assert {folder.name[:2] for folder in folder_of_caches().iterdir()} == {".n", "aa", "bb"}
