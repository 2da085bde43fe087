"""A backend that streams with httpx-sse: prints the data of each event, a line each."""

import os
import sys

import httpx
from httpx_sse import connect_sse

headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
with httpx.Client(timeout=None) as client:
    with connect_sse(client, "GET", sys.argv[1], headers=headers) as source:
        source.response.raise_for_status()
        print("open", flush=True)
        for event in source.iter_sse():
            print(event.data, flush=True)
