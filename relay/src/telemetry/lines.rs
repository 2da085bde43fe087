//! Makes lines of events.

use super::{json, record::Record, text};
use jiff::Timestamp;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// What lines look like.
pub enum Rendering {
    Json {
        environment: String,
    },
    Text {
        environment: String,
        colours: text::Colours,
    },
}

/// Gives each event's line, whole, to a function.
pub struct Lines<W> {
    rendering: Rendering,
    write: W,
}

impl<W: Fn(&str)> Lines<W> {
    pub fn new(rendering: Rendering, write: W) -> Self {
        Lines { rendering, write }
    }

    fn write(&self, record: &Record) {
        let line = match &self.rendering {
            Rendering::Json { environment } => json::line(record, environment),
            Rendering::Text {
                environment,
                colours,
            } => text::line(record, environment, *colours),
        };
        (self.write)(&line);
    }
}

impl<S: Subscriber, W: Fn(&str) + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.write(&Record::of(event, Timestamp::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::text::Colours;
    use parking_lot::Mutex;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt;

    /// The lines of what is logged meanwhile.
    fn lines(rendering: Rendering, logging: impl FnOnce()) -> Vec<String> {
        let written: Arc<Mutex<Vec<String>>> = Arc::default();
        let writing = written.clone();
        let lines = Lines::new(rendering, move |line: &str| {
            writing.lock().push(line.to_owned())
        });
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, logging);
        std::mem::take(&mut written.lock())
    }

    fn in_json(logging: impl FnOnce()) -> (String, Value) {
        let environment = "test".to_owned();
        let written = lines(Rendering::Json { environment }, logging);
        let [line] = &written[..] else {
            panic!("one line: {written:?}");
        };
        let (object, end) = line.split_at(line.len() - 1);
        assert_eq!(end, "\n");
        assert!(!object.chars().any(char::is_control), "{object:?}");
        (object.to_owned(), serde_json::from_str(object).unwrap())
    }

    /// Without the time.
    fn as_text(colours: Colours) -> Rendering {
        let environment = "test".to_owned();
        Rendering::Text {
            environment,
            colours,
        }
    }

    fn in_text(logging: impl FnOnce()) -> String {
        let written = lines(as_text(Colours::Off), logging).concat();
        let (time, rest) = written.split_once(' ').unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        rest.to_owned()
    }

    #[test]
    fn a_line_of_json_is_one_object_with_all_fields_at_its_top() {
        let (line, mut object) = in_json(|| {
            tracing::info!(event = "events.connected", client = Some("web"), streams = 3_u64,
                seconds = 1.5, ready = true, remote = %"127.0.0.1:1", "stream opened");
        });
        let time = object["timestamp"].take();
        let time = time.as_str().unwrap();
        assert!(time.parse::<Timestamp>().is_ok());
        assert_eq!((time.len(), time.ends_with('Z')), (24, true), "{time}");
        assert_eq!(
            object,
            json!({
                "timestamp": null, "level": "info", "event": "events.connected", "env": "test",
                "message": "stream opened", "client": "web", "streams": 3, "seconds": 1.5,
                "ready": true, "remote": "127.0.0.1:1",
            })
        );
        assert!(line.starts_with("{\"timestamp\":\""), "{line}");
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let (line, _) = in_json(|| {
            tracing::warn!(
                event = "a.b",
                client = None::<&str>,
                remote = None::<u64>,
                "c"
            );
        });
        assert!(
            !line.contains("client") && !line.contains("remote"),
            "{line}"
        );
    }

    #[test]
    fn nobody_s_text_ends_a_line_or_reaches_the_terminal() {
        let nasty = "a\n{\"level\":\"error\"}\r\t\x1b[31m\u{9b}\u{7f}\u{202e}\"\\";
        let (line, object) = in_json(|| tracing::info!(event = "a.b", client = nasty, "{nasty}"));
        assert_eq!(
            (&object["client"], &object["message"]),
            (&json!(nasty), &json!(nasty))
        );
        assert!(!line.contains('\u{202e}'));
        let text = in_text(|| tracing::info!(event = "a.b", client = nasty, "{nasty}"));
        let shown: Vec<char> = text
            .chars()
            .filter(|c| c.is_control() && *c != '\t')
            .collect();
        assert_eq!(shown, ['\n'], "{text:?}");
    }

    #[test]
    fn a_field_cannot_take_the_place_of_what_every_line_has() {
        let (line, object) = in_json(|| {
            tracing::error!(target: "hyper::proto", event = ?Some(1), level = "debug", env = "x", "m");
        });
        assert_eq!(object["event"], "hyper::proto");
        assert_eq!(
            (&object["event_"], &object["level_"]),
            (&json!("Some(1)"), &json!("debug"))
        );
        assert_eq!(
            (&object["level"], &object["env"]),
            (&json!("error"), &json!("test"))
        );
        assert_eq!(line.matches("\"level\":").count(), 1);
    }

    #[test]
    fn numbers_that_json_does_not_have_are_texts() {
        let (_, object) = in_json(|| tracing::info!(event = "a.b", rate = f64::NAN));
        assert_eq!(
            (&object["rate"], &object["message"]),
            (&json!("NaN"), &json!(""))
        );
    }

    #[test]
    fn a_line_of_text_reads_well() {
        let text = in_text(|| {
            tracing::info!(
                event = "events.connected",
                connection = "r-1",
                client = Some("my page"),
                agent = "",
                n = 2,
                "stream opened"
            );
        });
        assert_eq!(
            text,
            "INFO  events.connected stream opened connection=r-1 client=\"my page\" agent=\"\" n=2 env=test\n"
        );
        assert_eq!(
            in_text(|| tracing::error!("broken")).split(' ').nth(1),
            Some(module_path!())
        );
    }

    #[test]
    fn a_terminal_gets_colours() {
        let written = lines(as_text(Colours::On), || {
            tracing::warn!(event = "a.b", n = 1, "m")
        });
        let painted =
            " \x1b[33mWARN \x1b[0m \x1b[1ma.b\x1b[0m m \x1b[2mn=\x1b[0m1 \x1b[2menv=\x1b[0mtest\n";
        assert!(written[0].ends_with(painted), "{:?}", written[0]);
    }

    #[test]
    fn without_a_message_there_is_no_gap() {
        assert_eq!(
            in_text(|| tracing::debug!(event = "a.b", n = 1)),
            "DEBUG a.b n=1 env=test\n"
        );
    }
}
