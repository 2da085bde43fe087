//! How the streams of a route are written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::timespan::Timespan;

/// How the streams of a route are written. Texts are templates; a field without a value is left out,
/// and so is a block without fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Dialect {
    /// How lines end.
    pub line_end: LineEnd,
    /// Where an event says by itself how its lines end: the template's value is a line end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = "${data.sep}")]
    pub line_end_from: Option<String>,
    /// How JSON is written that comes from events.
    pub json: JsonStyle,
    /// The first blocks of a stream.
    pub greeting: Vec<Vec<FrameField>>,
    /// The block of an event.
    pub event: Vec<FrameField>,
    /// The sign of life.
    pub heartbeat: DialectHeartbeat,
    /// The block that stands where events are missing. Without it clients are not told; metrics are.
    pub gap: Vec<FrameField>,
    /// The block that comes shortly before a stream's credential ends, and the stream with it.
    pub expiring: Vec<FrameField>,
    /// The block that comes when the log does not answer, so that events may be late, and when it does
    /// again.
    pub degraded: Vec<FrameField>,
    /// The block after the last event of a channel.
    pub end: Vec<FrameField>,
    /// The last block of a stream that the relay closes.
    pub farewell: DialectFarewell,
}

impl Default for Dialect {
    fn default() -> Self {
        let field = |id: Option<&str>, event: Option<&str>, data: Option<&str>| FrameField {
            id: id.map(Into::into),
            event: event.map(Into::into),
            data: data.map(Into::into),
            ..FrameField::default()
        };
        Self {
            line_end: LineEnd::Lf,
            line_end_from: None,
            json: JsonStyle::Compact,
            greeting: Vec::new(),
            event: vec![
                field(Some("${id}"), None, None),
                field(None, Some("${type}"), None),
                field(None, None, Some("${data}")),
            ],
            heartbeat: DialectHeartbeat::default(),
            gap: Vec::new(),
            expiring: Vec::new(),
            degraded: Vec::new(),
            end: Vec::new(),
            farewell: DialectFarewell::default(),
        }
    }
}

/// One field of a block: exactly one of `comment`, `id`, `event`, `data`, `json` and `retry`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FrameField {
    /// A comment, of which each line is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What a client comes back with. `${id}` is the relay's own, with which it resumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Data as text, of which each line is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Data as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// The reconnection time in milliseconds; what is no number is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    /// With `json`: keys that its object gets at its end unless it has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fill: Vec<FilledKey>,
}

/// A key that an object gets unless it has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FilledKey {
    /// The key.
    pub key: String,
    /// Its value, as a template of JSON; `null` if there is none.
    pub json: String,
}

/// The sign of life of a route's streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DialectHeartbeat {
    /// Time between two.
    pub interval: Timespan,
    /// Whether it comes on busy streams too.
    pub when: BeatWhen,
    /// Its block.
    pub frame: Vec<FrameField>,
}

impl Default for DialectHeartbeat {
    fn default() -> Self {
        Self {
            interval: Timespan::from_secs(15),
            when: BeatWhen::Always,
            frame: vec![FrameField {
                comment: Some(String::new()),
                ..FrameField::default()
            }],
        }
    }
}

/// The last block of a stream that the relay closes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DialectFarewell {
    /// Which streams get it.
    pub when: FarewellWhen,
    /// The block.
    pub frame: Vec<FrameField>,
}

/// Which streams get a last block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FarewellWhen {
    /// All that the relay closes.
    #[default]
    Always,
    /// Those that end because the replica stops.
    Draining,
}

/// When a sign of life comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BeatWhen {
    /// By the clock, whatever else comes.
    #[default]
    Always,
    /// When nothing else came for the interval, or up to a quarter longer.
    Idle,
}

/// How lines end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LineEnd {
    /// With a line feed.
    #[default]
    Lf,
    /// With a carriage return and a line feed.
    Crlf,
}

/// How JSON is written that comes from events. Digits and the order of keys stay as they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JsonStyle {
    /// `{"a":"é"}`, as JavaScript does.
    #[default]
    Compact,
    /// `{"a":"\u00e9"}`.
    CompactAscii,
    /// `{"a": "é"}`.
    Spaced,
    /// `{"a": "\u00e9"}`, as Python does.
    SpacedAscii,
}
