//! What must hold of `unixSockets`.

use super::Problems;
use crate::unix_socket::{MAX_PATH_BYTES, UnixSocket};

/// The most Unix sockets.
const MAX: usize = 8;

pub(super) fn check(problems: &mut Problems, sockets: &[UnixSocket]) {
    problems.add_if(
        sockets.len() > MAX,
        "unixSockets",
        "has more than 8 entries; remove some",
    );
    for (index, socket) in sockets.iter().enumerate() {
        let path = &socket.path;
        let legal = path.starts_with('/')
            && path.len() <= MAX_PATH_BYTES
            && !path.ends_with('/')
            && !path.contains('\0');
        problems.add_if(
            !legal,
            &format!("unixSockets[{index}].path"),
            "write the path of a file from the root, of at most 90 bytes, such as /run/sse-relay/relay.sock",
        );
        problems.add_if(
            sockets[..index].iter().any(|other| other.path == *path),
            &format!("unixSockets[{index}].path"),
            "is that of an earlier entry; write each path once",
        );
        problems.add_if(
            socket.mode_bits().is_none(),
            &format!("unixSockets[{index}].mode"),
            "is no mode; write three octal digits such as '660'",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::Config;

    #[test]
    fn a_socket_has_a_path_of_its_own_and_a_mode() {
        for (sockets, says) in [
            (
                "[{path: /run/a.sock}, {path: /run/b.sock, mode: '600'}]",
                "",
            ),
            ("[{path: relay.sock}]", "from the root"),
            ("[{path: /run/}]", "from the root"),
            ("[{path: /a}, {path: /a}]", "each path once"),
            ("[{path: /a, mode: '999'}]", "octal"),
        ] {
            let yaml = format!("unixSockets: {sockets}");
            let found = match Config::from_sources(Some(("relay.yaml", &yaml)), &BTreeMap::new()) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            };
            assert!(
                found.contains(says) && found.is_empty() == says.is_empty(),
                "{sockets}: {found}"
            );
        }
    }
}
