"""Functions of nine languages: whole bodies, the comment above, braces in strings that do not count."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.test_readers import read

from afs import datasets
from afs.source_code.function_scanner import ENDINGS, SYNTAXES, find_functions

SOURCES = {
    "a.c": """#include <x.h>
/* Adds two numbers and
 * gives back the sum.
 *
 * Not this. */
static int
add(int a, int b)
{
    const char *s = "}{";   // } in a comment
    if (a) { return a + b; }
    return '}' ? b : a;
}
int declared(int a);
""",
    "a.cpp": """/// Opens the file and reads its header.
/// @param path where it lies
Rom::Rom(const std::string& path) : path_(path), data_{1, 2} {
  Open(path);
  if (!ok()) { throw Error("}"); }
}

class Rom {
  std::string path_;
  int data_[2];
};
""",
    "A.java": """class A {
    /**
     * Gives back {@code twice} the number.
     * <p>More.
     * @param x it
     */
    @Override
    public static <T extends B> int twice(final T x) throws E {
        return new C() { int f() { return 1; } }.f() * 2;
    }
}
""",
    "A.cs": """class A {
    /// <summary>
    /// Scales a <see cref="Tile"/> by the given factor.
    /// </summary>
    /// <param name="factor">how much</param>
    [Obsolete("}")]
    public static async Task<int> Scale<T>(Tile tile, int factor = 2) where T : B {
        var s = @"}""{";  // }
        return await tile.Times(factor);
    }
}
""",
    "a.js": """// Turns a list of pairs into an object.
export const fromPairs = async (pairs, { deep = false } = {}) => {
  const re = /[{]/g; // {
  return pairs.map(p => `${p} }`);
};
const value = (a + b);
class A {
  /** Counts everything that is there. */
  count(x) {
    return { a: 1 };
  },
}
""",
    "a.ts": """/** Reads the options and fills the gaps. */
export function options(given: { a: number }): { a: number } {
  return given;
}
type T = { f(): void };
""",
    "a.go": """// Scale multiplies every point by the factor.
func (p *Points) Scale(f float64) interface{} {
	for i := range p.all { p.all[i] *= f }
	return `}`
}
""",
    "a.rs": """/// Splits the text at its first comma.
///
/// # Examples
#[inline]
pub fn split<'a, F: Fn(u8) -> bool>(text: &'a str, f: F) -> Option<(&'a str, char)> where F: Copy {
    let x = '{';
    text.split_once(',')
}
""",
    "a.php": """<?php
/**
 * Sends the answer to the client.
 */
public function send(array $headers = ['a' => '}']): ?self {
    # }
    return $this->write($headers, $this->stream, 0);
}
""",
    "a.rb": """# Finds the first match in the list.
def first(list, &block)
  list.each do |x|
    return x if block.call(x) # end
  end
  nil
end
""",
}
WANTED = {
    "a.c": ("add", 6, 12, "Adds two numbers and gives back the sum."),
    "a.cpp": ("Rom", 3, 6, "Opens the file and reads its header."),
    "A.java": ("twice", 8, 10, "Gives back twice the number."),
    "a.js": ("fromPairs", 2, 5, "Turns a list of pairs into an object."),
    "a.ts": ("options", 2, 4, "Reads the options and fills the gaps."),
    "a.go": ("Scale", 2, 5, "Scale multiplies every point by the factor."),
    "a.rs": ("split", 5, 8, "Splits the text at its first comma."),
    "A.cs": ("Scale", 7, 10, "Scales a Tile by the given factor."),
    "a.php": ("send", 5, 8, "Sends the answer to the client."),
    "a.rb": ("first", 2, 7, "Finds the first match in the list."),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_function_is_found_whole_with_its_comment(name: str) -> None:
    found = list(find_functions(SOURCES[name], ENDINGS[Path(name).suffix]))
    first = found[0]
    assert (first.name, first.first, first.last, first.doc) == WANTED[name]
    assert first.code.split("\n")[0].lstrip() == SOURCES[name].split("\n")[first.first - 1].lstrip()
    assert [f.name for f in found[1:]] == (["count"] if name == "a.js" else [])


def test_records_of_every_language_name_their_lines(tmp_path: Path) -> None:
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "a.min.js").write_text("function f(){return 1}" * 500)
    records, dropped, reading = read("code", tmp_path)
    assert {t for r in records for t in r.tags if t.startswith("language:")} == {f"language:{n}" for n in SYNTAXES}
    (go,) = (r for r in records if "language:go" in r.tags)
    question = datasets.question_text(go)
    assert question.startswith("Write a Go function `Scale`: Scale multiplies every point by the factor.\n\nThe code")
    assert question.endswith("```go\nfunc (p *Points) Scale(f float64) interface{}\n```")
    assert datasets.answer_text(go).startswith("```go\nfunc (p *Points) Scale") and go.origin.uri.endswith("a.go#L2-5")
    assert "multiplies" not in datasets.answer_text(go)
    assert {d.reason for d in dropped} <= {"no documentation", "too short or too long", "one line"}
    assert any("minified" in u.problem for u in reading.unreadable)


CPP = """#define MAKE(x) void x() { \\
  }
LIB_BEGIN_EXPORT

namespace a::b {
template <typename T, typename U = std::vector<int>>
class LIB_EXPORT(1) Box final : public Base<T> {
 public:
  explicit Box(int n) noexcept : Base<T>(n), values_{1, 2}, n_(n) {}
  ~Box() override { Clear(); }
  Box& operator=(const Box&) = default;
  bool operator()(const T& left) const { return left < n_; }
  explicit operator bool() const { return n_; }
  [[nodiscard]] auto size() const -> std::size_t
  {
    return n_;
  }
  void Lock() EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }
  int values_[2] = {1, 2};
  enum Kind { kOne, kTwo };
};
template <typename T>
std::ostream& operator<<(std::ostream& out, const Box<T>& box) { return out; }
TEST_F(BoxTest, Works) {
  struct Local { int twice(int x) { return x * 2; } };
  auto f = [](int x) { return x; };
}
#ifdef _WIN32
void Open(wchar_t* path) {
#else
void Open(char* path) {
#endif
  if (path) { Read(path); }
}
}  // namespace a::b
int main(int argc, char** argv) try { return 0; } catch (...) { return 1; }
"""


def test_the_functions_of_cpp_are_found_in_their_blocks() -> None:
    found = [(f.name, f.first, f.last) for f in find_functions(CPP, "cpp")]
    assert found == [
        ("Box", 9, 9), ("~Box", 10, 10), ("operator()", 12, 12), ("operator bool", 13, 13), ("size", 14, 17), ("Lock", 18, 18),
        ("operator<<", 22, 23), ("twice", 25, 25), ("Open", 29, 34), ("main", 36, 36),
    ]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(SYNTAXES)),
    st.sampled_from(sorted(SOURCES)),
    st.integers(0, 400),
    st.text("{}()[]\"'`/*#\n a=;", max_size=12),
)
def test_spoilt_sources_never_crash(language: str, name: str, at: int, noise: str) -> None:
    text = SOURCES[name]
    spoilt = text[:at] + noise + text[at:]
    for found in find_functions(spoilt, language):
        assert 1 <= found.first <= found.last <= spoilt.count("\n") + 1
