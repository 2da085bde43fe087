//! Variables that Kubernetes sets by itself.
//!
//! For each Service of a namespace a pod gets variables named after it
//! (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
//! Those of a Service called `sse-relay` begin as ours do; nobody wrote them, so they are no
//! mistake.

/// Whether Kubernetes sets a variable of this name to this value for some Service.
pub(crate) fn is_service_link(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && is_address(value))
        || name
            .match_indices("_PORT_")
            .any(|(at, found)| names_a_port(&name[at + found.len()..]))
}

fn is_address(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
}

/// Whether `rest` goes on like `8080_TCP` or `8080_TCP_ADDR`.
fn names_a_port(rest: &str) -> bool {
    let mut parts = rest.split('_');
    let number = parts.next().unwrap_or_default();
    let protocol = parts.next().unwrap_or_default();
    number.parse::<u16>().is_ok() && matches!(protocol, "TCP" | "UDP" | "SCTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_for_a_service_is_recognised() {
        for (name, value) in [
            ("SSE_RELAY_SERVICE_HOST", "10.0.0.1"),
            ("SSE_RELAY_SERVICE_PORT", "8080"),
            ("SSE_RELAY_SERVICE_PORT_HTTP", "8080"),
            ("SSE_RELAY_PORT", "tcp://10.0.0.1:8080"),
            ("SSE_RELAY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("SSE_RELAY_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("SSE_RELAY_PORT_8080_TCP_PROTO", "tcp"),
            ("SSE_RELAY_REDIS_SERVICE_HOST", "10.0.0.2"),
            ("SSE_RELAY_REDIS_PORT_6379_TCP_PORT", "6379"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
    }

    #[test]
    fn a_mistaken_name_is_not_taken_for_one() {
        for (name, value) in [
            ("SSE_RELAY_PORT", "8080"),
            ("SSE_RELAY_PORT_HTTP_TCP", "8080"),
            ("SSE_RELAY_PORT_8080", "8080"),
            ("SSE_RELAY_LISTN", "tcp://10.0.0.1:8080"),
        ] {
            assert!(!is_service_link(name, value), "{name}");
        }
    }

    #[test]
    fn no_field_of_the_document_is_named_like_one() {
        for name in crate::variable_names() {
            assert!(!is_service_link(&name, "tcp://10.0.0.1:8080"), "{name}");
        }
    }
}
