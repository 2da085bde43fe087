//! What to do about a connection that PostgreSQL refuses. Pure.

/// By PostgreSQL's code, and by its sentence where one code stands for several reasons.
pub(super) fn remedy(code: &str, sentence: &str) -> Option<&'static str> {
    let of = |text: &str| sentence.contains(text);
    match code {
        "28P01" => Some("correct the user's password"),
        // "no pg_hba.conf entry for host …, no encryption", with older servers "SSL off"
        "28000" if of("no encryption") || of("SSL off") => Some(
            "the server may let in who comes with TLS: set `tls`; else its pg_hba.conf needs a line",
        ),
        "28000" if of("pg_hba.conf") => {
            Some("its pg_hba.conf needs a line for this user, database and address")
        }
        "28000" => Some("make the user there (CREATE ROLE … LOGIN), or name another one"),
        "3D000" => Some("make the database there (CREATE DATABASE), or name another one"),
        "42501" => Some("give the user that right there (GRANT)"),
        "53300" => Some("let more connections in there (max_connections)"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lacks_tls_is_told_so_and_who_lacks_a_line_that() {
        let line = r#"no pg_hba.conf entry for host "10.0.0.1", user "relay", database "app""#;
        let plain = format!("{line}, no encryption");
        assert!(remedy("28000", &plain).is_some_and(|text| text.contains("set `tls`")));
        let encrypted = format!("{line}, SSL encryption");
        assert!(remedy("28000", &encrypted).is_some_and(|text| !text.contains("set `tls`")));
        assert!(
            remedy("28000", r#"role "relay" does not exist"#)
                .is_some_and(|text| text.contains("ROLE"))
        );
        assert_eq!(remedy("57P03", "the database system is starting up"), None);
    }
}
