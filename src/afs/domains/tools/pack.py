"""Tasks on a small file tree, answered by tool calls that are carried out and compared by the tree they leave.

`copy` needs a look before the deed: what must be written stands in the prompt's listing. The families `steps/*` need
several calls in an order, among files that only look alike; each call is judged as it is carried out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import msgspec

from afs.domains.base import Block, Finding, LineCounter, PackVerb, find_marked, strip_thinking
from afs.domains.tools.file_tree import TOOLS, ToolError, Tree, execute_call, find_schema_problem
from afs.errors import UsageError
from afs.types import Record, Task, ToolCall, Verdict, digest

_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+|[\w-]+\.\w+")
_FENCE = re.compile(r"\A```(?:json)?\s*|\s*```\Z")
_FOLDERS = ("src", "docs", "gfx", "maps", "notes", "tests")
_STEMS = ("main", "player", "title", "readme", "dungeon", "sprite", "music", "items", "boss", "intro")
_ENDINGS = (".asm", ".md", ".txt", ".bin")
_WORDS = ("sword", "shield", "bow", "boots", "lamp", "hook", "cape", "key", "heart", "map")


class _DrawnTask(NamedTuple):
    """A task's wording, the calls that solve it, and the facts its group is known by."""

    ask: str
    calls: list[ToolCall]


def _build_call(name: str, **arguments: object) -> ToolCall:
    return ToolCall(name=name, arguments=dict(arguments))


def _draw_new_path(tree: Tree, rng: random.Random) -> str:
    while True:
        path = f"{rng.choice(_FOLDERS)}/{rng.choice(_STEMS)}{rng.choice(_ENDINGS)}"
        if path not in tree:
            return path


def _draw_write(tree: Tree, rng: random.Random) -> _DrawnTask:
    path, text = _draw_new_path(tree, rng), " ".join(rng.sample(_WORDS, 3))
    ask = rng.choice(
        (
            "Create {p} containing '{t}' and nothing else.",
            "Write '{t}', without a line break, to a new file {p}.",
            "Make a file {p} with exactly the text '{t}'.",
        )
    )
    return _DrawnTask(ask.format(p=path, t=text), [_build_call("write_file", path=path, content=text)])


def _draw_delete(tree: Tree, rng: random.Random) -> _DrawnTask:
    path = rng.choice(sorted(tree))
    ask = rng.choice(("Delete {p}.", "Remove the file {p}.", "{p} is no longer needed; get rid of it."))
    return _DrawnTask(ask.format(p=path), [_build_call("delete_file", path=path)])


def _draw_move(tree: Tree, rng: random.Random) -> _DrawnTask:
    path, target = rng.choice(sorted(tree)), _draw_new_path(tree, rng)
    ask = rng.choice(("Move {p} to {t}.", "Rename {p} to {t}.", "{p} should be called {t} instead."))
    return _DrawnTask(ask.format(p=path, t=target), [_build_call("move_file", source=path, target=target)])


def _draw_append(tree: Tree, rng: random.Random) -> _DrawnTask:
    path, word = rng.choice(sorted(tree)), rng.choice(_WORDS)
    ask = rng.choice(
        (
            "Append '{w}' to {p}, without a space or a line break.",
            "Add exactly '{w}' right behind the last character of {p}.",
            "Extend {p} by '{w}', with nothing in between.",
        )
    )
    return _DrawnTask(ask.format(p=path, w=word), [_build_call("append_file", path=path, content=word)])


def _draw_copy(tree: Tree, rng: random.Random) -> _DrawnTask:
    path, target = rng.choice(sorted(tree)), _draw_new_path(tree, rng)
    ask = rng.choice(("Copy {p} to {t}.", "Make a copy of {p} named {t}."))
    return _DrawnTask(ask.format(p=path, t=target), [_build_call("write_file", path=target, content=tree[path])])


def _draw_clear(tree: Tree, rng: random.Random) -> _DrawnTask:
    folder = rng.choice(sorted({path.partition("/")[0] for path in tree}))
    doomed = [path for path in sorted(tree) if path.startswith(folder + "/")]
    ask = rng.choice(("Delete every file in {f}.", "Empty the folder {f}."))
    return _DrawnTask(ask.format(f=folder), [_build_call("delete_file", path=path) for path in doomed])


def _add_lookalikes(tree: Tree, rng: random.Random) -> None:
    """More files: same stem in another folder, same words in another order."""
    for path, content in list(tree.items()):
        _, _, name = path.partition("/")
        other = f"{rng.choice(_FOLDERS)}/{name}"
        if other not in tree:
            tree[other] = " ".join(reversed(content.split()))


def _find_holders(tree: Tree, word: str) -> list[str]:
    return [path for path, content in sorted(tree.items()) if word in content.split()]


