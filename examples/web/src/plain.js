import { follow } from "./sse.js";
import { idParameter, names, stream } from "./settings.js";

const KEEP = 50;
const panel = document.querySelector("#plain");
const state = panel.querySelector(".state");
const count = panel.querySelector(".count");
const events = panel.querySelector(".events");
let received = 0;

document.querySelector("#address").textContent = stream;

follow(stream, {
  events: names,
  idParameter,
  onState(next) {
    state.textContent = next;
    state.dataset.state = next;
  },
  onEvent(event) {
    received += 1;
    count.textContent = String(received);
    events.prepend(row(event));
    while (events.children.length > KEEP) events.lastElementChild.remove();
    panel.querySelector(".empty").hidden = true;
  },
});

// Text, never markup: what comes in a stream is somebody else's.
function row(event) {
  const item = document.createElement("li");
  item.dataset.type = event.type;
  item.dataset.id = event.id;
  const type = document.createElement("span");
  type.className = "type";
  type.textContent = event.type;
  const data = document.createElement("code");
  data.textContent = event.data || "(no data)";
  item.append(type, data);
  return item;
}
