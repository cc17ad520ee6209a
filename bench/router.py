"""The router on people's own wording and on questions that are nobody's: python bench/router.py --workspace DIR

Run recipes/router.toml in that workspace first. Each router is asked 60 questions written by hand in other words
than the packs' (ten a tag, none from the training texts) and 60 from outside the subject, and compared with the plain
rule "the expert most of whose keywords occur".
"""

from __future__ import annotations

import argparse
from pathlib import Path

from afs.council import open_router
from afs.council.train_router import ABSTAINS, OFF_TOPIC, measure
from afs.intervals import share_interval
from afs.registry.rosters import load_roster
from afs.workspace import Workspace

OWN_WORDS = {
    "optimize": """Can this loop run in fewer cycles?
Shave a few bytes off my NMI handler please
This multiplication is too slow, speed it up without changing the result
Tighten the sprite copy, we are over the frame budget
Make my decompressor faster
Is there a shorter way to clear this table?
Reduce the size of this routine, the bank is full
Get rid of redundant loads here
Unroll the inner loop so that it fits into vblank
My HDMA setup burns too much time, trim it""",
    "generate": """Write a routine that checks if Link has the Master Sword
I need code that fills 32 bytes of WRAM with zero
Give me a subroutine that adds two 16-bit numbers
Implement a joypad read with edge detection
Create a function to draw a number on the status bar
How would you code a simple timer interrupt?
Produce a routine that copies a palette to CGRAM
Please make a hook that grants ten rupees
Code a random number generator for me
Build a routine that moves the sprite left until it hits a wall""",
    "debug": """The game crashes when entering room $45 in dungeon 3
Why does my screen stay black after this code?
Something clobbers X in here, where is it?
This freezes on the second call, find the fault
My counter wraps too early, what did I do wrong?
The stack gets out of balance after the interrupt
It returns garbage when the accumulator is 16 bits
Fix this, it branches the wrong way
The DMA copies the wrong bank, what is the mistake?
After the jump the processor runs into data, help me repair it""",
    "explain": """What does register $2115 control?
Describe what this routine is doing step by step
What ends up in A after these instructions?
How does Mode 7 scaling work?
What is $4200 used for?
Analyze this disassembly and tell me its purpose
Which bits of INIDISP set the brightness?
Tell me what value Y has at the end
Walk me through this code
What is the meaning of the carry flag after CMP?""",
    "tools": """Delete all files in the gfx folder
Rename notes/todo.txt to notes/done.txt
Append the word shield to docs/items.md
Create a file src/main.asm that contains 'sword'
Move maps/title.bin over to gfx/title.bin
Make a copy of the readme under another name
Put 'lamp key' into a new file tests/items.txt
Clear out the docs directory
Get rid of sound/boss.bin
Save this text as notes/ideas.md""",
    "docs": """Summarize what we decided in this session
What should be remembered from this conversation?
Write down the key facts of the log with their sources
Condense the history into a few notes
user: the build command is make all
assistant: noted, work branch is fix-door
Which facts from our chat are worth keeping?
Turn this transcript into memory entries
Memory so far: - item limit is 9 [2]
Note for later: save slot is at $7E0044""",
}
OUTSIDE = """How long do I boil an egg?
What is the capital of Mongolia?
Write a poem about autumn rain
Translate good evening into Portuguese
My landlord raised the rent, what are my rights?
Who won the football match yesterday?
Recommend a novel about the sea
How do I knit a scarf?
Bonjour, quelle heure est-il ?
What is the boiling point of ethanol?
Plan a weekend in Lisbon
My cat will not eat, should I worry?
Explain photosynthesis to a child
Give me a recipe for lentil soup
How many calories are in a banana?
What rhymes with orange?
Fix my marriage
Write a cover letter for a bakery job
Is it going to rain tomorrow?
How do I fold a paper crane?
Why is the sky blue?
Which stocks should I buy?
Tell me a joke about penguins
How tall is Mount Everest?
When was the printing press invented?
Create a workout for my back
What does a sommelier do?
Delete my social media account
How do vaccines work?
Compose a wedding speech
Wie komme ich zum Bahnhof?
What are the rules of cricket?
Name three kinds of cheese
Find me a cheap flight to Oslo
Why do leaves change color?
How do I remove a wine stain?
Draft an apology to my neighbor
What is the population of Ghana?
Help me choose a bicycle
How does a sewing machine work?
What should I name my goldfish?
Explain the French revolution
How do I prune roses?
Generate a shopping list for a picnic
What is a good gift for a teacher?
Summarize the plot of Hamlet
How much sleep does a baby need?
Write a haiku about snow
Which wine goes with fish?
How do tides work?
What is inflation?
Move my dentist appointment to Friday
Describe the taste of durian
How do I train a puppy?
Who painted the Mona Lisa?
What is the speed of sound?
Optimize my morning routine
Debug my relationship with my boss
Can you play some jazz?
How do I change a tyre?"""


def by_keywords(question: str, words: dict[str, list[str]]) -> str:
    """The tag most of whose keywords occur; none when none does."""
    low = question.lower()
    hits = {tag: sum(word.lower() in low for word in listed) for tag, listed in words.items()}
    best = max(hits, key=lambda tag: hits[tag])
    return best if hits[best] else ABSTAINS


def main() -> None:
    """Print one row per router."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--routers", nargs="+", default=["tag-router", "tag-router-model"])
    given = parser.parse_args()
    asked = [(text, tag) for tag, block in OWN_WORDS.items() for text in block.splitlines()]
    strange = [(text, OFF_TOPIC) for text in OUTSIDE.splitlines()]
    texts, labels = [text for text, _ in asked + strange], [label for _, label in asked + strange]
    print("| router | right, own words | answered | right of those | outside: abstained |\n|---|---|---|---|---|")
    words: dict[str, list[str]] = {}
    for member in load_roster("triforce").experts:
        for tag in member.tags[:1]:
            words.setdefault(tag, []).extend(member.keywords)
    said = [by_keywords(text, words) for text in texts]
    ours = [(a, b) for a, b in zip(said, labels, strict=True) if b != OFF_TOPIC]
    spoke = [(a, b) for a, b in ours if a != ABSTAINS]
    quiet = sum(a == ABSTAINS for a, b in zip(said, labels, strict=True) if b == OFF_TOPIC)
    hits = sum(a == b for a, b in spoke)
    rows = [
        share_interval(hits, len(ours)),
        share_interval(len(spoke), len(ours)),
        share_interval(hits, len(spoke)),
        share_interval(quiet, len(strange)),
    ]
    print(f"| keyword rule | {' | '.join(map(_cell, rows))} |")
    for name in given.routers:
        router = open_router(Workspace(given.workspace), name)
        assert router is not None
        found = measure(router, texts, labels)
        nobody = found.confusion[OFF_TOPIC]
        quiet_interval = share_interval(nobody.get(ABSTAINS, 0), sum(nobody.values()))
        rows = [found.accuracy, found.coverage, found.answered, quiet_interval]
        print(f"| {name} | {' | '.join(map(_cell, rows))} |")


def _cell(value: object) -> str:
    low, high, mid = (getattr(value, name) for name in ("low", "high", "value"))
    return "unknown" if mid is None else f"{mid:.0%} ({low:.0%}-{high:.0%})"


if __name__ == "__main__":
    main()
