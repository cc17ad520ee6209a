"""A Hugging Face folder, with or without an adapter, run by torch on this machine.

Rendering of chats lives here so that training and serving use the same one. Batches are padded on the left, rows that
have ended leave the batch, and sampling is seeded per conversation: an answer does not depend on its neighbors.
"""

from __future__ import annotations

import json
import logging
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import torch
import transformers

from afs.config import Config, decode
from afs.errors import ProviderError, UsageError, boundary
from afs.providers.base import GREEDY, Sampling
from afs.types import Completion, Json, Message, Tool, ToolCall, Usage

__all__ = [
    "Local",
    "LocalOptions",
    "generate",
    "load_model",
    "load_tokenizer",
    "render",
    "stop_ids",
    "template_message",
]

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of optional kernels whenever it is imported
transformers.utils.logging.disable_progress_bar()  # progress is reported by events

BATCH_TOKENS = 32_768
"""Most tokens (prompt and answer) in one batch."""
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


class LocalOptions(Config, frozen=True, kw_only=True):
    """Options of the provider `local:FOLDER`."""

    name: str = ""
    """What results are filed under; empty: the folder's name."""
    adapter: str = ""
    """Folder of an adapter to put on the model."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""
    dtype: str = "auto"
    """float32, bfloat16, or auto: bfloat16 on a GPU, float32 on a CPU."""
    quantize: Literal["none", "nf4"] = "none"
    """nf4: the base's layers in 4 bits, as QLoRA trains on them; needs bitsandbytes."""
    threads: int = 0
    """CPU threads; 0: as torch has it."""


class Generated(NamedTuple):
    """The tokens of one answer, and whether it ended by itself."""

    tokens: list[int]
    ended: bool


class Local:
    """The provider plug-in."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        chosen = decode(LocalOptions, options, prefix=f"local:{model}")
        folder = Path(model)
        if not (folder / "config.json").is_file():
            raise UsageError(f"local:{model}: no config.json there; want a Hugging Face model folder")
        self.name = chosen.name or folder.name
        if chosen.threads:
            torch.set_num_threads(chosen.threads)
        with boundary(ProviderError, f"local:{folder.name}"):
            self.tokenizer = load_tokenizer(folder)
            self.model = load_model(folder, chosen.device, chosen.dtype, chosen.quantize)
            if chosen.adapter:
                import peft

                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FutureWarning)
                    self.model = peft.PeftModel.from_pretrained(self.model, chosen.adapter)
            self.model.eval()

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer; calls of offered tools are read out of the text."""
        answer = self._answer([render(self.tokenizer, messages, tools)], sampling)[0]
        if not tools:
            return answer
        text, calls = read_tool_calls(answer.text)
        finish = "tool_calls" if calls else answer.finish
        return msgspec.structs.replace(answer, text=text, tool_calls=calls, finish=finish)

    def complete_many(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling = GREEDY
    ) -> list[Completion]:
        """Answers in the order of the conversations."""
        return self._answer([render(self.tokenizer, messages) for messages in conversations], sampling)

    def losses(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[tuple[float, int]]:
        """(negative log-likelihood in nats, tokens) of each answer after its conversation, the prompt left out."""
        found = []
        with torch.inference_mode(), boundary(ProviderError, f"local:{self.name}"):
            for messages, answer in conversations:
                prompt = self.tokenizer.encode(render(self.tokenizer, messages), add_special_tokens=False)
                tokens = self.tokenizer.encode(answer, add_special_tokens=False)
                ids = torch.tensor([[*prompt, *tokens]], device=next(self.model.parameters()).device)
                logits = self.model(input_ids=ids, logits_to_keep=len(tokens) + 1).logits[0, :-1].float()
                logprobs = torch.log_softmax(logits, -1).gather(-1, ids[0, len(prompt) :, None])
                found.append((-float(logprobs.sum()), len(tokens)))
        return found

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The state a question ends in, where the answer would begin, and the mean over the question."""
        inner = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        found = []
        with torch.inference_mode(), boundary(ProviderError, f"local:{self.name}"):
            for text in texts:
                prompt = render(self.tokenizer, [Message(role="user", text=text)])
                ids = torch.tensor([self.tokenizer.encode(prompt, add_special_tokens=False)], device=self.model.device)
                states = inner.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state[0].float()
                found.append([float(x) for x in torch.cat([states[-1], states.mean(0)]).cpu().numpy()])
        return found

    def _answer(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion]:
        started = time.monotonic()
        ids = [self.tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
        with boundary(ProviderError, f"local:{self.name}"):
            answers = generate(self.model, ids, sampling, stop_ids(self.model, self.tokenizer))
        seconds = (time.monotonic() - started) / max(1, len(prompts))
        return [self._completion(ids[i], answers[i], sampling, seconds) for i in range(len(ids))]

    def _completion(self, prompt: list[int], made: Generated, sampling: Sampling, seconds: float) -> Completion:
        text, cut = cut_at_stop(self.tokenizer.decode(made.tokens, skip_special_tokens=True), sampling.stop)
        usage = Usage(input_tokens=len(prompt), output_tokens=len(made.tokens) + made.ended, cost_usd=0.0)
        finish = "stop" if made.ended or cut else "length"
        return Completion(text=text, model=self.name, usage=usage, finish=finish, seconds=seconds)


def load_tokenizer(folder: Path) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of a model folder."""
    return transformers.AutoTokenizer.from_pretrained(folder)


def load_model(
    folder: Path, device: str = "auto", dtype: str = "auto", quantize: str = "none"
) -> transformers.PreTrainedModel:
    """The model of a folder, ready to answer."""
    place = pick_device(device)
    kind = pick_dtype(dtype, place)
    if quantize == "nf4":
        packed = four_bit_config(kind)
        return transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=kind, use_safetensors=True, quantization_config=packed, device_map={"": place}
        )
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=kind, use_safetensors=True)
    return model.to(place)


