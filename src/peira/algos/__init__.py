"""The catalogue: every algorithm by the name the command line knows it by.

Nothing is imported until it is asked for.
"""

import importlib

from ..core.checks import unknown
from ..core.protocols import Algorithm


catalogue: dict[str, str] = {
    "arsq": "peira.algos.online.arsq:ARSQ",
    "awac": "peira.algos.offline.awac:AWAC",
    "bc": "peira.algos.offline.bc:BC",
    "bcq": "peira.algos.offline.bcq:BCQ",
    "bcq-discrete": "peira.algos.offline.bcq_discrete:DiscreteBCQ",
    "bear": "peira.algos.offline.bear:BEAR",
    "brac": "peira.algos.offline.brac:BRAC",
    "cql": "peira.algos.offline.cql:CQL",
    "cql-discrete": "peira.algos.offline.cql_discrete:DiscreteCQL",
    "diffusion-policy": "peira.algos.offline.diffusion:DiffusionPolicy",
    "dqn": "peira.algos.online.dqn:DQN",
    "dt": "peira.algos.offline.dt:DT",
    "edac": "peira.algos.offline.edac:EDAC",
    "iql": "peira.algos.offline.iql:IQL",
    "kl-control": "peira.algos.offline.kl_control:KLControl",
    "ppo": "peira.algos.online.ppo:PPO",
    "q-transformer": "peira.algos.offline.q_transformer:QTransformer",
    "rebrac": "peira.algos.offline.rebrac:ReBRAC",
    "rvs": "peira.algos.offline.rvs:RvS",
    "sac": "peira.algos.online.sac:SAC",
    "sac-discrete": "peira.algos.online.sac_discrete:DiscreteSAC",
    "sac-n": "peira.algos.offline.sac_n:SACN",
    "td3": "peira.algos.online.td3:TD3",
    "td3-bc": "peira.algos.offline.td3_bc:TD3BC",
    "trpo": "peira.algos.online.trpo:TRPO",
    "tt": "peira.algos.offline.tt:TT",
}


def get(name: str) -> type[Algorithm]:
    """The class of a catalogued algorithm; raises `BadConfig` for an unknown name."""
    if name not in catalogue:
        raise unknown("algorithm", name, catalogue)
    module, _, cls = catalogue[name].partition(":")
    return getattr(importlib.import_module(module), cls)