def _draw_word(tree: Tree, rng: random.Random) -> str:
    return rng.choice(sorted({word for content in tree.values() for word in content.split()}))


def _draw_rename_word(tree: Tree, rng: random.Random) -> _DrawnTask:
    _add_lookalikes(tree, rng)
    old = _draw_word(tree, rng)
    new = rng.choice([word for word in _WORDS if word != old])
    ask = rng.choice(
        ("Replace the word '{o}' by '{n}' in every file that has it.", "In all texts, '{o}' must become '{n}'.")
    )
    calls = [_build_call("edit_file", path=path, old=old, new=new) for path in _find_holders(tree, old)]
    return _DrawnTask(ask.format(o=old, n=new), [_build_call("ws_find", text=old), *calls])


def _draw_mount(tree: Tree, rng: random.Random) -> _DrawnTask:
    _add_lookalikes(tree, rng)
    word = _draw_word(tree, rng)
    ask = rng.choice(
        (
            "Mount every file that mentions '{w}' as context, ordered by path from a to z.",
            "Put all files with the word '{w}' into the context, in alphabetical order of their paths.",
        )
    )
    calls = [_build_call("ctx_mount", path=path) for path in _find_holders(tree, word)]
    return _DrawnTask(ask.format(w=word), [_build_call("ws_find", text=word), *calls])


def _draw_swap(tree: Tree, rng: random.Random) -> _DrawnTask:
    _add_lookalikes(tree, rng)
    first, second = rng.sample(sorted(tree), 2)
    spare = _draw_new_path(tree, rng)
    ask = rng.choice(("Swap the names of {a} and {b}.", "{a} should be called {b}, and {b} should be called {a}."))
    pairs = ((first, spare), (second, first), (spare, second))
    calls = [_build_call("move_file", source=source, target=target) for source, target in pairs]
    return _DrawnTask(ask.format(a=first, b=second), calls)


def _draw_tidy(tree: Tree, rng: random.Random) -> _DrawnTask:
    _add_lookalikes(tree, rng)
    word = _draw_word(tree, rng)
    kept, index = rng.choice(sorted(tree)), _draw_new_path(tree, rng)
    doomed = [path for path in _find_holders(tree, word) if path != kept]
    ask = rng.choice(
        (
            "Delete the files that mention '{w}', but keep {k}; then list what you deleted in {i},",
            "Keep {k}. Every other file with the word '{w}' goes; write the deleted paths to {i},",
        )
    )
    calls = [_build_call("delete_file", path=path) for path in doomed]
    listing = _build_call("write_file", path=index, content="\n".join(doomed))
    tail = " one per line, from a to z, without a line break at the end."
    return _DrawnTask(ask.format(w=word, k=kept, i=index) + tail, [*calls, listing] if doomed else [])


_FAMILIES: Mapping[str, Callable[[Tree, random.Random], _DrawnTask]] = {
    "write": _draw_write,
    "delete": _draw_delete,
    "move": _draw_move,
    "append": _draw_append,
    "copy": _draw_copy,
    "clear": _draw_clear,
    "steps/rename-word": _draw_rename_word,
    "steps/mount": _draw_mount,
    "steps/swap": _draw_swap,
    "steps/tidy": _draw_tidy,
}
_SYSTEM = (
    "You work on a file tree by calling tools. Answer with tool calls only, each as "
    '<tool_call>\n{"name": "…", "arguments": {…}}\n</tool_call>.'
)


def format_calls(calls: list[ToolCall]) -> str:
    """Calls in the form a text model writes them."""
    rows = (msgspec.json.encode({"name": c.name, "arguments": c.arguments}).decode() for c in calls)
    return "\n".join(f"<tool_call>\n{row}\n</tool_call>" for row in rows)


