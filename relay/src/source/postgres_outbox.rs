//! An outbox table in PostgreSQL: rows in the order of their id, each deleted or marked once the event
//! log has it.
//!
//! Ids are given out before their transaction commits, so a row may appear below ones that were taken
//! already. What is asked for is therefore every row that is there, and never "those after the last".

use super::{Fault, FaultReason, Intake, Lag, Message, Promise, Source};
use crate::postgres::{Postgres, Session, quoted};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use relay_config::{PostgresOutboxSource, TakenRow};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

/// Rows that are taken at once.
const COUNT: i64 = 256;
/// How often the rows that wait are counted.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// At most so many are counted.
const MOST_WAITING: i64 = 100_000;

/// The source.
pub struct PostgresOutbox {
    settings: PostgresOutboxSource,
    postgres: Postgres,
    statements: Statements,
}

struct Statements {
    read: String,
    take: String,
    count: String,
}

impl Statements {
    fn new(settings: &PostgresOutboxSource) -> Statements {
        let (schema, name) = settings.table_names();
        let table = match schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(name)),
            None => quoted(name),
        };
        let (waiting, take) = match settings.taken {
            TakenRow::Delete => ("", format!("DELETE FROM {table} WHERE id = ANY($1)")),
            TakenRow::Mark => (
                " WHERE t.sent_at IS NULL",
                format!("UPDATE {table} SET sent_at = now() WHERE id = ANY($1)"),
            ),
        };
        Statements {
            // data apart, since JSON that is taken through jsonb loses its order and digits
            read: format!(
                "SELECT t.id::bigint, t.channel::text, t.data::text, (to_jsonb(t) - 'data')::text \
                 FROM {table} t{waiting} ORDER BY t.id LIMIT {COUNT}"
            ),
            take,
            count: format!(
                "SELECT count(*) FROM (SELECT FROM {table} t{waiting} LIMIT {MOST_WAITING}) w"
            ),
        }
    }
}

impl PostgresOutbox {
    /// # Errors
    /// Settings that are wrong in themselves.
    pub fn new(settings: &PostgresOutboxSource) -> Result<PostgresOutbox, Fault> {
        Ok(PostgresOutbox {
            postgres: super::postgres::server(&settings.postgres)?,
            statements: Statements::new(settings),
            settings: settings.clone(),
        })
    }

    /// The rows that wait, as many as are taken at once.
    async fn waiting(&self, session: &Session) -> Result<Vec<Row>, Fault> {
        let rows = session.timed(session.query_typed(&self.statements.read, &[]));
        Ok(rows.await?)
    }

    async fn pull(&self, intake: &Intake) -> Result<(), Fault> {
        let mut session = self.postgres.connect().await?;
        if let Some(channel) = &self.settings.notify {
            session.run(&format!("LISTEN {}", quoted(channel))).await?;
        }
        let mut looked: Option<Instant> = None;
        loop {
            let rows = self.waiting(&session).await?;
            if looked.is_none() {
                intake.connected(); // the table is there, and may be read
            }
            let full = rows.len() as i64 >= COUNT;
            if !rows.is_empty() {
                self.take(intake, &session, &rows).await?;
            }
            if full || looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                looked = Some(Instant::now());
                intake.lag(self.lag(&session, &rows).await?);
            }
            if !full {
                // whatever is said meanwhile, rows are looked for
                if let Ok(None) =
                    timeout(self.settings.poll.std(), session.notifications.recv()).await
                {
                    return Err(Fault::new(FaultReason::Closed, "the connection has ended"));
                }
                while session.notifications.try_recv().is_ok() {}
            }
        }
    }

    async fn take(&self, intake: &Intake, session: &Session, rows: &[Row]) -> Result<(), Fault> {
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let messages = rows.iter().map(message).collect::<Result<_, _>>()?;
        intake.append_all(messages).await;
        let ids: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::INT8_ARRAY)];
        let taken = session.execute_typed(&self.statements.take, &ids);
        session.timed(taken).await?;
        Ok(())
    }

    async fn lag(&self, session: &Session, rows: &[Row]) -> Result<Lag, Fault> {
        let waiting = session
            .timed(session.query_typed_one(&self.statements.count, &[]))
            .await?;
        let waiting = u64::try_from(waiting.get::<_, i64>(0)).unwrap_or_default();
        let last = rows.last().map(message).transpose()?;
        let age = last
            .filter(|_| waiting > 0)
            .and_then(|last| last.time)
            .map(|sent| {
                let age = Timestamp::now().duration_since(sent);
                Duration::try_from(age).unwrap_or_default()
            });
        Ok(Lag {
            age: age.unwrap_or_default(),
            waiting: Some(waiting),
        })
    }
}