def four_bit_config(compute: torch.dtype) -> transformers.BitsAndBytesConfig:
    """NF4 with doubly quantized constants: what QLoRA trains on."""
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def pick_device(device: str) -> str:
    """`auto` is the first accelerator there is."""
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_dtype(dtype: str, device: str) -> torch.dtype:
    """`auto` is bfloat16 on a GPU and float32 elsewhere."""
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    return {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}[dtype]


def template_message(message: Message) -> Json:
    """A message as chat templates take it; tool calls in Qwen's written form."""
    calls = [f"{_OPEN}\n{_call_text(call)}\n{_CLOSE}" for call in message.tool_calls]
    return {"role": message.role, "content": "\n".join(part for part in (message.text, *calls) if part)}


def _call_text(call: ToolCall) -> str:
    return msgspec.json.encode({"name": call.name, "arguments": call.arguments}).decode()


def render(
    tokenizer: transformers.PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Tool] = (),
    *,
    ask: bool = True,
) -> str:
    """The chat as text by the model's own template; `ask` ends it where the answer begins."""
    offered = [{"type": "function", "function": msgspec.to_builtins(tool)} for tool in tools] or None
    text = tokenizer.apply_chat_template(
        [template_message(message) for message in messages], tools=offered, add_generation_prompt=ask, tokenize=False
    )
    return str(text)


