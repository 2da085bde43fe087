//! How a route writes its streams: a configuration's templates, ready to be filled in.
//!
//! What an event is in a dialect does not depend on who receives it, so it is written once for all
//! streams of the dialect ([`Renditions`]). Values cannot make fields: line ends in them are taken out,
//! or begin another line of the same field.

pub mod census;
pub mod facts;
pub(crate) mod json;
mod rendition;
mod value;
mod writer;

pub use rendition::{Rendition, Renditions, facts as rendition_facts};
pub use value::{Facts, Value};

use crate::{frame::Frame, hub::open::CloseReason};
use census::Census;
use json::Style;
use relay_config::{
    BeatWhen, FarewellWhen, FrameField, JsonStyle, Language, LineEnd, Name, Overflow, Route, Scope,
    Template, TemplateFault,
};
use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use writer::Writer;

/// A block with more bytes is not sent: an event's data may stand in it several times, escaped.
pub const MAX_BLOCK: usize = 16 * 1024 * 1024;

/// A template's text, of so many bytes at most. `None` if a value is missing, or there would be more.
pub fn fill(template: &Template, facts: &impl Facts, max: usize) -> Option<String> {
    let mut writer = Writer::new(Style::COMPACT, max);
    writer.text(template, facts).map(str::to_owned)
}

/// How a route writes its streams, and what else its streams have in common.
#[derive(Debug)]
pub struct Dialect {
    /// Unlike any other's of this process.
    number: u64,
    /// The first path of its route, by which the route is known.
    pub route: Box<str>,
    line_end: &'static str,
    line_end_from: Option<Template>,
    style: Style,
    greeting: Vec<Block>,
    event: Block,
    heartbeat: Block,
    gap: Block,
    expiring: Block,
    degraded: Block,
    end: Block,
    farewell: Block,
    farewell_when: FarewellWhen,
    pub beat: Beat,
    /// What streams can choose events by, in the order of the configuration.
    terms: Vec<(Box<str>, Template)>,
    pub ids: Ids,
    pub overflow: Option<Overflow>,
    pub lifetime: Option<Duration>,
    pub census: Arc<Census>,
}

impl PartialEq for Dialect {
    fn eq(&self, other: &Dialect) -> bool {
        self.number == other.number
    }
}

impl Eq for Dialect {}

impl Hash for Dialect {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

/// Signs of life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beat {
    pub interval: Duration,
    pub when: BeatWhen,
}

/// Whether what a client comes back with is the relay's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ids {
    /// It is, of every event.
    Ours,
    /// Of some events only: what is not known is no fault.
    Some,
    /// Never: it means nothing to the relay.
    None,
}

/// One block of a stream.
#[derive(Debug, Default)]
struct Block(Vec<Field>);

#[derive(Debug)]
struct Field {
    kind: FieldKind,
    template: Template,
    fill: Vec<(Box<str>, Template)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FieldKind {
    Comment,
    Id,
    Event,
    Data,
    Retry,
}

static NUMBERS: AtomicU64 = AtomicU64::new(0);

impl Dialect {
    /// Of a route that was validated. Its streams are counted in `census`.
    pub fn new(route: &Route, census: Arc<Census>) -> Result<Dialect, TemplateFault> {
        let dialect = &route.dialect;
        let terms = route.filters.iter().map(|filter| {
            let value = Template::parse(&filter.value, Language::Text, Scope::Filter)?;
            Ok((filter.parameter.as_str().into(), value))
        });
        let greeting = dialect.greeting.iter();
        let event = Block::new(&dialect.event, Scope::Event)?;
        Ok(Dialect {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            route: route.paths.first().map_or("", String::as_str).into(),
            line_end: match dialect.line_end {
                LineEnd::Lf => "\n",
                LineEnd::Crlf => "\r\n",
            },
            line_end_from: dialect
                .line_end_from
                .as_ref()
                .map(|text| Template::parse(text, Language::Text, Scope::Event))
                .transpose()?,
            style: Style::of(dialect.json),
            greeting: greeting
                .map(|block| Block::new(block, Scope::Greeting))
                .collect::<Result<_, _>>()?,
            ids: event.ids(),
            event,
            heartbeat: Block::new(&dialect.heartbeat.frame, Scope::Heartbeat)?,
            gap: Block::new(&dialect.gap, Scope::Gap)?,
            expiring: Block::new(&dialect.expiring, Scope::Expiring)?,
            degraded: Block::new(&dialect.degraded, Scope::Degraded)?,
            end: Block::new(&dialect.end, Scope::End)?,
            farewell: Block::new(&dialect.farewell.frame, Scope::Farewell)?,
            farewell_when: dialect.farewell.when,
            beat: Beat {
                interval: dialect.heartbeat.interval.std(),
                when: dialect.heartbeat.when,
            },
            terms: terms.collect::<Result<_, TemplateFault>>()?,
            overflow: route.overflow,
            lifetime: route.lifetime.map(|lifetime| lifetime.std()),
            census,
        })
    }

