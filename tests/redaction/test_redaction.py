"""Redaction: every planted kind is found, assembly is left alone, twice is the same as once, joins survive."""

from __future__ import annotations

import random
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.errors import ConfigError
from afs.redaction import Redactor, load_rules, load_salt
from afs.types import Message, Origin, Record, Task, ToolCall, Verdict, record_id
from afs.workspace import Workspace


def of(alphabet: str, n: int, seed: int = 1) -> str:
    rng = random.Random(seed)
    return "".join(rng.choice(alphabet) for _ in range(n))


WORD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
HEX = "0123456789abcdef"
PLANTED = {
    "openrouter-key": "sk-or-v1-" + of(HEX, 64),
    "anthropic-key": "sk-ant-api03-" + of(WORD, 80),
    "openai-key": "sk-proj-" + of(WORD, 48),
    "openai-key ": "sk-" + of(WORD, 48),
    "google-key": "AIza" + of(WORD, 35),
    "aws-key": "AKIA" + of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16),
    "github-token": "ghp_" + of(WORD, 36),
    "github-token ": "github_pat_" + of(WORD, 60),
    "gitlab-token": "glpat-" + of(WORD, 20),
    "huggingface-token": "hf_" + of(WORD, 34),
    "slack-token": "xoxb-263594206564-734806119053-" + of(WORD, 24),
    "package-token": "npm_" + of(WORD, 36),
    "payment-key": "sk_live_" + of(WORD, 24),
    "model-provider-key": "gsk_" + of(WORD, 52),
    "chat-bot-token": "123456789:AA" + of(WORD, 33),
    "rapidapi-key": of(HEX, 10) + "msh" + of(HEX, 15) + "p1" + of(HEX, 5) + "jsn" + of(HEX, 12),
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + of(WORD, 43),
    "bearer": "Authorization: Bearer " + of(WORD, 32),
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\n" + of(WORD, 64) + "\n-----END RSA PRIVATE KEY-----",
    "url-password": "postgres://app:" + of(WORD, 12) + "@db/x",
    "assigned-secret": 'OPENAI_API_KEY="' + of(WORD, 30) + '"',
    "search-key": "BSA" + of(WORD, 28),
    "model-provider-key ": of(HEX, 32) + "." + of(WORD, 16),
    "slack-token ": "https://discord.com/api/webhooks/263594206564/" + of(WORD, 60),
    "private-key ": "PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n"
    + of(WORD, 48)
    + "\nPrivate-MAC: "
    + of(HEX, 64),
    "stored-login": "machine x.org login user password " + of(HEX, 40),
    "stored-login ": '{"auth": "' + of(WORD, 24) + '"}',
    "cookie": "Cookie: sessionid=" + of(WORD, 32),
    "url-key": "https://x.org/v1?key=" + of(WORD, 32),
    "fallback-secret": 'api_key = os.environ.get("KEY", "' + of(WORD, 32) + '")',
    "environment-secret": "DB_PASSWORD=" + of(WORD[:52], 14),
    "email": "jane.doe@corp.org",
    "ipv4": "192.168.17.42",
    "ipv4 ": "10.0.0.5",
    "ipv6": "2001:db8:0:1::1f",
    "home-path": "/home/jdoe42/src/x.asm",
    "home-path ": "/Users/jdoe42/src/x.asm",
    "home-path-windows": r"C:\Users\jdoe42\src",
    "home-path-encoded": "projects/-Users-jdoe42-src",
    "shell-prompt": "jdoe42@build-box:~/src$ make",
    "host-name": "ssh janes-macbook.local",
}
ASSEMBLY = """
; 65816: clears $7E0000-$7E1FFF, 100% safe, v1.2.3.4 of the tool; see docs.example
Reset:  sei : clc : xce
    rep #$30          ; A=16 X=16
    lda.w #$8000
    sta.l $7E0010,x   ; token = $80FF, key: #$1234
    jsl Sub_00A4F3
.loop
    lda !addr,y : bne .loop
    dw $0123,$4567,$89AB,$CDEF,$0123,$4567
    db $DE,$AD,$BE,$EF ; 00:8000 80:FFFF 7E:1234
secret_room_id = $0104
password_table: dl $05A3B2
"""


