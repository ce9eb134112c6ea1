"""JSON: texts that a parser must not take (as the public suites have them), and those that parsers differ about."""

from __future__ import annotations

from tests.read.corpus.case import Case

BAD = {"MALFORMED_JSON": 1}

VALUES = {
    "array 1 true without comma": "[1 true]", "array colon instead of comma": '["": 1]', "array comma after close": '[""],',
    "array double comma": "[1,,2]", "array double extra comma": '["x",,]', "array extra close": '["x"]]', "array extra comma": '["",]',
    "array incomplete": '["x"', "array inner array no comma": "[3[4]]", "array items separated by semicolon": "[1:2]",
    "array just comma": "[,]", "array just minus": "[-]", "array missing value": '[   , ""]', "array newlines unclosed": '["a",\\n4',
    "array number and comma": "[1,]", "array spaces vertical tab formfeed": '["\x0ba"\\f]', "array star inside": "[*]", "array unclosed": "[1",
    "incomplete false": "[fals]", "incomplete null": "[nul]", "incomplete true": "[tru]", "number ++": "[++1234]", "number +1": "[+1]",
    "number +Inf": "[+Inf]", "number -01": "[-01]", "number -1.0.": "[-1.0.]", "number -2.": "[-2.]", "number -NaN": "[-NaN]",
    "number .-1": "[.-1]", "number .2e-3": "[.2e-3]", "number 0.1.2": "[0.1.2]", "number 0.3e": "[0.3e]", "number 0.3e+": "[0.3e+]",
    "number 0.e1": "[0.e1]", "number 0 capital E": "[0E]", "number 0e+": "[0e+]", "number 1 000": "[1 000.0]", "number 1eE2": "[1eE2]",
    "number 2.e+3": "[2.e+3]", "number 9.e+": "[9.e+]", "number expression": "[1+2]", "number hex": "[0x1]", "number hex 2": "[0x42]",
    "number Inf": "[Inf]", "number infinity": "[Infinity]", "number invalid+-": "[0e+-1]", "number minus infinity": "[-Infinity]",
    "number minus sign with garbage": "[-foo]", "number minus space 1": "[- 1]", "number NaN": "[NaN]", "number neg int starting with zero": "[-012]",
    "number real without int part": "[-.123]", "number starting with dot": "[.123]", "number U+FF11": "[\uff11]", "number with alpha": "[1.2a-3]",
    "number with leading zero": "[012]", "object bad value": '["x", truth]', "object comma instead of colon": '{"x", null}',
    "object double colon": '{"x"::"b"}', "object emoji": "{🇨🇭}", "object missing colon": '{"a" b}', "object missing key": '{:"b"}',
    "object missing semicolon": '{"a" "b"}', "object missing value": '{"a":', "object no colon": '{"a"', "object non string key": "{1:1}",
    "object single quote": "{'a':0}", "object several trailing commas": '{"id":0,,,,,}', "object trailing comma": '{"id":0,}',
    "object trailing comment": '{"a":"b"}/**/', "object trailing comment slash": '{"a":"b"}//', "object two commas in a row": '{"a":"b",,"c":"d"}',
    "object unquoted key": '{a: "b"}', "single space": "", "string 1 surrogate then escape": '["\\uD800\\"]', "string accentuated no quotes": "[é]",
    "string backslash 00": '["\\\0"]', "string escape x": '["\\x00"]', "string escaped emoji": '["\\🌀"]', "string incomplete escape": '["\\"]',
    "string incomplete surrogate": '["\\uD834\\uDd"]', "string invalid backslash esc": '["\\a"]', "string invalid unicode escape": '["\\uqqqq"]',
    "string leading uescaped thinspace": '[\\u0020"asd"]', "string no quotes": "[\\n]", "string single quote": "['single quote']",
    "string start escape unclosed": '["\\', "structure angle bracket": "<.>", "structure ascii unicode identifier": "aå",
    "structure capitalized True": "[True]", "structure close unopened": "1]", "structure double array": "[][]", "structure end array": "]",
    "structure null byte outside": "[\0]", "structure object with comment": '{"a":/*c*/"b"}', "structure unicode identifier": "å",
    "structure U+2060": "[\u2060]", "structure whitespace formfeed": "[\x0c]", "structure 1000 open arrays": "[" * 1000,
}  # fmt: skip
"""What a strict parser must refuse, by the names that a public suite gives it."""

