"""Reads metrics with Prometheus's own parser and says what it found: {"names": [...], "samples": {name with labels: value}}."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

samples, names = {}, []
for family in text_string_to_metric_families(json.load(sys.stdin)["text"]):
    names.append(family.name)
    for sample in family.samples:
        labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
        samples[f"{sample.name}{{{labels}}}"] = sample.value
print(json.dumps({"names": names, "samples": samples}))
