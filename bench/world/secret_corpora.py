"""Redaction on the test cases of other scanners: positives hidden, negatives left alone.

    python bench/world/secret_corpora.py [--gitleaks DIR] [--credsweeper DIR] [--detect-secrets DIR]
        [--trufflehog DIR] [--half tune|judge] [--show N]

DIR is a checkout of the scanner's repository; nothing of it is committed. A positive whose secret is known counts when
the secret is gone from the text, another one when a placeholder of a secret was put in. Each file of a corpus belongs
to one half by a hash with a fixed seed: rules are tuned on one half only. trufflehog's cases (positives only; their
negatives hold secrets of another form) are never tuned on.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import random
import re
import sys
import tomllib
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import re2

from afs.redaction import Redactor
from afs.redaction.value_checks import entropy


class Case(NamedTuple):
    """A text, whether it holds a secret, the secret where it is known, and the rule of the scanner."""

    text: str
    positive: bool
    secret: str
    rule: str
    file: str
    """Its file in the scanner's repository, which decides its half."""


SEED = b"2026-11-30 halves"


def half_of(case: Case) -> str:
    """The half of a case: rules may be tuned on `tune`, `judge` is only counted."""
    return "tune" if hashlib.blake2b(case.file.encode(), key=SEED).digest()[0] % 2 else "judge"


_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`')
_CLASSES = {
    "Hex": "abcdef0123456789", "AlphaNumeric": "abcdefghijklmnopqrstuvwxyz0123456789",
    "AlphaNumericExtendedShort": "abcdefghijklmnopqrstuvwxyz0123456789_-",
    "AlphaNumericExtended": "abcdefghijklmnopqrstuvwxyz0123456789=_-",
    "AlphaNumericExtendedLong": "abcdefghijklmnopqrstuvwxyz0123456789/=_+-", "Numeric": "0123456789",
}  # fmt: skip


def _literal(token: str) -> str:
    if token[0] == "`":
        return token[1:-1]
    try:
        return str(ast.literal_eval(token))
    except (SyntaxError, ValueError):
        return token[1:-1]


def _from_pattern(pattern: str, rng: random.Random) -> str:
    """A text that a simple regular expression matches."""
    parser = __import__("re._parser", fromlist=["parse"])
    out: list[str] = []

    def walk(items: object) -> None:
        for op, value in items:  # type: ignore[attr-defined]
            name = str(op)
            if name == "LITERAL":
                out.append(chr(value))
            elif name == "IN":
                chars = [
                    c
                    for kind, v in value
                    for c in (
                        range(v[0], v[1] + 1)
                        if str(kind) == "RANGE"
                        else [v]
                        if str(kind) == "LITERAL"
                        else b"abcXYZ019"
                        if str(kind) == "CATEGORY"
                        else []
                    )
                ]
                out.append(chr(rng.choice(chars)) if chars else "x")
            elif name in ("MAX_REPEAT", "MIN_REPEAT"):
                low, high, inner = value
                for _ in range(rng.randint(low, min(int(high), low + 6))):
                    walk(inner)
            elif name == "SUBPATTERN":
                walk(value[3])
            elif name == "BRANCH":
                walk(rng.choice(value[1]))
            elif name == "ANY":
                out.append("x")

    walk(parser.parse(pattern))
    return "".join(out)


def _value(expression: str, rng: random.Random) -> str:
    """A Go expression of literals and generated secrets, joined by `+`."""
    found = []
    token = rf"secrets\.NewSecret(?:WithEntropy)?\(\s*(?:utils\.(\w+)\(\"?([\d,]*)\"?\)|({_STRING.pattern}))[^)]*\)|({_STRING.pattern})"  # noqa: E501
    for match in re.finditer(token, expression):
        if match[1]:
            size = int(match[2].split(",")[0] or 36)
            if match[1].startswith("Hex8"):
                found.append("-".join("".join(rng.choice(_CLASSES["Hex"]) for _ in range(n)) for n in (8, 4, 4, 4, 12)))
            else:
                found.append("".join(rng.choice(_CLASSES.get(match[1], _CLASSES["AlphaNumeric"])) for _ in range(size)))
        elif match[3]:
            found.append(_from_pattern(_literal(match[3]), rng))
        else:
            found.append(_literal(match[4]))
    return "".join(found)