@pytest.mark.parametrize("rule", PLANTED)
def test_every_planted_kind_is_hidden(rule: str) -> None:
    text = f"{ASSEMBLY}\nlook: {PLANTED[rule]} \nend"
    redactor = Redactor(salt=b"s")
    clean = redactor.text(text)
    assert redactor.counts[rule.strip()] >= 1
    secret = "jdoe42" if rule == "shell-prompt" else re.split(r'[\s="]+', PLANTED[rule].rstrip('")}'))[-1]
    assert secret not in clean
    assert clean.startswith(ASSEMBLY) and clean.endswith("\nend")


def test_assembly_is_left_alone() -> None:
    redactor = Redactor(salt=b"s")
    assert redactor.text(ASSEMBLY) == ASSEMBLY


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*PLANTED.values(), ASSEMBLY, "plain words", "é€"]), max_size=6), st.text(max_size=20))
def test_twice_is_the_same_as_once(parts: list[str], extra: str) -> None:
    redactor = REDACTOR
    once = redactor.text(" ".join([*parts, extra]))
    assert redactor.text(once) == once


REDACTOR = Redactor(salt=b"s")


def test_every_string_of_a_record_is_covered() -> None:
    key = PLANTED["github-token"]
    turns = (
        Message(role="user", text="run in /home/jdoe42/x"),
        Message(
            role="assistant",
            thinking=key,
            tool_calls=(ToolCall(id="1", name="sh", arguments={"cmd": [f"x {key}"], key: 1}),),
        ),
        Message(role="tool", text="jdoe42 owns it", tool_call_id="1"),
        Message(role="assistant", text="done"),
    )
    record = Record(
        id=record_id("d", turns), domain="d", kind="tools", messages=turns,
        origin=Origin(source="s", uri="/home/jdoe42/log.jsonl"), tags=("by:jane.doe@corp.org",),
        task=Task(id="t", domain="d", family="f", prompt=key, spec={"a": {"b": key}}),
        verdicts=(Verdict(task="t", ok=True, score=1.0, stage="x", facts={"out": key}),),
    )  # fmt: skip
    clean, hits = Redactor(salt=b"s").record(record)
    raw = msgspec.json.encode([clean, hits])
    assert key.encode() not in raw and b"jdoe42" not in raw and b"jane.doe" not in raw
    assert clean.id == record_id("d", clean.messages) != record.id
    assert {hit.where for hit in hits} >= {
        "messages[0].text",
        "messages[1].thinking",
        "origin.uri",
        "task.spec.a.b",
        "tags[0]",
    }


def test_one_value_has_one_placeholder_and_salts_differ() -> None:
    a, b = Redactor(salt=b"1"), Redactor(salt=b"2")
    twice = a.text("x@corp.org and x@corp.org and y@corp.org")
    first, second, third = twice.split(" and ")
    assert first == second != third
    assert b.text("x@corp.org") != first


def test_allow_list_names_and_own_rules(tmp_path: Path) -> None:
    assert Redactor(allow=("x@corp.org",)).text("x@corp.org") == "x@corp.org"
    assert "Ganondorf" not in Redactor(names=("Ganondorf",)).text("ask Ganondorf now")
    (tmp_path / "g.toml").write_text("[[rules]]\nid = 'mine'\nregex = '''zz-[0-9]{6}'''\n")
    assert Redactor(load_rules(tmp_path / "g.toml")).text("zz-123456").startswith("<SECRET:mine:")
    (tmp_path / "bad.toml").write_text("[[rules]]\nid = 'mine'\nregex = '''(?<=x)y'''\n")
    with pytest.raises(ConfigError, match=r"rules\[0\]\.regex"):
        load_rules(tmp_path / "bad.toml")


