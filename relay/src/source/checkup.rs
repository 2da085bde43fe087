//! Whether a source could be pulled from, found out before it has to be.

use super::{Fault, postgres_listen, postgres_outbox};
use relay_config::SourceKind;

/// Connects to the source's server and tries what pulling takes. Nothing is taken from there or
/// changed. `None` of kinds that are not looked at.
pub async fn once(kind: SourceKind<'_>) -> Option<Result<(), Fault>> {
    match kind {
        SourceKind::PostgresListen(settings) => Some(postgres_listen::check(settings).await),
        SourceKind::PostgresOutbox(settings) => Some(postgres_outbox::check(settings).await),
        _ => None,
    }
}