def read_tool_calls(text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """The tool calls written in an answer, and the text around them; what cannot be read stays text."""
    plain: list[str] = []
    calls: list[ToolCall] = []
    rest = text
    while _OPEN in rest:
        before, _, after = rest.partition(_OPEN)
        body, closed, rest = after.partition(_CLOSE)
        try:
            value = json.loads(body)
            call = ToolCall(id=f"call_{len(calls)}", name=value["name"], arguments=dict(value["arguments"]))
        except (ValueError, KeyError, TypeError):
            plain += [before, _OPEN + body + closed]
            continue
        plain.append(before)
        calls.append(call)
    return "".join([*plain, rest]).strip(), tuple(calls)


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text before the first of the stop strings."""
    places = [text.find(stop) for stop in stops if stop and stop in text]
    return (text[: min(places)], True) if places else (text, False)


def stop_ids(model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that end an answer."""
    named = model.generation_config.eos_token_id
    found = set(named if isinstance(named, list) else [named]) | {tokenizer.eos_token_id}
    return frozenset(int(token) for token in found if token is not None)


def generate(
    model: transformers.PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    stops: frozenset[int],
    seeds: Sequence[int] = (),
) -> list[Generated]:
    """Answers to tokenized prompts, in batches of like lengths."""
    if any(not prompt for prompt in prompts):
        raise ProviderError("an empty prompt cannot be answered")
    seeds = seeds or [sampling.seed ^ zlib.crc32(bytes(str(list(prompt)), "ascii")) for prompt in prompts]
    answers: dict[int, Generated] = {}
    with torch.inference_mode():
        for rows in batch_groups([len(prompt) for prompt in prompts], sampling.max_tokens):
            batch = _Batch(model, [prompts[row] for row in rows], [seeds[row] for row in rows])
            answers |= dict(zip(rows, batch.run(sampling, stops), strict=True))
    return [answers[row] for row in range(len(prompts))]


def batch_groups(lengths: Sequence[int], answer: int) -> Iterator[list[int]]:
    """Rows by length, cut so that a batch holds at most BATCH_TOKENS."""
    group: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if group and (len(group) + 1) * (lengths[row] + answer) > BATCH_TOKENS:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


class _Batch:
    """Conversations that are answered together; those that have ended leave."""

    def __init__(self, model: transformers.PreTrainedModel, prompts: Sequence[Sequence[int]], seeds: Sequence[int]):
        self.model, self.device = model, next(model.parameters()).device
        longest = max(len(prompt) for prompt in prompts)
        ids = torch.zeros(len(prompts), longest, dtype=torch.long)
        mask = torch.zeros(len(prompts), longest, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        self.ids, self.mask = ids.to(self.device), mask.to(self.device)
        self.places = (self.mask.cumsum(-1) - 1).clamp(min=0)
        self.cache: transformers.DynamicCache | None = None
        self.rows = list(range(len(prompts)))
        self.randoms = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.made: list[list[int]] = [[] for _ in prompts]
        self.ended = [False] * len(prompts)

    def run(self, sampling: Sampling, stops: frozenset[int]) -> list[Generated]:
        for _ in range(sampling.max_tokens):
            tokens = self._pick(self._forward(), sampling)
            going = [i for i, token in enumerate(tokens) if token not in stops]
            for i, token in enumerate(tokens):
                if token in stops:
                    self.ended[self.rows[i]] = True
                else:
                    self.made[self.rows[i]].append(token)
            if not going:
                break
            self._keep(going, tokens)
        return [Generated(tokens, ended) for tokens, ended in zip(self.made, self.ended, strict=True)]

    def _forward(self) -> torch.Tensor:
        out = self.model(
            input_ids=self.ids,
            attention_mask=self.mask,
            position_ids=self.places,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache = out.past_key_values
        return out.logits[:, -1].float().cpu()

    def _pick(self, logits: torch.Tensor, sampling: Sampling) -> list[int]:
        if not sampling.temperature:
            return [int(token) for token in logits.argmax(-1)]
        chances = torch.softmax(logits / sampling.temperature, -1)
        if sampling.top_p < 1:
            chances = nucleus(chances, sampling.top_p)
        return [
            int(torch.multinomial(chances[i], 1, generator=self.randoms[row])[0]) for i, row in enumerate(self.rows)
        ]

    def _keep(self, going: list[int], tokens: list[int]) -> None:
        """Continue with these rows only."""
        if len(going) < len(self.rows):
            keep = torch.tensor(going, device=self.device)
            assert self.cache is not None
            self.cache.batch_select_indices(keep)
            self.mask, self.places = self.mask[keep], self.places[keep]
            self.rows = [self.rows[i] for i in going]
        self.ids = torch.tensor([[tokens[i]] for i in going], device=self.device)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(going), 1)], -1)
        self.places = self.places[:, -1:] + 1


def nucleus(chances: torch.Tensor, share: float) -> torch.Tensor:
    ranked, order = chances.sort(-1, descending=True)
    ranked = ranked.masked_fill(ranked.cumsum(-1) - ranked > share, 0.0)
    return torch.zeros_like(chances).scatter(-1, order, ranked)