def gitleaks(root: Path) -> Iterator[Case]:
    """The cases in `cmd/generate/config/rules/*.go`; samples from templates are made as `utils/generate.go` makes them."""  # noqa: E501
    rng = random.Random(7)
    base = root / "cmd/generate/config"
    templates = [
        _literal(m[1])
        for m in re.finditer(rf"^\s*\"[^\"]*\":\s*({_STRING.pattern}),", (base / "utils/generate.go").read_text(), re.M)
    ]
    for path in sorted((base / "rules").glob("*.go")):
        if path.name.endswith("_test.go"):
            continue
        for body in re.split(r"^func ", path.read_text("utf-8"), flags=re.M)[1:]:
            rule = re.search(r'RuleID:\s*"([^"]+)"', body)
            body = re.sub(r"(?m)(?<![:\"`\w/])//(?!.*[`\"]).*$", "", body)
            for name, positive in (("tps", True), ("fps", False)):
                for block in re.finditer(
                    rf"\b{name}\s*:?=\s*(.*?)(?=\n\t(?:fps|tps|return|//|for|r\.)|\n\}}\n)", body, re.S
                ):
                    name_of_rule = rule[1] if rule else path.stem
                    yield from _gitleaks_block(block[1], positive, (name_of_rule, path.name), templates, rng)


def flagged_by_gitleaks(root: Path) -> Callable[[str], bool]:
    """Whether any rule of the scanner's own configuration reports a text: one rule's negative may be another's find."""
    table = tomllib.loads((root / "config/gitleaks.toml").read_text("utf-8"))
    shared = [table["allowlist"]] if "allowlist" in table else []
    rules = [(row, re2.compile(row["regex"])) for row in table["rules"] if "regex" in row and "path" not in row]

    def is_allowed(row: dict[str, Any], secret: str, match: str, text: str) -> bool:
        target = {"match": match, "line": text}.get(row.get("regexTarget", ""), secret)
        words = any(word.lower() in secret.lower() for word in row.get("stopwords", []))
        return words or any(re2.search(regex, target) for regex in row.get("regexes", []))

    def is_flagged(text: str) -> bool:
        small = text.lower()
        for row, pattern in rules:
            if row.get("keywords") and not any(word.lower() in small for word in row["keywords"]):
                continue
            for found in pattern.finditer(text):
                groups = [group for group in found.groups() if group]
                secret = found.group(row["secretGroup"]) if row.get("secretGroup") else (groups or [found.group()])[0]
                lists = [*shared, *row.get("allowlists", [])]
                if entropy(secret) > row.get("entropy", 0) and not any(
                    is_allowed(allowed, secret, found.group(), text) for allowed in lists
                ):
                    return True
        return False

    return is_flagged


def _gitleaks_block(
    text: str, positive: bool, place: tuple[str, str], templates: list[str], rng: random.Random
) -> Iterator[Case]:
    rule, file = place
    for match in re.finditer(
        r"utils\.GenerateSampleSecret(s?)\(\s*\"([^\"]+)\"\s*,\s*((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)", text
    ):
        secret = _value(match[3], rng)
        if not secret:
            continue
        forms = templates if match[1] else ['{i}_api_token = "{s}"']
        for form in forms:
            filled = form.replace("{i}", match[2]).replace("{I}", match[2].upper()).replace("{s}", secret)
            yield Case(filled, positive, secret, rule, file)
    rest = re.sub(r"utils\.GenerateSampleSecrets?\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", "", text)
    for line in re.split(r",\s*(?://[^\n]*)?\n", re.sub(r"^\s*(?:\[\]string|map\[string\]string)\{", "", rest)):
        if re.match(r"\s*\"[^\"]*\"\s*:\s*[`\"]", line):
            line = line.split(":", 1)[1]
        content = _value(line, rng)
        if len(content) > 6:
            yield Case(content, positive, "", rule, file)


