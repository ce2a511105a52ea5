"""push_model.py and model_card.py: a model is pushed to the embedded Hub and loaded back from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import HfApi, ModelCard

from radikal_datasets.hub.repository import Repository, Snapshot
from radikal_datasets.hub_client import transfer
from radikal_datasets.prepared.folder import build_hub_folder
from tests.hub.embedded import RunningHub, running_hub
from tests.hub.fake import offline, use_hub
from tests.training.conftest import ROOT
from tests.training.saved_runs import NAMES, write_images, write_run
from training.push_model import main, push_model
from training.using.model_card import TrainedModel, model_card
from training.using.trained_model import open_model


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("models") / "hub") as running:
        running.add_user("ann", ["plant"])
        yield running


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", threshold=0.4)


@pytest.fixture
def chosen(hub, monkeypatch, tmp_path):
    """Point this process at the Hub as ann, and return a client of it."""
    use_hub(monkeypatch, hub.url, tmp_path)
    token = hub.token("ann")
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(transfer, "_LONGEST_WAIT", 0.02)
    return HfApi(endpoint=hub.url, token=token)


def in_another_process(hub: RunningHub, token: str, code: str, tmp_path: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "RADIKAL"))} | {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": token,
        "HF_HOME": str(tmp_path / "home"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_round_trip(hub, chosen, run, tmp_path):
    token = str(chosen.token)
    images = write_images(tmp_path / "images", 1)
    code = f"""
import sys
from training.push_model import main
assert main([{str(run)!r}, "--repo-id", "plant/model"]) == 0
assert main([{str(run)!r}, "--repo-id", "plant/model"]) == 0
"""
    printed = in_another_process(hub, token, code, tmp_path)
    assert "Sent config.json, model.safetensors, preprocessor_config.json, README.md" in printed
    assert "Sent nothing; unchanged: config.json" in printed and f"{hub.url}/plant/model/tree/" in printed
    code = f"""
