"""What swf-testbed's remote receiver does, call for call, with the library that it uses: it gets a number,
asks the status, opens the stream, says that it lives, and reads lines as they come. Prints what it prints,
without times. Ends when the stream does.

Written from docs/migrating/swf-testbed.md; the arguments are the address below which all is, and the query.
"""

import json
import os
import sys

import requests

base, query = sys.argv[1], sys.argv[2]
token = {"Authorization": "Token " + os.environ["SWF_API_TOKEN"]}
name = os.environ["SWF_SSE_RECEIVER_NAME"]

agents = requests.Session()
agents.headers.update(token)
number = agents.post(base + "/api/state/next-agent-id/", timeout=10)
number.raise_for_status()
assert number.json()["status"] == "success"

streams = requests.Session()
streams.headers.update({**token, "Cache-Control": "no-cache", "Accept": "text/event-stream", "Connection": "keep-alive"})
status = streams.get(
    base + "/api/messages/stream/status/", timeout=20, allow_redirects=False, headers={"Accept": "application/json"}
)
if status.status_code != 200:
    sys.exit("status %d" % status.status_code)
response = streams.get(base + "/api/messages/stream/" + query, stream=True, timeout=(10, 3600), allow_redirects=False)
if response.status_code != 200:
    sys.exit("stream %d" % response.status_code)
alive = agents.post(
    base + "/api/systemagents/heartbeat/",
    json={"instance_name": name, "agent_type": "sse_receiver", "status": "WARNING", "mq_connected": False},
    allow_redirects=False,
    timeout=10,
)
alive.raise_for_status()
alive.json()


def told(lines):
    kind, data = "message", ""
    for line in lines:
        if line.startswith("event: "):
            kind = line[len("event: ") :]
        elif line.startswith("data: "):
            data = line[len("data: ") :]
    if kind == "connected":
        print("Client ID:", json.loads(data).get("client_id", "unknown"), flush=True)
    elif kind != "heartbeat":
        try:
            message = json.loads(data)
        except json.JSONDecodeError:
            print("Non-JSON message:", data, flush=True)
            return
        print("Message:", kind, message.get("processed_by", "unknown"), message.get("message", ""), flush=True)


block = []
# no charset is named, so requests reads ISO 8859-1, and cuts lines at characters that are none to SSE
for line in response.iter_lines(decode_unicode=True, chunk_size=1):
    line = line.strip()
    if line:
        block.append(line)
    elif block:
        told(block)
        block = []
