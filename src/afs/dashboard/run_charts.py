"""Which charts a run has: loss, held-out figures with intervals, rate, gradient norm, speed and device in one view."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from afs.dashboard.curve_charts import Chart, Series
from afs.dashboard.curve_downsampling import Curve, cut, downsample, find_spikes, smooth
from afs.dashboard.run_history import Noted, RunTrack
from afs.dashboard.run_index import FollowedRun
from afs.intervals import wilson_interval

PAGE_POINTS = 1_200
"""Points of a curve in a page; zooming in asks for finer ones."""


_LONG = 20_000
"""Points from which a drawn curve is kept."""


def run_charts(
    track: RunTrack, *, first: int | None = None, last: int | None = None, most: int = PAGE_POINTS
) -> list[Chart]:
    """The charts of a run between two steps."""

    def curve(name: str) -> Curve:
        if first is None and last is None:
            return _whole(track, name, most)
        steps, values = cut(track.steps, track.values[name], first, last)
        return downsample(steps, values, most)

    loss = curve("loss")
    spikes = find_spikes(loss)
    held_out = _kept(track.evaluations, "loss", first, last)
    parts = [Series("each step", "raw", loss), Series("smoothed", "smooth", Curve(loss.steps, smooth(loss.values)))]
    parts += [Series("spikes", "spike", spikes)] if spikes.steps else []
    parts += [Series("held-out", "held-out", held_out)] if held_out.steps else []
    speed = curve("tokens_s")
    charts = [
        Chart(
            "loss",
            "Loss",
            "how far the model's guesses are from the training text; lower is better",
            parts,
            may_be_log=True,
        ),
        Chart(
            "rate",
            "Learning rate",
            "size of each update; it rises in the warm-up and falls to the end",
            [Series("rate", "line", curve("lr"))],
        ),
        Chart(
            "norm",
            "Gradient norm",
            "strength of the pull on the weights; jumps announce trouble",
            [Series("norm", "line", curve("grad_norm"))],
        ),
        Chart(
            "speed",
            "Tokens per second",
            "how fast text goes through the model",
            [
                Series("each step", "raw", speed),
                Series("smoothed", "smooth", Curve(speed.steps, smooth(speed.values))),
            ],
            from_zero=True,
        ),
    ]
    return [charts[0], *_verified(track, first, last), *charts[1:], *_device(track, first, last)]


def _whole(track: RunTrack, name: str, most: int) -> Curve:
    """A whole curve; of a long one only what is new since it was last drawn, until that is a hundredth of it."""
    count, values = len(track.steps), track.values[name]
    known = track.drawn.get((name, most))
    if known is not None and known[1] == track.rewinds and count - known[0] <= known[0] // 100:
        begin, _, curve = known
        tail = downsample(track.steps[begin:], values[begin:], 200)
        return Curve(curve.steps + tail.steps, curve.values + tail.values)
    curve = downsample(track.steps, values, most)
    if count > _LONG:
        track.drawn[name, most] = (count, track.rewinds, curve)
    return curve


def _kept(noted: Iterable[Noted], name: str, first: int | None, last: int | None) -> Curve:
    steps: list[int] = []
    values: list[float | None] = []
    for one in noted:
        step, value = one.number("step"), one.number(name)
        if step is None or value is None or (first is not None and step < first) or (last is not None and step > last):
            continue
        if steps and int(step) <= steps[-1]:
            continue
        steps.append(int(step))
        values.append(value)
    return Curve(steps, values)


def _verified(track: RunTrack, first: int | None, last: int | None) -> list[Chart]:
    """The share of probe tasks whose answers pass the check, with Wilson's interval."""
    curve = _kept(track.evaluations, "verified", first, last)
    if not curve.steps:
        return []
    counts = {int(e.number("step") or 0): int(e.number("probes") or 0) for e in track.evaluations}
    spans = [wilson_interval((v or 0) * counts.get(s, 0), counts.get(s, 0)) for s, v in zip(*curve, strict=True)]
    low, high = [span[0] for span in spans], [span[1] for span in spans]
    return [
        Chart(
            "verified",
            "Probe tasks solved",
            "held-out tasks answered during the training and judged by running the answer; bars are 95 % intervals",
            [Series("solved", "held-out", curve, low, high)],
            is_share=True,
        )
    ]


def _device(track: RunTrack, first: int | None, last: int | None) -> list[Chart]:
    shares = [
        Series(title, "line", curve)
        for name, title in (("gpu_use", "GPU busy"), ("mfu", "MFU"))
        if (curve := _kept(track.devices, name, first, last)).steps
    ]
    if not shares:
        return []
    hint = "GPU busy: share of the time in which it computes; MFU: share of its peak speed that the training uses"
    return [Chart("device", "GPU", hint, shares, is_share=True)]


def overlay(runs: Sequence[FollowedRun], name_of: Callable[[FollowedRun], str], most: int = PAGE_POINTS) -> list[Chart]:
    """The smoothed losses and the held-out losses of several runs over each other."""
    losses, held_out = [], []
    for run in runs:
        curve = downsample(run.track.steps, run.track.values["loss"], most)
        losses.append(Series(name_of(run), "other", Curve(curve.steps, smooth(curve.values))))
        kept = _kept(run.track.evaluations, "loss", None, None)
        if kept.steps:
            held_out.append(Series(name_of(run), "held-out", kept))
    found = [
        Chart(
            "overlay",
            "Loss of the runs, smoothed",
            "the same step of each run above each other",
            losses,
            may_be_log=True,
        )
    ]
    if held_out:
        hint = "loss on text that was not trained on; compare runs by this one"
        found.append(Chart("overlay-held-out", "Held-out loss", hint, held_out, may_be_log=True))
    return found


def new_points(track: RunTrack, after: int) -> dict[str, object]:
    """Steps beyond `after`, for a page that is open: at most the last thousand, `whole` when none is left out."""
    start = len(track.steps)
    while start > 0 and track.steps[start - 1] > after and len(track.steps) - start < 1_000:
        start -= 1
    is_whole = start == 0 or track.steps[start - 1] <= after
    found: dict[str, object] = {"whole": is_whole, "steps": list(track.steps[start:])}
    for name, values in track.values.items():
        found[name] = [None if value != value else float(f"{value:.6g}") for value in values[start:]]
    return found