class Tools:
    """The pack object; see `afs.domains.base.Domain` for what each member is for."""

    name = "tools"
    version = "3"
    families = tuple(_FAMILIES)
    verbs: Mapping[str, PackVerb] = {}
    dialects: tuple[str, ...] = ()
    suites: Mapping[str, str] = {}
    prompts: Mapping[str, str] = {"tools": _SYSTEM}
    probes = ("Delete docs/readme.md.",)
    controls = ('{"name": "list_files"\n',)

    def tasks(self, family: str, seed: int, n: int) -> Iterator[Task]:
        """`n` different tasks of a family."""
        if family not in _FAMILIES:
            raise UsageError(f"the pack tools has no family {family!r}; it has: {', '.join(_FAMILIES)}")
        rng = random.Random(f"{family}:{seed}")
        seen: set[str] = set()
        while len(seen) < n:
            tree: Tree = {}
            for _ in range(rng.randint(2, 4)):
                tree[_draw_new_path(tree, rng)] = " ".join(rng.sample(_WORDS, 2))
            made = _FAMILIES[family](tree, rng)
            listing = "\n".join(f"{path}: {content}" for path, content in sorted(tree.items()))
            after = dict(tree)
            for one in made.calls:
                execute_call(after, one.name, one.arguments)
            key = digest((family, tree, made.ask))[:16]
            if key in seen or after == tree:
                continue
            seen.add(key)
            yield Task(
                id=key,
                domain=self.name,
                family=family,
                prompt=f"Files:\n{listing}\n\n{made.ask}",
                reference=format_calls(made.calls),
                spec={"before": tree, "after": after},
                group=key[:2],
                system=_SYSTEM,
                tools=TOOLS,
            )

    def extract(self, text: str) -> tuple[Block, ...]:
        """Every tool call in an answer; a sampler may have cut the mark that ends the last one."""
        lines = LineCounter(text)
        return tuple(
            Block(kind="tool_call", text=_FENCE.sub("", call), line=lines.line_at(at))
            for call, at in find_marked(f"{text}</tool_call>", "<tool_call>", "</tool_call>")
        )

    def check(self, task: Task, answer: str) -> Verdict:
        """Carry the calls out on the tree; the tree they leave must be the wanted one."""

        def verdict(stage: str, score: float, reason: str = "", **facts: object) -> Verdict:
            return Verdict(task=task.id, ok=score == 1.0, score=score, stage=stage, reason=reason, facts=facts)

        blocks = self.extract(strip_thinking(answer))
        if not blocks:
            return verdict("extract", 0.0, "no tool call")
        tree = dict(cast(Tree, task.spec["before"]))
        calls = []
        for block in blocks:
            try:
                one = msgspec.json.decode(block.text, type=ToolCall)
            except msgspec.DecodeError as error:
                return verdict("parse", 0.1, f"line {block.line}: {error}")
            if problem := find_schema_problem(one.name, one.arguments):
                return verdict("schema", 0.2, f"line {block.line}: {problem}")
            calls.append(one)
        for number, one in enumerate(calls, 1):
            try:
                execute_call(tree, one.name, one.arguments)
            except ToolError as error:
                return verdict("execute", 0.3, f"call {number}, {one.name}: {error}", calls=len(calls))
        if tree != task.spec["after"]:
            return verdict("match", 0.4, _describe_difference(tree, cast(Tree, task.spec["after"])), calls=len(calls))
        return verdict("match", 1.0, calls=len(calls))

    def carry_out(self, task: Task, calls: Sequence[ToolCall]) -> list[tuple[str, bool]]:
        """What each call answers on the task's tree, and whether it could be carried out."""
        tree, answers = dict(_before(task)), []
        for one in calls:
            try:
                answers.append((execute_call(tree, one.name, one.arguments), True))
            except ToolError as error:
                answers.append((f"error: {error}", False))
        return answers

    def lint(self, text: str) -> tuple[Finding, ...]:
        """Calls that no schema allows."""
        found = []
        for block in self.extract(text):
            try:
                one = msgspec.json.decode(block.text, type=ToolCall)
                problem = find_schema_problem(one.name, one.arguments)
            except msgspec.DecodeError as error:
                problem = str(error)
            if problem:
                found.append(Finding(rule="tool-call", message=problem, line=block.line))
        return tuple(found)

    def annotate(self, record: Record) -> tuple[str, ...]:
        """The paths a record speaks of."""
        return tuple(sorted({path for m in record.messages for path in _PATH.findall(m.text)}))

    def wrong_answers(self, task: Task) -> Iterator[tuple[str, str]]:
        """Answers that must be rejected."""
        yield "empty", ""
        yield "prose", "I have carried out the request as you asked."
        yield "echo", task.prompt
        yield "unknown tool", re.sub(r'"name":"\w+"', '"name":"remove_folder"', task.reference)
        yield "climbs out", re.sub(r'"(path|target)":"', r'"\1":"../', task.reference)
        yield "broken JSON", task.reference.replace("}", "")
        yield "does nothing", format_calls([_build_call("list_files", folder=".")])
        yield "wrong file", format_calls([_build_call("write_file", path="other.txt", content="x")])
        if task.family.startswith("steps/"):
            yield "the last step left out", task.reference.rpartition("<tool_call>")[0]
            yield "the first name that comes", format_calls([_build_call("delete_file", path=min(_before(task)))])


def _before(task: Task) -> Tree:
    return cast(Tree, task.spec["before"])


def _describe_difference(tree: Tree, wanted: Tree) -> str:
    missing, extra = sorted(set(wanted) - set(tree)), sorted(set(tree) - set(wanted))
    changed = sorted(path for path in set(tree) & set(wanted) if tree[path] != wanted[path])
    parts = [
        f"{word} {', '.join(paths)}"
        for word, paths in (("missing", missing), ("too many", extra), ("other content in", changed))
        if paths
    ]
    return "; ".join(parts)


DOMAIN = Tools()
