"""Whether those who read one version of a schema can read what is written by another."""

from rushes_schemas.compatibility.refusals import Refusal, Rule, refusals
from rushes_schemas.compatibility.verdicts import Break, Compatibility, Reader, Verdict, verdict

__all__ = ["Break", "Compatibility", "Reader", "Refusal", "Rule", "Verdict", "refusals", "verdict"]