    /// The first blocks of a stream; nothing where there are none.
    pub fn greeting(&self, facts: &impl Facts) -> Option<Frame> {
        let blocks = self.greeting.iter();
        let text: String = blocks
            .filter_map(|block| self.block(block, self.line_end, facts))
            .collect();
        frame(text)
    }

    /// An event of a channel.
    pub fn event(&self, facts: &impl Facts) -> Option<Frame> {
        let line_end = self.line_end_of(facts);
        frame(self.block(&self.event, line_end, facts)?)
    }

    /// An event that ends its channel, and what is said of that.
    pub fn last_event(&self, facts: &impl Facts) -> Option<Frame> {
        let event = self.block(&self.event, self.line_end_of(facts), facts);
        let end = self.block(&self.end, self.line_end, facts);
        frame([event, end].into_iter().flatten().collect())
    }

    pub fn end(&self, facts: &impl Facts) -> Option<Frame> {
        frame(self.block(&self.end, self.line_end, facts)?)
    }

    pub fn heartbeat(&self, facts: &impl Facts) -> Option<Frame> {
        frame(self.block(&self.heartbeat, self.line_end, facts)?)
    }

    pub fn gap(&self, facts: &impl Facts) -> Option<Frame> {
        frame(self.block(&self.gap, self.line_end, facts)?)
    }

    /// A stream's grant ends soon.
    pub fn expiring(&self, facts: &impl Facts) -> Option<Frame> {
        frame(self.block(&self.expiring, self.line_end, facts)?)
    }

    /// The log does not answer, or does again.
    pub fn degraded(&self, facts: &impl Facts) -> Option<Frame> {
        frame(self.block(&self.degraded, self.line_end, facts)?)
    }

    /// The last words to a stream that the relay closes for a reason.
    pub fn farewell(&self, reason: CloseReason, facts: &impl Facts) -> Option<Frame> {
        if self.farewell_when == FarewellWhen::Draining && reason != CloseReason::Draining {
            return None;
        }
        frame(self.block(&self.farewell, self.line_end, facts)?)
    }

    /// Whether clients are told where events are missing.
    pub fn tells_gaps(&self) -> bool {
        !self.gap.0.is_empty()
    }

    /// Whether clients are told when the log does not answer.
    pub fn tells_condition(&self) -> bool {
        !self.degraded.0.is_empty()
    }

    /// What streams can choose an event by: the value of each parameter, in their order.
    pub fn terms(&self, facts: &impl Facts) -> Box<[Option<Box<str>>]> {
        let mut writer = Writer::new(self.style, MAX_BLOCK);
        let terms = self.terms.iter().map(|(_, template)| {
            writer.clear();
            let term = writer.term(template, facts);
            term.map(Into::into)
        });
        terms.collect()
    }

    /// Where a parameter stands among the terms.
    pub fn term_index(&self, parameter: &str) -> Option<usize> {
        self.terms.iter().position(|(name, _)| **name == *parameter)
    }

    /// The event's own, where it says one.
    fn line_end_of(&self, facts: &impl Facts) -> &'static str {
        let Some(template) = &self.line_end_from else {
            return self.line_end;
        };
        let mut writer = Writer::new(self.style, MAX_BLOCK);
        match writer.text(template, facts) {
            Some("\n") => "\n",
            Some("\r\n") => "\r\n",
            Some("\r") => "\r",
            _ => self.line_end,
        }
    }

