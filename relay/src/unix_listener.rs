//! Unix sockets that wait for connections, and their files.

use relay_config::UnixSocket;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
    },
};
use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4_096;

/// Why a path is not listened on.
#[derive(Debug, thiserror::Error)]
pub enum UnixListenError {
    #[error(
        "cannot listen on {path}: another program listens there; choose another path, or stop that program"
    )]
    Taken { path: String },
    #[error(
        "cannot listen on {path}: it is a file of another kind; choose another path, or remove that file"
    )]
    OtherFile { path: String },
    #[error(
        "cannot listen on {path}: {error}; its directory must be there, and writable for the relay"
    )]
    Io { path: String, error: io::Error },
}

/// The file of a socket. It is removed at the end, unless it is another's by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path); // it may be gone already
        }
    }
}

/// Listens; the socket does not block. What a process left that has ended is replaced. The file gets its
/// mode before it gets its name, so that nobody connects in between who may not.
pub fn open(settings: &UnixSocket) -> Result<(OwnedFd, SocketFile), UnixListenError> {
    let path = Path::new(&settings.path);
    let failed = |error: io::Error| UnixListenError::Io {
        path: settings.path.clone(),
        error,
    };
    check_free(path, failed)?;
    let mut first = path.as_os_str().to_owned();
    first.push(format!(".{}", std::process::id()));
    let first = PathBuf::from(first);
    let _ = fs::remove_file(&first); // of a process that had this number and was killed
    let socket = bound(&first).map_err(|error| failed(error.into()))?;
    let named = settings
        .mode_bits()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
        .and_then(|mode| fs::set_permissions(&first, Permissions::from_mode(mode)))
        .and_then(|()| Ok(listen(&socket, BACKLOG)?))
        .and_then(|()| fs::rename(&first, path))
        .and_then(|()| identity(path));
    match named {
        Ok(identity) => Ok((
            socket,
            SocketFile {
                path: path.to_owned(),
                identity,
            },
        )),
        Err(error) => {
            let _ = fs::remove_file(&first);
            Err(failed(error))
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let data = fs::symlink_metadata(path)?;
    Ok((data.dev(), data.ino()))
}

/// Whether nothing is there, or a socket that nobody listens on.
fn check_free(
    path: &Path,
    failed: impl Fn(io::Error) -> UnixListenError,
) -> Result<(), UnixListenError> {
    let text = || path.display().to_string();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(data) if !data.file_type().is_socket() => {
            return Err(UnixListenError::OtherFile { path: text() });
        }
        Ok(_) => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let tried = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .and_then(|socket| connect(&socket, &SocketAddrUnix::new(path)?));
    match tried {
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        // it listens: it took the connection, or has no room for it now
        Ok(()) | Err(Errno::AGAIN) => Err(UnixListenError::Taken { path: text() }),
        Err(error) => Err(failed(error.into())),
    }
}

fn bound(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn at(folder: &tempfile::TempDir, mode: &str) -> UnixSocket {
        UnixSocket {
            path: folder.path().join("relay.sock").display().to_string(),
            mode: mode.to_owned(),
        }
    }

    #[test]
    fn a_file_has_its_mode_and_goes_with_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let settings = at(&folder, "600");
        let (socket, file) = open(&settings).unwrap();
        let mode = fs::metadata(&settings.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        UnixStream::connect(&settings.path).unwrap();
        drop((socket, file));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_replaced_and_what_lives_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let settings = at(&folder, "660");
        drop(UnixListener::bind(&settings.path).unwrap()); // the file stays
        let (_socket, file) = open(&settings).unwrap();
        let taken = open(&settings).unwrap_err();
        assert!(matches!(taken, UnixListenError::Taken { .. }), "{taken}");
        UnixStream::connect(&settings.path).unwrap();
        // another one has the name by now: it stays
        fs::remove_file(&settings.path).unwrap();
        let _other = UnixListener::bind(&settings.path).unwrap();
        drop(file);
        UnixStream::connect(&settings.path).unwrap();
    }

    #[test]
    fn no_other_file_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let settings = at(&folder, "660");
        fs::write(&settings.path, "precious").unwrap();
        let refused = open(&settings).unwrap_err();
        assert!(
            matches!(refused, UnixListenError::OtherFile { .. }),
            "{refused}"
        );
        assert_eq!(fs::read(&settings.path).unwrap(), b"precious");
        let nowhere = UnixSocket {
            path: folder.path().join("none/x").display().to_string(),
            mode: "660".to_owned(),
        };
        let error = open(&nowhere).unwrap_err().to_string();
        assert!(error.contains("its directory must be there"), "{error}");
    }
}
