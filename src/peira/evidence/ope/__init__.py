"""Off-policy evaluation: what a policy is worth, from what another has done."""

from .appraise import Appraisal, appraise, Effort
from .behaviour import Behaviour
from .estimators import Parts
from .fqe import FQE
from .judge import judge, Judgement, METHODS, Question
from .likelihood import likelihoods, Likely, Refusal
from .logged import Logged, logged, Model


__all__ = [
    "FQE",
    "METHODS",
    "Appraisal",
    "Behaviour",
    "Effort",
    "Judgement",
    "Likely",
    "Logged",
    "Model",
    "Parts",
    "Question",
    "Refusal",
    "appraise",
    "judge",
    "likelihoods",
    "logged",
]
