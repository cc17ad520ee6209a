"""Campaigns: exact counts, nothing lost, nothing paid for twice, outages that are never answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from afs import answer_verifier, datasets, verbs
from afs.errors import ConfigError, ProviderError, UsageError
from afs.generate import FamilyCount, GenerateConfig
from afs.generate.forecast import Forecast
from afs.model_calls.store import CallStore
from afs.providers.failures import CallError
from afs.types import Completion, Dataset, Usage
from afs.workspace import Workspace

from .conftest import right


def make(workspace: Workspace, **fields: object) -> Dataset:
    config = msgspec.convert({"domain": "sums", "name": "c", **fields}, GenerateConfig)
    found = verbs.do("generate", config, workspace)
    assert isinstance(found, Dataset)
    return found


def add(count: int) -> list[dict[str, object]]:
    return [{"family": "add", "count": count}]


def store_of(workspace: Workspace, name: str = "c") -> CallStore:
    return CallStore(workspace.root / "campaigns" / name / "calls.db")


def test_a_pack_makes_verified_records(workspace: Workspace) -> None:
    config = GenerateConfig(domain="sums", name="raw", families=(FamilyCount(family="add", count=30),), seed=4)
    made = verbs.do("generate", config, workspace)
    assert isinstance(made, Dataset)
    rows = list(datasets.read(workspace, made))
    checker = f"sums/{answer_verifier.load_pack('sums').version}"
    assert len(rows) == 30 == made.splits[0].count
    assert all(row.verdicts[0].ok and row.verdicts[0].checker == checker for row in rows)
    assert all(row.origin.license == "CC0-1.0" and row.origin.group.startswith("add#") for row in rows)
    assert {row.origin.maker for row in rows} == {checker}
    again = verbs.do("generate", config, workspace)
    assert isinstance(again, Dataset) and again.ref == made.ref, "nothing changed, so nothing is stored twice"


def test_a_teacher_is_judged_and_its_failures_are_kept(workspace: Workspace, script) -> None:
    script.say = lambda text, sampling, number: text.partition(" ")[2] if sampling.seed else "wrong 1"
    shares = [{"family": "copy", "count": 5}, {"family": "reverse", "count": 4}]
    made = make(workspace, families=shares, teacher="pupil:x", attempts=2, candidates=1.0)
    assert made.splits[0].count == 5
    assert made.counts == {"dropped:verdict:match": 5 + 2 * 4, "short:reverse": 4}
    assert len(script.asked) == 5 * 2 + 4 * 2
    rows = list(datasets.read(workspace, made))
    assert {row.origin.maker for row in rows} == {"pupil:x"} and all(row.origin.uri for row in rows)
    assert made.licenses == {"unknown": 5}, "a teacher's terms decide, so nothing is assumed"


def test_the_count_is_of_accepted_samples(workspace: Workspace, script) -> None:
    wrong = lambda text: int(text.split()[-1]) % 3 == 0  # noqa: E731
    script.say = lambda text, sampling, number: "0 0" if wrong(text) else str(sum(map(int, text.split()[1:])))
    made = make(workspace, families=add(40), teacher="pupil:x")
    assert made.splits[0].count == 40 and "short:add" not in made.counts
    assert len(script.asked) == 40 + made.counts["dropped:verdict:match"], "not one more candidate than needed"


def test_a_finished_campaign_makes_no_call_and_knobs_repeat_none(workspace: Workspace, script) -> None:
    made = make(workspace, families=add(20), teacher="pupil:x")
    assert len(script.asked) == 20
    for knobs in ({}, {"concurrency": 3}, {"budget_usd": 100.0}, {"longest_outage_s": 1.0}):
        assert make(workspace, families=add(20), teacher="pupil:x", **knobs).ref == made.ref
    assert len(script.asked) == 20
    more = make(workspace, families=add(25), teacher="pupil:x")
    assert (len(script.asked), more.splits[0].count) == (25, 25), "a larger count asks for the difference"


def test_a_changed_template_touches_only_its_own_cells(workspace: Workspace, script) -> None:
    cells = [{"family": "add", "count": 5, "templates": ["direct"]}, {"family": "copy", "count": 5}]
    make(workspace, cells=cells, teacher="pupil:x")
    cells[0]["templates"] = ["concise"]
    script.say = lambda text, sampling, number: str(sum(int(w) for w in text.split() if w.isdigit()))
    made = make(workspace, cells=cells, teacher="pupil:x")
    assert len(script.asked) == 10 + 5 and made.splits[0].count == 10
    tags = [tag for row in datasets.read(workspace, made) for tag in row.tags]
    assert sum(tag == "template:concise@1" for tag in tags) == 5


def test_more_tokens_ask_again_only_for_cut_answers(workspace: Workspace, script) -> None:
    def say(text, sampling, number):
        is_long = int(text.split()[-1]) % 2
        if is_long and sampling.max_tokens < 100:
            return Completion(text="12", model="x", finish="length", usage=Usage(cost_usd=0.25))
        return str(sum(map(int, text.split()[1:])))

    script.say = say
    first = make(workspace, families=add(10), teacher="pupil:x", candidates=1.0, sampling={"max_tokens": 50})
    cut = first.counts["dropped:cut"]
    assert first.splits[0].count == 10 - cut and 0 < cut < 10
    asked = len(script.asked)
    second = make(workspace, families=add(10), teacher="pupil:x", candidates=1.0, sampling={"max_tokens": 500})
    assert len(script.asked) - asked == cut and second.splits[0].count == 10


def test_an_outage_is_no_answer(workspace: Workspace, script) -> None:
    """The teacher dies after 20 of 200 calls: the run fails and says so, and everything else is still to be asked."""
    script.say = lambda text, sampling, number: (
        str(sum(map(int, text.split()[1:]))) if number <= 20 else CallError("busy", "down")
    )
    config = {"families": add(200), "teacher": "pupil:x", "concurrency": 4, "longest_outage_s": 0.0}
    with pytest.raises(ProviderError, match=r"no model can answer.*down.*rerun to resume"):
        make(workspace, **config)
    assert workspace.names("records") == []
    store = store_of(workspace)
    (states,) = store.counts().values()
    assert states.pop("accepted") == 20 and set(states) == {"open"}
    store.close()
    script.say = lambda text, sampling, number: str(sum(map(int, text.split()[1:])))
    asked = len(script.asked)
    assert make(workspace, **config).splits[0].count == 200
    assert len(script.asked) - asked == 180


def test_rate_limits_and_random_failures_change_nothing(workspace: Workspace, script, tmp_path: Path) -> None:
    def say(text, sampling, number):
        if number % 5 == 0:
            return CallError("rate", "slow down", wait_s=0.001)
        return str(sum(map(int, text.split()[1:])))

    script.say = say
    made = make(workspace, families=add(100), teacher="pupil:x", concurrency=4)
    assert made.splits[0].count == 100 and made.counts == {}
    script.say = lambda text, sampling, number: str(sum(map(int, text.split()[1:])))
    other = Workspace.create(tmp_path / "other")
    assert make(other, families=add(100), teacher="pupil:x").digest == made.digest


def test_a_spent_model_leaves_its_turn_to_the_next_of_the_chain(workspace: Workspace, script) -> None:
    (workspace.root / "providers.toml").write_text('[tiers]\ncoding = ["pupil:first", "pupil:second"]\n')

    def say(text, sampling, number):
        if text.startswith("first") and len(script.of("first")) > 10:
            return CallError("spent", "no money left", wait_s=36000)
        return str(sum(map(int, text.split()[1:])))

    script.say = say
    made = make(workspace, families=add(30), teacher="coding", concurrency=1)
    makers = [row.origin.maker for row in datasets.read(workspace, made)]
    assert makers.count("pupil:first") == 10 and makers.count("pupil:second") == 20
    assert len(script.of("first")) == 11, "a spent model is not asked again"
    make(workspace, families=add(35), teacher="coding", concurrency=1)
    assert len(script.of("first")) == 11, "and not by the next run either, before its reset"


def test_a_refusal_goes_once_to_the_next_teacher_and_is_never_a_record(workspace: Workspace, script) -> None:
    (workspace.root / "providers.toml").write_text('[chains]\nboth = ["pupil:a", "pupil:b"]\n')
    script.say = lambda text, sampling, number: Completion(
        text="I can't", model="x", finish="filter", usage=Usage(cost_usd=0.0)
    )
    made = make(workspace, families=add(3), teacher="both", candidates=1.0)
    assert made.splits[0].count == 0 and made.counts == {"dropped:refused": 6, "short:add": 3}
    assert len(script.of("a")) == len(script.of("b")) == 3


def test_teachers_must_agree_before_a_sample_is_accepted(workspace: Workspace, script) -> None:
    def say(text: str, sampling, number: int) -> str:
        kind, _, question = text.partition("|")
        is_odd = int(question.split()[-1]) % 2 == 1
        return "0" if kind == "b" and is_odd else right(question)

    script.say = say
    cells = [{"family": "add", "count": 6, "teachers": ["pupil:a", "pupil:b"]}]
    made = make(workspace, cells=cells, agreement=2)
    rows = list(datasets.read(workspace, made))
    assert len(rows) == 6 and all(int(row.messages[-2].text.split()[-1]) % 2 == 0 for row in rows)
    asked = {question for _, _, question in (text.partition("|") for text in script.asked)}
    alone = [question for question in asked if len([t for t in script.asked if t.endswith(f"|{question}")]) == 1]
    assert all(int(question.split()[-1]) % 2 == 1 for question in alone), "a wrong answer ends it at once"
    assert made.counts.get("dropped:no agreement", 0) > 0
    with pytest.raises(ConfigError, match=r"agreement: want answers of 3 different models, and .*add names 2"):
        make(workspace, name="d", cells=cells, agreement=3)


def test_self_repair_shows_the_diagnostics(workspace: Workspace, script) -> None:
    script.say = lambda text, sampling, number: "1 1" if "rejected" not in text else "?"
    script.say = lambda text, sampling, number: (
        "7" if "rejected" not in text else text.partition("want '")[2].split("'")[0]
    )
    made = make(workspace, families=add(6), teacher="pupil:x", attempts=2, repair=True, candidates=1.0)
    assert made.splits[0].count == 6
    assert all("repaired" in row.tags for row in datasets.read(workspace, made))
    assert [m.role for m in script.conversations[-1]] == ["user", "assistant", "user"]


def test_a_budget_is_never_exceeded(workspace: Workspace, script) -> None:
    with pytest.raises(ProviderError, match=r"budget of \$2.6 would be exceeded: \$2.5000 is spent"):
        make(workspace, families=add(100), teacher="pupil:x", budget_usd=2.6, concurrency=32)
    assert len(script.asked) == 10
    assert make(workspace, families=add(100), teacher="pupil:x", budget_usd=30.0).splits[0].count == 100
    assert len(script.asked) == 100


def test_a_checker_that_cannot_decide_leaves_the_answer_waiting(
    workspace: Workspace, script, monkeypatch: pytest.MonkeyPatch
) -> None:
    from afs.errors import AfsError
    from afs.types import Verdict

    real = answer_verifier.Verifier.verify_all
    unsure = lambda self, pairs: [Verdict(task=t.id, ok=None, score=None, stage="checker") for t, _ in pairs]  # noqa: E731
    monkeypatch.setattr(answer_verifier.Verifier, "verify_all", unsure)
    with pytest.raises(AfsError, match="5 answers wait for a checker"):
        make(workspace, families=add(5), teacher="pupil:x")
    monkeypatch.setattr(answer_verifier.Verifier, "verify_all", real)
    assert make(workspace, families=add(5), teacher="pupil:x").splits[0].count == 5
    assert len(script.asked) == 5, "the answers were kept: nothing is asked twice"


def test_a_hopeless_cell_stops_and_is_reported(workspace: Workspace, script) -> None:
    script.say = lambda text, sampling, number: "wrong"
    made = make(workspace, families=add(500), teacher="pupil:x")
    assert made.splits[0].count == 0 and made.counts["short:add"] == 500
    assert len(script.asked) < 260


def test_steering_prefers_the_arm_with_more_verified_samples_per_dollar(workspace: Workspace, script) -> None:
    def say(text, sampling, number):
        is_good = text.startswith("good") or number % 10 == 0
        return str(sum(map(int, text.split()[1:]))) if is_good else "wrong"

    script.say = say
    make(workspace, cells=[{"family": "add", "count": 100, "teachers": ["pupil:bad", "pupil:good"]}], concurrency=4)
    assert len(script.of("good")) > 3 * len(script.of("bad"))


def test_a_pilot_forecasts_the_whole_and_counts_for_it(workspace: Workspace, script) -> None:
    script.say = lambda text, sampling, number: str(sum(map(int, text.split()[1:]))) if number % 2 else "wrong"
    config = GenerateConfig(
        domain="sums", name="c", families=(FamilyCount(family="add", count=400),), teacher="pupil:x", pilot=100
    )
    forecast = verbs.do("generate", config, workspace)
    assert isinstance(forecast, Forecast) and forecast.verdict == "go" and forecast.exit_code == 0
    cost = forecast.cost_usd
    assert len(script.asked) == 100 and cost.value == pytest.approx(400 * 0.25 / 0.5, rel=0.05)
    assert cost.low is not None and cost.high is not None and cost.low < 200 < cost.high
    made = verbs.do("generate", msgspec.structs.replace(config, pilot=0), workspace)
    assert isinstance(made, Dataset) and made.splits[0].count == 400
    assert len(script.asked) == pytest.approx(800, abs=2), "the pilot's answers were used"


def test_a_pilot_tries_most_where_the_forecast_is_least_sure(workspace: Workspace, script) -> None:
    """Half of the candidates in proportion; the rest where the cost of the whole depends on them."""
    script.say = lambda text, sampling, number: right(text) if "add" in text or number % 5 == 0 else "wrong"
    shares = [{"family": "add", "count": 300}, {"family": "copy", "count": 300}]
    table = {"domain": "sums", "name": "c", "families": shares, "teacher": "pupil:x", "pilot": 80}
    forecast = verbs.do("generate", msgspec.convert(table, GenerateConfig), workspace)
    assert isinstance(forecast, Forecast)
    tried = {cell.cell: cell.tried for cell in forecast.cells}
    assert len(script.asked) == 80 == sum(tried.values()) and tried["sums/copy"] > 50
    verbs.do("generate", msgspec.convert(table, GenerateConfig), workspace)
    assert len(script.asked) == 80, "the same pilot again asks nothing"


KILLED = """
import os, sys
from afs.model_calls.store import CallStore
enter, count = CallStore.enter, [0]
LIMIT = [int(sys.argv[1])]
sys.argv.pop(1)
def counted(self, row):
    enter(self, row)
    count[0] += 1
    if count[0] == LIMIT[0]:
        os.kill(os.getpid(), 9)
