"""Data Designer's side of `campaigns.py peers`, run by an interpreter that has it: URL COUNT FOLDER."""

import os
import resource
import sys

url, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.environ |= {"DATA_DESIGNER_HOME": folder, "NEMO_TELEMETRY_ENABLED": "false"}

import data_designer.config as dd  # noqa: E402
import pandas as pd  # noqa: E402
from data_designer.config.models import ChatCompletionInferenceParams, ModelConfig, ModelProvider  # noqa: E402
from data_designer.interface import DataDesigner  # noqa: E402

params = ChatCompletionInferenceParams(max_parallel_requests=200, max_tokens=64)
model = ModelConfig(alias="m", model="m", provider="stub", inference_parameters=params, skip_health_check=True)
builder = dd.DataDesignerConfigBuilder(model_configs=[model])
frame = pd.DataFrame({"q": [f"add {i} {i + 7}" for i in range(count)]})
builder.with_seed_dataset(dd.DataFrameSeedSource(df=frame))
builder.add_column(dd.LLMTextColumnConfig(name="a", model_alias="m", prompt="{{ q }}"))
provider = ModelProvider(name="stub", endpoint=url, provider_type="openai", api_key="x")
rows = DataDesigner(artifact_path=folder, model_providers=[provider]).create(builder, num_records=count).load_dataset()
right = sum(int(row.a) == 2 * int(row.q.split()[1]) + 7 for row in rows.itertuples())
sys.stdout.write(f"RESULT {right} right, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB\n")
