import { createRoot } from "react-dom/client";
import { useSSE } from "./useSSE.js";
import { idParameter, names, stream } from "./settings.js";

function Live() {
  const { state, events, last } = useSSE(stream, { events: names, idParameter });
  return (
    <>
      <header>
        <h2>React</h2>
        <span className="state" data-state={state} role="status">{state}</span>
      </header>
      <p className="figure"><span className="count">{last?.key ?? 0}</span> events</p>
      {events.length === 0 && <p className="empty">Nothing came yet.</p>}
      <ol className="events">
        {events.map((event) => (
          <li key={event.key} data-type={event.type} data-id={event.id}>
            <span className="type">{event.type}</span>
            <code>{event.data || "(no data)"}</code>
          </li>
        ))}
      </ol>
    </>
  );
}

createRoot(document.querySelector("#react")).render(<Live />);