def credsweeper(root: Path) -> Iterator[Case]:
    """Lines of `tests/samples`: those its own expected output names as secrets, and those that no rule even considers."""  # noqa: E501
    out_of_scope = {"UUID", "IPv4", "IPv6", "ID_PAIR_PASSWD_PAIR", "Salt", "Nonce", "SQL Password", "DOC_CREDENTIALS"}
    expected = json.loads((root / "tests/data/output.json").read_text())
    seen: set[tuple[str, int]] = set()
    for row in json.loads((root / "tests/data/no_filters_no_ml.json").read_text()):
        seen |= {(line["path"], line["line_num"]) for line in row["line_data_list"]}
    for row in expected:
        lines = row["line_data_list"]
        if row["rule"] in out_of_scope or len(lines) != 1 or not (value := lines[0]["value"]):
            continue
        yield Case(lines[0]["line"], True, value, row["rule"], Path(lines[0]["path"]).name)
    for path in sorted((root / "tests/samples").iterdir()):
        if path.is_file():
            place = f"./tests/samples/{path.name}"
            for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
                if line.strip() and (place, number) not in seen and len(line) < 500:
                    yield Case(line, False, "", "none", path.name)


def detect_secrets(root: Path) -> Iterator[Case]:
    """The parametrized cases of `tests/plugins/*_test.py`: (text, is a secret) or (text, secret or None)."""
    for path in sorted((root / "tests/plugins").glob("*_test.py")):
        if path.stem in ("base_test", "high_entropy_strings_test", "ip_public_test"):
            continue
        for arguments in _parametrized(path):
            for case in arguments:
                if isinstance(case, tuple | list) and len(case) >= 2 and isinstance(case[0], str) and len(case[0]) > 5:
                    secret = case[1] if isinstance(case[1], str) else ""
                    if not (case[1] and _is_typed(case[0])):
                        yield Case(case[0], bool(case[1]), secret, path.stem, path.stem)


def trufflehog(root: Path) -> Iterator[Case]:
    """The inputs of `pkg/detectors/*_test.go` with exactly one wanted secret: nothing was ever tuned on them."""
    block = re.compile(
        r"input:\s*(?:fmt\.Sprintf\()?(`[^`]*`|\"(?:\\.|[^\"\\])*\").{0,200}?want:\s*\[\]string\{([^{}]*)\}", re.S
    )
    for path in sorted((root / "pkg/detectors").rglob("*_test.go")):
        for match in block.finditer(path.read_text("utf-8", "replace")):
            wanted = [_literal(token) for token in _STRING.findall(match[2])]
            text = _literal(match[1])
            if len(wanted) == 1 and wanted[0] in text:
                yield Case(text, True, wanted[0], path.parent.name, f"{path.parent.name}/{path.name}")


def _is_typed(text: str) -> bool:
    """Whether a value is a filler, `xxxxxxxx` or `abcd1234` over and over: gitleaks' labels call it no secret."""
    return bool(re.search(r"(.)\1{7}|(\w{2,10})\2{2}", text))


