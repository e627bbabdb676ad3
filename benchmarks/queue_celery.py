"""The errand as a task of Celery, for `peers`."""

import os

import celery

URL = os.environ["TEMPLEMEADS_BENCHMARK_REDIS"]
app = celery.Celery("errands", broker=URL, backend=URL)


@app.task
def errand(command: dict[str, object]) -> dict[str, object]:
    return command | {"state": "Complete", "result": "account created"}
