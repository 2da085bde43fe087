//! What a template can refer to, where, and in which form.

use super::fault::{TemplateFault, clip};

/// The most levels of a member of an event's data.
const MAX_LEVELS: usize = 8;

/// What a value is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// `data`, or the member of its JSON that these keys lead to: `data.run.id`.
    Data(Box<[Box<str>]>),
    /// `type` of an event.
    Type,
    /// `id`: the cursor that a client comes back with; of a message, its own.
    Id,
    /// `channel` of an event; of a message, where it came from.
    Channel,
    /// `time` of an event: the one its publisher says.
    Time,
    /// `retry`: the reconnection time, in milliseconds.
    Retry,
    /// `attributes.NAME` of an event.
    Attribute(Box<str>),
    /// `now`: the present time.
    Now,
    /// `client.id`: the stream, as `/v1/connections` lists it.
    ClientId,
    /// `subject` of the stream's credential.
    Subject,
    /// `filter.PARAMETER`: the values that a stream asked for, sorted.
    Filter(Box<str>),
    /// `clients`: the route's streams.
    Clients,
    /// `clients.ids`: the first of them by their ids.
    ClientIds,
    /// `clients.filters`: what these asked for, by their ids.
    ClientFilters,
    /// `clients.oldest`: when the first of them opened.
    Oldest,
    /// `clients.newest`: when the last of them opened.
    Newest,
    /// `reason` of a gap, of an end, or of a refusal.
    Reason,
    /// `expires`: when a stream's grant ends.
    Expires,
    /// `degraded`: whether the log does not answer.
    Degraded,
    /// `detail` of a refusal: a sentence.
    Detail,
    /// `status` of a refusal, as a number.
    Status,
}

/// What a template is for, which says what it can refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// An event of a channel.
    Event,
    /// What is compared with the values that a stream asked for.
    Filter,
    /// The first blocks of a stream.
    Greeting,
    /// A sign of life.
    Heartbeat,
    /// Events are missing.
    Gap,
    /// A stream's grant ends soon.
    Expiring,
    /// The log does not answer, or does again.
    Degraded,
    /// A channel has ended.
    End,
    /// The stream is closed by the relay.
    Farewell,
    /// The route's status.
    Status,
    /// A refusal.
    Refusal,
    /// A message of a source.
    Message,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// As it is; times as [`Form::Rfc3339`].
    #[default]
    Plain,
    /// As text, in JSON too.
    Text,
    /// `2026-11-21T07:00:20.349Z`.
    Rfc3339,
    /// `2026-11-21T07:00:20.349575+00:00`.
    Isoformat,
    /// `2026-11-21 07:00:20.349575`.
    Utc,
    /// Seconds since 1970, with a fraction.
    Unix,
    /// Milliseconds since 1970.
    Millis,
}

impl Form {
    const OF_TIMES: [Form; 6] = [
        Form::Text,
        Form::Rfc3339,
        Form::Isoformat,
        Form::Utc,
        Form::Unix,
        Form::Millis,
    ];

    pub(super) fn parse(text: &str, name: &Name) -> Result<Form, TemplateFault> {
        let legal: &[Form] = match name {
            Name::Time | Name::Now | Name::Oldest | Name::Newest | Name::Expires => &Form::OF_TIMES,
            _ => &[Form::Text],
        };
        let form = legal.iter().find(|form| form.as_str() == text);
        form.copied().ok_or_else(|| TemplateFault::Form {
            text: clip(text),
            legal: legal.to_vec(),
        })
    }

    /// As templates call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Plain => "plain",
            Form::Text => "text",
            Form::Rfc3339 => "rfc3339",
            Form::Isoformat => "isoformat",
            Form::Utc => "utc",
            Form::Unix => "unix",
            Form::Millis => "millis",
        }
    }
}

