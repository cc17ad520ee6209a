"""The commands beside a campaign: dry run, status, review, and the exchange with an offline batch engine."""

from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import pytest

from afs import jsonl, verbs
from afs.config import decode, load_toml
from afs.errors import UsageError
from afs.generate import FamilyCount, GenerateConfig
from afs.generate.dry_run import preview
from afs.generate.offline_batches import PiecesExportConfig, PiecesImportConfig
from afs.generate.report import CampaignReportConfig, write_report
from afs.generate.review import ReviewConfig, Sampled, _ask, review
from afs.generate.status import StatusConfig, campaign_status
from afs.types import Dataset
from afs.workspace import Workspace

from .conftest import PROBE

ADD = (FamilyCount(family="add", count=10),)


def test_a_dry_run_says_the_worst_case_and_calls_nobody(workspace: Workspace, script) -> None:
    config = GenerateConfig(domain="sums", name="c", families=ADD, teacher="pupil:x", attempts=2, budget_usd=5.0)
    seen = preview(config, workspace)
    assert script.asked == [] and not (workspace.root / "campaigns").exists()
    assert seen.cells[0].candidates_at_most == 40 and seen.cost_at_most_usd == pytest.approx(
        0.25 * 1.024 * 40 * 2, rel=0.05
    )
    assert "worst-case bill" in seen.text() and "capped at $5" in seen.text()


def test_status_and_review(workspace: Workspace, script, tmp_path: Path) -> None:
    script.say = lambda text, sampling, number: str(sum(map(int, text.split()[1:]))) if number % 2 else "wrong"
    verbs.do("generate", GenerateConfig(domain="sums", name="c", families=ADD, teacher="pupil:x"), workspace)
    (campaign,) = campaign_status(StatusConfig(name="c"), workspace).campaigns
    (cell,) = campaign.cells
    assert (cell.cell, cell.wanted, cell.accepted, cell.rejected) == ("sums/add", 10, 10, len(script.asked) - 10)
    assert campaign.cost_usd == pytest.approx(0.25 * len(script.asked)) and campaign.models[0]["model"] == "pupil:x"
    assert "per accepted sample" in campaign_status(StatusConfig(), workspace).text()
    with pytest.raises(UsageError, match="no campaign is called 'd'"):
        campaign_status(StatusConfig(name="d"), workspace)

    page = Path(write_report(CampaignReportConfig(name="c"), workspace).file).read_text()
    assert "Campaign c" in page and "10 accepted samples" in page
    assert "verdict: " in page and "<script" not in page

    empty = tmp_path / "none.jsonl"
    empty.write_text("")
    before = review(ReviewConfig(name="c", count=6, decisions=empty), workspace)
    assert (before.reviewed, before.left) == (0, 6)
    from afs.generate.review import Review, _sample

    sampled = _sample(ReviewConfig(name="c", count=6), workspace.root / "campaigns" / "c")
    path = tmp_path / "decisions.jsonl"
    jsonl.write(path, [Review(piece=one.key, decision="accept", reason="fine") for one in sampled])
    after = review(ReviewConfig(name="c", count=6, decisions=path), workspace)
    assert (after.reviewed, after.wrongly_rejected, after.wrongly_accepted, after.left) == (6, 3, 0, 0)
    assert after.agreement.value == 0.5


def test_open_pieces_go_to_an_offline_engine_and_its_answers_come_back(
    workspace: Workspace, chat_server, tmp_path: Path
) -> None:
    text = f'[providers.box]\nkind = "openai"\nbase_url = "{chat_server.url}"\n'
    (workspace.root / "providers.toml").write_text(text)
    fields = {"domain": "sums", "name": "c", "families": ADD, "teacher": "box:m"}
    out, back = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
    verbs.do("generate export", PiecesExportConfig(to=out, **fields), workspace)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 10 and rows[0]["url"] == "/v1/chat/completions" and rows[0]["body"]["model"] == "m"
    lines = []
    for row in rows[:8]:
        numbers = row["body"]["messages"][-1]["content"].split()[1:]
        message = {"content": str(sum(map(int, numbers)))}
        body = {"model": "offline", "choices": [{"message": message, "finish_reason": "stop"}], "usage": {}}
        lines.append({"custom_id": row["custom_id"], "response": {"body": body}})
    lines.append({"custom_id": "piece-999999", "response": {"body": {"choices": []}}})
    back.write_text("\n".join(json.dumps(line) for line in lines))
    taken = verbs.do("generate import", PiecesImportConfig(answers=back, **fields), workspace)
    assert (taken.pieces, taken.skipped) == (8, 1)  # type: ignore[attr-defined]
    made = verbs.do(
        "generate", msgspec.convert(fields | {"families": [{"family": "add", "count": 10}]}, GenerateConfig), workspace
    )
    assert isinstance(made, Dataset) and made.splits[0].count == 10
    assert chat_server.asked.total() - chat_server.asked[PROBE] == 2, (
        "only what the offline engine did not answer is asked"
    )


def test_the_founding_campaign_is_a_valid_preset(workspace: Workspace) -> None:
    path = Path(__file__).parents[2] / "recipes" / "campaigns" / "founding.toml"
    config = decode(GenerateConfig, load_toml(path), file=str(path))
    seen = preview(config, workspace)
    assert sum(cell.wanted for cell in seen.cells) == 34_500 and seen.cost_at_most_usd == 0.0


def test_what_is_reviewed_cannot_move_the_cursor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nfine\n"))
    found = _ask(Sampled(key="k", prompt="clear\x1b[2J", answer="bell\x07\u202e", verdict=True))
    assert found is not None and found.decision == "accept"
    assert capsys.readouterr().err.count("\x1b") == 0