    /// A block with its empty line; `None` if no field has a value, or it would be too large.
    fn block(&self, block: &Block, line_end: &str, facts: &impl Facts) -> Option<String> {
        let mut out = String::new();
        let mut writer = Writer::new(self.style, MAX_BLOCK);
        for field in &block.0 {
            writer.clear();
            let Some(value) = field.value(&mut writer, facts) else {
                continue;
            };
            if out.len() + value.len() > MAX_BLOCK {
                return None;
            }
            field.write(value, line_end, &mut out);
        }
        if out.is_empty() {
            return None;
        }
        out.push_str(line_end);
        Some(out)
    }
}

/// A template of JSON with its values.
pub fn json_text(template: &Template, style: JsonStyle, facts: &impl Facts) -> Option<String> {
    let mut writer = Writer::new(Style::of(style), MAX_BLOCK);
    writer.text(template, facts).map(str::to_owned)
}

fn frame(blocks: String) -> Option<Frame> {
    (!blocks.is_empty()).then(|| Frame::from_text(&blocks))
}

impl Block {
    fn new(fields: &[FrameField], scope: Scope) -> Result<Block, TemplateFault> {
        let mut block = Block::default();
        for field in fields {
            let FrameField {
                comment,
                id,
                event,
                data,
                json,
                retry,
                fill,
            } = field;
            let given = [
                (FieldKind::Comment, Language::Text, comment),
                (FieldKind::Id, Language::Text, id),
                (FieldKind::Event, Language::Text, event),
                (FieldKind::Data, Language::Text, data),
                (FieldKind::Data, Language::Json, json),
                (FieldKind::Retry, Language::Text, retry),
            ];
            for (kind, language, text) in given {
                let Some(text) = text else { continue };
                let filled = fill.iter().map(|filled| {
                    let template = Template::parse(&filled.json, Language::Json, scope)?;
                    Ok((filled.key.as_str().into(), template))
                });
                block.0.push(Field {
                    kind,
                    template: Template::parse(text, language, scope)?,
                    fill: filled.collect::<Result<_, TemplateFault>>()?,
                });
            }
        }
        Ok(block)
    }

    fn ids(&self) -> Ids {
        let mut ids = self.0.iter().filter(|field| field.kind == FieldKind::Id);
        match ids.next() {
            Some(field) if field.template.is_only(&Name::Id) => Ids::Ours,
            Some(field) if field.template.names().any(|name| *name == Name::Id) => Ids::Some,
            _ => Ids::None,
        }
    }
}

impl Field {
    fn value<'w>(&self, writer: &'w mut Writer, facts: &impl Facts) -> Option<&'w str> {
        if self.fill.is_empty() {
            return writer.text(&self.template, facts);
        }
        writer.filled(&self.template, &self.fill, facts)
    }

    fn write(&self, value: &str, line_end: &str, out: &mut String) {
        let mut line = |name: &str, value: &str| {
            out.push_str(name);
            out.push_str(": ");
            out.push_str(value);
            out.push_str(line_end);
        };
        match self.kind {
            FieldKind::Comment => lines(value).for_each(|text| line("", text)),
            FieldKind::Data => lines(value).for_each(|text| line("data", text)),
            FieldKind::Id => line("id", &one_line(value)),
            FieldKind::Event => line("event", &one_line(value)),
            FieldKind::Retry => {
                if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
                    line("retry", value);
                }
            }
        }
    }
}

/// The lines of a text, whichever of CRLF, CR and LF ends them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = text.find(['\r', '\n']) else {
            rest = None;
            return Some(text);
        };
        let after = &text[at..];
        rest = Some(after.strip_prefix("\r\n").unwrap_or(&after[1..]));
        Some(&text[..at])
    })
}

/// A text without what would end its line, and without NUL, with which an id would be none.
fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains(['\r', '\n', '\0']) {
        return text.replace(['\r', '\n', '\0'], "").into();
    }
    text.into()
}

#[cfg(test)]
mod tests;