CallStore.enter = counted
from afs.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_killed_and_restarted_at_once(tmp_path: Path, chat_server) -> None:
    """kill -9 twice at odd moments, restarted at once: exact, nothing twice, repeats within what was in flight."""
    workspace = Workspace.create(tmp_path / "w")
    (workspace.root / "providers.toml").write_text(
        f'[providers.box]\nkind = "openai"\nbase_url = "{chat_server.url}"\nprice = {{ input = 1.0, output = 1.0 }}\n'
    )
    argv = ["generate", "--domain", "sums", "--name", "c", "--teacher", "box:m", "--quiet", "--concurrency", "16"]
    argv += ["--families", '{ family = "add", count = 200 }', "--workspace", str(workspace.root)]
    for calls in ("37", "71"):
        killed = subprocess.run([sys.executable, "-c", KILLED, calls, *argv], check=False, capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    done = subprocess.run([sys.executable, "-m", "afs", *argv], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    made = datasets.load(workspace, "c")
    rows = list(datasets.read(workspace, made))
    assert len(rows) == 200 == len({row.id for row in rows})
    assert {row.origin.maker for row in rows} == {"box:m-1"}, "the model that really answered"
    assert chat_server.asked.total() - 200 <= 2 * 16 + 2, "no more repeats than calls in flight at the kills"
    store = store_of(workspace)
    (bill,) = store.bills()
    assert bill.calls >= chat_server.asked.total(), "a call is on the disk before it is sent"
    assert bill.cost <= chat_server.bill <= bill.cost + bill.at_most, "an unknown cost lies within its worst case"
    store.close()
    before = chat_server.asked.total()
    subprocess.run([sys.executable, "-m", "afs", *argv], check=True, capture_output=True)
    assert chat_server.asked.total() == before and datasets.load(workspace, "c").ref == made.ref
    assert len(os.listdir(workspace.root / "runs")) == 2


def test_a_second_process_is_refused_while_the_first_lives(workspace: Workspace, script) -> None:
    from afs.errors import WorkspaceError

    store = store_of(workspace)
    with pytest.raises(WorkspaceError, match=f"in use by process {os.getpid()}"):
        make(workspace, families=add(5), teacher="pupil:x")
    store.close()
    assert make(workspace, families=add(5), teacher="pupil:x").splits[0].count == 5


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"families": [{"family": "ad", "count": 1}]}, "no family 'ad'; did you mean 'add'"),
        ({"families": add(1), "template": "dirct"}, "no template is called 'dirct'; did you mean 'direct'"),
        (
            {"families": add(1), "teacher": "pupl:x"},
            "no provider, node or stored model is called 'pupl'; did you mean 'pupil'",
        ),
        ({"families": add(1), "teacher": "openai:gpt-5.2"}, "OPENAI_API_KEY: not set"),
        (
            {"families": add(1), "teacher": "anthropic:claude-sonnet-4-0", "budget_usd": 1.0},
            "ANTHROPIC_API_KEY: not set",
        ),
        ({"families": add(1), "pilot": 10}, "without a teacher costs nothing"),
    ],
)
def test_mistakes_are_said_before_the_first_call(workspace: Workspace, script, fields, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make(workspace, **fields)
    assert script.asked == []


def test_a_template_with_an_unknown_placeholder(workspace: Workspace, tmp_path: Path, script) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('version = "1"\nprompt = "{promt}"\n')
    with pytest.raises(ConfigError, match="unknown placeholder 'promt'; did you mean 'prompt'"):
        make(workspace, families=add(1), teacher="pupil:x", template=str(path))


def test_an_unknown_price_refuses_a_budget(workspace: Workspace, chat_server) -> None:
    (workspace.root / "providers.toml").write_text(
        f'[providers.box]\nkind = "openai"\nbase_url = "{chat_server.url}"\n'
    )
    with pytest.raises(ConfigError, match="the price of box:m is unknown"):
        make(workspace, families=add(1), teacher="box:m", budget_usd=1.0)
    assert not chat_server.asked


def test_a_shortfall_is_said_and_counted(workspace: Workspace) -> None:
    made = make(workspace, families=[{"family": "sort", "count": 5000}])
    assert made.splits[0].count < 1000
    assert made.counts == {"short:sort": 5000 - made.splits[0].count}


def test_the_state_of_a_provider_is_never_stored(workspace: Workspace, script) -> None:
    secret = {"anthropic_content": [{"signature": "s3cr3t"}]}
    script.say = lambda text, sampling, number: Completion(
        text=str(sum(map(int, text.split()[1:]))), model="x", thinking="because", provider_state=secret
    )
    made = make(workspace, families=add(3), teacher="pupil:x", keep_thinking=True)
    rows = list(datasets.read(workspace, made))
    assert all(not m.provider_state for row in rows for m in row.messages)
    assert rows[0].messages[-1].thinking == "because"
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes()


def test_a_key_stands_in_no_file(workspace: Workspace, chat_server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOX_KEY", "sk-planted-7f3a")
    quoted = b'{"error": {"message": "Incorrect API key provided: sk-planted-7f3a"}}'
    chat_server.fault = lambda number: (401, quoted, {})
    text = f'[providers.box]\nkind = "openai"\nbase_url = "{chat_server.url}"\nkey_env = "BOX_KEY"\n'
    (workspace.root / "providers.toml").write_text(text)
    with pytest.raises(ConfigError, match="Incorrect API key provided: …") as caught:
        make(workspace, families=add(3), teacher="box:m")
    assert "planted" not in str(caught.value)
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or b"planted" not in path.read_bytes(), path


def test_options_are_for_packs_that_take_them(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="the pack sums takes no options"):
        make(workspace, options={"path": "x"})


def test_options_reach_the_pack_and_are_checked(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"options\.pat"):
        make(workspace, domain="repo", options={"pat": "x"})
    with pytest.raises(UsageError, match="no such folder"):
        make(workspace, domain="repo", options={"path": str(tmp_path / "none")})
