"""Functions of C++ headers, the comments that are their own, and calls of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from afs import datasets
from afs.ingest.base import Reading, Unit
from afs.ingest.cpp import Cpp
from afs.source_code import cpp_calls
from afs.source_code.cpp_functions import find_functions
from afs.types import Record

HEADER = """
#define API
namespace a::b {
/// Adds two numbers up.
API int add(int x, int y = 2);
int bare();

/** A box of things.
 *  **Bold** words stay. */
template <typename T>
class Box final : public Base<T> {
  // Not seen from outside.
  void hidden();
 public:
  //! Makes an empty box.
  explicit Box(int size) : size_{size}, kept(0) {}
  // Copies are fine.
  Box(const Box&) = default;
  /// Never moved about.
  Box(Box&&) = delete;
  // Takes the thing
  // at a place.
  [[nodiscard]] const T& operator[](int at) const;
  int size() const noexcept { return f(1); }  ///< How many are in.
                                              ///< Never less than none.
  virtual void draw(const std::string& name = "x;{") = 0;
  std::function<void(int)> called;  // a field, no function
  int (*pointer)(int);
  struct Lid {
    /* Shuts the lid tight. */
    bool shut();
  };
};

// Too far away from it.

void alone();

/// Told outside of the class.
template <typename T>
inline void Box<T>::hidden() {}
}  // namespace a::b
"""


def test_functions_are_named_by_their_scope_and_have_their_own_comment() -> None:
    found = {f.name: (f.doc, f.access) for f in find_functions(HEADER) if f.doc}
    assert found == {
        "a::b::add": ("Adds two numbers up.", ""),
        "a::b::Box::hidden": ("Told outside of the class.", ""),
        "a::b::Box::Box": ("Makes an empty box.", "public"),
        "a::b::Box::operator[]": ("Takes the thing at a place.", "public"),
        "a::b::Box::size": ("How many are in. Never less than none.", "public"),
        "a::b::Box::Lid::shut": ("Shuts the lid tight.", "public"),
    }
    assert [f.access for f in find_functions(HEADER) if f.name == "a::b::Box::hidden"] == ["private", ""]


def test_signatures_end_before_initializers_and_keep_defaults() -> None:
    signed = [f.signature for f in find_functions(HEADER)]
    assert "API int add(int x, int y = 2);" in signed and "explicit Box(int size);" in signed
    assert 'virtual void draw(const std::string& name = "x;{") = 0;' in signed
    assert not any("default" in s or "delete" in s or "called" in s or "pointer" in s for s in signed)


@pytest.mark.parametrize(
    ("doc", "told"),
    [
        ("/**\n * **Note**: two\n * lines.\n */", "**Note**: two lines."),
        ("/// @brief Reads it all.", "Reads it all."),
        ("// Reads it all.\n// clang-format on", "Reads it all."),
        ("int x;  // of another line", ""),
        ("int x;  ///< of a field\n        ///< and more of it", ""),
    ],
)
def test_comments_above(doc: str, told: str) -> None:
    assert [f.doc for f in find_functions(f"{doc}\nint f();\n")] == [told]


@pytest.mark.parametrize(
    ("parameters", "given", "takes"),
    [("()", 0, True), ("(void)", 1, False), ("(int a, int b = 1)", 1, True), ("(int a, int b = 1)", 3, False),
     ("(std::map<int, int> a)", 2, False), ("(T&&... more)", 4, True)],
)  # fmt: skip
def test_arguments_are_counted(parameters: str, given: int, takes: bool) -> None:
    assert cpp_calls.CallTarget("f", "", False, parameters).takes(given) is takes


def test_calls_go_to_the_overload_and_the_class_they_are_of(tmp_path: Path) -> None:
    (tmp_path / "box.h").write_text(
        "struct Box {\n  /// Puts one thing in.\n  void put(int a);\n  /// Puts two things in.\n  void put(int a, int b);\n};\n"
    )
    (tmp_path / "box_test.cc").write_text(
        "void Box::put(int a) { x(); }\nvoid t(Box& box, Bag& bag) {\n\n  box.put(1);\n\n\n\n  box.put(f(2, 3), 4);\n\n\n\n"
        "  bag.put(5);\n  // box.put(6);\n}\n"
    )
    unit = next(Cpp().units(tmp_path))
    records = list(Cpp().read(unit, Reading(Unit(unit.path, unit.label), source="t", domain="d")))
    told = [(datasets.question_text(r), datasets.answer_text(r)) for r in records if isinstance(r, Record)]
    assert [asked.split("`")[1] for asked, _ in told] == ["Box::put(int a)", "Box::put(int a, int b)"]
    assert [("box.put(1)" in answer, "f(2, 3)" in answer) for _, answer in told] == [(True, False), (False, True)]
    assert not any("bag.put" in answer or "Box::put(int a) {" in answer for _, answer in told)
