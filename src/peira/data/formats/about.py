"""What Peira adds to a file of another format where there is room: the spaces and
`meta`, so that nothing is lost on the way there and back."""

import json
from collections.abc import Mapping
from typing import Any

from ...core import DataFault, Spec
from ...core.spaces import from_json, to_json


KEY = "peira"


def said(spec: Spec, meta: Mapping[str, Any]) -> str:
    return json.dumps(
        {
            "obs": to_json(spec.obs),
            "action": to_json(spec.action),
            "masked": spec.masked,
            "meta": dict(meta),
        }
    )


def heard(words: str | bytes | None) -> tuple[Spec | None, dict[str, Any]]:
    """Spaces and `meta`; none where nothing was said. Raises `DataFault`."""
    if words is None:
        return None, {}
    try:
        about = json.loads(words)
        spec = Spec(
            from_json(about["obs"]), from_json(about["action"]), bool(about["masked"])
        )
        return spec, dict(about["meta"])
    except Exception as error:
        raise DataFault(f"what Peira wrote of its spaces is damaged: {error}") from None
