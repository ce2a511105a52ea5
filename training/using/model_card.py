"""The card of a model: what it was trained on and how well it performs, for people and for Hub clients."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from radikal_datasets.prepared.card_text import CARD_FILENAME, Block, Card, parse_card
from radikal_datasets.source import Source
from training.using.card_sections import sections
from training.using.described_model import SCORES, TrainedModel, coco_scores

_BLOCK = "model"
_TAGS = ("industrial-inspection", "defect-detection")
# Metadata keys that are generated; all others were written by a person.
_OUR_KEYS = {
    "license",
    "license_name",
    "license_link",
    "library_name",
    "pipeline_tag",
    "tags",
    "datasets",
    "model-index",
}


def model_card(trained: TrainedModel, repo_id: str, endpoint: str, older: str | None = None) -> str:
    """Return the text of the card.

    Args:
        repo_id, endpoint: where the model will be published.
        older: the existing card; text that people wrote before and after the generated part is kept.

    Raises:
        HubFolderError: the older card's YAML does not parse.
    """
    before = parse_card(older, f"{CARD_FILENAME} of {repo_id}") if older else Card()
    theirs = {key: value for key, value in before.metadata.items() if key not in _OUR_KEYS}
    data = _metadata(trained, repo_id)
    tags = before.metadata.get("tags")
    data["tags"] += [tag for tag in (tags if isinstance(tags, list) else []) if tag not in data["tags"]]
    block = before.block(_BLOCK) or Block(_BLOCK, "")
    block.text = "\n\n".join(part for part in sections(trained, repo_id, endpoint) if part) + "\n"
    others = [one for one in before.blocks if one.name != _BLOCK]
    return Card({**data, **theirs}, before.before, [block, *others]).to_text()


def _metadata(trained: TrainedModel, repo_id: str) -> dict[str, Any]:
    tags = [*_TAGS, trained.opened.model.config.model_type, *(source.name for source in trained.sources)]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="object-detection",
        tags=tags,
        model_name=repo_id.partition("/")[2],
        eval_results=_eval_results(trained) or None,
        **_license(trained.sources),
    )
    return data.to_dict()


def _license(sources: list[Source]) -> dict[str, Any]:
    """Return license metadata: none of the Hub's own, since the owner chooses it, within the license of the images."""
    if not sources:
        return {"license": "other", "license_name": "not-chosen-yet"}
    names = "-and-".join(re.sub(r"[^a-z0-9.]+", "-", source.license.name.lower()).strip("-") for source in sources)
    return {"license": "other", "license_name": f"trained-on-{names}-images", "license_link": sources[0].homepage}


def _eval_results(trained: TrainedModel) -> list[EvalResult]:
    coco = coco_scores(trained.metrics.get("test"))
    name, title = (" and ".join(texts) for texts in ([one.name for one in trained.sets], _titles(trained)))
    return [
        EvalResult(
            task_type="object-detection",
            dataset_type=name,
            dataset_name=title,
            dataset_config=trained.settings.dataset_config_name,
            dataset_split="test",
            metric_type=key,
            metric_name=metric,
            metric_value=round(coco[key], 4),
        )
        for key, metric in SCORES.items()
        if coco.get(key, -1) >= 0
    ]


def _titles(trained: TrainedModel) -> list[str]:
    return [one.source.title if one.source else one.name for one in trained.sets]