impl Name {
    pub(super) fn parse(text: &str) -> Option<Name> {
        if let Some(path) = text.strip_prefix("data.") {
            let keys: Box<[Box<str>]> = path.split('.').map(Into::into).collect();
            let legal = keys.len() <= MAX_LEVELS && keys.iter().all(|key| is_word(key));
            return legal.then_some(Name::Data(keys));
        }
        if let Some(name) = text.strip_prefix("attributes.") {
            return is_word(name).then(|| Name::Attribute(name.into()));
        }
        if let Some(name) = text.strip_prefix("filter.") {
            return is_word(name).then(|| Name::Filter(name.into()));
        }
        Some(match text {
            "data" => Name::Data([].into()),
            "type" => Name::Type,
            "id" => Name::Id,
            "channel" => Name::Channel,
            "time" => Name::Time,
            "retry" => Name::Retry,
            "now" => Name::Now,
            "client.id" => Name::ClientId,
            "subject" => Name::Subject,
            "clients" => Name::Clients,
            "clients.ids" => Name::ClientIds,
            "clients.filters" => Name::ClientFilters,
            "clients.oldest" => Name::Oldest,
            "clients.newest" => Name::Newest,
            "reason" => Name::Reason,
            "expires" => Name::Expires,
            "degraded" => Name::Degraded,
            "detail" => Name::Detail,
            "status" => Name::Status,
            _ => return None,
        })
    }
}

/// What can stand in a reference without being taken for its syntax.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_control() || "{}|:'\" ".contains(c))
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 12] = [
        Scope::Event,
        Scope::Filter,
        Scope::Greeting,
        Scope::Heartbeat,
        Scope::Gap,
        Scope::Expiring,
        Scope::Degraded,
        Scope::End,
        Scope::Farewell,
        Scope::Status,
        Scope::Refusal,
        Scope::Message,
    ];

    /// What can be referred to, as a sentence has it.
    pub(super) fn names(self) -> String {
        self.known().join(", ")
    }

    fn known(self) -> &'static [&'static str] {
        match self {
            Scope::Event => &[
                "data",
                "data.NAME",
                "type",
                "id",
                "channel",
                "time",
                "retry",
                "attributes.NAME",
            ],
            Scope::Filter => &[
                "data",
                "data.NAME",
                "type",
                "channel",
                "time",
                "attributes.NAME",
            ],
            Scope::Greeting => &[
                "id",
                "now",
                "retry",
                "client.id",
                "subject",
                "filter.PARAMETER",
                "clients",
            ],
            Scope::Heartbeat => &["id", "now", "filter.PARAMETER", "clients"],
            Scope::Gap => &["id", "reason", "now"],
            Scope::Expiring => &["expires", "now"],
            Scope::Degraded => &["degraded", "now"],
            Scope::End => &["id", "channel"],
            Scope::Farewell => &["reason", "retry", "now"],
            Scope::Status => &[
                "clients",
                "clients.ids",
                "clients.filters",
                "clients.oldest",
                "clients.newest",
                "now",
            ],
            Scope::Refusal => &["detail", "reason", "status"],
            Scope::Message => &[
                "data",
                "data.NAME",
                "channel",
                "id",
                "type",
                "time",
                "attributes.NAME",
            ],
        }
    }

    pub(super) fn has(self, name: &Name) -> bool {
        let text = match name {
            Name::Data(keys) if keys.is_empty() => "data",
            Name::Data(_) => "data.NAME",
            Name::Attribute(_) => "attributes.NAME",
            Name::Filter(_) => "filter.PARAMETER",
            Name::Type => "type",
            Name::Id => "id",
            Name::Channel => "channel",
            Name::Time => "time",
            Name::Retry => "retry",
            Name::Now => "now",
            Name::ClientId => "client.id",
            Name::Subject => "subject",
            Name::Clients => "clients",
            Name::ClientIds => "clients.ids",
            Name::ClientFilters => "clients.filters",
            Name::Oldest => "clients.oldest",
            Name::Newest => "clients.newest",
            Name::Reason => "reason",
            Name::Expires => "expires",
            Name::Degraded => "degraded",
            Name::Detail => "detail",
            Name::Status => "status",
        };
        self.known().contains(&text)
    }
}