def _parametrized(path: Path) -> list[list[object]]:
    found: list[list[object]] = []

    def parametrize(names: str, values: object, *_: object, **__: object) -> object:
        if re.search("payload|line", names) and "verif" not in names:
            found.append(list(values))  # type: ignore[call-overload]
        return lambda function: function

    fake = types.SimpleNamespace(
        mark=types.SimpleNamespace(parametrize=parametrize),
        fixture=lambda *a, **k: a[0] if a else lambda f: f,
        raises=mock.MagicMock(),
        param=lambda *a, **k: a,
    )
    names = [
        "detect_secrets",
        *(
            f"detect_secrets.{n}"
            for n in (
                "core",
                "core.scan",
                "core.potential_secret",
                "settings",
                "constants",
                "plugins",
                "util",
                "util.code_snippet",
                "exceptions",
            )
        ),
    ]
    names += [f"detect_secrets.plugins.{p.stem.removesuffix('_test')}" for p in path.parent.glob("*_test.py")] + [
        "responses",
        "testing",
        "testing.mocks",
        "testing.plugins",
        "testing.factories",
        "detect_secrets.plugins.mailchimp",
        "detect_secrets.plugins.stripe",
        "detect_secrets.core.secrets_collection",
        "detect_secrets.plugins.aws",
        "detect_secrets.plugins.twilio",
        "detect_secrets.plugins.private_key",
    ]
    modules: dict[str, object] = {name: mock.MagicMock() for name in names} | {"pytest": fake}
    inside: dict[str, object] = {"__name__": "cases"}
    with mock.patch.dict(sys.modules, modules):
        try:
            exec(compile(path.read_text("utf-8"), str(path), "exec"), inside)
        except Exception as error:  # noqa: BLE001
            print(f"{path.name}: {error}", file=sys.stderr)
    tables = [value for key, value in inside.items() if key.endswith("_TEST_CASES") and isinstance(value, list)]
    return tables or found


def measure(name: str, cases: list[Case], show: int) -> None:
    """One row, and the cases that went wrong."""
    redactor = Redactor(salt=b"bench", names=())
    wrong: dict[bool, list[Case]] = {True: [], False: []}
    total: Counter[bool] = Counter()
    for case in cases:
        total[case.positive] += 1
        out = redactor.text(case.text)
        hidden = "<SECRET:" in out and not (case.secret and len(case.secret) >= 4 and case.secret in out)
        altered = "<SECRET:" in out
        if (case.positive and not hidden) or (not case.positive and altered):
            wrong[case.positive].append(case)
    for positive in sorted(total, reverse=True):
        rules = Counter(case.rule for case in wrong[positive])
        part = len(wrong[positive]) / max(1, total[positive])
        kind = "positives left open" if positive else "negatives altered"
        print(f"| {name} | {kind} | {len(wrong[positive])} of {total[positive]} | {100 * part:.1f} % |")
        if show:
            print("   ", rules.most_common(40))
            for case in wrong[positive][:: max(1, len(wrong[positive]) // show)][:show]:
                text = case.text if len(case.text) < 200 else case.text[:200] + "…"
                print(f"    [{case.rule}] {text!r} -> {redactor.finds(case.text)}")


def main() -> None:
    """Every corpus that was given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    readers = {
        "gitleaks": gitleaks, "credsweeper": credsweeper, "detect-secrets": detect_secrets, "trufflehog": trufflehog
    }  # fmt: skip
    for name in readers:
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--half", choices=("tune", "judge"), default="")
    parser.add_argument("--show", type=int, default=0)
    given = vars(parser.parse_args())
    print("| cases of | what | number | share |\n| --- | --- | --- | --- |")
    for name, reader in readers.items():
        if place := given[name.replace("-", "_")]:
            cases = list({case.text: case for case in reversed(list(reader(place)))}.values())
            cases = [case for case in cases if not given["half"] or half_of(case) == given["half"]]
            name += f" ({given['half']} half)" if given["half"] else ""
            measure(name, cases, given["show"])
            if name.startswith("gitleaks"):
                flagged = flagged_by_gitleaks(place)
                alone = [case for case in cases if not case.positive and not flagged(case.text)]
                measure(f"{name}, reported by none of its rules", alone, given["show"])


if __name__ == "__main__":
    main()
