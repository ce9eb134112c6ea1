"""How good a batch is by its contract, and whether it is good enough to be written."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lakehouse.errors import QualityGateError
from lakehouse.lake.quality import Judgement, Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.spec.contract import Contract
    from lakehouse.spec.rule import Rule


def quality_of(contract: Contract, counts: Mapping[str, Any], *, where: str, bad_files: int = 0) -> Quality:
    """What each rule came to, and what the columns did: in upper case, as the codes in quarantine."""
    whole, found = counts["whole"], []
    if where not in ("write", "table"):
        unreadable = counts["unreadable"] + bad_files
        found.append(Judgement("RECORD", "accuracy", "error", whole + unreadable, unreadable))
    needed = sum(not column.nullable for column in contract.columns.values())
    for code, dimension, columns in (
        ("CAST", "accuracy", len(contract.columns)),
        ("NULL_VALUE", "completeness", needed),
    ):
        if columns and code in counts:
            found.append(Judgement(code, dimension, "error", whole * columns, counts[code]))
    for index, rule in enumerate(contract.rules):
        if f"broken_{index}" not in counts:
            continue
        found.append(Judgement(rule.name, rule.measures, rule.weight, *_of(rule, index, contract, counts)))
    return Quality(where, contract.fingerprint, tuple(found))


def _of(rule: Rule, index: int, contract: Contract, counts: Mapping[str, Any]) -> tuple[int, int]:
    """How many rows a rule judged, and how many broke it; a rule over all of them is one."""
    if rule in contract.of_all:
        return 1, int(bool(counts[f"broken_{index}"]))
    judged = counts["gone_on"] if rule in contract.of_others else counts["whole"]
    return counts.get(f"judged_{index}", judged), counts[f"broken_{index}"]


def gate(contract: Contract, quality: Quality, counts: Mapping[str, Any], *, so: str = "nothing was written") -> None:
    """Hold what was found against the contract's gates; ``so``: what it means that one is broken.

    Raises:
        QualityGateError: a rule with ``on_fail: fail`` was broken, one was by more than ``at_most``, or the score is
            less than ``min_score``.
    """
    found = {one.rule: one for one in quality.judgements}
    told = [
        _why(rule, found[rule.name], _values(rule, index, counts, contract.personal))
        for index, rule in enumerate(contract.rules)
    ]
    failed = [one for one in told if one]
    if contract.min_score and _is_less(quality, contract.min_score):
        by = ", ".join(f"{name} {score:.2%}" for name, score in quality.by_dimension().items())
        failed.append(f"min_score: {contract.min_score}: the score is {quality.score:.4%} ({by})")
    if failed:
        message = f"more is broken than the contract allows, {so}: {'; '.join(failed)}"
        raise QualityGateError(message, hint="mend the data at its source, or change the rule", quality=quality)


def _is_less(quality: Quality, least: str) -> bool:
    """Whether the share that is right is less than so many percent, exactly."""
    judged = sum(one.judged for one in quality.judgements)
    right = judged - sum(one.broken for one in quality.judgements)
    return right * 100 < Decimal(least.rstrip("%")) * judged


def _why(rule: Rule, found: Judgement, values: str) -> str | None:
    """Why a rule ends the run; None where it does not."""
    told = f"{rule.name} ({rule.check}): "
    if values:
        return f"{told}{values}" if found.broken and rule.on_fail == "fail" else None
    if not rule.allows(found.broken, found.judged):
        return f"{told}{found.broken:,} of {found.judged:,} rows, at_most: {rule.at_most}"
    if rule.on_fail == "fail" and rule.at_most is None and found.broken:
        return f"{told}{found.broken:,} rows"
    return None


def _values(rule: Rule, index: int, counts: Mapping[str, Any], personal: Sequence[str]) -> str:
    """What the aggregates of a rule are; of what is personal no value."""
    parts = getattr(rule.asks, "parts", ())[1::2]
    if parts and {name.lower() for name in rule.reads} & {name.lower() for name in personal}:
        return "what it came to is not shown: it may hold personal data"
    return ", ".join(f"{part} is {counts[f'value_{index}_{number}']}" for number, part in enumerate(parts))
