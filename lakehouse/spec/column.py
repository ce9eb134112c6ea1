"""One column of a contract: its type, whether it may be NULL, how its text is written, and what it means."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from lakehouse.spec.base import FieldError, Spec
from lakehouse.spec.column_type import known_type
from lakehouse.spec.document import nearest
from lakehouse.spec.time_pattern import EPOCHS, time_pattern

_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_FLOATS = ("float", "double")
_MOMENTS = ("timestamp", "timestamp_ntz")
_SCALARS = (*_INTEGERS, *_FLOATS, *_MOMENTS, "decimal", "date", "boolean", "string")
_FITS = {
    "formats": ("date", *_MOMENTS),
    "two_digit_years_from": ("date", *_MOMENTS),
    "time_zone": ("timestamp",),
    "ambiguous": ("timestamp",),
    "decimal": ("decimal", *_FLOATS, *_INTEGERS),
    "thousands": ("decimal", *_FLOATS, *_INTEGERS),
    "notation": _INTEGERS,
    "true_values": ("boolean",),
    "false_values": ("boolean",),
    "null_values": _SCALARS,
    "trim": _SCALARS,
    "not_finite": _FLOATS,
}
"""The types that an option means something for."""

_HARMLESS = ("public", "internal")
_OFFSET = re.compile(r"[+-](0\d|1[0-7]):[0-5]\d")


def _column_in_short(value: object) -> object:
    """``bigint not null`` says the same as ``{type: bigint, nullable: false}``."""
    if not isinstance(value, str):
        return value
    text, required = re.subn(r"(?i)\s+not\s+null$", "", value.strip())
    return {"type": text, "nullable": not required}


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _some(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        message = "expected at least one"
        raise ValueError(message)
    return texts


def _format(text: str) -> str:
    if text not in EPOCHS:
        time_pattern(text)
    return text


def _zone(name: str) -> str:
    """A time zone that Java knows, too: of a place, UTC, or an offset."""
    known = {one for one in zoneinfo.available_timezones() if "/" in one} | {"UTC"}
    # where a machine has no such data there is nothing to hold a name against
    if name not in known and len(known) > 1 and not _OFFSET.fullmatch(name):
        near = nearest(name, sorted(known)) if len(name) > 2 else ""
        message = f"unknown time zone '{name}'{near if 'did you' in near else ''}: expected Area/City, UTC or +HH:MM"
        raise ValueError(message)
    return name


def _separator(text: str) -> str:
    if text.isalnum() or text in "+-":
        message = f"'{text}' is a part of a number, and separates nothing"
        raise ValueError(message)
    return text


Texts = Annotated[
    tuple[str, ...], AfterValidator(_some), BeforeValidator(_as_tuple, json_schema_input_type=str | list[str])
]
Separator = Annotated[str, Field(min_length=1, max_length=1), AfterValidator(_separator)]


class Column(Spec):
    """One column: its type, whether it may be NULL, how its text is written, and what it means.

    What is said of text applies where text is received; a value that came typed is held against its type alone.
    """

    type: Annotated[str, AfterValidator(known_type)]
    nullable: bool = True
    formats: Annotated[
        tuple[Annotated[str, AfterValidator(_format)], ...],
        Field(
            description="Patterns of a date or time in Spark's letters, or epoch_seconds, epoch_millis, epoch_micros; "
            "the first that reads a text does. ISO 8601 where none is given.",
        ),
        AfterValidator(_some),
        BeforeValidator(_as_tuple, json_schema_input_type=str | list[str]),
    ] = ()
    two_digit_years_from: Annotated[
        int | None, Field(ge=1901, le=2000, description="The first of the 100 years that yy stands for.")
    ] = None
    time_zone: Annotated[
        str | None, AfterValidator(_zone), Field(description="Where a time without an offset was taken; else UTC.")
    ] = None
    ambiguous: Annotated[
        Literal["reject", "earlier", "later"],
        Field(description="A time that a clock in that zone showed twice, in the hour that is set back."),
    ] = "reject"
    decimal: Annotated[Separator, Field(description="What goes before the fraction.")] = "."
    thousands: Annotated[
        Separator | None, Field(description="What may stand between groups of three digits, and nowhere else.")
    ] = None
    notation: Annotated[
        Literal["integer", "number"],
        Field(description="number: an integer may be written 1, 1.0 or 1e0; it is exact, or rejected."),
    ] = "integer"
    true_values: Annotated[Texts | None, Field(description="Words for true, in any case; no others.")] = None
    false_values: Annotated[Texts | None, Field(description="Words for false, in any case; no others.")] = None
    null_values: Annotated[Texts | None, Field(description="Texts that stand for NULL, exactly as written.")] = None
    trim: Annotated[
        bool | None,
        Field(description="Whether blanks around a text are taken off; so with all types but string where not said."),
    ] = None
    not_finite: Annotated[
        Literal["allow", "reject"], Field(description="What becomes of NaN and the infinities, typed ones too.")
    ] = "allow"
    unit: Annotated[str, Field(description="What one of it is, such as EUR or kg.")] = ""
    classification: Annotated[
        str | None,
        Field(description="What kind of data it is: public or internal; any other word is data to be masked."),
    ] = None
    aliases: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=255)], ...],
        Field(description="Other names that the column may come under, in any case."),
        BeforeValidator(_as_tuple, json_schema_input_type=str | list[str]),
    ] = ()
    about: str = ""

    @property
    def is_personal(self) -> bool:
        """Whether its values are masked where people look: of any classification but public and internal."""
        return bool(self.classification) and str(self.classification).lower() not in _HARMLESS

    @property
    def patterns(self) -> tuple[str, ...]:
        """The formats that are patterns."""
        return tuple(text for text in self.formats if text not in EPOCHS)

    @model_validator(mode="after")
    def _options_fit_the_type(self) -> Column:
        kind = self.type.partition("(")[0]
        for option in sorted(self.model_fields_set & _FITS.keys()):
            if kind not in _FITS[option]:
                message = f"means nothing for {self.type}: it is for {', '.join(_FITS[option])}"
                raise FieldError(message, option)
        return self

    @model_validator(mode="after")
    def _formats_fit_the_type(self) -> Column:
        for index, text in enumerate(self.formats):
            if text in EPOCHS:
                if self.type != "timestamp":
                    message = f"{text} is a timestamp, and no {self.type}"
                    raise FieldError(message, "formats", index)
            elif self.type != "timestamp" and time_pattern(text).has_offset:
                message = f"a {self.type} has no offset from UTC: declare a timestamp"
                raise FieldError(message, "formats", index)
        short = [index for index, text in enumerate(self.formats) if _is_short(text)]
        if short and self.two_digit_years_from is None:
            message = "yy does not say the century: write yyyy, or give two_digit_years_from"
            raise FieldError(message, "formats", short[0])
        if not short and self.two_digit_years_from is not None:
            message = "no format has a year of two digits (yy)"
            raise FieldError(message, "two_digit_years_from")
        return self

    @model_validator(mode="after")
    def _zones_are_of_use(self) -> Column:
        if self.ambiguous != "reject" and not self.time_zone:
            message = "needs a time_zone: in UTC no hour comes twice"
            raise FieldError(message, "ambiguous")
        all_told = bool(self.formats) and all(time_pattern(text).has_offset for text in self.patterns)
        if self.time_zone and all_told:
            message = "every format says its offset from UTC"
            raise FieldError(message, "time_zone")
        return self

    @model_validator(mode="after")
    def _numbers_are_read_in_one_way(self) -> Column:
        has_fraction = self.type not in _INTEGERS or self.notation == "number"
        if self.thousands == self.decimal and has_fraction:
            message = f"'{self.thousands}' is the decimal separator, too"
            raise FieldError(message, "thousands")
        if self.decimal != "." and not has_fraction:
            message = "an integer has none, unless notation: number says that it is written like other numbers"
            raise FieldError(message, "decimal")
        return self

    @model_validator(mode="after")
    def _words_mean_one_thing(self) -> Column:
        if (self.true_values is None) != (self.false_values is None):
            given = "true_values" if self.true_values else "false_values"
            message = f"{given} without {'false_values' if self.true_values else 'true_values'}"
            raise FieldError(message, given)
        seen: set[str] = set()
        for option in ("true_values", "false_values"):
            words = {word.lower() for word in getattr(self, option) or ()}
            if both := words & (seen | {word.lower() for word in self.null_values or ()}):
                message = f"'{min(both)}' means two things"
                raise FieldError(message, option)
            seen |= words
        return self


def _is_short(text: str) -> bool:
    return text not in EPOCHS and time_pattern(text).short_year


ColumnOrShort = Annotated[Column, BeforeValidator(_column_in_short, json_schema_input_type=str | Column)]
"""A column, which a YAML writes out or says in one text."""
