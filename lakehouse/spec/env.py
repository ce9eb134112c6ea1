"""What differs between places: the lake's root, the catalog, Spark's settings, and the roots that paths may lie in."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from lakehouse.spec.base import Spec
from lakehouse.spec.reference import ParameterText, Text, well_formed
from lakehouse.spec.settings import refusal

_ALLOWED = re.compile(
    r"spark\.(sql|databricks|hadoop\.fs|dynamicAllocation|ui|shuffle|memory|network|speculation|task)\..+"
    r"|spark\.(master|default\.parallelism|driver\.(memory|cores|maxResultSize)|executor\.(memory|cores|instances))"
)
_LOADS_CODE = re.compile(
    r"(?i).*(extensions|listeners?|class(es)?|catalog\..+|plugins?|provider(\..+)?|jars(\..+)?|packages|java|python"
    r"|logStore.*|\.impl|command|filters|serializer|shuffle\.manager)"
)


_LEADS_ELSEWHERE = re.compile(
    r"(?i).*([._-]dirs?|stagingDir|location|defaultFS|\.path|proxy\.(host|port))"
    r"|.*fs\.s3a\.(committer\..+|bucket\..+\.committer\.(name|magic\..+|staging\..+))"
)
"""Settings by which Spark reads or writes in folders, or by ways, that nobody held against the roots."""


def _setting(name: str) -> str:
    if reason := refusal(name):
        raise ValueError(reason)
    if _LEADS_ELSEWHERE.fullmatch(name):
        message = (
            f"'{name}' cannot be set by configuration: it says where Spark reads or writes, which lake: and roots: do"
        )
        raise ValueError(message)
    if not _ALLOWED.fullmatch(name) or _LOADS_CODE.fullmatch(name):
        message = f"'{name}' cannot be set by configuration: it is unknown here, or it can load code"
        raise ValueError(message)
    return name


def _scalar(value: object) -> object:
    if isinstance(value, str):
        return well_formed(value)
    if not isinstance(value, int | float):
        message = "expected text, a number, or true or false"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports no TypeError
    return value


Setting = Annotated[str | int | float | bool, BeforeValidator(_scalar)]


class Env(Spec):
    """One place: ``conf/env/<name>.yaml``, chosen by ``--env`` or ``LAKEHOUSE_ENV``.

    Every value may hold ``${env:NAME}``, which is looked up when it is needed and never shown.
    """

    lake: Annotated[Text, Field(description="Where tables, checkpoints and the ledger live; relative to the project.")]
    catalog: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Tables are registered in it under their names."),
    ] = None
    single_writer: Annotated[
        bool,
        Field(description="No two processes ever write to this lake at once: on S3 nothing else may keep them apart."),
    ] = False
    spark: Annotated[
        dict[Annotated[str, AfterValidator(_setting)], Setting],
        Field(description="Spark settings of this place."),
    ] = {}
    roots: Annotated[
        tuple[Text, ...],
        Field(strict=False, description="Folders outside of the project and the lake that sources may lie in."),
    ] = ()
    params: dict[str, ParameterText] = {}
