//! The dashboard: one self-contained page and the policy that lets a browser
//! run nothing but what is in it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const TEMPLATE: &str = include_str!("dashboard/page.html");
const STYLE: &str = include_str!("dashboard/style.css");
/// In this order one script; `app.js` starts what the others define.
const SCRIPT: &str = concat!(
    include_str!("dashboard/sse.js"),
    include_str!("dashboard/chart.js"),
    include_str!("dashboard/inspector.js"),
    include_str!("dashboard/app.js"),
);
const STYLE_MARKER: &str = "/*STYLE*/";
const SCRIPT_MARKER: &str = "/*SCRIPT*/";

/// The page as it goes out.
#[derive(Debug)]
pub struct Page {
    /// The whole document, `text/html; charset=utf-8`.
    pub html: String,
    /// Value of `Content-Security-Policy` without which the page must not go out.
    pub csp: String,
}

/// The dashboard, assembled once per process.
pub fn page() -> &'static Page {
    static PAGE: LazyLock<Page> = LazyLock::new(|| Page {
        html: inline(
            &inline(TEMPLATE, STYLE_MARKER, STYLE),
            SCRIPT_MARKER,
            SCRIPT,
        ),
        csp: policy(&source_hash(STYLE), &source_hash(SCRIPT)),
    });
    &PAGE
}

/// `document` with `content` in place of the one marker.
fn inline(document: &str, marker: &str, content: &str) -> String {
    let (before, after) = document
        .split_once(marker)
        .expect("the template has each marker once");
    [before, content, after].concat()
}

/// Content Security Policy Level 3, hash-source.
fn source_hash(text: &str) -> String {
    format!(
        "'sha256-{}'",
        STANDARD.encode(Sha256::digest(text.as_bytes()))
    )
}

fn policy(style: &str, script: &str) -> String {
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a browser takes as an element's text, and so hashes.
    fn text_between<'a>(html: &'a str, open: &str, close: &str) -> &'a str {
        let (_, rest) = html.split_once(open).expect("the element is there");
        rest.split_once(close).expect("the element is closed").0
    }

    #[test]
    fn the_policy_hashes_what_the_page_holds() {
        let Page { html, csp } = page();
        let script = source_hash(text_between(html, "<script>", "</script>"));
        let style = source_hash(text_between(html, "<style>", "</style>"));
        assert!(csp.contains(&format!("script-src {script};")), "{csp}");
        assert!(csp.contains(&format!("style-src {style};")), "{csp}");
    }

    #[test]
    fn hashes_have_the_form_of_the_standard() {
        // The example of Content Security Policy Level 3, section 2.3.1.
        assert_eq!(
            source_hash("alert('Hello, world.');"),
            "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
        );
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        let namespace = "http://www.w3.org/2000/svg";
        let html = page().html.replace(namespace, "");
        for address in ["://", "src=\"//", "href=\"//"] {
            assert!(!html.contains(address), "the page holds {address}");
        }
    }

    /// Whether there is an attribute like `onclick="…"`.
    fn has_handler_attribute(html: &str) -> bool {
        html.split(" on").skip(1).any(|rest| {
            rest.trim_start_matches(|c: char| c.is_ascii_lowercase())
                .starts_with('=')
        })
    }

    #[test]
    fn nothing_needs_more_than_the_policy_allows() {
        assert_eq!(TEMPLATE.matches(STYLE_MARKER).count(), 1);
        assert_eq!(TEMPLATE.matches(SCRIPT_MARKER).count(), 1);
        assert_eq!(TEMPLATE.matches("<script").count(), 1);
        assert!(
            !TEMPLATE.contains(" style="),
            "inline styles are refused by the policy"
        );
        assert!(
            !has_handler_attribute(TEMPLATE),
            "inline handlers are refused by the policy"
        );
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ] {
            assert!(
                !SCRIPT.contains(forbidden),
                "{forbidden} could turn an event's text into markup or code"
            );
        }
    }

    #[test]
    fn the_sources_cannot_end_or_change_their_elements() {
        for source in [STYLE, SCRIPT] {
            // A parser turns CR LF into LF before the browser hashes; then no hash would match.
            assert!(!source.contains('\r'));
            assert!(!source.contains('\0'));
            assert!(!source.contains("<!--"));
            assert!(!source.to_ascii_lowercase().contains("</s"));
        }
    }
}