/// Connects, reads, and asks whether rows may be taken; none is.
pub(super) async fn check(settings: &PostgresOutboxSource) -> Result<(), Fault> {
    let source = PostgresOutbox::new(settings)?;
    let session = source.postgres.connect().await?;
    for row in source.waiting(&session).await? {
        message(&row)?;
    }
    // what is explained is not done, but the right to do it is looked at
    let take = format!("EXPLAIN {}", source.statements.take);
    let none: [(&(dyn ToSql + Sync), Type); 1] = [(&Vec::<i64>::new(), Type::INT8_ARRAY)];
    session.timed(session.query_typed(&take, &none)).await?;
    Ok(())
}

fn message(row: &Row) -> Result<Message, Fault> {
    let unfit = |what: &str| {
        let text = format!(
            "the table's column `{what}` is not what it should be; docs/sources.md has its definition"
        );
        Fault::new(FaultReason::Settings, text)
    };
    let id: i64 = row.try_get(0).map_err(|_| unfit("id"))?;
    let channel: Option<String> = row.try_get(1).map_err(|_| unfit("channel"))?;
    let data: Option<String> = row.try_get(2).map_err(|_| unfit("data"))?;
    let rest: &str = row.try_get(3).map_err(|_| unfit("id"))?;
    let rest: Map<String, Value> = serde_json::from_str(rest).map_err(|_| unfit("attributes"))?;
    Ok(described(
        id,
        channel.unwrap_or_default(),
        data.unwrap_or_default(),
        &rest,
    ))
}

/// A row as a message: `attributes` may be an object of texts, and each other column is an attribute of
/// the message besides.
fn described(id: i64, channel: String, data: String, rest: &Map<String, Value>) -> Message {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let own = ["id", "channel", "type", "attributes", "sent_at"];
    let columns = rest
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()));
    let named = rest.get("attributes").and_then(Value::as_object);
    let attributes = named.into_iter().flatten().chain(columns);
    let created = rest.get("created_at").and_then(Value::as_str);
    Message {
        origin: channel,
        id: Some(id.to_string()),
        kind: rest.get("type").and_then(text),
        body: data,
        attributes: attributes
            .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect(),
        time: created.and_then(|created| created.parse().ok()),
    }
}

impl Source for PostgresOutbox {
    fn promise(&self) -> Promise {
        Promise::Acknowledged
    }

    fn run<'s>(&'s mut self, intake: &'s Intake) -> BoxFuture<'s, Result<(), Fault>> {
        Box::pin(self.pull(intake))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(rest: Value) -> Message {
        let rest = rest.as_object().unwrap().clone();
        described(7, "orders".into(), "{\"b\":1.0,\"a\":2}".into(), &rest)
    }

    #[test]
    fn a_row_is_a_message_with_its_other_columns_as_attributes() {
        let message = row(json!({
            "id": 7, "channel": "orders", "type": "paid", "sent_at": null,
            "attributes": {"customer": "ann", "count": 3, "none": null},
            "tenant": "acme", "created_at": "2026-11-21T08:00:00.5+00:00",
        }));
        assert_eq!(message.id.as_deref(), Some("7"));
        assert_eq!(message.kind.as_deref(), Some("paid"));
        assert_eq!(message.body, "{\"b\":1.0,\"a\":2}", "as it stands there");
        let mut attributes = message.attributes.clone();
        attributes.sort();
        let expected = [
            ("count", "3"),
            ("created_at", "2026-11-21T08:00:00.5+00:00"),
            ("customer", "ann"),
            ("tenant", "acme"),
        ];
        assert_eq!(
            attributes,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert!(message.time.is_some());
    }

    #[test]
    fn a_row_needs_no_more_than_its_three_columns() {
        let message = row(json!({"id": 7, "channel": "orders"}));
        assert_eq!(
            (message.kind, message.attributes.len(), message.time),
            (None, 0, None)
        );
    }

    #[test]
    fn no_name_of_a_table_is_sql() {
        let settings = PostgresOutboxSource {
            postgres: relay_config::Postgres::default(),
            table: "app.x\"; DROP TABLE y; --".into(),
            notify: None,
            poll: relay_config::Timespan::from_secs(1),
            taken: TakenRow::Mark,
        };
        let statements = Statements::new(&settings);
        assert!(
            statements
                .take
                .starts_with("UPDATE \"app\".\"x\"\"; DROP TABLE y; --\" SET"),
            "{}",
            statements.take
        );
    }
}
