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
_NAMES_CODE = (
    r"extensions|listeners?|class(es)?|class\.?name|plugins?|packages|java|python|\.impl|command|filters|serializer"
    r"|signers|handlers|interceptors|factory"
)
_LOADS_CODE = re.compile(rf"(?i).*({_NAMES_CODE}|catalog\..+|provider(\..+)?|jars(\..+)?|logStore.*|shuffle\.manager)")
_LOADS_CODE_OF_BUCKET = re.compile(rf"(?i).*({_NAMES_CODE}|provider|jars|credentials\.provider\..+)")
"""Of one bucket, whose name may hold such words: there is no option that has them before others, but for one."""
_OF_BUCKET = "spark.hadoop.fs.s3a.bucket."
_ACCOUNT = re.compile(r"(spark\.hadoop\.fs\.azure\..+)\.[a-z0-9]{3,24}\.(dfs|blob)\.[a-z0-9.-]+")
"""A setting of one account of Azure, whose name comes last."""

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
    if not _ALLOWED.fullmatch(name) or _loads_code(name):
        message = f"'{name}' cannot be set by configuration: it is unknown here, or it can load code"
        raise ValueError(message)
    return name


def _loads_code(name: str) -> bool:
    if name.startswith(_OF_BUCKET):
        return _LOADS_CODE_OF_BUCKET.fullmatch(name) is not None
    of_account = _ACCOUNT.fullmatch(name)
    return _LOADS_CODE.fullmatch(of_account[1] if of_account else name) is not None


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
