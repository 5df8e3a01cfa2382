"""An examination of any environment, beyond types: does it keep the promises that
learning rests on?"""

from .examine import Examination, examine
from .findings import CHECKS, Finding
from .scale import Spread


__all__ = ["CHECKS", "Examination", "Finding", "Spread", "examine"]
