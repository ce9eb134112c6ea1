"""How good rows are: what each rule judged, and how much of it was broken."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


OF_RUN = "run"
"""In the place of a contract: how long a run took, which no rows are judged by."""


@dataclass(frozen=True)
class Judgement:
    """What one rule came to: of so many rows (one, for a rule over all of them) so many broke it."""

    rule: str
    dimension: str
    severity: str
    judged: int
    broken: int

    @property
    def score(self) -> float:
        """The share that is right; all of it where nothing was judged."""
        return 1 - self.broken / self.judged if self.judged else 1.0


@dataclass(frozen=True)
class Quality:
    """What the rows of a batch or a table were found to be by one contract.

    ``contract``: where it stands in the job, such as ``sources.orders`` or ``write``; ``version``: its fingerprint.
    """

    contract: str
    version: str
    judgements: tuple[Judgement, ...]

    @property
    def score(self) -> float:
        """The share of what was judged (rows times rules) that is right."""
        return score(self.judgements)

    def by_dimension(self) -> dict[str, float]:
        """The score of each dimension of which something was judged."""
        names = sorted({one.dimension for one in self.judgements if one.judged})
        return {name: score([one for one in self.judgements if one.dimension == name]) for name in names}

    def as_note(self) -> dict[str, Any]:
        """As a commit notes it: in few characters, since a stream makes many."""
        return {"contract": self.contract, "version": self.version, "rules": [astuple(one) for one in self.judgements]}

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> Quality:
        """As a commit noted it."""
        return cls(note["contract"], note["version"], tuple(Judgement(*one) for one in note["rules"]))


def score(judgements: Iterable[Judgement]) -> float:
    """The share that is right of all that was judged."""
    found: Sequence[Judgement] = tuple(judgements)
    judged = sum(one.judged for one in found)
    return 1 - sum(one.broken for one in found) / judged if judged else 1.0