GOOD = {
    "double huge neg exp": "123.456e-789", "huge exp": "0.4e" + "9" * 40 + "69", "neg int huge exp": "-1e+9999", "real overflow": "123123e100000",
    "real underflow": "123e-10000000", "too big neg int": "-123123123123123123123123123123", "too big pos int": "100000000000000000000",
    "real exact": "0.1000000000000000055511151231257827", "minus zero": "-0", "structure 500 nested arrays": "[" * 500 + "]" * 500,
    "string unescaped tab": '"a\tb"', "string escaped nul": '"\\u0000"', "string noncharacter": '"\\uFFFF"', "string del": '"\x7f"',
}  # fmt: skip
"""What parsers differ about, and is taken here, as the text that it is."""


def lines() -> list[Case]:
    """Each bad value between two good lines."""
    found = [
        Case(f"n {name.replace('/', '')}.json", f'{{"id":1,"n":"a"}}\n{{"n":{text}}}\n{{"id":2,"n":"b"}}\n'.encode(), 2, BAD, n=["a", "b"])
        for name, text in VALUES.items()
    ]  # fmt: skip
    found += [
        Case(f"i {name}.json", f'{{"id":1,"n":{text}}}\n'.encode(), 1, n=[None] if name == "string escaped nul" else [text.strip('"')], alone="Python knows no tab in a string" if "tab" in name else "")
        for name, text in GOOD.items()
        if name not in ("string escaped nul", "string noncharacter")
    ]  # fmt: skip
    return found


def records() -> list[Case]:
    big = b'{"id":1,"n":"' + b"x" * (10 << 20) + b'"}\n{"id":2,"n":"b"}\n'
    beyond = b'{"id":1,"n":"' + b"x" * (21 << 20) + b'"}\n{"id":2,"n":"b"}\n'
    limit = "Spark's parser has limits that Python's has not"
    return [
        Case("name twice.json", b'{"id":1,"id":2}\n{"id":3,"n":"b"}\n', 1, {"DUPLICATE_JSON_KEY": 1}),
        Case("name twice but for case.json", b'{"id":1,"ID":2}\n{"id":3}\n', 1, {"DUPLICATE_JSON_KEY": 1}),
        Case("name twice escaped.json", b'{"id":1,"\\u0069d":2}\n{"id":3}\n', 1, {"DUPLICATE_JSON_KEY": 1}),
        Case("name reserved.json", b'{"_source":1}\n{"id":3}\n', 1, {"RESERVED_NAME": 1}),
        Case("name empty.json", b'{"":1}\n{"id":3}\n', 1, {"RESERVED_NAME": 1}),
        Case("lone surrogate.json", b'{"n":"\\ud800"}\n{"id":3}\n', 1, {"LONE_SURROGATE": 1}),
        Case("inverted surrogates.json", b'{"n":"\\uDd1e\\uD834"}\n{"id":3}\n', 1, {"LONE_SURROGATE": 1}),
        Case("two on a line.json", b'{"id":1} {"id":2}\n{"id":3}\n', 1, BAD),
        Case("not an object.json", b'1\n"x"\nnull\n[]\n[{"id":1}]\n{"id":3}\n', 1, {"MALFORMED_JSON": 5}),
        Case("cut.json", b'{"id":1}\n{"id":2,"n":"b', 1, BAD),
        Case("csv.json", b"id,n\n1,a\n", 0, {"MALFORMED_JSON": 2}),
        Case("pretty.json", b'{\n "id": 1\n}\n', 0, {"MALFORMED_JSON": 3}, alone="Python is not asked to put lines together"),
        Case("depth 999.json", b'{"n":' + b"[" * 900 + b"]" * 900 + b'}\n{"id":3}\n', 2),
        Case("depth 5000.json", b'{"n":' + b"[" * 5000 + b"]" * 5000 + b'}\n{"id":3}\n', 1, BAD, alone=limit),
        Case("depth 100000.json", b'{"n":' + b'[{"":' * 100_000 + b'}\n{"id":3}\n', 1, BAD),
        Case("10 MiB.json", big, 2, n=[f"of {10 << 20}", "b"]),
        Case("21 MiB.json", beyond, 1, BAD, n=["b"], alone=limit),
        Case("number of 2000 digits.json", b'{"n":' + b"7" * 2000 + b'}\n{"id":3}\n', 1, BAD, alone=limit),
        Case("blank lines.json", b'\n\r\n{"id":1}\n   \n\t\n{"id":2}\n\n', 2),
        Case("cr.json", b'{"id":1}\r{"id":2}\r', 2),
        Case("bom.json", b'\xef\xbb\xbf{"id":1,"n":"a"}', 1, n=["a"]),
        Case("bom twice.json", b'{"id":1}\n\xef\xbb\xbf{"id":2}\n', 2, alone="two files put together, each with its mark"),
        Case("utf16.json", '{"id":1,"n":"é"}\n'.encode("utf-16"), 1, n=["é"], alone="UTF-16"),
        Case("utf16 no bom.json", '{"id":1,"n":"é"}\n'.encode("utf-16-le"), file="FILE_ENCODING"),
        Case("invalid utf8.json", b'{"id":1,"n":"\xff"}\n{"id":2}\n', 1, {"RECORD_ENCODING": 1}),
        Case("overlong.json", b'{"id":1,"n":"\xc0\xaf"}\n', file="FILE_ENCODING"),
        Case("latin1.json", '{"id":1,"n":"é"}'.encode("latin-1"), file="FILE_ENCODING"),
        Case("zero.json", b"", file="FILE_EMPTY"),
        Case("blank.json", b" \n \n"),
    ]  # fmt: skip


