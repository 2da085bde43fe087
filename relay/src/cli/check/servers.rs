//! What `check` finds at the servers that a configuration names, besides the Redis of the log.

use crate::{
    archive,
    auth::{
        forward::{self, Welcome},
        jwt::key_set::KeySet,
    },
    source,
};
use futures_util::future::{BoxFuture, join_all};
use relay_config::Config;

/// What was looked at, and what is in the way.
pub struct Look {
    what: String,
    found: Found,
}

enum Found {
    Usable,
    /// It can be used, and may not be what is meant.
    Doubtful(String),
    Obstacle(String),
}

type Looking<'c> = BoxFuture<'c, Look>;

/// The archive, the sources in their order, and who knows users. All at once: each is bounded in time.
pub async fn look(config: &Config) -> Vec<Look> {
    let mut looks: Vec<Looking<'_>> = Vec::new();
    if let Some(settings) = &config.archive {
        looks.push(Box::pin(async {
            let found = archive::checkup::once(settings).await;
            Look::of("archive".to_owned(), found)
        }));
    }
    for settings in &config.sources {
        if let Some(kind) = settings.kind() {
            looks.push(Box::pin(async move {
                let found = source::checkup::once(kind).await;
                Look::of(format!("source `{}`", settings.name), found)
            }));
        }
    }
    looks.extend(who_knows_users(config));
    join_all(looks).await
}

fn who_knows_users(config: &Config) -> Vec<Looking<'_>> {
    let mut looks: Vec<Looking<'_>> = Vec::new();
    let Some(auth) = &config.auth else {
        return looks;
    };
    for issuer in &auth.jwt {
        if let Some(jwks) = &issuer.jwks {
            looks.push(Box::pin(async move {
                let set = KeySet::new(issuer.name.as_str().into(), jwks);
                let fetched = set.fetch().await.map_err(|error| {
                    format!("its keys cannot be had: {error}; look at `jwks` of this issuer")
                });
                Look::of(format!("issuer `{}`", issuer.name), fetched)
            }));
        }
    }
    if let Some(settings) = &auth.forward {
        looks.push(Box::pin(async move {
            let found = match forward::knock(settings).await {
                Ok(Welcome::Refused) => Found::Usable,
                Ok(Welcome::Anybody) => Found::Doubtful(
                    "the address of `auth.forward` answers success to who shows nothing: it would let \
                     everybody in who sends one of `headers`"
                        .to_owned(),
                ),
                Err(error) => Found::Obstacle(format!("{error}; look at `auth.forward`")),
            };
            let what = "forward".to_owned();
            Look { what, found }
        }));
    }
    looks
}

impl Look {
    fn of<E: ToString>(what: String, found: Result<(), E>) -> Look {
        let found = match found {
            Ok(()) => Found::Usable,
            Err(obstacle) => Found::Obstacle(obstacle.to_string()),
        };
        Look { what, found }
    }

    /// Says what was found; whether it can be used.
    pub fn tell(&self) -> bool {
        let what = &self.what;
        match &self.found {
            Found::Usable => println!("{what}: it can be used"),
            Found::Doubtful(doubt) => eprintln!("{what}: warning: {doubt}"),
            Found::Obstacle(obstacle) => eprintln!("{what}: error: {obstacle}"),
        }
        !matches!(self.found, Found::Obstacle(_))
    }
}
