"""What differs between places: the lake's root, the catalog, Spark's settings, and the roots that paths may lie in."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from lakehouse.spec.base import Spec

_ALLOWED = re.compile(
    r"spark\.(sql|databricks|hadoop\.fs|dynamicAllocation|ui|shuffle|memory|network|speculation|task)\..+"
    r"|spark\.(master|default\.parallelism|driver\.(memory|cores|maxResultSize)|executor\.(memory|cores|instances))"
)
_LOADS_CODE = re.compile(
    r"(?i).*(extensions|listeners?|class|catalog\..+|plugins|provider|jars|packages|java|python|logStore.*|\.impl|command)$"
)


def _setting(name: str) -> str:
    if not _ALLOWED.fullmatch(name) or _LOADS_CODE.fullmatch(name):
        message = f"'{name}' cannot be set by configuration: it is unknown here, or it can load code"
        raise ValueError(message)
    return name


class Env(Spec):
    """One place: ``conf/env/<name>.yaml``, chosen by ``--env`` or ``LAKEHOUSE_ENV``.

    Every value may hold ``${env:NAME}``, which is looked up when it is needed and never shown.
    """

    lake: Annotated[str, Field(description="Where tables, checkpoints and the ledger live; relative to the project.")]
    catalog: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Tables are registered in it under their names."),
    ] = None
    spark: Annotated[
        dict[Annotated[str, AfterValidator(_setting)], str | int | bool],
        Field(description="Spark settings of this place."),
    ] = {}
    roots: Annotated[
        tuple[str, ...],
        Field(strict=False, description="Folders outside of the project and the lake that sources may lie in."),
    ] = ()
    params: dict[str, str] = {}