def documents() -> list[Case]:
    """With ``multiline: true``: one array, or values one after the other."""
    good, file = b'{"id":1,"n":"a"}', "FILE_UNREADABLE"
    return [
        Case("array.json", b"[" + good + b",\n " + good + b"]", 2, n=["a", "a"]),
        Case("array on lines.json", b'[\n  {\n    "id": 1,\n    "n": "a"\n  },\n  {"id": 2, "n": [1.50,\n {"x": "]"}]}\n]\n', 2, n=["a", '[1.50,{"x":"]"}]']),
        Case("no element.json", b"[ ]"),
        Case("one object.json", b'{\r\n "id": 1,\r\n "n": "a"\r\n}\r\n', 1, n=["a"]),
        Case("objects.json", b'{"id":1}{\n"id":2}\n{"id":3}', 3),
        Case("lines.json", good + b"\n" + good + b"\n", 2),
        Case("bom.json", b"\xef\xbb\xbf[" + good + b"]", 1),
        Case("utf16.json", '[{"id":1,"n":"é"}]'.encode("utf-16"), 1, n=["é"], alone="UTF-16"),
        Case("bad element.json", b"[" + good + b',{"id":tru},' + good + b"]", 2, BAD),
        Case("elements of other kinds.json", b"[" + good + b',1,null,"x",[],[{}]]', 1, {"MALFORMED_JSON": 5}),
        Case("name twice.json", b'[{"id":1,"id":2},' + good + b"]", 1, {"DUPLICATE_JSON_KEY": 1}),
        Case("line break in a string.json", b'[{"id":1,"n":"a\nb"}]', 1, n=["a\nb"]),
        Case("no comma.json", b"[" + good + b" " + good + b"]", 0, BAD),
        Case("comma at the end.json", b"[" + good + b",]", file=file),
        Case("two commas.json", b"[" + good + b",," + good + b"]", file=file),
        Case("not closed.json", b"[" + good + b"," + good, file=file),
        Case("cut in an object.json", b"[" + good + b',{"id":2', file=file),
        Case("cut in a string.json", b"[" + good + b',{"id":2,"n":"x', file=file),
        Case("object cut.json", b'{"id":1,\n"n":"a"', file=file),
        Case("more after it.json", b"[" + good + b"] x", file=file),
        Case("wrong bracket.json", b'[{"id":1]]', file=file),
        Case("closed twice.json", good + b"}", file=file),
        Case("comma between objects.json", good + b",\n" + good, file=file),
        Case("csv.json", b"id,n\n1,a\n", file=file),
        Case("words.json", b"hello world", 0, BAD),
        Case("xml.json", b"<r><o/></r>", 0, BAD),
        Case("open arrays.json", b"[" * 100_000, file=file),
        Case("deep.json", b'[{"n":' + b"[" * 5000 + b"]" * 5000 + b"}," + good + b"]", 1, BAD, alone="Python goes deeper"),
        Case("invalid utf8.json", b'[{"id":1,"n":"\xff"}]', file="FILE_ENCODING"),
        Case("blank.json", b" \n \n"),
    ]  # fmt: skip


def wide() -> list[Case]:
    """Of 2,000 names."""
    row = "{" + ",".join(f'"c{number}":{number}.50' for number in range(2000)) + "}"
    return [Case("wide.json", f"{row}\n{row[:-1]}\n{row}\n".encode(), 2, BAD)]
