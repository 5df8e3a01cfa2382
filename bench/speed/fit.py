"""d3rlpy's side: its `fit` on the same data, with our sizes."""

import sys
from pathlib import Path
from typing import Any

import d3rlpy
import torch
from turns import serve


sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from offline import dataset


NAMES = {"bc": "BC", "td3-bc": "TD3PlusBC", "iql": "IQL", "cql": "CQL"}
NAMES |= {"bcq": "BCQ", "bear": "BEAR", "dt": "DecisionTransformer"}
# What else makes an update more or less work.
SAME = {
    "bcq": {"n_action_samples": 10},
    "bear": {"n_target_samples": 10, "n_mmd_action_samples": 4, "warmup_steps": 0},
}


class Fit:
    def __init__(self, library: str, algorithm: str, data: str, threads: int, **rest):
        torch.set_num_threads(threads)
        self.data, _ = dataset(Path(data).name)
        encoders, more = self.sizes(algorithm, rest)
        kind = getattr(d3rlpy.algos, f"{NAMES[algorithm]}Config")
        config = kind(batch_size=rest["batch"], **encoders, **more)
        self.algorithm = config.create(device=False)

    def sizes(self, algorithm: str, rest: dict) -> tuple[dict[str, Any], dict]:
        factory = d3rlpy.models.VectorEncoderFactory
        if algorithm == "dt":
            wide = factory([rest["width"]], exclude_last_activation=True)
            more = {"context_size": rest["context"], "num_layers": rest["layers"]}
            return {"encoder_factory": wide}, more | {"num_heads": rest["heads"]}
        names = ["actor", "critic"]
        names += ["value"] * (algorithm == "iql")
        names += ["imitator"] * (algorithm in ("bcq", "bear"))
        wide = factory(list(rest["hidden"]))
        if algorithm == "bc":
            return {"encoder_factory": wide}, {}
        factories = {f"{name}_encoder_factory": wide for name in names}
        return factories, SAME.get(algorithm, {})

    def go(self, n: int) -> None:
        self.algorithm.fit(
            self.data,
            n_steps=n,
            n_steps_per_epoch=n,
            show_progress=False,
            logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        )


if __name__ == "__main__":
    serve(Fit)
