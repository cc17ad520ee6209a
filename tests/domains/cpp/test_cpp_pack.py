"""The pack `cpp` on a small library: every reference compiles, every wrong call is rejected, unknown names are named."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from afs.domains.cpp import DOMAIN, compiler
from afs.domains.cpp.look_command import CppLookConfig, look_up
from afs.domains.cpp.options import CppOptions
from afs.domains.cpp.scan_command import CppScanConfig, scan
from afs.domains.cpp.signature import parse_signature
from afs.domains.cpp.spec import CppSpec
from afs.domains.cpp.survey import CppSurvey, survey
from afs.errors import ConfigError, UsageError
from afs.sandbox import available
from afs.types import Task

compiles = pytest.mark.skipif(
    not available() or compiler.shutil.which("g++") is None, reason="no sandbox or no compiler here"
)
HEADER = """
#pragma once
#define GEO_API
namespace geo {
enum class Color { Red, Green };
struct Point { double x; double y; };
/// The distance between two places on a map.
/// \\return Never negative, see `measure`.
GEO_API double measure(const Point& from, Point to, bool squared = false);
int clamp(int value, int low, int high);
int clamp(int value);
class Shape { public: enum Status { Done, Failed }; virtual int sides() const = 0; };
class GEO_API Canvas : public Shape {
 public:
  struct Style { int width; };
  friend class Printer;
  /// Makes an empty canvas.
  explicit Canvas(const char* title);
  /// Draws a polygon through all of its corners.
  [[nodiscard]] Status draw(const Point* corners, Style style, Color color = Color::Red) const;
  static Canvas load(const char* path);
  void each(void (*visit)(const Point&, void*), void* data);
  int sides() const override;
  template <typename T> T get(T value);
  bool operator==(const Canvas& other) const;
 private:
  void hide(int depth);
};
class Printer { public: void print(Canvas& canvas, int copies); };
}  // namespace geo
"""
USE = (
    "#include <geo/shapes.hpp>\nvoid start(geo::Printer& printer, geo::Canvas& page) {\n  printer.print(page, 2);\n}\n"
)
LICENSE = (
    "Permission is hereby granted, free of charge. The above copyright notice and this permission notice shall stay."
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libraries") / "geo"
    (folder / "include/geo").mkdir(parents=True)
    (folder / "include/geo/shapes.hpp").write_text(HEADER)
    (folder / "include/geo/broken.hpp").write_text("#include <no_such_file.h>\nint broken(int a);\n")
    (folder / "main.cpp").write_text(USE)
    (folder / "LICENSE").write_text(LICENSE)
    return folder


@pytest.fixture(scope="module")
def found(library: Path) -> CppSurvey:
    return survey(CppOptions(path=library))


def _tasks(library: Path, family: str) -> list[Task]:
    return list(DOMAIN.configure({"path": str(library)}).tasks(family, 0, 100))


def _task(library: Path, family: str, name: str) -> Task:
    return next(task for task in _tasks(library, family) if task.spec["name"] == name)


@compiles
def test_a_survey_says_what_becomes_a_task_and_why_the_rest_does_not(library: Path) -> None:
    result = scan(CppScanConfig(path=library))
    assert result.license == "MIT" and result.headers == 1
    assert list(result.bad_headers) == ["include/geo/broken.hpp"] and "no_such_file.h" in result.text()
    assert result.left_out == {"operators and destructors": 1, "templates and their members": 1}
    assert result.usable == result.functions - 2 and result.planted == result.refuted > 20
    assert all(result.tasks.values())


@compiles
def test_every_reference_compiles_and_every_wrong_answer_is_rejected(library: Path) -> None:
    for family in DOMAIN.families:
        task = _tasks(library, family)[0]
        verdict = DOMAIN.check(task, f"Here it is:\n{task.reference}")
        assert verdict.ok, (family, verdict)
        assert msgspec.convert(task.spec, CppSpec).license == "MIT" and task.group.startswith("geo/")
        for kind, answer in DOMAIN.wrong_answers(task):
            assert DOMAIN.check(task, answer).ok is False, (family, kind)


@compiles
def test_names_are_written_as_they_are_called_from_outside(found: CppSurvey) -> None:
    wrappers = {one.function.name: one.wrapper for one in found.usable}
    prototype = wrappers["geo::Canvas::draw"].prototype
    assert "geo::Canvas::Style style" in prototype and "const geo::Point* corners" in prototype
    assert prototype.startswith("geo::Canvas::Status "), "a type of the base class"
    assert "void (*visit)(const geo::Point&, void*)" in wrappers["geo::Canvas::each"].prototype
    assert "geo::Canvas& canvas" in wrappers["geo::Printer::print"].prototype, "a friend is no type of its own"
    assert "geo::Canvas::hide" not in wrappers


@compiles
@pytest.mark.parametrize(
    ("body", "stage", "reason"),
    [
        ("return object.drawAll(corners, style, color);", "compile", "`geo::Canvas::drawAll` does not exist"),
        ("return geo::render(corners, style, color);", "compile", "`geo::render` does not exist"),
        ("return object.draw(corners);", "compile", "no matching function"),
        ("return object.draw(corners, style);", "match", "does not pass `color`"),
        ("(void)object; (void)corners; (void)style; (void)color; return {};", "match", "does not call"),
        ("using X = decltype(object.draw(corners, style, color)); return X{};", "parse", "uses `decltype`"),
        ("object.draw(corners, style, color);", "match", "does not return what"),
        ("object.draw(corners, style, color); return geo::Canvas::Status();", "match", "does not return what"),
        (
            "auto draw = [](const geo::Point*, geo::Canvas::Style, geo::Color) { return geo::Canvas::Done; };"
            " (void)object; return draw(corners, style, color);",
            "parse",
            "defines `draw` itself",
        ),
        ("// object.draw(corners, style, color)\n(void)object; return {};", "match", "does not call"),
    ],
)
def test_a_wrong_call_is_named(library: Path, body: str, stage: str, reason: str) -> None:
    task = _task(library, "call", "geo::Canvas::draw")
    verdict = DOMAIN.check(task, f"```cpp\n{task.spec['prototype']} {{\n{body}\n}}\n```")
    assert (verdict.ok, verdict.stage) == (False, stage) and reason in verdict.reason, verdict
    if "does not exist" in reason:
        assert verdict.facts["unknown"]


@compiles
@pytest.mark.parametrize(
    "body",
    [
        "return (object.draw(corners, style, color));",
        "const auto status = object.draw(corners, style, color); return status;",
        "const geo::Canvas* page = &object; return page->draw(corners, style, color);",
        "const geo::Canvas copy = object; return copy.draw(corners, style, color);",
        "const auto draw_it = [&] { return object.draw(corners, style, color); }; return draw_it();",
        "if (object.draw(corners, style, color) == geo::Canvas::Done) { return geo::Canvas::Done; }"
        " return geo::Canvas::Failed;",
    ],
)
def test_an_unusual_call_is_right(library: Path, body: str) -> None:
    task = _task(library, "call", "geo::Canvas::draw")
    prototype = (
        task.spec["prototype"].replace("geo::Canvas::Status perform", "auto perform") + " -> geo::Canvas::Status"
    )  # type: ignore[attr-defined]
    verdict = DOMAIN.check(task, f"It is this:\n```cpp\n#include <string>\n{prototype} {{\n{body}\n}}\n```\nDone.")
    assert verdict.ok, verdict


@compiles
def test_a_change_to_a_copy_is_lost(library: Path) -> None:
    task = _task(library, "call", "geo::Canvas::each")
    for body, ok in (
        ("object.each(visit, data);", True),
        ("geo::Canvas copy = object; copy.each(visit, data);", False),
    ):
        assert DOMAIN.check(task, f"{task.spec['prototype']} {{ {body} }}").ok is ok, body


@compiles
def test_swapped_arguments_of_one_type_are_seen(library: Path) -> None:
    task = next(t for t in _tasks(library, "call") if t.spec["name"] == "geo::clamp" and "low" in t.prompt)
    prototype = task.spec["prototype"]
    for arguments, ok in (
        ("value, low, high", True),
        ("value, high, low", False),
        ("0 + value, low, high", True),
        ("value + 1, low, high", False),
    ):
        verdict = DOMAIN.check(task, f"{prototype} {{ return geo::clamp({arguments}); }}")
        assert verdict.ok is ok, (arguments, verdict)


@compiles
def test_a_constructor_is_called_in_any_of_its_forms(library: Path) -> None:
    task = _task(library, "call", "geo::Canvas::Canvas")
    forms = ("return geo::Canvas(title);", "return geo::Canvas{title};", "geo::Canvas page(title); return page;")
    for body, ok in (*((form, True) for form in forms), ("throw title;", False), ("return geo::Canvas(0);", False)):
        verdict = DOMAIN.check(task, f"{task.spec['prototype']} {{ {body} }}")
        assert verdict.ok is ok, (body, verdict)


@compiles
@pytest.mark.parametrize(
    "code",
    [
        "namespace geo {{ int paint(int); }}\n{prototype} {{ return geo::paint(value); }}",
        "#define geo std\n{prototype} {{ return geo::clamp(value); }}",
        "template <class T> int other(T x) {{ return geo::clmp(x); }}\n{prototype} {{ return geo::clamp(value); }}",
        "int other(auto x) {{ return x.nothing(); }}\n{prototype} {{ return geo::clamp(value); }}",
        "{prototype};",
        "{prototype};\nint other(int value) {{ return geo::clamp(value); }}",
    ],
)
def test_an_answer_cannot_evade_the_compiler(library: Path, code: str) -> None:
    task = next(t for t in _tasks(library, "call") if t.spec["prototype"] == "int perform(int value)")
    verdict = DOMAIN.check(task, f"```cpp\n{code.format(prototype=task.spec['prototype'])}\n```")
    assert (verdict.ok, verdict.stage) == (False, "parse"), verdict


@compiles
@pytest.mark.parametrize(
    ("declaration", "ok"),
    [
        ("GEO_NOTHING", False),
        ("double measure(const geo::Point &a, geo::Point b, bool);", True),
        ("auto measure(Point const& from, Point to, bool squared = true) -> double", True),
        ("double geo::measure(const geo::Point& a, geo::Point b, bool);", True),
        ("float measure(const Point& from, Point to, bool squared);", False),
        ("double measure(const Point& from, Point& to, bool squared);", False),
        ("double measure(const Point& from, Point to);", False),
        ("decltype(&geo::measure) measure(int);", False),
    ],
)
def test_a_declaration_is_compared_by_its_type(library: Path, declaration: str, ok: bool) -> None:
    assert DOMAIN.check(_task(library, "signature", "geo::measure"), f"```cpp\n{declaration}\n```").ok is ok


@compiles
def test_a_comment_is_asked_for_without_its_references(library: Path) -> None:
    prompts = [task.prompt for task in _tasks(library, "find") if task.spec["name"] == "geo::measure"]
    assert prompts and all("The distance between two places on a map." in prompt for prompt in prompts)
    assert not any("measure" in prompt for prompt in prompts)


def test_a_missing_compiler_leaves_an_answer_unknown(
    library: Path, found: CppSurvey, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = _task(library, "call", "geo::measure")
    monkeypatch.setattr(compiler, "COMPILER", "g++-that-nobody-has")
    verdict = DOMAIN.check(task, task.reference)
    assert verdict.ok is None and "apt install g++" in verdict.reason


@compiles
@pytest.mark.parametrize(
    ("name", "text", "options", "message"),
    [
        ("a.hpp", "int f(int a\n", {}, "no header compiles"),
        ("a.hpp", '#include "a.hpp"\nint f();\n', {}, "no header compiles"),
        ("a.hpp", "int f();\n", {"standard": "c++1"}, "g++ failed"),
        ("a.hpp", "int f();\n", {"headers": ("b/*.hpp",)}, "no header is left"),
        ("a.py", "f = 1\n", {}, "no .h .hpp"),
        ("a.hpp", "constexpr long go(long n) { return n < 2 ? 1 : go(n - 1) + go(n - 2); }\nstatic_assert(go(99));\n",
         {"compile_s": 1}, "takes more than 1 s"),
    ],
)  # fmt: skip
def test_bad_headers_are_a_clear_error(
    tmp_path: Path, name: str, text: str, options: dict[str, object], message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Exception, match=re.escape(message)) as raised:
        survey(msgspec.convert({"path": tmp_path, **options}, CppOptions))
    assert raised.value.__class__.__module__ == "afs.errors"


def test_the_pack_needs_a_library() -> None:
    with pytest.raises(ConfigError, match="name the library"):
        next(DOMAIN.tasks("call", 0, 1))
    with pytest.raises(UsageError, match="no family 'draw'"):
        next(DOMAIN.tasks("draw", 0, 1))


@pytest.mark.parametrize(
    ("text", "name", "types", "result", "takes"),
    [
        ("API_X int f(int a, char b[4] = {});", "f", "int, char[4]", "int", (1, 2)),
        ("const std::map<int, long>& f() const noexcept;", "f", "", "const std::map<int, long>&", (0,)),
        ("void f(const char* text, ...);", "f", "const char*, ...", "void", (1, 2, 3)),
        ("auto f(unsigned int) -> std::size_t;", "f", "unsigned int", "std::size_t", (1,)),
        ("explicit Box(Size size, const Color& = Color(1, 2));", "Box", "Size, const Color&", "", (1, 2)),
        ("virtual void f(void (*call)(int, void*), int n = g(1, 2)) = 0;", "f", "void (*)(int, void*), int", "void", (1, 2)),
        ('T* f(const char* a = TEXT(","), int n = 1);', "f", "const char*, int", "T*", (0, 1, 2)),
        ("void f(void);", "f", "", "void", (0,)),
    ],
)  # fmt: skip
def test_declarations_are_taken_apart(text: str, name: str, types: str, result: str, takes: tuple[int, ...]) -> None:
    found = parse_signature(text, name, frozenset({"API_X", "TEXT"}))
    assert found is not None and (found.list_types(), found.result) == (types, result)
    assert tuple(n for n in range(4) if found.takes(n)) == takes


@pytest.mark.parametrize("text", ["template <class T> void f(T a);", "auto f(int a);", "void f(auto a);", "int f(int"])
def test_what_is_not_understood_is_left_out(text: str) -> None:
    assert parse_signature(text, "f") is None


def test_a_function_is_looked_up_with_a_call_of_it(library: Path) -> None:
    text = look_up(CppLookConfig(path=library, name="Printer::print")).text()
    assert "include/geo/shapes.hpp:29" in text and "printer.print(page, 2);" in text
    with pytest.raises(UsageError, match="did you mean 'geo::Printer::print'"):
        look_up(CppLookConfig(path=library, name="geo::Printer::prnt"))
