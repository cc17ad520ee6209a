"""Runs a source: files, lines, statements, macro calls. What a single statement does stands elsewhere."""

from __future__ import annotations

from typing import Final

from afs.domains.snes.asm import conditional_directives, spc700_blocks
from afs.domains.snes.asm.data_directives import set_repeat
from afs.domains.snes.asm.defines import resolve_defines
from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt, LineHalt
from afs.domains.snes.asm.directive_table import DIRECTIVES
from afs.domains.snes.asm.encoder import encode, look_at_operand
from afs.domains.snes.asm.label_directives import assign, place_label, undefine
from afs.domains.snes.asm.macro_call import Macro
from afs.domains.snes.asm.macro_lines import is_macro_line, join_continued, run_macro_line
from afs.domains.snes.asm.macros import put_arguments, read_call
from afs.domains.snes.asm.print_text import unquote
from afs.domains.snes.asm.session import MAIN_CPU, SPC700_INLINE, Session
from afs.domains.snes.asm.source_lines import prepare_lines
from afs.domains.snes.asm.source_text import normalize_spaces
from afs.domains.snes.asm.spc700_encoder import encode_spc700
from afs.domains.snes.asm.statement_log import MacroEnd, MacroStart
from afs.domains.snes.asm.statements import Statement, read_data_line, read_line
from afs.domains.snes.isa import MNEMONICS

_OPENING: Final = frozenset(("if", "while", "for"))
_CLOSING: Final = frozenset(("endif", "endwhile", "endfor"))
_INLINE: Final = frozenset(("elseif", "else", "endif", "endwhile"))
_TEXT_COMMANDS: Final = ("incsrc", "undef", "macro", "endmacro", "assert")
_CONTROL: Final = {
    **dict.fromkeys(_OPENING, conditional_directives.open_block),
    **dict.fromkeys(_CLOSING, conditional_directives.close_block),
    "elseif": conditional_directives.open_elseif,
    "else": conditional_directives.open_else,
}


def run_file(s: Session, path: str, is_top: bool) -> None:
    """Run every line of a file that was read before."""
    if path in s.sources.included_once:
        return
    kept = s.at.file, s.at.line, s.at.block
    s.at.file, s.at.line, s.at.block = path, -1, ""
    depth = s.flow.depth
    s.version_allowed = True
    lines = prepare_lines(s, path)
    macro = run_lines(s, lines, 0, path, is_top)
    s.at.file, s.at.line, s.at.block = path, len(lines) - 1, ""
    if macro is not None:
        s.log.report(BlockHalt("Eunclosed_macro"))
    if s.repeat_next != 1:
        s.repeat_next = 1
        s.log.report(BlockHalt("Erep_at_file_end"))
    if s.flow.depth != depth:
        s.flow.depth = s.flow.true_depth = depth
        s.log.report(BlockHalt("Eunclosed_if"))
    s.at.file, s.at.line, s.at.block = kept


def run_lines(s: Session, lines: list[str], first: int, path: str, is_top: bool | None) -> Macro | None:
    """Run lines of a file, or of a macro (`is_top` None); returns a macro that was left open."""
    state, macro, at, count = s.flow, None, 0, len(lines)
    inside = False
    while at < count:
        line = lines[at]
        if not line:
            if macro is not None:
                macro.lines.append(line)
            s.repeat_next, state.single = 1, 0
            at += 1
            continue
        s.at.file, s.at.line = path, at + first
        if is_top is not None:
            s.is_top = is_top
            if (inside or line[0] in "mMeE") and is_macro_line(state, line, inside):
                inside, macro = run_macro_line(s, line, inside, macro)
                at += 1
                continue
            if inside:
                if macro is not None:
                    macro.lines.append(line)
                at += 1
                continue
        if state.depth == state.true_depth and "!" not in line and "\\" not in line and not (s.macro and "<" in line):
            if line[2:3] == " " and line[0] in "dD" and _run_data_line(s, line):
                at += 1
                continue
            found = read_line(line)
            if found is not None and found.is_plain and s.repeat_next == 1:
                run_plain(s, found.statements)
                at += 1
                continue
        step = 1
        if line[-1] == "\\":
            line, step = join_continued(lines, at)
        depth = state.depth
        run_line(s, line, at + first)
        s.at.file = path
        at += step
        if state.depth != depth or state.single == 3:
            loop = state.loops.get(state.depth)
            if loop is not None and (loop.is_while or loop.is_for) and loop.condition:
                at = loop.line - first
    return macro if inside else None


