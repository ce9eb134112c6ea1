"""Whether a column is about people, or holds secrets: a guess by its name and by the form of its values.

It errs on the side of silence: no value of such a column is written into a file that goes into a repository. Beside
names and addresses those are the special categories of the GDPR (Art. 9 and 10), numbers of cards, accounts and papers,
and whatever opens a door.
"""

from __future__ import annotations

import re
from itertools import pairwise

from pyspark.sql import Column
from pyspark.sql import functions as F

from lakehouse.check.named import is_iban

_PEOPLE = re.compile(
    r"e?mail|phone|tel|telephone|mobile|fax|birth|birthday|birthdate|dob|geburtsdatum|age|address|addr|street"
    r"|zip|zipcode|postcode|postal|plz|firstname|lastname|fullname|surname|forename|username|login|nickname|maiden|gender|sex"
    r"|marital|salary|wage|income|gehalt|lohn|ip|ipv4|ipv6|ipaddr(ess)?|mac|mac(addr|address)"
    r"|latitude|longitude|geolocation|nationality|citizenship"
    r"|ssn|passport|visa|taxid|vatid|nationalid|idcard|licen[cs]e|licenceplate|licenseplate|insurance|imei|imsi|msisdn"
)
_SPECIAL = re.compile(
    r"religio(n|us)|faith|glaube|konfession|church|ethnic(ity)?|race|racial|politic(s|al)|party|partei|union|gewerkschaft"
    r"|health|diagnos(is|es|e)|diagcode|disease|illness|krankheit"
    r"|symptoms?|medical|medication|prescription|treatment|therapy"
    r"|allerg(y|ies)|disabilit(y|ies)|blood|bloodtype|icd|icd10|hiv|pregnan(t|cy)|genetic|dna|biometrics?|fingerprint"
    r"|sexual(ity)?|orientation|criminal|conviction|offen[cs]e"
)
_ACCOUNTS = re.compile(
    r"iban|bic|swift|pan|card|cards|cardnumber|cardno|ccnumber|ccnum|creditcard|debitcard|cvv|cvc|cvv2"
    r"|accountnumber|accountno|accnumber|acctno|acctnum|bankaccount|kontonummer|routingnumber|sortcode"
)
_SECRETS = re.compile(
    r"passwords?|passwd|pwd|passwort|kennwort|passphrase|passcode|pin|puk|otp|totp|tan|secrets?|tokens?|jwt|credentials?"
    r"|connectionstring|cookies?|session|sessionid|auth|authorization|bearer|salt|signature"
    r"|(api|access|private|secret|encryption|ssh|license|licence|signing)keys?"
)
_OF_THINGS = {
    *("product", "item", "file", "country", "category", "table", "column", "job", "shop", "brand", "event", "status"),
}
_OF_PEOPLE = {"customer", "client", "person", "contact", "employee", "patient", "user", "member"}

DIGITS_OF_A_TEXT = re.compile(r"phone|mobile|fax|zip|postcode|postal|plz|iban|ssn|passport|card|pin\b|account")
"""Names of columns whose digits are no number: nobody adds them up."""

_MAIL = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
_PHONE = r"^(\+|00)\d[\d ()/.-]{6,18}$"
_PAPERS = r"^\d{3}-\d{2}-\d{4}$"
_KEY = (
    r"^(eyJ[\w-]{8,}\.|sk[-_]|pk_(live|test)|rk_(live|test)|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA[A-Z0-9]{12}"
    r"|AIza[\w-]{20}|ya29\.|-----BEGIN|\$2[aby]\$|\$argon2|[A-Fa-f0-9]{32}$|[A-Fa-f0-9]{40}$|[A-Fa-f0-9]{64}$)"
)
_CARD = r"^\d{4}[ -]?\d{2,4}[ -]?\d{2,6}[ -]?\d{1,5}(-?\d{1,3})?$"


def is_sensitive(name: str) -> bool:
    """Whether a column's name says so, in snake or camel case."""
    words = re.findall(r"[a-z]+[0-9]*", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
    # one of several, such as phone2
    plain = [word.rstrip("0123456789") for word in words]
    if "name" in plain:
        return _OF_THINGS.isdisjoint(plain)
    told = {one for way in (words, plain) for one in (*way, *map("".join, pairwise(way)), "".join(way))}
    kinds = (_PEOPLE, _SPECIAL, _ACCOUNTS, _SECRETS)
    return "".join(words) in _OF_PEOPLE or any(kind.fullmatch(word) for word in told for kind in kinds)


def looks_sensitive(text: Column) -> Column:
    """Whether a text has the form of an address, a phone's, card's, account's or paper's number, or of a key."""
    plain = F.trim(text)
    forms = plain.rlike("|".join((_MAIL, _PHONE, _PAPERS, _KEY)))
    return F.coalesce(forms | is_iban(F.replace(plain, F.lit(" "), F.lit(""))) | looks_like_card(plain), F.lit(False))


def looks_like_card(text: Column) -> Column:
    """Whether a text is the number of a payment card: 13 to 19 digits, the last of which is their check (Luhn)."""
    digits = F.regexp_replace(text, "[ -]", "")
    is_long = text.rlike(_CARD) & F.length(digits).between(13, 19)
    return F.coalesce(is_long & F.when(is_long, F.call_function("luhn_check", digits)), F.lit(False))
