"""A Django project: sends messages to a group by its channel layer.

Reads JSON from standard input: {"layer": "core", "config": {…}, "group": "…", "messages": […]}.
"""

import asyncio
import json
import sys

from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer


async def main(order):
    if order["layer"] == "core":
        layer = RedisChannelLayer(**order["config"])
    else:
        layer = RedisPubSubChannelLayer(**order["config"])
    for message in order["messages"]:
        await layer.group_send(order["group"], message)
    if order["layer"] == "core":
        await layer.close_pools()


asyncio.run(main(json.load(sys.stdin)))