def _run_data_line(s: Session, line: str) -> bool:
    """Run a line that is nothing but hex numbers; False if it needs a closer look."""
    out, tape = s.out, s.tape
    if tape is None or s.pass_ or not s.is_fast or s.repeat_next != 1:
        return False
    data = read_data_line(line)
    if data is None:
        return False
    count = len(data.const)
    room = out.room - count
    if room < 0:
        return False
    out.room = room
    out.pos += count
    out.real += count
    out.bytes_counted += count
    s.budget.count(1, 0)
    tape.record_constant(data, data.const, s.at.file, s.at.line, s.at.caller)
    s.version_allowed, s.flow.single = False, 0
    return True


def run_line(s: Session, line: str, number: int) -> None:
    """Run one line: arguments and defines first, then its statements."""
    state = s.flow
    kept, more = s.depth, state.more
    s.depth += 1
    if s.depth > s.limits.depth:
        raise FatalHalt("Erecursion_limit", report_in=s.pass_)
    s.at.line, s.at.block, state.single = number, "", 1
    try:
        statements = _statements(s, line)
        if statements:
            _run_statements(s, statements, number)
        else:
            s.repeat_next, state.single = 1, 0
    except (BlockHalt, LineHalt) as halt:
        s.log.report(halt)
    s.depth, state.more = kept, more


def run_plain(s: Session, statements: tuple[Statement, ...]) -> None:
    """Run statements that mean the same wherever they stand."""
    s.budget.count(len(statements), s.pass_)
    tape, is_fast = s.tape, s.is_fast
    for st in statements:
        const = st.const
        if is_fast and const is not None and not st.labels:
            count = len(const)
            room = s.out.room - count
            if room >= 0 and s.pass_ < 2:
                s.out.room = room
                s.out.pos += count
                s.out.real += count
                s.out.bytes_counted += count
                if tape is not None:
                    tape.record_constant(st, const, s.at.file, s.at.line, s.at.caller)
                continue
        s.at.block = st.text
        run_guarded(s, st)
    s.version_allowed, s.flow.single = False, 0


def run_guarded(s: Session, st: Statement) -> None:
    """Carry out a statement; what is wrong with it is reported and ends there."""
    depth = s.depth
    try:
        if s.tape is not None:
            _record(s, st)
        else:
            execute(s, st)
        if s.out.room < 0:
            s.out.check_banks()
    except BlockHalt as halt:
        s.depth = depth
        s.log.report(halt)


def _record(s: Session, st: Statement) -> None:
    """Carry out a statement that the later passes will run again."""
    assert s.tape is not None
    s.tape.record(st, (s.at.file, s.at.line, s.at.caller), False)
    kept = s.is_volatile
    execute(s, st)
    if st.command != "struct" and st.words[1:2] != ["="]:
        s.is_volatile = kept


def _statements(s: Session, line: str) -> tuple[Statement, ...]:
    is_clean = False
    if s.flow.depth == s.flow.true_depth:
        if s.macro is not None:
            line = put_arguments(s, line)
        if "!" in line or "\\" in line:
            line, is_clean = resolve_defines(s, normalize_spaces(line)), True
    found = read_line(line, is_clean)
    if found is None:
        raise LineHalt("Emismatched_quotes")
    return found.statements


def _run_statements(s: Session, statements: tuple[Statement, ...], number: int) -> None:
    state = s.flow
    state.is_live, state.inline = True, 0
    last = len(statements) - 1
    for at, statement in enumerate(statements):
        state.more = at < last
        times, s.repeat_next = s.repeat_next, 1
        while times > 0:
            times -= 1
            s.at.line, s.at.block = number, statement.text
            depth = s.depth
            try:
                run_statement(s, statement)
                if s.out.room < 0:
                    s.out.check_banks()
            except BlockHalt as halt:
                s.depth = depth
                s.log.report(halt)
        if statement.text and not statement.is_special:
            s.version_allowed = False
        if state.single == 1:
            state.single = 0
    if state.inline:
        s.at.line, s.at.block = number, statements[0].text
        s.log.warn(0, "Wfeature_deprecated", "an if without endif on one line", "put ` : endif` at the end")
        if state.depth == state.true_depth:
            state.true_depth -= 1
        state.depth -= 1


def run_statement(s: Session, st: Statement) -> None:
    """Run one statement, or skip it where conditions say so."""
    s.budget.count(1, s.pass_)
    state = s.flow
    if not state.is_live and st.first not in _INLINE:
        return
    if state.depth != state.true_depth:
        if st.first not in _CONTROL:
            return
        if st.first == "elseif" and state.true_depth + 1 == state.depth:
            text = put_arguments(s, st.text) if s.macro is not None else st.text
            st = Statement(resolve_defines(s, text))
        control = _CONTROL.get(st.command)
        if control is not None:
            control(s, st)
        return
    if st.is_special:
        s.log.warn(0, "Wfeature_deprecated", "@ before a command", "leave it out")
    if st.is_textual:
        _run_textual(s, st)
    elif s.tape is not None:
        _record(s, st)
    else:
        execute(s, st)


