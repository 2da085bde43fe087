//! A network that can fail: everything to a port goes through it.

use parking_lot::{Condvar, Mutex};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// Forwards connections to another port of this machine until told otherwise.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    net: Mutex<Net>,
    changed: Condvar,
}

#[derive(Default)]
struct Net {
    open: Vec<TcpStream>,
    /// Bytes to the server, and bytes from it, are held back.
    held: [bool; 2],
    closed: bool,
}

/// The two ways through a proxy.
#[derive(Clone, Copy)]
enum Way {
    There,
    Back,
}

impl Proxy {
    pub fn start(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State::default());
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.net.lock().closed {
                    return;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                shared.join(client, server);
            }
        });
        Proxy { port, state }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Holds back what goes there and what comes back: nobody is told.
    pub fn cut_both_ways(&self) {
        self.hold([true, true]);
    }

    /// Answers no longer come back, although what is sent arrives.
    pub fn cut_way_back(&self) {
        self.hold([false, true]);
    }

    /// Lets everything through again, what was held back included.
    pub fn mend(&self) {
        self.hold([false, false]);
    }

    /// Ends all connections; new ones are accepted.
    pub fn reset(&self) {
        for socket in self.state.net.lock().open.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn hold(&self, held: [bool; 2]) {
        self.state.net.lock().held = held;
        self.state.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.net.lock().closed = true;
        self.mend();
        self.reset();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn join(self: &Arc<State>, client: TcpStream, server: TcpStream) {
        let twice = |socket: &TcpStream| socket.try_clone().expect("a socket opens twice");
        self.net
            .lock()
            .open
            .extend([twice(&client), twice(&server)]);
        let (there, back) = (self.clone(), self.clone());
        let (from, to) = (twice(&client), twice(&server));
        thread::spawn(move || there.pump(from, to, Way::There));
        thread::spawn(move || back.pump(server, client, Way::Back));
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, way: Way) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let mut net = self.net.lock();
            while net.held[way as usize] {
                self.changed.wait(&mut net);
            }
            drop(net);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}
