//! An address as other programs take it: with who one is there, and how TLS is wanted.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use url::Url;

use super::{FORM, PostgresAddress, PostgresTarget, PostgresTls, decoded, named_database, place};

const OPTIONS: &str = "has options of which only `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, \
     `channel_binding`, `host` with a directory, `application_name` and `connect_timeout` are understood";
const MODE: &str =
    "has an `sslmode` that PostgreSQL does not know; write `disable` or `verify-full`";

/// Where to connect, and who one is there.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// Where to connect.
    pub target: PostgresTarget,
    /// The user.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// TLS, if it asks for that. Whatever it asks for, the server's certificate is checked.
    pub tls: Option<PostgresTls>,
    /// The server has to prove that it knows the password, over this very connection.
    pub binds_channel: bool,
}

/// What the options say.
#[derive(Default)]
struct Options {
    directory: Option<String>,
    encrypted: bool,
    tls: PostgresTls,
    binds_channel: bool,
}

impl PostgresUrl {
    /// # Errors
    /// What is wrong, without the text, which may hold a password.
    pub fn parse(text: &str) -> Result<PostgresUrl, &'static str> {
        let mut url = Url::parse(text).map_err(|_| FORM)?;
        let options = options(&url)?;
        // a path of a socket is no host, and stands in an option
        url.set_query(None);
        let user =
            decoded(url.username()).map(|user| Some(user).filter(|user| !user.is_empty()))?;
        let password = url.password().map(decoded).transpose()?;
        // as PostgreSQL's own programs have it, a user's database is called as the user
        let database = match url.path() {
            "" | "/" => user
                .clone()
                .ok_or("names no database; end it as in `/events`")?,
            _ => named_database(&url)?,
        };
        let address = match options.directory {
            Some(directory) => PostgresAddress::Unix {
                directory: directory.into(),
                port: url.port().unwrap_or(super::PORT),
            },
            None => place(&url)?,
        };
        if options.encrypted && matches!(address, PostgresAddress::Unix { .. }) {
            return Err(
                "asks for TLS on a socket of this machine, which has none: leave `sslmode` out",
            );
        }
        Ok(PostgresUrl {
            target: PostgresTarget { address, database },
            user,
            password,
            tls: options.encrypted.then_some(options.tls),
            binds_channel: options.binds_channel,
        })
    }
}

fn options(url: &Url) -> Result<Options, &'static str> {
    let mut options = Options::default();
    let query = url.query().unwrap_or_default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(OPTIONS)?;
        // `+` is a plus here, unlike in forms
        let value: Cow<'_, str> = percent_decode_str(value).decode_utf8().map_err(|_| FORM)?;
        let file = || Some(value.clone().into_owned());
        match name {
            "sslmode" => {
                options.encrypted = match &*value {
                    "disable" | "allow" | "prefer" => false,
                    "require" | "verify-ca" | "verify-full" => true,
                    _ => return Err(MODE),
                }
            }
            "sslrootcert" => options.tls.ca = file().filter(|file| file != "system"),
            "sslcert" => options.tls.certificate = file(),
            "sslkey" => options.tls.key = file(),
            "channel_binding" => options.binds_channel = value == "require",
            "host" if value.starts_with('/') => options.directory = file(),
            // what the relay calls itself and how long it waits is not said here
            "application_name" | "connect_timeout" => {}
            _ => return Err(OPTIONS),
        }
    }
    match options.tls.certificate.is_some() == options.tls.key.is_some() {
        true => Ok(options),
        false => Err("has only one of `sslcert` and `sslkey`, which go together"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> PostgresUrl {
        PostgresUrl::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn it_has_user_password_and_sslmode() {
        let url = parsed("postgresql://a%40b:p%2Fw@db:5433/app?sslmode=require");
        assert_eq!(url.target.to_string(), "db:5433/app");
        assert_eq!(url.user.as_deref(), Some("a@b"));
        assert_eq!(url.password.as_deref(), Some("p/w"));
        assert!(url.tls.is_some());
        let plain = parsed("postgres://db/app");
        assert!(plain.user.is_none() && plain.password.is_none() && plain.tls.is_none());
    }

    #[test]
    fn options_of_other_programs_mean_what_they_mean_there() {
        let url = parsed(
            "postgres://u@db/app?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&channel_binding=require&application_name=shop",
        );
        assert_eq!(url.tls.unwrap().ca.as_deref(), Some("/etc/ca.pem"));
        assert!(url.binds_channel);
        let system = parsed("postgres://u@db/app?sslmode=verify-full&sslrootcert=system");
        assert_eq!(system.tls.unwrap().ca, None);
        let socket = parsed("postgresql:///app?host=/run/postgresql");
        assert_eq!(socket.target.to_string(), "/run/postgresql/app");
        assert_eq!(parsed("postgres://shop:x@db").target.database, "shop");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (wrong, why) in [
            ("mysql://db/app", "begin with"),
            ("postgresql+psycopg://db/app", "begin with"),
            ("postgres://db/app?x=y", "only `sslmode`"),
            ("postgres://db/app?host=other", "only `sslmode`"),
            ("postgres://db/app?sslmode=on", "sslmode"),
            ("postgres://db/app?sslcert=a", "go together"),
            ("postgres://u@%2Frun/app?sslmode=require", "has none"),
            ("postgres://db", "no database"),
            ("postgres:///app", "no host"),
            ("", "write it as"),
        ] {
            let error = PostgresUrl::parse(wrong).err().unwrap();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
