// Which stream the page follows: ?stream=/qg/live&events=new_incident,heartbeat

const asked = new URLSearchParams(location.search);
const list = (text) => text.split(",").map((name) => name.trim()).filter(Boolean);

export const stream = asked.get("stream") ?? "/v1/events?channel=demo.**&from=latest";
export const names = list(asked.get("events") ?? "sample,order,notice");
export const idParameter = stream.startsWith("/v1/events") ? "lastEventId" : undefined;
