//! A plain client of Redis that publishes whatever happens.

use crate::servers::LIMIT;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// One connection.
pub struct Resp(BufReader<TcpStream>);

impl Resp {
    pub fn to(port: u16) -> io::Result<Resp> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(LIMIT))?;
        Ok(Resp(BufReader::new(socket)))
    }

    /// Sends a command; the first line of its answer, or the text if that is one.
    pub fn command(&mut self, words: &[&[u8]]) -> io::Result<String> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n", word.len()).bytes());
            bytes.extend_from_slice(word);
            bytes.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&bytes)?;
        let line = self.line()?;
        match line.strip_prefix('$').map(str::parse::<usize>) {
            Some(Ok(length)) => {
                let mut text = vec![0; length + 2];
                self.0.read_exact(&mut text)?;
                text.truncate(length);
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
            _ if line.starts_with('-') => Err(io::Error::other(line)),
            _ => Ok(line),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// Adds numbered entries to a stream until it is stopped, each until the server has acknowledged it.
pub struct Producer {
    stop: Arc<AtomicBool>,
    /// Entries that the server has acknowledged.
    added: Arc<AtomicU64>,
    thread: JoinHandle<u64>,
}

impl Producer {
    /// `pause` is between two entries.
    pub fn start(port: u16, stream: &'static str, pause: Duration) -> Producer {
        let (stop, added) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (stop.clone(), added.clone());
        let thread = std::thread::spawn(move || {
            let mut connection = None;
            while !stopped.load(Ordering::SeqCst) {
                let number = counted.load(Ordering::SeqCst);
                match add(&mut connection, port, stream, number) {
                    Ok(()) => {
                        counted.store(number + 1, Ordering::SeqCst);
                        std::thread::sleep(pause);
                    }
                    Err(_) => {
                        connection = None; // the same number again
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            }
            counted.load(Ordering::SeqCst)
        });
        Producer {
            stop,
            added,
            thread,
        }
    }

    /// Waits until so many more entries were acknowledged.
    pub fn more(&self, count: u64) {
        let until = self.added.load(Ordering::SeqCst) + count;
        crate::servers::until("more entries", || {
            (self.added.load(Ordering::SeqCst) >= until).then_some(())
        });
    }

    /// How many entries there are.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn add(connection: &mut Option<Resp>, port: u16, stream: &str, number: u64) -> io::Result<()> {
    let resp = match connection {
        Some(resp) => resp,
        None => connection.insert(Resp::to(port)?),
    };
    let number = number.to_string();
    resp.command(&[b"XADD", stream.as_bytes(), b"*", b"n", number.as_bytes()])?;
    Ok(())
}
