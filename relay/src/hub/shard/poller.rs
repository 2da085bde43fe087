//! An epoll of the shard's own, nested in tokio's: one readiness tells which sockets are ready.

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Which socket an event is about; the shard decides what it means.
pub type Token = u64;

/// A socket became readable, writable, or was closed by its peer.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub token: Token,
    pub flags: EventFlags,
}

/// Events of one call; more come with the next.
const BATCH: usize = 512;

/// What a listener is watched for. Edge-triggered like all others: one that is reported until it is
/// empty stands in the epoll's list all the time, and asking for it [again](Poller::again) would not
/// be a change.
pub const ACCEPT: EventFlags = EventFlags::IN.union(EventFlags::ET);
/// What a subscriber's or a new connection's socket is watched for, edge-triggered.
pub const READ: EventFlags = EventFlags::IN
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);
/// The same, while bytes wait for room.
pub const READ_WRITE: EventFlags = READ.union(EventFlags::OUT);

/// The peer has gone, or will say no more.
pub const CLOSED: EventFlags = EventFlags::RDHUP
    .union(EventFlags::HUP)
    .union(EventFlags::ERR);

pub struct Poller {
    epoll: AsyncFd<OwnedFd>,
    events: Vec<epoll::Event>,
}

impl Poller {
    /// Must be called on the runtime that will poll it.
    pub fn new() -> io::Result<Poller> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        // The safe constructor is deprecated because a type may close its descriptor behind its
        // back; `OwnedFd` cannot.
        #[allow(deprecated)]
        let epoll = AsyncFd::with_interest(epoll, Interest::READABLE)?;
        Ok(Poller {
            epoll,
            events: Vec::with_capacity(BATCH),
        })
    }

    pub fn add(&self, socket: impl AsFd, token: Token, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            self.epoll.get_ref(),
            socket,
            EventData::new_u64(token),
            flags,
        )?)
    }

    /// Reports a socket once more if it is ready still: without a change the epoll inside tells the
    /// one around it nothing.
    pub fn again(&self, socket: impl AsFd, token: Token, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(
            self.epoll.get_ref(),
            socket,
            EventData::new_u64(token),
            flags,
        )?)
    }

    pub fn remove(&self, socket: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(self.epoll.get_ref(), socket)?)
    }

    /// The next ready sockets; `Pending` when there are none, with the task to be woken for more.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Ready>> {
        loop {
            let Poll::Ready(Ok(mut guard)) = self.epoll.poll_read_ready(cx) else {
                return Poll::Pending;
            };
            self.events.clear();
            let timeout = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let spare = rustix::buffer::spare_capacity(&mut self.events);
            let ready = epoll::wait(self.epoll.get_ref(), spare, Some(&timeout)).unwrap_or(0);
            if ready < BATCH {
                // before the events are handled, so that anything newer rings again
                guard.clear_ready();
            }
            if ready > 0 {
                let events = self.events.iter();
                return Poll::Ready(
                    events
                        .map(|e| Ready {
                            token: e.data.u64(),
                            flags: e.flags,
                        })
                        .collect(),
                );
            }
        }
    }
}
