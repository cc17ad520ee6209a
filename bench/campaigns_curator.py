"""Curator's side of `campaigns.py peers`, run by an interpreter that has it: URL COUNT FOLDER.

tiktoken is replaced: without the network Curator does not start.
"""

import os
import resource
import sys
import types

url, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.environ |= {"TELEMETRY_ENABLED": "0", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "CURATOR_CACHE_DIR": folder}
tokens = types.ModuleType("tiktoken")


class Encoding:
    """Words as tokens."""

    def encode(self, text, **_):
        return text.split()


tokens.get_encoding = tokens.encoding_for_model = lambda *_: Encoding()
tokens.Encoding = Encoding
sys.modules["tiktoken"] = tokens

from bespokelabs import curator  # noqa: E402


class Sums(curator.LLM):
    """One call a row."""

    def prompt(self, row):
        return row["q"]

    def parse(self, row, response):
        return {"q": row["q"], "a": response}


limits = {"max_concurrent_requests": 200, "max_requests_per_minute": 1_000_000, "max_tokens_per_minute": 10**9}
params = {"base_url": url, "api_key": "x", "require_all_responses": False, **limits}
answered = Sums(model_name="m", backend="openai", backend_params=params)(
    [{"q": f"add {i} {i + 7}"} for i in range(count)]
)
rows = getattr(answered, "dataset", answered)
right = sum(int(row["a"]) == 2 * int(row["q"].split()[1]) + 7 for row in rows)
sys.stdout.write(f"RESULT {right} right, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB\n")