import torch
from transformers import AutoModelForObjectDetection
from training.predict import main
there = AutoModelForObjectDetection.from_pretrained("plant/model").state_dict()
here = AutoModelForObjectDetection.from_pretrained({str(run / "best")!r}).state_dict()
assert there.keys() == here.keys() and all(torch.equal(there[name], here[name]) for name in here)
assert main(["plant/model", {str(images)!r}, "--output", {str(tmp_path / "found")!r}]) == 0
"""
    assert "images/s" in in_another_process(hub, token, code, tmp_path)
    api = chosen
    assert api.model_info("plant/model").private is True
    assert [one.title for one in api.list_repo_commits("plant/model")] == ["rt_detr_v2 with its card", "initial commit"]
    assert sorted(api.list_repo_files("plant/model")) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    ]


def test_a_second_push_keeps_what_people_wrote_and_removes_old_weights(chosen, run):
    first = push_model(run, "ann/again")
    text = _card(chosen, "ann/again")
    text = text.replace("pipeline_tag:", "language: de\npipeline_tag:") + "\nHandle with care.\n"
    chosen.upload_file(path_or_fileobj=text.encode(), path_in_repo="README.md", repo_id="ann/again")
    chosen.upload_file(path_or_fileobj=b"{}", path_in_repo="model.safetensors.index.json", repo_id="ann/again")
    chosen.upload_file(path_or_fileobj=b"1", path_in_repo="notes.txt", repo_id="ann/again")
    write_run(run, threshold=0.7)
    second = push_model(run, "ann/again")
    assert second.commit != first.commit and second.sent == ("README.md",)
    card = ModelCard(_card(chosen, "ann/again"))
    assert "Handle with care." in card.text and "**0.700**" in card.text and "**0.400**" not in card.text
    assert card.data.to_dict()["language"] == "de"
    files = chosen.list_repo_files("ann/again")
    assert "notes.txt" in files and "model.safetensors.index.json" not in files


def _card(api: HfApi, repo_id: str) -> str:
    from radikal_datasets.hub_client.endpoint import Hub

    return Hub(api.endpoint, str(api.token)).get(f"/{repo_id}/resolve/main/README.md").text


class TestRefusals:
    def push(self, run: Path, *more: str) -> int:
        return main([str(run), "--repo-id", "plant/refused", *more])

    def test_no_hub(self, run, monkeypatch, capsys):
        monkeypatch.delenv("HF_ENDPOINT", raising=False)
        assert self.push(run) == 1
        assert "No Hub was chosen" in capsys.readouterr().err

    @pytest.mark.parametrize("address", ["https://huggingface.co", "https://HuggingFace.co/", "https://www.hf.co"])
    def test_the_public_hub_by_environment_alone(self, run, monkeypatch, capsys, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert self.push(run) == 1
        assert "pass --endpoint https://huggingface.co" in capsys.readouterr().err

    def test_offline_mode(self, chosen, run, monkeypatch, capsys):
        offline(monkeypatch)
        assert self.push(run) == 1
        assert "HF_HUB_OFFLINE" in capsys.readouterr().err

    def test_a_public_model_of_images_that_must_not_be_passed_on(self, chosen, run, capsys):
        assert self.push(run, "--public") == 1
        assert "NEU-DET research use" in capsys.readouterr().err
        assert not chosen.repo_exists("plant/refused")

    def test_a_public_repository_in_the_way(self, chosen, run, capsys):
        chosen.create_repo("plant/open", private=False)
        assert main([str(run), "--repo-id", "plant/open"]) == 1
        assert "is a public repository. Nothing was sent" in capsys.readouterr().err
        assert chosen.list_repo_files("plant/open") == []

    def test_a_hub_that_creates_public_repositories(self, chosen, run, monkeypatch, capsys):
        create = HfApi.create_repo
        monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **o: create(self, name, **{**o, "private": False}))
        assert self.push(run) == 1
        assert "Nothing was sent, and the empty repository was deleted again" in capsys.readouterr().err
        assert not chosen.repo_exists("plant/refused")

    @pytest.mark.parametrize(
        ("name", "message"), [("bob/x", "HTTP 403"), ("nameonly", "no namespace"), ("a b/c", "can't be")]
    )
    def test_names(self, chosen, run, capsys, name, message):
        assert main([str(run), "--repo-id", name]) == 1
        assert message in capsys.readouterr().err

    def test_a_model_without_its_run(self, chosen, run, capsys):
        assert self.push(run / "best") == 1
        assert "without its run" in capsys.readouterr().err

    def test_what_the_hub_lost(self, chosen, run, monkeypatch, capsys):
        read = Repository.read

        def losing(self: Repository, revision: str) -> Snapshot:
            there = read(self, revision)
            return replace(there, tree={path: file for path, file in there.tree.items() if path != "config.json"})

        monkeypatch.setattr(Repository, "read", losing)
        assert main([str(run), "--repo-id", "plant/lost"]) == 1
        assert "is not what was sent: config.json" in capsys.readouterr().err


def card_of(run: Path, older: str | None = None) -> ModelCard:
    import json

    opened = open_model(run)
    assert opened.settings is not None
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return ModelCard(model_card(TrainedModel(opened, opened.settings, metrics), "plant/model", "http://hub:1", older))


class TestCard:
    def test_says_what_a_user_needs(self, run):
        card = card_of(run)
        data = card.data.to_dict()
        assert (data["library_name"], data["pipeline_tag"]) == ("transformers", "object-detection")
        assert {"rt_detr_v2", "neu_det", "industrial-inspection"} <= set(data["tags"])
        assert data["license"] == "other" and "neu-det" in data["license_name"]
        assert {one.metric_type: one.metric_value for one in card.data.eval_results or []}["map"] == 0.456
        for text in (
            ", ".join(NAMES),
            "96 x 64 pixels",
            "no license text exists",
            "**0.400**, chosen on validation",
            "7.5 missed defects and 2.5 false positives per 100 images",
            "Trained on cpu",
            "60 steps in 2 minutes",
            'pipeline("object-detection", "plant/model")',
            "threshold=0.400",
            "HF_ENDPOINT=http://hub:1",
            "It finds almost no dent",
            "| test | 0.456 |",
            "| `image_size` | `[64, 96]` |",
        ):
            assert text in card.text, text

    def test_names_no_folder_of_this_machine(self, tmp_path):
        data = tmp_path / "secret" / "line4"
        data.mkdir(parents=True)
        weights = str(tmp_path / "secret" / "weights.safetensors")
        run = write_run(tmp_path / "run", dataset_name=str(data), data_dir=None, backbone_weights=weights)
        text = card_of(run).content
        assert "secret" not in text and str(tmp_path) not in text
        assert "`line4`" in text and "write it here by hand" in text and "`weights.safetensors`" in text
        assert card_of(run).data.to_dict()["license_name"] == "not-chosen-yet"

    def test_knows_prepared_folders_and_combined_sets(self, tmp_path, sample_tree):
        folder = tmp_path / "prepared"
        build_hub_folder("neu_det", data_dir=sample_tree("neu_det"), output_dir=folder)
        other = {"path": "radikal_datasets/dagm2007", "name": "default"}
        card = card_of(write_run(tmp_path / "run", dataset_name=str(folder), combine_with=[other]))
        assert {"neu_det", "dagm2007"} <= set(card.data.to_dict()["tags"])
        assert "no license text exists" in card.text and "the files hold no license text" in card.text
        assert "training images are synthetic" in card.text

    def test_models_of_pairs_are_not_for_the_pipeline(self, tmp_path):
        text = card_of(write_run(tmp_path / "run", channels="pair")).text
        assert "--references TEMPLATES" in text and "pipeline(" not in text
        assert "None was chosen" in text

    def test_pushing_twice_equals_pushing_once(self, run):
        once = card_of(run).content
        assert card_of(run, once).content == once

    def test_a_run_that_has_not_ended(self, run, tmp_path):
        shutil.copytree(run, tmp_path / "running")
        (tmp_path / "running" / "metrics.json").write_text("{}", encoding="utf-8")
        assert "the run has not finished" in card_of(tmp_path / "running").text