def _run_textual(s: Session, st: Statement) -> None:
    """What works on the text itself: conditions, macro calls, includes, rep, undef."""
    if st.labels:
        if s.tape is not None:
            s.tape.record(st, (s.at.file, s.at.line, s.at.caller), True)
        for word in st.labels:
            place_label(s, word)
    control = _CONTROL.get(st.command)
    if control is not None:
        control(s, st)
    elif st.command[0] == "%":
        _call_macro(s, st.text[st.text.index("%") + 1 :])
    elif len(st.words) != 2:
        raise BlockHalt("Eunknown_command", report_in=1)
    elif st.command == "incsrc":
        run_file(s, s.sources.files.resolve(unquote(st.words[1]), s.at.file), False)
    elif st.command == "rep":
        set_repeat(s, st.words)
    else:
        undefine(s, st.words)


def execute(s: Session, st: Statement) -> None:
    """Carry out a statement that means the same in every pass."""
    if st.first == "global" and len(st.words) == 2:
        if not place_label(s, st.words[1], is_global=True):
            raise BlockHalt("Einvalid_global_label", st.words[1], report_in=1)
        return
    for word in st.labels:
        place_label(s, word)
    if not st.words:
        return
    if s.pass_ < 2:
        _execute(s, st)
        return
    begin, pos = len(s.out.stream), s.out.pos
    try:
        _execute(s, st)
    finally:
        if len(s.out.stream) > begin:
            shown = st if s.arch == MAIN_CPU and s.spc_block is None else st.as_data()
            s.listing.append((pos, shown, s.at.file, s.at.line, begin, len(s.out.stream)))


def _execute(s: Session, st: Statement) -> None:
    if st.const is not None and s.is_fast:
        s.out.emit(st.const)
        return
    words = st.words
    if s.arch == MAIN_CPU and s.spc_block is None:
        if st.op is not None and encode(s, st.op):
            return
    elif _execute_spc700(s, words):
        return
    if st.command == "rep" and len(words) == 2:
        set_repeat(s, words)
        return
    entry = DIRECTIVES.get(st.command)
    if len(words) == 3 and words[1] == "=":
        assign(s, words)
    elif entry is not None and len(words) in entry[0]:
        entry[1](s, words)
    elif st.command == "assert":
        conditional_directives.check_assertion(s, st)
    elif st.is_special:
        s.log.warn(0, "Wunrecognized_special_command")
    else:
        look_at_operand(s, words)
        raise BlockHalt("Eunknown_command", _advice(st.command), report_in=1)


def _execute_spc700(s: Session, words: list[str]) -> bool:
    """An instruction of the sound processor, or a directive that is special there; False for all others."""
    spc700_blocks.check_allowed(s, words[0].lower())
    if s.arch == SPC700_INLINE and spc700_blocks.run_inline(s, words):
        return True
    return encode_spc700(s, words)


def _advice(word: str) -> str:
    """A suggestion for an unknown word."""
    if word[:3] in MNEMONICS and (len(word) == 3 or word[3] == "."):
        return f": {word[:3]} does not take this operand"
    if len(word) > 40:
        return ""
    from difflib import get_close_matches  # slow to import, and only a mistake needs it

    close = get_close_matches(word, [*DIRECTIVES, *_CONTROL, *_TEXT_COMMANDS, *MNEMONICS], n=1, cutoff=0.75)
    return f": did you mean {close[0]}?" if close else ""


def _call_macro(s: Session, text: str) -> None:
    """Run a macro with its arguments."""
    call = read_call(s, text)
    state, outer = s.flow, s.macro
    caller, kept = s.at.caller, (state.inline, state.is_live, state.single)
    if outer is None:
        s.at.caller = f"{s.at.file}:{s.at.line + 1}"
    depth, file, line, block = state.depth, s.at.file, s.at.line, s.at.block
    s.macro = call
    if s.tape is not None:
        s.tape.record(MacroStart(call), (s.at.file, s.at.line, s.at.caller), False)
    try:
        run_lines(s, call.macro.lines, call.macro.line + 1, call.macro.file, None)
    finally:
        s.macro = outer
    if s.tape is not None:
        s.tape.record(MacroEnd(outer), (s.at.file, s.at.line, s.at.caller), False)
    s.at.file, s.at.line = file, line
    try:
        _check_macro_end(s, depth)
    finally:
        s.at.caller, s.at.block = caller, block
        state.inline, state.is_live, state.single = kept


def _check_macro_end(s: Session, depth: int) -> None:
    s.at.block = ""
    if s.repeat_next != 1:
        s.repeat_next = 1
        raise BlockHalt("Erep_at_macro_end")
    if s.flow.depth != depth:
        s.flow.depth = s.flow.true_depth = depth
        raise BlockHalt("Eunclosed_if")