def test_names_of_any_script_and_at_the_end_of_a_sentence() -> None:
    clean = Redactor(salt=b"s").text("it is in /home/jörgen/x and in /Users/annabel. Then annabel asked jörgen.")
    assert "annabel" not in clean and "rgen" not in clean and ">. Then <" in clean


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:a/b",
        "127.0.0.1",
        "version 10.2.3.40",
        "1.2.3.4",
        "/home/user/x",
        "sk-",
        "std::vector",
        "TOKEN=$1",
        "v10.0.0.5",
    ],
)
def test_what_tells_nothing_about_anybody_stays(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_the_salt_is_private_and_stays(workspace: Workspace) -> None:
    assert load_salt(workspace.root) == load_salt(workspace.root)
    assert (workspace.root / "redaction.salt").stat().st_mode & 0o077 == 0


def test_a_gitleaks_file_honors_keywords_allow_lists_and_stopwords(tmp_path: Path) -> None:
    path = tmp_path / "gitleaks.toml"
    path.write_text(
        "[allowlist]\nregexes = ['PART-0000']\n"
        "[[rules]]\nid = 'part'\nregex = 'PART-[0-9A-Z]{4}'\nkeywords = ['ACME']\n"
        "[[rules.allowlists]]\nstopwords = ['demo']\n"
    )
    redactor = Redactor(load_rules(path), salt=b"s")
    assert "PART-1234" not in redactor.text("acme PART-1234")
    assert redactor.text("other PART-1234") == "other PART-1234"
    assert redactor.text("acme PART-0000 PART-DEMO") == "acme PART-0000 PART-DEMO"


def test_phone_and_card_numbers_are_hidden_when_asked_for() -> None:
    text = "call +49 30 901820 or (212) 736-5000, card 4539 1488 0343 6467"
    assert Redactor(salt=b"s").text(text) == text
    redactor = Redactor(load_rules(also=("phone", "card")), salt=b"s")
    assert re.fullmatch(r"call <PHONE:\w+> or <PHONE:\w+>, card <CARD:\w+>", redactor.text(text))
    for plain in (
        "card 4539 1488 0343 6468",
        "lda $4539,x ; 1234 5678",
        "version +1.2.3",
        "2026-11-30 15:00",
        ASSEMBLY,
    ):
        assert redactor.text(plain) == plain
    with pytest.raises(ConfigError, match="no optional rule iban; there are card, phone"):
        load_rules(also=("iban",))


@pytest.mark.parametrize(
    "text",
    [
        'credentialsId: "29f63271-dc2f-4734-8221-5b31b5169bac"',
        'public_key = "9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit"',
        "MantleAPI_version=9a038989604e8da62ecddbe2094b16ce1b778be1",
        'author = "M$Bn0Tf0YHD"',
        "token: abcdefghijklmnopqrstuvwxyz1234",
        "def login(username: str, password: str) -> None: ...",
        "password = password.encode('latin1')",
        '"token4": "xoxp-572370529330-573807301142-572331691188-####################"',
        'nonMatchingToken := "q3jct0iq61x728wa"',
        "fake_api_key = 'q3jct0iq61x728wa'",
        "event-bus-message-api: rc0.15.0_20231217_1420-SNAPSHOT",
        "<secret>{credentialsFromVault}</secret>",
        "GWw4hjABFzZCGiRpmlDyDdo87AIzaQmJn9BN9THUA47muVRNunLxsa82tMAdvmrhOqNkRKi",
    ],
)
def test_names_dummies_and_references_are_left_alone(text: str) -> None:
    assert Redactor(salt=b"s").text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        'apikey := "m{{h}o)p${e]nob(ody[finds>-_$#thisone}}"',
        "db_pass = m{{h}o)p${e]nob(ody[finds>-_$#thisone}}\n",
        'if ("m{{h}o)p${e]nob(ody[finds>-_$#thisone}}" == my_password) {',
        'std::string secret("kq8ZP2vR7xLw");',
        "api_key_password = hunter22!",
        "<id>ci</id>\n<secret>{AQAAABAAAAAQ7b1t9kzQ2mXw+Yh3}</secret>",
        "<clientSecret> {ci AQAAABAAA 9f8a2-kk3x7} </clientSecret>",
    ],
)
def test_the_strictest_word_of_a_name_decides_and_symbols_are_no_template(text: str) -> None:
    assert "<SECRET:" in Redactor(salt=b"s").text(text)


def test_a_string_is_walked_only_where_the_whole_record_matched() -> None:
    key = PLANTED["github-token"]
    turns = (Message(role="user", text="the password\n= is next"), Message(role="assistant", text=f"x {key}\ny"))
    record = Record(
        id=record_id("d", turns), domain="d", kind="pair", messages=turns, origin=Origin(source="s", uri="u")
    )
    clean, hits = Redactor(salt=b"s").record(record)
    assert clean.messages[0] == turns[0] and [hit.where for hit in hits] == ["messages[1].text"]
